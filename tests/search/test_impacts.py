"""The impact index against the formula, to the bit: segments, deletions, filters, ties."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bigrain
from bigrain.families.lexical import LexicalFamily
from bigrain.index.base import Selection, View
from bigrain.index.bm25 import Bm25, Saturation
from bigrain.index.effort import Effort
from bigrain.index.lexical import LexicalIndex
from bigrain.index.postings import ListCache
from bigrain.storage.segment import SegmentFile
from bigrain.testing import QuickDisk, bm25_scores

VARIANTS = ("lucene", "robertson", "atire", "bm25l", "bm25+")
WORDS = [f"w{i}" for i in range(40)]


def some_documents(rng: np.random.Generator, n: int, longest: int) -> list[list[str]]:
    """Words as in texts, some everywhere and most rare; many documents alike, so many ties."""
    chances = 1 / np.arange(1, len(WORDS) + 1)
    made = [
        rng.choice(WORDS, int(rng.integers(0, longest)), p=chances / chances.sum()).tolist()
        for _ in range(n)
    ]
    return [made[int(i)] for i in rng.integers(0, max(1, n // 2), n)]


def an_index(
    folder: Path,
    family: LexicalFamily,
    segments: list[tuple[np.ndarray, list[list[str]]]],
    dead: set[int],
) -> LexicalIndex:
    """Units and documents of every segment, some of them dead."""
    views = []
    for i, (units, documents) in enumerate(segments):
        builder = family.builder(QuickDisk(), folder, 1 << 24, [])
        builder.append(units, documents)
        path = folder / f"{i}-{len(dead)}.seg"
        builder.seal(lambda units: np.ones(len(units), bool), path, QuickDisk())
        segment = family.open_segment(SegmentFile(QuickDisk(), path))
        alive = np.array([unit not in dead for unit in units.tolist()])
        live = None if alive.all() else np.packbits(alive, bitorder="little")
        views.append(View(segment, live, int(alive.sum())))
    return family.index(views, ListCache(1 << 20))


def best_by_formula(
    index: LexicalIndex,
    contents: dict[int, list[str]],
    query: dict[str, float],
    k: int,
    chosen: Any,
) -> list[tuple[int, np.float32]]:
    """All rows scored as `search_lists` says, in float64 and in the query's order."""
    bm25, n = index.bm25, len(contents)
    units = np.array(sorted(contents))
    lengths = np.array([len(contents[u]) for u in units.tolist()])
    saturation = bm25.saturation(lengths.sum() / n)
    totals = np.zeros(n)
    for word, weight in query.items():
        tf = np.array([contents[u].count(word) for u in units.tolist()])
        held = tf > 0
        if held.any():
            worth = bm25.idf(n, int(held.sum())) * bm25.gain * weight
            totals[held] += worth * saturation.parts(tf[held], lengths[held])
    scores = totals.astype(np.float32)
    order = [i for i in np.lexsort((units, -scores)).tolist() if scores[i] > 0]
    order = [i for i in order if chosen is None or int(units[i]) in chosen]
    return [(int(units[i]), scores[i]) for i in order[:k]]


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_thousand_queries_find_what_the_formula_finds_to_the_last_tie(
    tmp_path: Path, variant: str
) -> None:
    rng = np.random.default_rng(VARIANTS.index(variant))
    b = float(rng.choice([0, 0.4, 0.75, 1]))
    family = LexicalFamily("lex", bigrain.LexicalField(variant=variant, k1=0.9, b=b))
    for turn in range(4):
        units = rng.permutation(300) if turn % 2 else np.arange(300)
        parts = np.split(units, [150, 160])
        texts = (
            some_documents(rng, 150, 5),
            some_documents(rng, 10, 60),
            some_documents(rng, 140, 20),
        )
        segments = [(np.sort(u), t) for u, t in zip(parts, texts, strict=True)]
        dead = set(rng.choice(300, 90, replace=False).tolist()) if turn else set()
        index = an_index(tmp_path, family, segments, dead)
        contents = {
            int(u): words
            for some, documents in segments
            for u, words in zip(some, documents, strict=True)
            if int(u) not in dead
        }
        for _ in range(50):
            said = rng.choice([*WORDS, "nowhere"], int(rng.integers(1, 9)), replace=False)
            weights = rng.choice([0, 1, 2, 0.3, 1e-20, 1e6], len(said))
            query = dict(zip(said.tolist(), weights.tolist(), strict=True))
            k = int(rng.choice([1, 3, 10, 500]))
            chosen = None if rng.random() < 0.5 else set(rng.choice(300, 120).tolist())
            selection = None
            if chosen is not None:
                selection = Selection(
                    np.packbits([unit in chosen for unit in range(300)], bitorder="little")
                )
            (found,) = index.candidates([query], Effort(k), selection)
            expected = best_by_formula(index, contents, query, k, chosen)
            assert list(zip(found.units.tolist(), found.scores, strict=True)) == expected
            assert (index.score(query, found.units) == found.scores).all()
            parts_of = index.contributions(query, found.units)
            np.testing.assert_allclose(parts_of.sum(axis=0), found.scores, rtol=1e-5)


