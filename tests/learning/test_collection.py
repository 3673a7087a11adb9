"""`learn`: what is published is better on other questions, lasts, and can be taken back."""

import json
import shutil
import warnings
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import bigrain
from bigrain.codecs.adapter import QueryAdapter, fingerprint_digest
from bigrain.errors import (
    BigrainError,
    CancelledError,
    DamagedError,
    EncoderMismatchError,
    InvalidInputError,
    MissingExtraError,
    PendingChangesError,
    ReadOnlyError,
)
from bigrain.families.learned import Learned
from bigrain.learning import asking, light, of_collection, questions, task
from bigrain.learning.adapter import AdapterSettings, train_adapter
from bigrain.learning.report import Gain
from bigrain.progress import reporting
from bigrain.search.fuse import Fusion
from bigrain.storage.catalogue import Catalogue
from bigrain.testing import QuickDisk, vfs
from bigrain.testing.vfs import FaultySqlite
from tests.collection.faulting import WAYS, copy_killed, faulty
from tests.learning.making import (
    ASKING,
    BY_FIELD,
    DIM,
    IDS,
    JUDGMENTS,
    QUERIES,
    VECTORS,
    answers,
    codec_ids,
    ndcg,
    stand_in,
)

needs_vfs = pytest.mark.skipif(
    not vfs.available(), reason="the functions of this Python's SQLite cannot be reached"
)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = AdapterSettings(rank=8, epochs=3, rate=2e-2)
    monkeypatch.setattr(task, "train_adapter", partial(train_adapter, settings=settings))


