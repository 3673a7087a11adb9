"""Substring fields: counts as by looking at every text, n-grams, damage, memory."""

import math
import re
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import bigrain
from bigrain.families.substring import SubstringFamily
from bigrain.index.blocks import BlockCache
from bigrain.index.substring import WORK, NgramQuery, SubstringIndex, weight_of
from bigrain.testing import Model, QuickDisk
from bigrain.testing.invariants import check_occurrences
from bigrain.testing.model import ngram_scores, occurrences_in
from bigrain.text.verbatim import Places, verbatim

FIELD = {"sub": bigrain.SubstringField()}
SCRIPTS = "abcABC éßİŉǰ ΐΑΣς фЯ אבג عرب हिन्दी ไทย 日本語 한국 ﬁ \u0301\u200b\u2003\t\n🙂🇩🇪 \x01\x1f"
texts = st.text(st.sampled_from(SCRIPTS), max_size=40)
odd = settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=40)


def make(path: Path, documents: Any, *, commit_every: int = 1000, **kwargs: Any) -> Any:
    col = bigrain.create(path, kwargs.pop("fields", FIELD), files=QuickDisk(), **kwargs)
    for start in range(0, len(documents), commit_every):
        col.add(documents[start : start + commit_every])
        col.commit()
    return col


def index_of(col: Any) -> SubstringIndex:
    return col._require_open().fields["sub"].index


def cut_small(monkeypatch: pytest.MonkeyPatch, n_bytes: int = 100) -> None:
    """Shards of a row or few."""
    whole = SubstringFamily.builder
    monkeypatch.setattr(
        SubstringFamily, "builder", lambda self, f, d, m, s: whole(self, f, d, n_bytes, s)
    )


# -- the form that is searched --------------------------------------------------------------------


@given(text=st.one_of(texts, st.text(max_size=30)), sensitive=st.booleans())
@example(text="İİ  x", sensitive=False)
@example(text="  ", sensitive=False)
def test_places_lead_back_to_the_text(text: str, sensitive: bool) -> None:
    text = unicodedata.normalize("NFC", text)
    places = Places(text, case_sensitive=sensitive)
    assert places.searched == verbatim(text, case_sensitive=sensitive)
    # Character by character, what stands there gives what was searched.
    origin = []
    for match in re.finditer(r"\s+|\S", text):
        form = " " if match[0].isspace() else match[0] if sensitive else match[0].casefold()
        origin += [match.span()] * len(form)
    starts, ends = places.original(np.arange(len(places.searched)), 1)
    assert list(zip(starts.tolist(), ends.tolist(), strict=True)) == origin


# -- counting -------------------------------------------------------------------------------------


@odd
@given(
    documents=st.lists(st.tuples(texts, texts), min_size=1, max_size=12),
    patterns=st.lists(texts, min_size=1, max_size=4),
    data=st.data(),
)
def test_counts_are_those_of_looking_at_every_text(
    tmp_path_factory: pytest.TempPathFactory, documents: Any, patterns: list[str], data: Any
) -> None:
    given = [
        bigrain.Document(text or "x", f"d{i}", title=title)
        for i, (title, text) in enumerate(documents)
        if (text or "x").strip() or title.strip()
    ]
    patterns += [d.text[a : a + 3] for d in given[:4] for a in (0, 5)]
    model = Model(FIELD)
    with pytest.MonkeyPatch.context() as patch:
        cut_small(patch, data.draw(st.sampled_from([1, 400, 1 << 20])))
        path = tmp_path_factory.mktemp("sub") / "docs.grain"
        with make(path, given, commit_every=5) as col:
            model.add([_stored(d) for d in given])
            gone = data.draw(st.lists(st.sampled_from([d.id for d in given]), unique=True))
            col.delete(gone)
            col.commit()
            model.delete(gone)
            model.commit()
            for compacted in (False, True):
                if compacted:
                    col.compact()
                for pattern in filter(None, patterns):
                    check_occurrences(col, model, "sub", pattern)
                    wanted = verbatim(pattern).encode()
                    units = index_of(col).documents_with(wanted)
                    assert len(units) == col.occurrences(pattern).n_documents
                    assert index_of(col).count(wanted) == col.occurrences(pattern).total


def _stored(document: Any) -> Any:
    from bigrain.text.normalise import clean_text

    return bigrain.Document(
        clean_text(document.text), document.id, title=clean_text(document.title)
    )


