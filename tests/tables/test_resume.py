"""A schedule saved at any step and loaded elsewhere comes to the same table."""

from __future__ import annotations

import io
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from bigrain import tables  # noqa: E402
from bigrain.errors import ConfigError, InvalidInputError  # noqa: E402
from tests.tables.making import make  # noqa: E402
from tests.tables.training import Run  # noqa: E402

torch.set_num_threads(1)
STEPS, SEARCH = 9, 12


def saved(run: Run) -> bytes:
    states = {
        "model": run.model.state_dict(),
        "optimiser": run.optimiser.state_dict(),
        "schedule": run.schedule.state_dict(),
        "data": run.task.draw.get_state(),
    }
    file = io.BytesIO()
    torch.save(states, file)
    return file.getvalue()


def loaded(name: str, file: bytes) -> Run:
    states = torch.load(io.BytesIO(file), weights_only=True)
    run = Run(make(name), STEPS, SEARCH)
    run.model.load_state_dict(states["model"])
    run.optimiser = run.optimiser_of(run.model)
    run.optimiser.load_state_dict(states["optimiser"])
    run.schedule.load_state_dict(states["schedule"])
    run.task.draw.set_state(states["data"])
    return run


def rows(table: Any) -> Any:
    return table.eval().form().lookup(range(table.num_embeddings))


@pytest.mark.parametrize("name", tables.names())
def test_a_run_that_was_interrupted_ends_as_one_that_was_not(name: str) -> None:
    whole = Run(make(name), STEPS, SEARCH).go()
    expected = rows(whole.table)
    lengths = [phase.steps for phase in whole.schedule.phases]
    boundary = lengths[0]
    for stop in sorted({3, boundary, boundary + 2}):
        if stop >= whole.taken:
            continue
        part = Run(make(name), STEPS, SEARCH).go(lambda taken, stop=stop: taken == stop)
        rest = loaded(name, saved(part)).go()
        assert part.taken + rest.taken == whole.taken
        assert (rows(rest.table) == expected).all(), f"stopped after {stop} steps"


@pytest.mark.parametrize("name", tables.names())
def test_the_state_of_a_table_of_another_seed_is_refused(name: str) -> None:
    table = make(name, seed=4)
    before = table.generator.get_state()
    with pytest.raises(ConfigError, match="make it with the same seed and frequencies"):
        table.load_state_dict(make(name, seed=5).state_dict())
    assert torch.equal(table.generator.get_state(), before)


@pytest.mark.parametrize(
    ("name", "one", "other", "told"),
    [
        ("adapt.v1", {"frequencies": range(1000)}, {}, "the order of ids"),
        ("mgqe.v1", {"frequencies": range(1000)}, {}, "the order of ids"),
        ("adapt.v1", {"share": 0.1}, {"share": 0.2}, "own is 100 there and 200 here"),
        ("mgqe.v1", {"head": 0.1}, {"head": 0.2}, "starts is"),
        ("robe.v1", {"chunk": 2}, {"chunk": 4}, "chunk is 2 there"),
        ("unified.v1", {"fields": (400, 600)}, {"fields": (500, 500)}, "fields is"),
    ],
)
def test_so_is_that_of_other_frequencies_or_options(
    name: str, one: dict[str, Any], other: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        make(name, **other).load_state_dict(make(name, **one).state_dict())
    make(name, **one).load_state_dict(make(name, **one).state_dict())


def test_the_state_of_another_schedule_is_refused() -> None:
    hashed = make("hash.v1").schedule(steps=50)
    for state in (
        make("pep.v1").schedule(60).state_dict(),
        make("hash.v1").schedule(10).state_dict(),
    ):
        with pytest.raises(
            ConfigError, match=r"is of hash\.v1 with steps train 50, the state is of"
        ):
            hashed.load_state_dict(state)
    with pytest.raises(ConfigError, match="the state is of no schedule"):
        hashed.load_state_dict({})
    with pytest.raises(ConfigError, match="lacks started"):
        hashed.load_state_dict({k: v for k, v in hashed.state_dict().items() if k != "started"})


def test_a_first_phase_left_out_before_the_loop_still_begins_fresh() -> None:
    table = make("pq.v1")
    schedule = table.schedule(steps=6)
    schedule.skip()
    seen = []
    for step in schedule:
        seen.append((step.phase, step.fresh, step.renewed))
        if step.renewed:
            optimiser = torch.optim.SGD(table.parameters(), lr=0.1)
        step.update(table(torch.arange(9)).square().sum(), optimiser)
    assert seen == [("fine-tune", True, True), *[("fine-tune", False, False)] * 2]


def test_steps_must_be_ended() -> None:
    schedule = make("full.v1").schedule(steps=3)
    with pytest.raises(ConfigError, match="end each step"):
        for _ in schedule:
            pass


def test_a_loss_that_is_not_finite_changes_nothing() -> None:
    table = make("full.v1")
    optimiser = torch.optim.SGD(table.parameters(), lr=1.0)
    before = table.weight.clone()
    step = next(iter(table.schedule(steps=3)))
    with pytest.raises(InvalidInputError, match="loss is nan"):
        step.update(table(torch.arange(5)).sum() * float("nan"), optimiser)
    assert torch.equal(table.weight, before)


def test_a_phase_can_be_ended_early() -> None:
    schedule = make("dedup.v1").schedule(steps=50)
    seen = []
    for step in schedule:
        seen.append(step.phase)
        if step.renewed:
            optimiser = torch.optim.SGD(schedule.table.parameters(), lr=0.1)
        step.update(schedule.table(torch.arange(9)).square().sum(), optimiser)
        if step.number == 1:
            schedule.skip()
    assert seen == ["train"] * 2 + ["fine-tune"] * 2
    assert schedule.phase is None


@pytest.mark.parametrize("name", ["autodim.v1", "autosrh.v1", "optembed.v1", "pep.v1", "dedup.v1"])
def test_an_unfinished_search_is_not_exported(name: str, tmp_path: Any) -> None:
    with pytest.raises(ConfigError, match="schedule"):
        make(name).export(tmp_path / "t.table")
    assert not list(tmp_path.iterdir())