@pytest.fixture
def codes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Codes are learned by the stand-in, with torch or without."""
    monkeypatch.setattr(light, "learn_codec", stand_in)
    monkeypatch.setattr(of_collection, "has_torch", lambda: True)


def learned_all(col: Any) -> Any:
    """Everything, published whether it is better or not."""
    some = dict(list(BY_FIELD.items())[:120])
    return col.learn(some, JUDGMENTS, force=True)


# -- what is published ----------------------------------------------------------------------------


def test_an_adapter_ranks_other_questions_better_and_is_taken_back(col: Any) -> None:
    before, plain = answers(col), ndcg(col)
    report = col.learn(QUERIES, JUDGMENTS, what="adapter")
    (gain,) = report.gains
    assert report.published == ("adapter",) and gain.low > 0 and gain.questions == 75
    assert report.snapshot == col.snapshot == 4 and report.adapter_bytes == 2 * 4 * 8 * DIM
    assert ndcg(col) > plain + 0.1 and gain.difference > 0.1
    assert col.stats()["fields"]["vec"]["learned"] == {"adapter_rank": 8}
    assert answers(col) != before and col.verify().ok
    assert col.unlearn() == col.snapshot == 5
    assert answers(col) == before and "learned" not in col.stats()["fields"]["vec"]
    with pytest.raises(InvalidInputError, match="nothing was learned"):
        col.unlearn()


def test_scores_are_those_of_the_adapted_query(col: Any) -> None:
    col.learn(QUERIES, JUDGMENTS, what="adapter")
    adapter = col._opened.families["vec"].adapter
    moved = ASKING[0] + adapter.up @ (adapter.down.T @ ASKING[0])
    moved /= np.linalg.norm(moved)
    for hit in col.search(ASKING[0], 5, fields="vec"):
        stored = VECTORS[IDS.index(hit.id)].astype(np.float16).astype(np.float32)
        assert abs(float(moved @ stored) - hit.score) < 1e-5
    many = col.search_many(list(ASKING[:3]), 5, fields="vec")
    assert [h.score for h in many[0]] == [h.score for h in col.search(ASKING[0], 5, fields="vec")]


def test_an_asked_recall_is_reached_by_adapted_queries(col: Any) -> None:
    col.learn(QUERIES, JUDGMENTS, what="adapter")
    truth, _ = col.search_many(list(ASKING), 10, fields="vec", recall=1.0, arrays=True)
    found, _ = col.search_many(list(ASKING), 10, fields="vec", recall=0.9, arrays=True)
    shares = [len(set(a) & set(b)) / 10 for a, b in zip(found, truth, strict=True)]
    assert np.mean(shares) >= 0.9


def test_weights_of_the_fusion_are_learned(col: Any) -> None:
    report = col.learn(BY_FIELD, JUDGMENTS, what=["fusion"])
    assert report.published == ("fusion",) and report.gains[0].low > 0
    assert report.weights["dense"] > 0.8 > report.weights["lexical"]
    assert col._opened.fusion.weights == report.weights
    with bigrain.open(col.path, read_only=True) as other:
        assert other._opened.fusion == col._opened.fusion
    col.unlearn()
    assert col._opened.fusion == Fusion()


def test_what_is_not_better_is_not_published_unless_forced(col: Any, codes: None) -> None:
    before = answers(col)
    shuffled = dict(zip(QUERIES, np.random.default_rng(0).permutation(ASKING), strict=True))
    report = col.learn(shuffled, JUDGMENTS)
    assert report.published == () and report.snapshot == -1 and col.snapshot == 3
    assert answers(col) == before and "nothing was published" in str(report)
    report = col.learn(QUERIES, JUDGMENTS, what="light", force=True, light_bytes=2)
    assert report.published == ("light",) and report.light_bytes == (4, 2)
    assert [g.measure for g in report.gains][:2] == [
        "recall@10 of candidates", "recall@100 of candidates"
    ]  # fmt: skip
    beside = report.gains[3]
    assert "the 4-byte codes that are there" in beside.measure and beside.difference < 0
    assert beside.high < 0 and any("find less than the 4-byte codes" in n for n in report.notes)
    assert "light (forced: not better" in report.verdict() or report.gains[2].better
    rows = {(row.codes, row.light_bytes, row.k) for row in report.candidates}
    assert rows == {(c, 4 if c == "present" else 2, k) for c in ("present", "fitted", "learned")
                    for k in (10, 100)}  # fmt: skip
    assert col.fields["vec"].light_bytes == 2 and len(codec_ids(col)) == 1
    col.unlearn()
    assert col.fields["vec"].light_bytes == 4 and answers(col) == before


def test_what_time_ran_out_on_and_what_was_forced_is_told(col: Any) -> None:
    report = col.learn(QUERIES, JUDGMENTS, what="adapter", minutes=1e-4)
    assert any("the adapter stopped as the 0.0001 minutes ran out" in n for n in report.notes)
    worse = Gain("light", "recall", 0.5, 0.5, -0.1, 0.1, 80, 1, 1, decides=True, published=True)
    told = replace(report, gains=(worse,)).verdict()
    assert told.endswith(": light (forced: not better beyond chance)")


def test_the_same_seed_learns_the_same(original: Path, tmp_path: Path) -> None:
    found = []
    for name in ("one", "two"):
        copy = Path(shutil.copytree(original, tmp_path / name))
        with bigrain.open(copy, files=QuickDisk()) as col:
            report = col.learn(QUERIES, JUDGMENTS, what="adapter", seed=5)
            found.append((report.gains, col._opened.learned))
    assert found[0] == found[1]


def test_learning_again_begins_from_what_is_there(col: Any) -> None:
    col.learn(QUERIES, JUDGMENTS, what="adapter")
    first = col._opened.learned
    report = col.learn(QUERIES, JUDGMENTS, what="adapter", seed=1)
    assert report.gains[0].before > 0.5 and report.published == ()
    assert col._opened.learned == first


def test_codes_are_learned_from_the_documents_alone(col: Any, codes: None) -> None:
    report = col.learn(force=True)
    assert report.published == ("light",) and "since no queries were given" in str(report)
    assert len(codec_ids(col)) == 1
    report = col.learn(list(ASKING[:200]), force=True, seed=1)
    assert "200 queries without judgments" in report.questions_from


def test_a_function_may_ask_the_questions(tmp_path: Path) -> None:
    texts = [f"{a} {b} {c}" for a in "abcdef" for b in "ghijkl" for c in "mnopqrst"]
    with bigrain.create(tmp_path / "t.grain", files=QuickDisk()) as col:
        col.add({"text": f"about {text}", "id": text} for text in texts)
        col.commit()
        report = col.learn(
            lambda documents: [None if "a" in d.id else f"which {d.id}" for d in documents],
            what="adapter",
        )
        assert "240 questions that a function asked" in report.questions_from
        with pytest.raises(InvalidInputError, match="one each"):
            col.learn(lambda documents: ["one"])


# -- what is learned lasts ------------------------------------------------------------------------


def lasts(col: Any, expected: Any, adapter: Any) -> None:
    assert codec_ids(col) == expected
    found = col._opened.families["vec"].adapter
    assert np.array_equal(found.up, adapter.up) and np.array_equal(found.down, adapter.down)
    assert col.stats()["fields"]["vec"]["learned"]["codes_from_queries"] == 90


def test_learned_parts_survive_what_happens_to_a_collection(
    path: Path, tmp_path: Path, codes: None
) -> None:
    with bigrain.open(path, files=QuickDisk()) as col, bigrain.open(path, files=QuickDisk()) as old:
        report = learned_all(col)
        assert report.published == ("adapter", "light", "fusion")
        opened = col._opened
        expected, adapter, fusion = codec_ids(col), opened.families["vec"].adapter, opened.fusion
        assert len(expected) == 1 and fusion.weights == report.weights
        found = answers(col)
        before = answers(old)
        assert before != found
        old.refresh()
        assert answers(old) == found and old._opened.fusion == fusion
        for turn in range(2):
            col.add_vectors("vec", [IDS[turn]], VECTORS[[turn]])
            col.commit()
            lasts(col, expected, adapter)
        col.compact()
        lasts(col, expected, adapter)
        assert answers(col) == found and col.verify().ok
        col.backup(tmp_path / "copy.grain")
    for left in (path, tmp_path / "copy.grain"):
        with bigrain.open(left, files=QuickDisk()) as col:
            lasts(col, expected, adapter)
            assert answers(col) == found and col._opened.fusion == fusion


@pytest.mark.parametrize("what", ["the catalogue", "a code", "rows"])
def test_repair_keeps_what_was_learned(path: Path, codes: None, what: str) -> None:
    with bigrain.open(path, files=QuickDisk()) as col:
        learned_all(col)
        col.add_vectors("vec", IDS[:1], VECTORS[:1])
        col.commit()
        opened = col._opened
        expected, adapter, fusion = codec_ids(col), opened.families["vec"].adapter, opened.fusion
        found = answers(col)
        largest = max(
            (v.segment for v in col._view.fields["vec"].index.views), key=lambda s: s.units.n_rows
        ).file
        section = largest.sections["blocks" if what == "a code" else "rows"]
    file = path / ("catalogue.sqlite" if what == "the catalogue" else f"segments/{largest.name}")
    data = bytearray(file.read_bytes())
    at = section.offset + 5
    if what == "the catalogue":
        at = data.rindex(b"snapshot INTEGER PRIMARY KEY")
    data[at : at + 4] = bytes(4 * [255])
    file.write_bytes(data)
    report = bigrain.repair(path, files=QuickDisk())
    assert report.snapshot >= 0
    with bigrain.open(path, files=QuickDisk()) as col:
        lasts(col, expected, adapter)
        assert col._opened.fusion == fusion and col.verify().ok
        if what != "rows":
            assert answers(col) == found


def test_tuning_takes_the_place_of_learned_codes(col: Any, codes: None) -> None:
    learned_all(col)
    family = col._opened.families["vec"]
    with reporting(None) as reporter:
        col._recode(family.recoded(replace(family.spec, light_bytes=2)), reporter)
    assert "codes_from_queries" not in col.stats()["fields"]["vec"]["learned"]
    col.unlearn()
    assert col.fields["vec"].light_bytes == 2 and col._opened.fusion == Fusion()


# -- what fails changes nothing -------------------------------------------------------------------


def publish(col: Any) -> None:
    """All three parts, without the training."""
    view = col._require_open().fields["vec"].index.views[0]
    codec, _ = stand_in(None, "", VECTORS, SimpleNamespace(queries=[1]), seed=0,
                        initial=view.segment.codec, progress=SimpleNamespace(
                            stage=lambda *_: None, advance=lambda: None))  # fmt: skip
    family = col._opened.families["vec"]
    up = np.full((DIM, 2), 0.1, np.float32)
    adapter = QueryAdapter(up, up, fingerprint_digest(family.fingerprint()))
    done = SimpleNamespace(family=family, target=family.spec, fusion=col._opened.fusion)
    began = of_collection._state(col, "vec")
    with reporting(None) as reporter:
        of_collection._publish(
            col, done, began, adapter, replace(codec, learned_from=7),  # type: ignore[arg-type]
            Fusion(weights={"dense": 0.9, "lexical": 0.1}), reporter,
        )  # fmt: skip


def state(col: Any) -> Any:
    return answers(col), sorted(codec_ids(col)), dict(col._opened.fusion.weights)


@pytest.mark.parametrize("kind", ["file", pytest.param("sqlite", marks=needs_vfs)])
def test_a_failing_disk_leaves_what_was_or_all_that_was_learned(
    path: Path, tmp_path: Path, kind: str
) -> None:
    with bigrain.open(path, read_only=True) as col:
        old = state(col)
    copy = tmp_path / "docs.grain"
    failed, seen, new = 0, set(), None
    for point, n in enumerate(count(1, 21 if kind == "file" else 37)):
        shutil.copytree(path, copy)
        files = faulty(kind, WAYS[point % len(WAYS)], n)
        col = None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                col = bigrain.open(copy, files=files)
                publish(col)
            except (BigrainError, OSError) as error:
                assert files.tripped, error
                failed += 1
            copy_killed(copy)
            if col is not None:
                with suppress(BigrainError):
                    col.close()
            if isinstance(files, FaultySqlite):
                files.let_go()
        operation = files.log[n - 1] if files.tripped else "nothing"
        for left in (copy, tmp_path / "killed"):
            with bigrain.open(left, files=QuickDisk()) as col:
                found = state(col)
                if found != old:
                    new = new or found
                assert found in (old, new), (operation, left.name)
                assert bool(col._opened.learned) == (found == new)
                seen.add(found == old)
                if point % 4 == 0:
                    col.add_vectors("vec", IDS[:1], VECTORS[:1])
                    col.commit()
                    assert col.verify().ok, (operation, left.name)
            shutil.rmtree(left)
        if not files.tripped:
            break
    assert failed > 4 and seen == {True, False}


def test_cancelling_changes_nothing(col: Any, path: Path, codes: None) -> None:
    before, listed = answers(col), sorted(p.name for p in (path / "segments").iterdir())
    stages: set[str] = set()
    some = dict(list(BY_FIELD.items())[:100])

    def stop(update: Any) -> None:
        if update.stage not in stages:
            stages.add(update.stage)
            raise CancelledError("enough")

    for turn in count():
        try:
            col.learn(some, JUDGMENTS, force=True, progress=stop)
        except CancelledError:
            assert col.snapshot == 3 and not col._opened.learned, stages
            assert sorted(p.name for p in (path / "segments").iterdir()) == listed
            assert turn > 4 or answers(col) == before
            continue
        break
    assert {"questions", "candidates", "adapter", "learning codes", "merging"} <= stages
    assert col.snapshot == 4 and col.verify().ok


# -- what is refused ------------------------------------------------------------------------------


def test_what_cannot_be_learned_from_is_refused_with_advice(col: Any) -> None:
    few = dict(list(QUERIES.items())[:50])
    strangers = {name: {"x": 1} for name in QUERIES}
    for told, (queries, judgments, options) in {
        "too few": (few, JUDGMENTS, {}),
        "no judged document is in this collection": (QUERIES, strangers, {}),
        "judgments without queries": (None, JUDGMENTS, {}),
        "same ids": ({"x": ASKING[0]}, JUDGMENTS, {}),
        "with judgments, queries map": (list(ASKING), JUDGMENTS, {}),
        "without judgments": (list(ASKING), None, {"what": "adapter"}),
        "what='all' must name": (QUERIES, JUDGMENTS, {"what": "all"}),
        "minutes=0": (QUERIES, JUDGMENTS, {"minutes": 0}),
        "hold_out=": (QUERIES, JUDGMENTS, {"hold_out": "nothing"}),
        "grade of 'd0'": (QUERIES, {"q0": {"d0": "good"}}, {}),
        "^8 different queries are too few": (
            {q: ASKING[i % 8] for i, q in enumerate(QUERIES)},
            JUDGMENTS,
            {},
        ),
        "^5 different": ([ASKING[i % 5] for i in range(100)], None, {"what": "adapter"}),
        "no grade is above 0": (QUERIES, {q: {IDS[0]: 0} for q in QUERIES}, {}),
        "light_bytes": (QUERIES, JUDGMENTS, {"light_bytes": 99}),
    }.items():
        with pytest.raises(InvalidInputError, match=told):
            col.learn(queries, judgments, **options)
    with pytest.raises(bigrain.UnknownFieldError, match="only dense fields are learned"):
        col.learn(QUERIES, JUDGMENTS, field="lex")
    with pytest.raises(bigrain.InvalidQueryError, match="shape"):
        col.learn({q: v[:5] for q, v in QUERIES.items()}, JUDGMENTS)
    assert col.snapshot == 3
    col.add(["pending"])
    with pytest.raises(PendingChangesError):
        col.learn(QUERIES, JUDGMENTS)
    col.rollback()
    with bigrain.open(col.path, read_only=True) as reader:
        for call in (lambda: reader.learn(QUERIES, JUDGMENTS), reader.unlearn):
            with pytest.raises(ReadOnlyError):
                call()


def test_unknown_documents_and_equal_scores(col: Any, tmp_path: Path) -> None:
    some = {**JUDGMENTS, **{f"q{i}": {"x": 1} for i in range(20)}}
    report = col.learn(QUERIES, some, what="adapter")
    assert any("1 judged document of 281 not there" in note for note in report.notes)
    assert report.questions + report.held_out == 280
    with bigrain.create(
        tmp_path / "b.grain", {"vec": bigrain.DenseField(dim=DIM)}, files=QuickDisk()
    ) as same:
        same.add_vectors("vec", IDS, np.ones((len(IDS), DIM), np.float32))
        same.commit()
        with pytest.raises(InvalidInputError, match="every document scores the same"):
            same.learn(QUERIES, JUDGMENTS, what="adapter")


def test_questions_about_one_document_stay_together(
    col: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty documents are asked about fifteen times each, from places that tell nothing of others.

    What is learned then holds for these documents alone.
    """
    settings = AdapterSettings(rank=32, epochs=8, rate=2e-2)
    monkeypatch.setattr(task, "train_adapter", partial(train_adapter, settings=settings))
    rng = np.random.default_rng(0)
    places = rng.standard_normal((20, DIM))
    asked = {f"q{i}": places[i % 20] + 0.3 * rng.standard_normal(DIM) for i in range(300)}
    judged = {f"q{i}": {IDS[i % 20]: 1} for i in range(300)}
    assert col.learn(asked, judged, what="adapter").published == ()
    report = col.learn(asked, judged, what="adapter", hold_out="questions")
    assert report.published == ("adapter",) and report.gains[0].difference > 0.3
    col.unlearn()
    all_one = {q: {IDS[0]: 1, IDS[i]: 1} for i, q in enumerate(QUERIES)}
    report = col.learn(QUERIES, all_one, what="adapter")
    assert any("most questions share" in note for note in report.notes)