def test_what_cannot_occur_occurs_never(tmp_path: Path) -> None:
    long = "the grain of the wheat"
    with make(tmp_path / "docs.grain", [{"id": "a", "title": "seam", "text": long}, "aaaa"]) as col:
        for pattern in ("\0", "m\0t", "\ud800", "the\ud800", long + "s", "x" * 50_000, "seam the"):
            assert col.occurrences(pattern).total == 0, pattern
        assert index_of(col).count(b"\xff") == index_of(col).count(b"a\xff") == 0
        assert col.occurrences("aa").total == 3, "overlapping occurrences count"
        assert col.occurrences("THE  \n").total == 2
        found = col.occurrences("The", places=1)
        assert found.documents[0].count == 2 and len(found.documents[0].places) == 1
        told = found.to_dict()["documents"][0]["places"]
        assert told == ({"start": 0, "end": 3, "in_title": False},)
        with pytest.raises(bigrain.InvalidQueryError, match="at least one character"):
            col.occurrences("")
        for wrong in (-1, 1.5, True, 10**6):
            with pytest.raises(bigrain.InvalidQueryError, match="limit"):
                col.occurrences("the", limit=wrong)
        with pytest.raises(bigrain.UnknownFieldError, match="it has sub"):
            col.occurrences("the", field="lex")
    with bigrain.create(tmp_path / "b.grain", {"lex": bigrain.LexicalField()}) as col:
        with pytest.raises(bigrain.UnknownFieldError, match="SubstringField"):
            col.occurrences("the")


def test_case_counts_where_it_shall(tmp_path: Path) -> None:
    fields = {"sub": bigrain.SubstringField(case_sensitive=True)}
    with make(tmp_path / "docs.grain", ["Grain grain GRAIN Straße"], fields=fields) as col:
        assert col.occurrences("Grain").total == 1
        assert col.occurrences("strasse").total == 0
        assert [h.id for h in col.search("Grain grain")] == ["0"]
        assert col.search("grain Grain") == []


