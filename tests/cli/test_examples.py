"""The scripts of `examples/` run and say what they should."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import bigrain

EXAMPLES = Path(__file__).parents[2] / "examples"
SOURCE = str(Path(bigrain.__file__).parents[1])
SAID = {
    "quickstart": ["1. silo", "best now: moon", "sound:"],
    "bring_your_own_vectors": ["meaning  found doc-1234", "words    found doc-1234",
                               "tokens   found doc-1234"],
    "filters": ["b, c, d, e   year >= 2021", "a, e ", "did you mean 'year'"],
    "evaluate_beir": ["4 documents", "fused", "vectors, exact"],
    "image_search": ["yellow green", "like night-03  ['night-03'"],
}  # fmt: skip
NEEDS = {"bring_your_own_vectors": "scipy", "evaluate_beir": "ir_measures"}


def test_every_example_is_tested():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(SAID)


@pytest.mark.parametrize("name", SAID)
def test_example(name, beir):
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    arguments = [str(beir)] if name == "evaluate_beir" else []
    done = subprocess.run(
        [sys.executable, EXAMPLES / f"{name}.py", *arguments],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([SOURCE, os.environ.get("PYTHONPATH", "")]),
        },
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    for said in SAID[name]:
        assert said in done.stdout
