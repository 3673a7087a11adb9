"""Every parser keeps its promises for some mutations of good input; `make fuzz` tries many more."""

import random

import pytest

from tests.fuzz import segments
from tests.fuzz.mutate import mutated
from tests.fuzz.targets import names, target_of

SEED = 20_260_901
RUNS = 60


@pytest.mark.parametrize("name", names())
@pytest.mark.filterwarnings("ignore")
def test_target(name: str) -> None:
    target, seeds = target_of(name)
    chance = random.Random(f"{SEED} {name}")
    for seed in seeds:
        target(seed)
    for number in range(RUNS):
        data = mutated(chance, seeds)
        try:
            target(data)
        except BaseException as error:
            error.add_note(f"target {name!r}, mutation {number}: {data[:500]!r}")
            raise


@pytest.mark.parametrize("name", segments.FIELDS)
def test_a_good_segment_passes_what_forged_ones_must_not(name: str) -> None:
    assert segments.use(name, segments.valid(name))
    meta, sections, blobs = segments.take_apart(segments.valid(name))
    header = segments.valid(name)[:64]
    assert segments.use(name, segments.put_together(header, meta, sections, blobs))
    held = [segments.use(name, segments.forged(name, b"%d" % i)) for i in range(40)]
    assert not all(held), "no lie was found out"