def test_questions_held_out_do_not_repeat_learned_ones(col: Any) -> None:
    """Every question is asked again by somebody else, about another document and a little moved."""
    rng = np.random.default_rng(0)
    again = ASKING + 1e-3 * rng.standard_normal(ASKING.shape).astype(np.float32)
    queries = {**QUERIES, **{f"again{i}": vector for i, vector in enumerate(again[:60])}}
    judged = {**JUDGMENTS, **{f"again{i}": {IDS[400 + i]: 1} for i in range(60)}}
    report = col.learn(queries, judged, what="adapter")
    assert any("nearly repeat one that was learned from: left out" in n for n in report.notes)
    assert report.held_out < 90
    queries = {**QUERIES, **{f"again{i}": vector for i, vector in enumerate(again)}}
    judged = {**JUDGMENTS, **{f"again{i}": {IDS[400 + i]: 1} for i in range(300)}}
    report = col.learn(queries, judged, what="adapter", hold_out="questions")
    assert report.held_out < 75
    with pytest.raises(InvalidInputError, match="nothing to judge by"):
        copies = {f"q{i}": ASKING[i % 5] * (1 + i / 1e5) + again[i] / 1e3 for i in range(300)}
        col.learn(copies, JUDGMENTS, what="adapter")


def test_texts_that_differ_in_case_and_spaces_are_one_question(tmp_path: Path) -> None:
    texts = [f"{a} {b} {c}" for a in "abcdef" for b in "ghijkl" for c in "mnopqrst"]
    with bigrain.create(tmp_path / "t.grain", files=QuickDisk()) as col:
        col.add({"text": f"about {text}", "id": text} for text in texts)
        col.commit()
        asked = {f"0{i}": f"which  {text}" for i, text in enumerate(texts)}
        asked |= {f"1{i}": f" Which {text.upper()}" for i, text in enumerate(texts)}
        judged = {q: {texts[int(q[1:])]: 1} for q in asked}
        judged["10"] = {texts[1]: 2}
        family, view = col._opened.families["dense"], col._require_open()
        given = questions.given_questions(asked, judged, 0)
        index = view.fields["dense"].index
        found = asking.Asked.of(view, family, index, given, "questions", 0)
        assert len(found.learned) + len(found.held) == len(texts) == len(set(found.raw))
        assert f"{len(texts)} of them different" in found.told
        first = view.catalogue.documents_by_id([texts[0], texts[1]], view.number)
        assert found.grades[0] == {
            first[t].docno: g for t, g in zip(texts[:2], (1, 2), strict=True)
        }