def test_added_and_deleted_equals_built_afresh(tmp_path: Path) -> None:
    """Though impacts were made with other mean lengths, in both directions."""
    rng = np.random.default_rng(3)
    family = LexicalFamily("lex", bigrain.LexicalField())
    for short, long in ((5, 80), (80, 5)):
        documents = some_documents(rng, 200, short) + some_documents(rng, 200, long)
        units = np.arange(400)
        dead = set(rng.choice(400, 150, replace=False).tolist())
        grown = an_index(
            tmp_path, family, [(units[:200], documents[:200]), (units[200:], documents[200:])], dead
        )
        kept = [u for u in range(400) if u not in dead]
        fresh = an_index(tmp_path, family, [(np.array(kept), [documents[u] for u in kept])], set())
        for _ in range(60):
            query = dict.fromkeys(rng.choice(WORDS, 5, replace=False).tolist(), 1.0)
            one, other = (i.candidates([query], Effort(20), None)[0] for i in (grown, fresh))
            assert one.units.tolist() == other.units.tolist()
            assert (one.scores == other.scores).all()


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_follow_their_own_formula(variant: str) -> None:
    """One formula with other constants, against five as they are written."""
    rng = np.random.default_rng(8)
    documents = some_documents(rng, 50, 30)
    for k1, b, delta in ((1.2, 0.75, 0.5), (0.4, 0, 2), (2, 1, 0)):
        bm25 = Bm25(variant, k1, b, delta)
        expected = bm25_scores(documents, WORDS[:4], k1=k1, b=b, variant=variant, delta=delta)
        lengths = np.array([len(words) for words in documents])
        saturation, found = bm25.saturation(float(lengths.mean())), np.zeros(50)
        for word in WORDS[:4]:
            tf = np.array([words.count(word) for words in documents])
            held = tf > 0
            worth = bm25.idf(50, int(held.sum())) * bm25.gain
            found[held] += worth * saturation.parts(tf[held], lengths[held])
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_excess_bounds_what_parts_can_grow_to() -> None:
    rng = np.random.default_rng(2)
    for _ in range(300):
        then, now = (Saturation(*(rng.choice([0, 0.1, 1, 5], 2) * rng.random(2))) for _ in range(2))
        longest = int(rng.choice([1, 20, 5000]))
        lengths = rng.integers(1, longest + 1, 200)
        counts = rng.integers(1, 9, 200)
        grown = now.parts(counts, lengths) / then.parts(counts, lengths)
        assert grown.max() <= now.excess(then, longest) * (1 + 1e-12)


def test_a_query_of_ten_thousand_words(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    documents = [[f"x{i}" for i in rng.integers(0, 9000, 30)] for _ in range(60)]
    col = bigrain.create(tmp_path / "many.grain", {"lex": bigrain.LexicalField(language=None)})
    with col:
        col.add([{"id": str(i), "text": " ".join(words)} for i, words in enumerate(documents)])
        col.commit()
        said = [f"x{i}" for i in range(10_000)]
        expected = bm25_scores(documents, said, k1=1.2, b=0.75)
        hits = col.search(" ".join(said), k=10)
        assert [h.score for h in hits] == pytest.approx(np.sort(expected)[::-1][:10], rel=1e-5)
