"""BM25 against the formula, however the index came about."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bigrain
from bigrain.index import builder, merging
from bigrain.testing import QuickDisk, bm25_scores, check_ranking, strategies
from bigrain.text.analyse import Analyser
from tests.collection import making


@pytest.mark.parametrize("field", [
    bigrain.LexicalField(), bigrain.LexicalField(language=None, k1=0.9, b=0.4),
    bigrain.LexicalField(k1=0), bigrain.LexicalField(b=0), bigrain.LexicalField(b=1),
])  # fmt: skip
def test_scores_follow_the_formula_under_every_change(tmp_path: Path, field: Any) -> None:
    col, model = making.make(tmp_path / "docs.grain", {"lex": field})
    rng = np.random.default_rng(1)
    ids = [f"d{i}" for i in range(60)]

    def agrees() -> None:
        for _ in range(5):
            query = making.text(rng) + " grain grain"
            expected = model.scores("lex", query)
            hits = col.search(query, k=100)
            check_ranking(hits, expected, 100)
            for hit in hits:
                assert abs(hit.score - expected[hit.id]) < 1e-5

    for change in ("add", "replace", "delete", "compact", "reopen", "delete", "compact"):
        if change == "add":
            for start in (0, 25, 40):
                making.fill(col, model, ids[start : start + 25], seed=start)
                making.commit(col, model)
        elif change == "replace":
            making.fill(col, model, ids[3:30:4], seed=77)
        elif change == "delete":
            gone = list(model.pending)[::5]
            col.delete(gone)
            model.delete(gone)
        elif change == "compact":
            col.compact()
        else:
            col.close()
            col = bigrain.open(tmp_path / "docs.grain")
        making.commit(col, model)
        agrees()
    col.close()


@given(st.lists(strategies.texts(), min_size=1, max_size=20), strategies.texts(5), st.data())
@settings(deadline=None, max_examples=25, suppress_health_check=list(HealthCheck))
@pytest.mark.filterwarnings("ignore")
def test_added_bit_by_bit_equals_built_at_once(
    tmp_path: Path, texts: list[str], query: str, data: Any
) -> None:
    import tempfile

    fields = {"lex": bigrain.LexicalField()}
    with tempfile.TemporaryDirectory() as folder:
        bits = bigrain.create(Path(folder) / "bits.grain", fields, files=QuickDisk())
        once = bigrain.create(Path(folder) / "once.grain", fields, files=QuickDisk())
        documents = [{"id": str(i), "text": t} for i, t in enumerate(texts)]
        for document in documents:
            bits.add([document, {"id": "gone", "text": "grain " * 9}])
            if data.draw(st.booleans()):
                bits.commit()
        bits.delete("gone")
        bits.commit()
        once.add(documents)
        once.commit()
        found, wanted = (c.search(query, k=50) for c in (bits, once))
        assert [(h.id, h.score) for h in found] == [
            (h.id, pytest.approx(h.score, abs=1e-5)) for h in wanted
        ]
        bits.close()
        once.close()


def test_lists_that_spill_while_building_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Build and merge in small stretches, as with little memory."""
    rng = np.random.default_rng(4)
    documents = [making.document(rng, f"d{i % 150}") for i in range(200)]
    found = []
    for small in (False, True):
        if small:
            monkeypatch.setattr(builder, "stretch_for", lambda memory_bytes: 7)
            monkeypatch.setattr(builder, "FAN_IN", 3)
            monkeypatch.setattr(builder, "ROWS_AT_ONCE", 5)
            monkeypatch.setattr(merging, "MAX_BLOCK_KEYS", 4)
            spill = builder.PostingsBuilder.append

            def often(self: Any, units: Any, values: Any, spill: Any = spill) -> None:
                self._memory_bytes = 500
                spill(self, units, values)

            monkeypatch.setattr(builder.PostingsBuilder, "append", often)
        path = tmp_path / f"{small}.grain"
        fields = {"lex": bigrain.LexicalField(), "imp": bigrain.SparseField()}
        with bigrain.create(path, fields, files=QuickDisk()) as col:
            for start in range(0, 200, 20):
                col.add(documents[start : start + 20])
                ids = [d.id for d in documents[start : start + 20]]
                rows = making.rows_for("imp", np.random.default_rng(start), 20)
                col.add_vectors("imp", ids, making.as_csr(rows))
            assert bool(os.listdir(path / "staging")) == small
            col.commit()
            col.compact()
            queries = [making.text(np.random.default_rng(i)) for i in range(20)]
            found.append([[(h.id, h.score) for h in col.search(q, k=200)] for q in queries])
            found[-1].append([(h.id, h.score) for h in col.search({1: 1.0, 5: 0.5}, k=200)])
            assert col.verify().ok
    assert found[0] == found[1]


def test_the_reference_formula_on_numbers_worked_by_hand() -> None:
    words = Analyser(language=None).analyse_many(["a b b", "b c", "c d e"])
    idf_b = np.log(1 + (3 - 2 + 0.5) / 2.5)
    average = (3 + 2 + 3) / 3
    expected = [
        idf_b * 2 / (2 + 1.2 * (0.25 + 0.75 * 3 / average)),
        idf_b * 1 / (1 + 1.2 * (0.25 + 0.75 * 2 / average)),
        0.0,
    ]
    assert bm25_scores(words, ["b"], k1=1.2, b=0.75) == pytest.approx(expected)


@pytest.mark.parametrize("weight", [0, 1, 3, 20])
def test_title_weight_counts_titles_so_many_times(tmp_path: Path, weight: int) -> None:
    field = bigrain.LexicalField(title_weight=weight)
    assert bigrain.config.field_from_dict(field.to_dict()) == field
    documents = [("Moon", "water on the moon"), ("Water and water", "a river"), ("", "moon")]
    with bigrain.create(tmp_path / "docs.grain", {"lex": field}) as col:
        col.add({"id": str(i), "title": t, "text": x} for i, (t, x) in enumerate(documents))
        col.commit()
        words = Analyser().analyse_many(f"{t} " * weight + x for t, x in documents)
        for query in ("moon", "water river", "and water"):
            expected = bm25_scores(words, Analyser().analyse(query), k1=1.2, b=0.75)
            found = {hit.id: hit.score for hit in col.search(query)}
            assert found == {
                str(i): pytest.approx(score, rel=1e-3) for i, score in enumerate(expected) if score
            }


@pytest.mark.parametrize("weight", [-1, 21, 1.5, True, "2"])
def test_a_wrong_title_weight_is_refused(weight: Any) -> None:
    with pytest.raises(bigrain.ConfigError, match="0 to 20"):
        bigrain.LexicalField(title_weight=weight)


def test_fields_that_do_not_say_keep_the_first_analysis() -> None:
    stored = {"family": "lexical", "language": "en"}
    assert bigrain.config.field_from_dict(stored) == bigrain.LexicalField(analysis=1)
    with pytest.raises(bigrain.ConfigError):
        bigrain.LexicalField(analysis=3)