def test_codes_need_the_extra(col: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_collection, "has_torch", lambda: False)
    with pytest.raises(MissingExtraError, match=r"bigrain\[learn\]"):
        col.learn(QUERIES, JUDGMENTS, what="light")
    report = col.learn(QUERIES, JUDGMENTS, what=("light", "adapter"))
    assert report.published == ("adapter",) and "bigrain[learn]" in str(report)


def test_an_adapter_meets_its_own_encoder_only(col: Any) -> None:
    col.learn(QUERIES, JUDGMENTS, what="adapter")
    family = col._opened.families["vec"]
    foreign = replace(family.adapter, fingerprint="0" * 32)
    with pytest.raises(EncoderMismatchError, match="learned for an encoder"):
        family.adapted(foreign)


def test_a_setting_that_was_tampered_with_is_damage(path: Path) -> None:
    with bigrain.open(path, files=QuickDisk()) as col:
        publish(col)
        told = col._opened.learned.settings()["learned"]
    adapter = told["adapters"]["vec"]
    for change in (
        {"rank": 3}, {"dim": 31}, {"up": "AAAA"}, {"up": "ä"}, {"down": None}, {"fingerprint": 1}
    ):  # fmt: skip
        bad = {"learned": {**told, "adapters": {"vec": {**adapter, **change}}}}
        with pytest.raises(DamagedError, match="query adapter"):
            Learned.of(bad).check(col_fields(path))
    for wrong in ({"adapters": {}}, [], {"adapters": {"lex": adapter}, "before": {"fields": {}}}):
        with pytest.raises(DamagedError, match="what was learned"):
            Learned.of({"learned": wrong}).check(col_fields(path))
    file = path / "catalogue.sqlite"
    data = file.read_bytes()
    at = data.index(adapter["up"][:40].encode())
    file.write_bytes(data[:at] + b"B" + data[at + 1 :])
    with pytest.raises(DamagedError, match="settings or fields"):
        bigrain.open(path)


