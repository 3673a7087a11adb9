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
