"""A call of `learn` that was stopped is taken up by the next one that asks the same."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bigrain
from bigrain.codecs.dense import CodeSettings
from bigrain.errors import CancelledError, ConfigError, LockedError, StorageError
from bigrain.learning import task
from bigrain.learning.adapter import AdapterSettings, train_adapter
from bigrain.learning.checkpoint import Checkpoint, key_of
from bigrain.learning.light import Recipe, Supervision, learn_codec
from bigrain.testing import QuickDisk
from tests.learning.making import ASKING, BY_FIELD, JUDGMENTS, VECTORS, answers

SOME = dict(list(BY_FIELD.items())[:160])
WHAT = ("adapter", "fusion")
FILE = "learning.checkpoint"


@pytest.fixture(autouse=True)
def trained(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How often an adapter was trained."""
    calls: list[int] = []

    def counted(*args: Any, **options: Any) -> Any:
        calls.append(1)
        settings = AdapterSettings(rank=8, epochs=3, rate=2e-2)
        return train_adapter(*args, settings=settings, **options)

    monkeypatch.setattr(task, "train_adapter", counted)
    yield calls


def stopped_at(stage: str, how: Callable[[], None]) -> Callable[[Any], None]:
    def callback(update: Any) -> None:
        if update.stage == stage:
            how()

    return callback


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def cancelled() -> None:
    raise CancelledError("enough")


def in_a_child(work: Callable[[], object]) -> None:
    """Do it in another process, which kills itself."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(1)
    assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL


def learn(path: Path, progress: Any = None, **options: Any) -> Any:
    with bigrain.open(path, files=QuickDisk()) as col:
        options = {"what": WHAT, **options}
        return col.learn(SOME, JUDGMENTS, progress=progress, force=True, **options), answers(col)


@pytest.mark.parametrize("stage", ["scores of all fields", "merging"])
def test_what_a_killed_call_had_trained_is_taken_up(
    original: Path, path: Path, tmp_path: Path, trained: list[int], stage: str
) -> None:
    whole, found = learn(Path(shutil.copytree(original, tmp_path / "whole")))
    in_a_child(partial(learn, path, stopped_at(stage, killed)))
    assert (path / FILE).exists()
    with bigrain.open(path, read_only=True) as col:
        assert not col._opened.learned and col.verify().ok
    trained.clear()
    again, same = learn(path)
    assert trained == [] and any("taken up" in note for note in again.notes)
    assert again.gains == whole.gains and again.weights == whole.weights and same == found
    assert not (path / FILE).exists() and not list(path.glob("learning.checkpoint*"))
    learn(path)
    assert trained == [1]


@pytest.mark.parametrize("change", ["seed", "questions", "the collection", "a bit"])
def test_what_was_asked_otherwise_begins_anew(path: Path, trained: list[int], change: str) -> None:
    with pytest.raises(CancelledError):
        learn(path, stopped_at("merging", cancelled))
    assert trained == [1]
    options: dict[str, Any] = {}
    with bigrain.open(path, files=QuickDisk()) as col:
        questions = SOME
        if change == "seed":
            options["seed"] = 1
        elif change == "questions":
            questions = dict(list(SOME.items())[1:])
        elif change == "the collection":
            col.add_vectors("vec", ["d1005"], VECTORS[[3]])
            col.commit()
        else:
            raw = bytearray((path / FILE).read_bytes())
            raw[len(raw) // 2] ^= 1
            (path / FILE).write_bytes(raw)
        report = col.learn(questions, JUDGMENTS, what=WHAT, force=True, **options)
    assert trained == [1, 1] and not any("taken up" in note for note in report.notes)
    assert not (path / FILE).exists()


def test_one_call_at_a_time_and_none_publishes_from_what_was(path: Path) -> None:
    def other(work: Callable[[Any], object]) -> Callable[[Any], None]:
        def at_once() -> None:
            with bigrain.open(path, files=QuickDisk()) as col:
                work(col)

        return stopped_at("candidates", at_once)

    def again(col: Any) -> None:
        with pytest.raises(LockedError, match="another call of learn"):
            col.learn(SOME, JUDGMENTS, what=WHAT)

    learn(path, other(again))
    with bigrain.open(path, files=QuickDisk()) as col:
        before = col.snapshot
    with pytest.raises(ConfigError, match="call learn again"):
        learn(path, other(lambda col: col._opened.learned and col.unlearn()))
    with bigrain.open(path, files=QuickDisk()) as col:
        assert not col._opened.learned and col.snapshot == before + 1 and col.verify().ok

    def added(col: Any) -> None:
        col.add_vectors("vec", ["d1005"], VECTORS[[3]])
        col.commit()

    assert learn(path, other(added))[0].published == WHAT


class Refusing(QuickDisk):
    def create(self, path: Path) -> Any:
        if path.name.startswith("learning"):
            raise StorageError(28, f"cannot create {path.name}: no space left")
        return super().create(path)


def test_a_disk_that_refuses_the_checkpoint_does_not_stop_learning(path: Path) -> None:
    with bigrain.open(path, files=Refusing()) as col:
        report = col.learn(SOME, JUDGMENTS, what="adapter")
    assert report.published == ("adapter",)
    assert any("could not be kept on disk" in note for note in report.notes)


def test_the_time_of_stopped_calls_counts(tmp_path: Path) -> None:
    first = Checkpoint(QuickDisk(), tmp_path, "k")
    first.seconds = 100.0
    first.keep("light", {"rounds": 1, "array": np.arange(3)})
    again = Checkpoint(QuickDisk(), tmp_path, "k")
    assert again and 100 <= again.seconds < 160
    state = again.state("light")
    assert state is not None and state["rounds"] == 1 and state["array"].tolist() == [0, 1, 2]
    assert not Checkpoint(QuickDisk(), tmp_path, "other") and not any(tmp_path.iterdir())


def test_keys_tell_apart_what_differs() -> None:
    values = [1, "1", [1], ["1"], ("a", "bc"), ("ab", "c"), {"a": 1}, {"a": {"b": 1}}, None,
              np.zeros(2), np.zeros(2, np.float32), np.zeros((2, 1))]  # fmt: skip
    assert len({key_of(value) for value in values}) == len(values)
    assert key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1})


@pytest.mark.parametrize(("code", "bits"), [("rabitq", 1), ("opq", 4)])
def test_codes_go_on_from_the_round_that_was_kept(tmp_path: Path, code: str, bits: int) -> None:
    pytest.importorskip("torch")
    right = [np.array([i]) for i in range(len(ASKING))]

    def codec(**more: Any) -> Any:
        return learn_codec(
            CodeSettings(4, code, bits), "cosine", VECTORS, Supervision(ASKING, right),
            steps=32, recipe=Recipe(rounds=4, batch=32, mined=20, easy=32), **more,
        )  # fmt: skip

    whole, told = codec()
    checkpoint = Checkpoint(QuickDisk(), tmp_path, "k")

    def keep(state: Any) -> None:
        checkpoint.keep("light", state)
        if state["rounds"] == 2:
            killed()

    in_a_child(lambda: codec(keep=keep))
    rounds: list[int] = []
    begun = Checkpoint(QuickDisk(), tmp_path, "k").state("light")
    again, same = codec(begun=begun, keep=lambda state: rounds.append(state["rounds"]))
    assert rounds == [3, 4] and again.id == whole.id
    assert {**same, "seconds": 0} == {**told, "seconds": 0}