def col_fields(path: Path) -> Any:
    catalogue = Catalogue(QuickDisk(), path, cache_bytes=1 << 18)
    try:
        return catalogue.definition()[1]
    finally:
        catalogue.close()


# -- the report -----------------------------------------------------------------------------------


def test_the_report_tells_and_draws(col: Any, codes: None, tmp_path: Path) -> None:
    report = learned_all(col)
    told = json.loads(json.dumps(report.to_dict()))
    assert told["published"] == ["adapter", "light", "fusion"]
    assert told["gains"][0]["difference"] == report.gains[0].difference
    text = str(report)
    assert "published in snapshot 4: adapter, light (forced" in text and "held out" in text
    assert "4 bytes a code" in text and "bytes of adapter" in text
    pytest.importorskip("matplotlib")
    report.plot(tmp_path / "recall.png")
    assert (tmp_path / "recall.png").read_bytes()[:4] == b"\x89PNG"


def test_a_sweep_tells_of_other_sizes_and_publishes_none_of_them(
    original: Path, tmp_path: Path, codes: None
) -> None:
    some, found = dict(list(QUERIES.items())[:120]), []
    for sweep in (False, [1, 2, 4]):
        copy = Path(shutil.copytree(original, tmp_path / str(sweep)))
        with bigrain.open(copy, files=QuickDisk()) as col:
            report = col.learn(some, JUDGMENTS, what="light", force=True, sweep=sweep)
            found.append((report.gains, answers(col)))
    assert found[0] == found[1]
    rows = {(row.codes, row.light_bytes): row.recall for row in report.candidates if row.k == 100}
    assert set(rows) == {
        ("present", 4), *((codes, n) for codes in ("fitted", "learned") for n in (1, 2, 4))
    }  # fmt: skip
    assert rows["fitted", 1] < rows["fitted", 2] < rows["fitted", 4]
    with bigrain.open(copy, files=QuickDisk()) as col:
        with pytest.raises(InvalidInputError, match="light_bytes"):
            col.learn(some, JUDGMENTS, what="light", sweep=[2, 5])
        assert [f.light_bytes for f in of_collection._swept(True, bigrain.DenseField(dim=128))] == [
            8
        ]
