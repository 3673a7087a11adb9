"""The bundled encoder taught for a collection: encoded anew in one commit, and taken back."""

import shutil
import warnings
from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import bigrain
from bigrain import registry
from bigrain.encoders.static import StaticEncoder
from bigrain.errors import BigrainError, ConfigError, InvalidInputError, MissingExtraError
from bigrain.learning import encoding, of_collection
from bigrain.learning.static_encoder import LearnedStatic
from bigrain.progress import reporting
from bigrain.testing import QuickDisk
from bigrain.testing.invariants import check_encoders
from tests.collection.faulting import WAYS, copy_killed, faulty

WORDS = "river stone letter copper meadow engine violin harbour winter ladder candle forest".split()
BESIDE = "market window garden train paper salt shadow clock bridge mirror bottle wool".split()
RNG = np.random.default_rng(0)


def beside_the_point(n: int) -> str:
    return " ".join(RNG.choice(BESIDE, n))


TEXTS = {
    f"d{i}{j}{k}": f"{a} {b} {c} {beside_the_point(6)}"
    for i, a in enumerate(WORDS) for j, b in enumerate(WORDS) for k, c in enumerate(WORDS[:2])
    if i != j
}  # fmt: skip
ASKED = dict(list(TEXTS.items())[:160])
QUERIES = {
    f"q{name}": f"{' '.join(text.split()[:3])} {beside_the_point(3)}"
    for name, text in ASKED.items()
}
JUDGMENTS = {f"q{name}": {name: 1} for name in ASKED}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("made") / "a.grain"
    fields = {
        "lexical": bigrain.LexicalField(),
        "dense": bigrain.DenseField(encoder="bigrain/static-v1", light_bytes=8),
    }
    with bigrain.create(path, fields, files=QuickDisk()) as col:
        col.add({"id": name, "text": text} for name, text in TEXTS.items())
        col.commit()
        col.delete(["d011"])
        col.commit()
    return path


def stand_in(base: StaticEncoder, texts: Any, *, pairs: Any, steps: int, **_: Any) -> Any:
    """What is beside the point counts for little; as `learn_static`, without torch."""
    assert len(texts) > 200 and len(pairs) > 60 and steps == 800
    assert all(text and question for question, at in pairs for text in [texts[at]])
    rows = base.rows()
    rows[np.unique(base.tokenise(BESIDE)[0])] *= np.float32(0.1)
    return LearnedStatic(base, rows, 0.5, 0.6, steps)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "learn_static", stand_in)
    monkeypatch.setattr(of_collection, "has_torch", lambda: True)


def answers(col: Any) -> Any:
    return [
        [(hit.id, hit.score) for hit in col.search(text, 5, fields="dense", recall=1.0)]
        for text in list(QUERIES.values())[:4]
    ]


def teach(col: Any, folder: Path, **options: Any) -> Any:
    return col.learn(QUERIES, JUDGMENTS, what="encoder", encoder_folder=folder, **options)


def test_a_better_encoder_is_published_in_one_commit_and_taken_back(
    col: Any, path: Path, tmp_path: Path
) -> None:
    before, told = answers(col), col.stats()["fields"]["dense"]["encoder_fingerprint"]
    with bigrain.open(path, files=QuickDisk()) as other:
        report = teach(col, tmp_path / "mine")
        (gain,) = report.gains
        assert report.published == ("encoder",) and gain.low > 0 and report.snapshot == 3
        assert "nDCG@10 of an exact search" in str(report)
        found = answers(col)
        assert found != before and col.fields["dense"].encoder == str(tmp_path / "mine")
        now = col.stats()["fields"]["dense"]["encoder_fingerprint"]
        assert now == StaticEncoder(tmp_path / "mine").head("dense").fingerprint() != told
        assert answers(other) == before, "a handle keeps its snapshot and its encoder"
        other.refresh()
        assert answers(other) == found
    assert col.verify().ok
    check_encoders(col)
    with bigrain.open(path, files=QuickDisk(), read_only=True) as reader:
        assert answers(reader) == found
    col.add([{"id": "new", "text": "violin harbour winter"}])
    col.commit()
    assert col.search("violin harbour winter", 1, fields="dense")[0].id == "new"
    col.delete(["new"])
    col.commit()
    col.unlearn()
    assert answers(col) == before and not col._opened.learned
    assert col.stats()["fields"]["dense"]["encoder_fingerprint"] == told
    shutil.rmtree(tmp_path / "mine")
    with bigrain.open(path, files=QuickDisk()) as reader:
        assert answers(reader) == before


def test_what_was_learned_for_the_former_encoder_goes(col: Any, tmp_path: Path) -> None:
    assert "adapter" in col.learn(QUERIES, JUDGMENTS, what="adapter", force=True).published
    teach(col, tmp_path / "mine", force=True)
    assert "learned" not in col.stats()["fields"]["dense"]
    report = col.learn(QUERIES, JUDGMENTS, what="adapter", force=True)
    with bigrain.open(col.path, files=QuickDisk()) as other:
        assert answers(other) == answers(col)
    if report.published:
        assert col.stats()["fields"]["dense"]["learned"]["adapter_rank"]
    col.unlearn()
    assert col.fields["dense"].encoder == "bigrain/static-v1"
    assert "learned" not in col.stats()["fields"]["dense"]