def test_a_filter_chooses_what_is_counted(tmp_path: Path) -> None:
    rows = [{"id": f"d{i}", "text": "of the " * i, "metadata": {"n": i}} for i in range(1, 9)]
    with make(tmp_path / "docs.grain", rows, commit_every=3) as col:
        found = col.occurrences("of the", filter="n >= 4", limit=2)
        assert (found.total, found.n_documents) == (30, 5)
        assert [(d.id, d.count) for d in found.documents] == [("d8", 8), ("d7", 7)]
        hits = col.search("because of the rain", filter="n < 3")
        assert {h.id for h in hits} == {"d1", "d2"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"longest": 0}, "longest"),
        ({"longest": 2, "shortest": 3}, "shortest=3"),
        ({"case_sensitive": 1}, "True or False"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(bigrain.ConfigError, match=message):
        bigrain.SubstringField(**settings)


# -- n-grams --------------------------------------------------------------------------------------


def test_the_weight_is_that_of_the_paper() -> None:
    """SEAL's keys.py: [p + log(1 - e^snr)] - [snr + log(1 - e^p)], squared, with logarithms."""
    times, words, count, size = 2, 6, 17, 12_345
    p, snr = math.log(times / (words + 1)), math.log(count / size)
    odds = (p + math.log1p(-math.exp(snr))) - (snr + math.log1p(-math.exp(p)))
    assert weight_of(times, words, count, size) == pytest.approx(odds**2)
    assert weight_of(1, 6, size, size) == 0
    assert weight_of(1, 10_000, 40, 100) == 0, "common, but rare in the query"


def test_what_overlaps_is_not_counted_twice(tmp_path: Path) -> None:
    documents = ["the climate sensitivity of clouds", "climate sensitivity", "of clouds"]
    documents += [f"filler number {i}" for i in range(50)]
    with make(tmp_path / "docs.grain", documents) as col:
        query = "climate sensitivity of clouds"
        hits = {h.id: h for h in col.search(query, explain=True)}
        assert list(hits) == ["0", "1", "2"]
        told = hits["0"].explanation["sub"]["ngrams"]
        assert set(told) == {
            "climate sensitivity of", "sensitivity of clouds", "climate sensitivity",
            "sensitivity of", "of clouds",
        }  # fmt: skip
        assert told["climate sensitivity"]["count"] == 2
        total = sum(g["contribution"] for g in told.values())
        assert total == pytest.approx(hits["0"].score, rel=1e-6)
        size = index_of(col).n_characters
        first, second = weight_of(1, 4, 1, size), weight_of(1, 4, 2, size)
        assert told["climate sensitivity of"]["contribution"] == pytest.approx(first)
        # "clouds" alone is new in the second; nothing is in those that follow.
        parts = sorted(g["contribution"] for g in told.values())
        wanted = [0.2 * second, 0.2 * second, 0.2 * first, first * (1 - 0.8 * 2 / 3), first]
        assert parts == pytest.approx(sorted(wanted))


def test_queries_without_ngrams_find_nothing(tmp_path: Path) -> None:
    fields = {**FIELD, "lex": bigrain.LexicalField()}
    with make(tmp_path / "docs.grain", ["light grain", "heavy grain"], fields=fields) as col:
        for query in ("grain", "?!", "moon river", "grain light", "\0 grain\ud800"):
            assert col.search(query, fields="sub") == []
        assert {h.id for h in col.search("grain")} == {"0", "1"}
        assert col.search("heavy  GRAIN")[0].id == "1"
        with pytest.raises(bigrain.InvalidQueryError, match="words"):
            col.search("a b " * 6000, fields="sub")
        assert len(col.search("heavy grain " * 4000, fields="sub")) == 1


@pytest.mark.parametrize(
    "language", ["日本語の文章を検索する", "ภาษาไทยไม่มีช่องว่าง", "한국어 문장을 찾는다"]
)
def test_scripts_without_blanks(tmp_path: Path, language: str) -> None:
    with make(tmp_path / "docs.grain", [f"xx{language}yy", language[:5], "other text"]) as col:
        assert col.search(language)[0].id == "0"
        assert col.occurrences(language[1:4]).n_documents == 2


def test_common_ngrams_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rarest first, up to a number of occurrences together; with deletions too."""
    monkeypatch.setattr("bigrain.index.substring.WORK", 12)
    monkeypatch.setattr("bigrain.testing.model.WORK", 12)
    rows = [bigrain.Document("of the old " * (1 + i % 3), f"d{i}") for i in range(9)]
    rows.append(bigrain.Document("the old moon of the sea", "moon"))
    model = Model(FIELD)
    with make(tmp_path / "docs.grain", rows, commit_every=4) as col:
        model.add(rows)
        for gone in ([], ["d0"], ["d1", "d2", "d3"], ["d4", "d5"]):
            col.delete(gone)
            col.commit()
            model.delete(gone)
            model.commit()
            wanted = model.scores("sub", "the old moon of the sea")
            hits = col.search("the old moon of the sea", k=20)
            assert {h.id: h.score for h in hits} == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("lengths", [(1, 1), (1, 3), (2, 2), (2, 3)])
def test_one_character_of_several_words(tmp_path: Path, lengths: tuple[int, int]) -> None:
    field = bigrain.SubstringField(shortest=lengths[0], longest=lengths[1])
    rows = [bigrain.Document(text, text) for text in ("x ℀ y z", "℀", "℀ y", "other words here")]
    with make(tmp_path / "docs.grain", rows, fields={"sub": field}) as col:
        for query in ("℀", "℀ y", "a ℀ y z"):
            wanted = ngram_scores({str(d.id): ["", verbatim(d.text)] for d in rows}, field, query)
            found = {h.id: h.score for h in col.search(query)}
            assert found == pytest.approx(wanted, rel=1e-5)


@odd
@given(
    documents=st.lists(st.text("ab c", min_size=1, max_size=30), min_size=1, max_size=20),
    query=st.text("ab c", min_size=1, max_size=20),
    lengths=st.sampled_from([(1, 1), (1, 3), (2, 2), (2, 5)]),
)
def test_scores_are_those_of_looking_at_every_text(
    tmp_path_factory: pytest.TempPathFactory, documents: Any, query: str, lengths: tuple[int, int]
) -> None:
    field = bigrain.SubstringField(shortest=lengths[0], longest=lengths[1])
    rows = [bigrain.Document(f"x{text}", f"d{i}") for i, text in enumerate(documents)]
    with pytest.MonkeyPatch.context() as patch:
        cut_small(patch)
        path = tmp_path_factory.mktemp("sub") / "docs.grain"
        with make(path, rows, commit_every=7, fields={"sub": field}) as col:
            wanted = ngram_scores({str(d.id): ["", verbatim(d.text)] for d in rows}, field, query)
            hits = col.search(query, k=50) if query.strip() else []
            if query.strip():
                assert {h.id: h.score for h in hits} == pytest.approx(wanted, rel=1e-5)
            units = np.arange(len(rows) + 3)
            family = col._require_open().fields["sub"].family
            scores = index_of(col).score(family._query(query), units)
            assert np.isnan(scores[len(rows) :]).all() and not np.isnan(scores[: len(rows)]).any()


# -- on disk --------------------------------------------------------------------------------------


def some_texts(n: int) -> list[str]:
    rng = np.random.default_rng(0)
    words = [f"w{i}" for i in range(200)]
    return [" ".join(rng.choice(words, 30)) for _ in range(n)]


def test_a_block_that_changed_is_named_when_it_is_read(tmp_path: Path) -> None:
    documents = some_texts(400)
    make(tmp_path / "docs.grain", documents).close()
    (file,) = (tmp_path / "docs.grain" / "segments").glob("sub-*")
    whole = file.read_bytes()
    table = bigrain.storage.segment.SegmentFile(QuickDisk(), file).sections
    for section, message in (("blocks0", "blocks0"), ("rows0", "rows0"), ("lengths", "lengths")):
        data = bytearray(whole)
        at = table[section].offset + table[section].n_bytes // 3
        data[at] ^= 1
        file.write_bytes(data)
        with pytest.raises(bigrain.DamagedError, match=message):
            with bigrain.open(tmp_path / "docs.grain", files=QuickDisk()) as col:
                for text in documents:
                    col.occurrences(text[:9])
    data = bytearray(whole)  # a block in another's place
    record, at = 10248, table["blocks0"].offset
    data[at : at + record], data[at + record : at + 2 * record] = (
        whole[at + record : at + 2 * record], whole[at : at + record],
    )  # fmt: skip
    file.write_bytes(data)
    with bigrain.open(tmp_path / "docs.grain", files=QuickDisk()) as col:
        with pytest.raises(bigrain.DamagedError, match=r"blocks0\[[01]\]"):
            col.occurrences("w1")
    report = bigrain.repair(tmp_path / "docs.grain", files=QuickDisk())
    assert report.complete
    with bigrain.open(tmp_path / "docs.grain", files=QuickDisk()) as col:
        assert col.occurrences("w1").total == occurrences_in(documents, "w1")
        assert col.verify().ok


def test_memory_is_bounded_whatever_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_small(monkeypatch, 8 * 20_000)
    documents = some_texts(1000)
    with make(tmp_path / "docs.grain", documents) as col:
        index = index_of(col)
        index._cache = cache = BlockCache(60_000)
        shards = index.views[0].segment.shards
        assert len(shards) > 4 and index.views[0].segment.memory_bytes < 3000 * len(shards)
        for pattern in ("w1", " ", "w17 w", documents[500]):
            wanted = occurrences_in(documents, pattern)
            assert index.tally(pattern.encode(), 5, None).total == wanted
            assert cache.n_bytes <= 60_000
        cache.forget()
        assert cache.n_bytes == 0


SORTING = """
import sys
from pathlib import Path
import numpy as np
from bigrain.budget import peak_bytes
from bigrain.index.fm import SubstringSegment
from bigrain.index.fm_writing import SubstringBuilder
from bigrain.storage.segment import SegmentFile
from bigrain.testing import QuickDisk

folder, files = Path(sys.argv[1]), QuickDisk()
builder = SubstringBuilder(files, folder / "texts", int(sys.argv[2]))
rng = np.random.default_rng(0)
for start in range(0, 600, 100):
    texts = [bytes(rng.choice(np.frombuffer(b"etaoin shrdlu", "u1"), 10_000)) for _ in range(100)]
    builder.append(np.arange(start, start + 100), texts)
before = peak_bytes()
assert builder.seal(lambda units: np.ones(len(units), bool), folder / "a.seg", files) == 600
segment = SubstringSegment(SegmentFile(files, folder / "a.seg"))
print(peak_bytes() - before, len(segment.shards), segment.memory_bytes)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads memory from /proc")
def test_sorting_takes_the_memory_it_was_given(tmp_path: Path) -> None:
    """Six megabytes of text, which at once would take about forty, in four."""
    given = 4 << 20
    found = subprocess.run(
        [sys.executable, "-c", SORTING, str(tmp_path), str(given)],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    grown, n_shards, light = map(int, found.stdout.split())
    assert n_shards > 10 and light == 2456 * n_shards
    assert grown < given + (4 << 20)


def test_a_query_is_searched_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Candidates, scores and explanation share what was found out about a query."""
    with make(tmp_path / "docs.grain", some_texts(50)) as col:
        index, asked = index_of(col), []
        find = index._ngram_ranges
        monkeypatch.setattr(
            index, "_ngram_ranges", lambda view, query: (asked.append(query), find(view, query))[1]
        )
        col.search("w1 w2 w3 w4", explain=True)
        assert len(asked) == 1 and isinstance(asked[0], NgramQuery)


def test_work_is_bounded_by_occurrences() -> None:
    assert WORK * 16 <= 1 << 20, "postings of a query take at most a mebibyte"