def test_tuned_codes_stay_when_the_encoder_is_taken_back(col: Any, tmp_path: Path) -> None:
    teach(col, tmp_path / "mine", force=True)
    family = col._opened.families["dense"]
    with reporting(None) as reporter:
        col._recode(family.recoded(replace(family.spec, light_bytes=16)), reporter)
    col.unlearn()
    assert col.fields["dense"].light_bytes == 16
    assert col.fields["dense"].encoder == "bigrain/static-v1"


def test_a_worse_encoder_is_not_published(
    col: Any, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = answers(col)

    def worse(base: StaticEncoder, texts: Any, **_: Any) -> Any:
        rows = base.rows()
        rows[np.unique(base.tokenise(WORDS)[0])] *= np.float32(0.1)
        return LearnedStatic(base, rows, 0.5, 0.6, 800)

    monkeypatch.setattr(encoding, "learn_static", worse)
    report = teach(col, tmp_path / "mine")
    assert report.published == () and not (tmp_path / "mine").exists() and col.snapshot == 2
    assert answers(col) == before and report.gains[0].difference < 0


def test_a_folder_that_is_gone_is_named(col: Any, path: Path, tmp_path: Path) -> None:
    teach(col, tmp_path / "mine", force=True)
    (tmp_path / "mine").rename(tmp_path / "moved")
    registry._made.pop(str(tmp_path / "mine"))
    registry._heads.clear()
    with pytest.raises(ConfigError, match="mine.*put a copy of its folder back, or use a backup"):
        bigrain.open(path, files=QuickDisk())


def test_a_failing_disk_leaves_one_encoder_or_the_other(path: Path, tmp_path: Path) -> None:
    with bigrain.open(path, read_only=True) as col:
        old = answers(col), "bigrain/static-v1"
    base = StaticEncoder()
    learned = stand_in(base, list(TEXTS.values()), pairs=[("a", 0)] * 80, steps=800)
    copy, seen, new = tmp_path / "docs.grain", set(), None
    for point, n in enumerate(count(10, 9)):
        shutil.copytree(path, copy)
        files = faulty("file", WAYS[point % len(WAYS)], n)
        col = None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                col = bigrain.open(copy, files=files)
                family = col._opened.families["dense"]
                with reporting(None) as reporter:
                    of_collection._publish_encoder(
                        col, SimpleNamespace(family=family),  # type: ignore[arg-type]
                        of_collection._state(col, "dense"), learned,
                        tmp_path / f"mine{point}", reporter,
                    )  # fmt: skip
            except (BigrainError, OSError) as error:
                assert files.tripped, error
            copy_killed(copy)
            if col is not None:
                with suppress(BigrainError):
                    col.close()
        for left in (copy, tmp_path / "killed"):
            with bigrain.open(left, files=QuickDisk()) as col:
                encoder = col.fields["dense"].encoder
                found = answers(col), encoder.split("mine")[0]
                if found[0] != old[0]:
                    new = new or found
                assert found in (old, new), files.log[n - 1] if files.tripped else "nothing"
                seen.add(found == old)
                assert col.verify().ok
            shutil.rmtree(left)
        if not files.tripped:
            break
    assert seen == {True, False}


def test_what_cannot_be_taught_is_refused(
    col: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    for told, options in {
        "by itself": {"what": ("encoder", "adapter"), "encoder_folder": tmp_path / "a"},
        "needs encoder_folder": {"what": "encoder"},
        "goes with": {"what": "adapter", "encoder_folder": tmp_path / "a"},
        "there already": {"what": "encoder", "encoder_folder": tmp_path / "full"},
    }.items():
        with pytest.raises(InvalidInputError, match=told):
            col.learn(QUERIES, JUDGMENTS, **options)
    with pytest.raises(InvalidInputError, match="without judgments"):
        col.learn(list(QUERIES.values()), what="encoder", encoder_folder=tmp_path / "a")
    with pytest.raises(InvalidInputError, match="is a vector"):
        vectors = {q: np.random.default_rng(i).normal(size=256) for i, q in enumerate(QUERIES)}
        col.learn(vectors, JUDGMENTS, what="encoder", encoder_folder=tmp_path / "a")
    monkeypatch.setattr(of_collection, "has_torch", lambda: False)
    with pytest.raises(MissingExtraError, match=r"bigrain\[learn\]"):
        teach(col, tmp_path / "a")
    with bigrain.create(
        tmp_path / "b.grain", {"vec": bigrain.DenseField(dim=8)}, files=QuickDisk()
    ) as other:
        other.add_vectors("vec", list(TEXTS)[:1], np.ones((1, 8), np.float32))
        other.commit()
        with pytest.raises(InvalidInputError, match="only the bundled encoder"):
            other.learn(QUERIES, JUDGMENTS, what="encoder", encoder_folder=tmp_path / "a")
