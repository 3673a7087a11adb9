"""Sparse fields: what is found is what scoring everything finds, whatever happens to documents."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

import bigrain
from bigrain.collection import QUERY_BATCH
from bigrain.errors import (
    DamagedError,
    InvalidInputError,
    InvalidQueryError,
    InvalidVectorsError,
)
from bigrain.index import sparse_segment, sparse_writing
from bigrain.types import SparseMatrix

WIDTH = 400


def some_vectors(rng: np.random.Generator, n: int, filled: int = 30) -> Any:
    """Rows with weights that often tie, in columns some of which are everywhere."""
    chances = rng.random(WIDTH) ** 4
    rows = []
    for _ in range(n):
        columns = rng.choice(WIDTH, filled, replace=False, p=chances / chances.sum())
        weights = np.round(rng.exponential(0.5, filled) + 0.1, 1)
        rows.append(scipy.sparse.csr_matrix((weights, (np.zeros(filled), columns)), (1, WIDTH)))
    return scipy.sparse.vstack(rows, format="csr", dtype=np.float32)


def best(vectors: Any, query: Any, alive: np.ndarray, k: int) -> list[tuple[str, np.float32]]:
    """Scores of everything in float64, the best first, ties in the order of documents."""
    scores = (vectors.astype(np.float64) @ query.astype(np.float64).T).toarray()[:, 0]
    rounded = np.where(alive, scores, 0).astype(np.float32)
    order = np.lexsort((np.arange(len(rounded)), -rounded))[:k]
    return [(str(i), rounded[i]) for i in order.tolist() if rounded[i] > 0]


def found(col: Any, query: Any, k: int, **options: Any) -> list[tuple[str, np.float32]]:
    hits = col.search(query, k=k, fields="s", **options)
    return [(hit.id, np.float32(hit.score)) for hit in hits]


def made(path: Path, vectors: Any, step: int, **field: Any) -> Any:
    """A collection in which every `step` rows are a segment of their own."""
    col = bigrain.create(path, fields={"s": bigrain.SparseField(**field)})
    n = vectors.shape[0]
    for start in range(0, n, step):
        ids = [str(i) for i in range(start, min(start + step, n))]
        col.add({"id": i, "text": "x", "metadata": {"odd": int(i) % 2}} for i in ids)
        col.add_vectors("s", ids, vectors[start : start + step])
        col.commit()
    return col


@given(seed=st.integers(0, 2**32 - 1), step=st.sampled_from([90, 400]), k=st.sampled_from([1, 10]))
@settings(deadline=None, max_examples=3)
def test_what_is_found_is_exact_to_the_last_tie(
    seed: int, step: int, k: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rng = np.random.default_rng(seed)
    vectors, queries = some_vectors(rng, 400), some_vectors(rng, 6, 8)
    with made(tmp_path_factory.mktemp("s") / "a.grain", vectors, step) as col:
        alive = np.ones(400, bool)
        for query in queries:
            assert found(col, query, k) == best(vectors, query, alive, k)
            assert found(col, query, k, recall=1) == best(vectors, query, alive, k)
        gone = rng.choice(400, 120, replace=False)
        col.delete([str(i) for i in gone])
        col.commit()
        alive[gone] = False
        odd = alive & (np.arange(400) % 2 == 1)
        for query in queries:
            assert found(col, query, k) == best(vectors, query, alive, k)
            assert found(col, query, k, filter={"odd": 1}) == best(vectors, query, odd, k)
        col.compact()
        assert col.verify().ok
        for query in queries:
            assert found(col, query, k) == best(vectors, query, alive, k)


def test_a_batch_finds_what_single_queries_find(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    vectors, queries = some_vectors(rng, 300), some_vectors(rng, 20, 8)
    with made(tmp_path / "a.grain", vectors, 150) as col:
        ids, scores = col.search_many(list(queries), k=5, fields="s", arrays=True)
        for i, query in enumerate(queries):
            alone = found(col, query, 5)
            assert [(d, s) for d, s in zip(ids[i], scores[i], strict=True) if d] == alone
            mapping = dict(zip(query.indices.tolist(), query.data.tolist(), strict=True))
            assert found(col, mapping, 5) == alone


def test_many_parts_in_a_segment_and_few_columns_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bigrain.index import sparse, sparse_listed

    for module in (sparse, sparse_segment, sparse_writing, sparse_listed):
        monkeypatch.setattr(module, "PART_ROWS", 64)
    monkeypatch.setattr(sparse_writing, "DIRECT", 0)
    monkeypatch.setattr(sparse_writing, "CHUNK_BYTES", 1000)
    rng = np.random.default_rng(6)
    vectors, queries = some_vectors(rng, 300), some_vectors(rng, 10, 8)
    with made(tmp_path / "a.grain", vectors, 300) as col:
        assert col._view.fields["s"].index.views[0].segment.n_parts == 5
        col.delete(["7"])
        col.commit()
        col.compact()
        alive = np.arange(300) != 7
        for query in queries:
            assert found(col, query, 10) == best(vectors, query, alive, 10)


def test_one_weight_for_all_is_the_worst_of_ties(tmp_path: Path) -> None:
    vectors = scipy.sparse.csr_matrix(np.ones((3000, 2), np.float32))
    with made(tmp_path / "a.grain", vectors, 3000) as col:
        assert [i for i, _ in found(col, {0: 1.0}, 10)] == [str(i) for i in range(10)]


def test_a_part_of_the_recall_is_asked_for(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    centres = rng.random((40, WIDTH)) * (rng.random((40, WIDTH)) < 0.05)

    def drawn(n: int) -> Any:
        near = centres[rng.integers(0, 40, n)] * rng.random((n, WIDTH))
        noise = rng.random((n, WIDTH)) * (rng.random((n, WIDTH)) < 0.03) * 0.4
        return scipy.sparse.csr_matrix((near + noise).astype(np.float32))

    vectors, queries = drawn(2000), drawn(40)
    with made(tmp_path / "a.grain", vectors, 2000) as col:
        index = col._view.fields["s"].index
        assert index.effort(None, 10).margin == np.inf
        for recall in (0.7, 0.9):
            assert index.effort(recall, 10).margin < 1
            shares = []
            for query in queries:
                true = {i for i, _ in best(vectors, query, np.ones(2000, bool), 10)}
                shares.append(len(true & {i for i, _ in found(col, query, 10, recall=recall)}) / 10)
            assert np.mean(shares) >= recall


def test_a_part_of_the_recall_of_several_segments_and_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bigrain.index import sparse, sparse_listed, sparse_ordered

    for module in (sparse, sparse_segment, sparse_writing, sparse_listed, sparse_ordered):
        monkeypatch.setattr(module, "PART_ROWS", 512)
    rng = np.random.default_rng(10)
    vectors, queries = some_vectors(rng, 1800, 20), some_vectors(rng, 20, 8)
    with made(tmp_path / "a.grain", vectors, 1200) as col:
        gone = rng.choice(1800, 300, replace=False)
        col.delete([str(i) for i in gone])
        col.commit()
        alive = ~np.isin(np.arange(1800), gone)
        index = col._view.fields["s"].index
        effort = index.effort(0.9, 10)
        assert effort.margin < np.inf
        shares = []
        batch = col.search_many(list(queries), k=10, fields="s", recall=0.9)
        for query, together in zip(queries, batch, strict=True):
            true = best(vectors, query, alive, 10)
            hits = found(col, query, 10, recall=0.9)
            assert [hit.id for hit in together] == [i for i, _ in hits]
            scores = dict(best(vectors, query, alive, 1800))
            assert all(scores[i] == score for i, score in hits)
            shares.append(len(dict(true).keys() & dict(hits).keys()) / len(true))
        assert np.mean(shares) >= 0.9
        # Where a filter leaves little, and of queries with very many columns, nothing is missed.
        few = alive & (np.arange(1800) % 2 == 1)
        lone = {int(c): 1.0 for c in vectors[int(np.flatnonzero(few)[0])].indices[:1]}
        row = scipy.sparse.csr_matrix(([1.0], ([0], list(lone))), (1, WIDTH))
        monkeypatch.setattr(sparse, "MOST_COLUMNS", 3)
        for query in queries[:3]:
            assert found(col, query, 10, recall=0.9) == best(vectors, query, alive, 10)
        monkeypatch.setattr(sparse, "MOST_COLUMNS", 1000)
        true = best(vectors, row, few, 1500)
        assert len(true) < 1500
        assert found(col, lone, 1500, recall=0.9, filter={"odd": 1}) == true


def test_contributions_add_up_to_the_score(tmp_path: Path) -> None:
    vectors = some_vectors(np.random.default_rng(9), 50)
    with made(tmp_path / "a.grain", vectors, 20) as col:
        for hit in col.search(vectors[3], k=5, fields="s", explain=True):
            parts = hit.explanation["s"]["columns"]
            assert sum(parts.values()) == pytest.approx(hit.score, rel=1e-6)
            assert set(parts) <= set(vectors[3].indices.tolist())


def test_rows_without_weights_are_never_found(tmp_path: Path) -> None:
    vectors = scipy.sparse.csr_matrix(np.array([[0, 0], [0, 2], [1, 0]], np.float32))
    with made(tmp_path / "a.grain", vectors, 3) as col:
        assert found(col, {0: 1.0, 1: 1.0}, 5) == [("1", 2), ("2", 1)]
        assert found(col, {7: 3.0}, 5) == []


def test_large_column_numbers_and_weights_of_all_sizes(tmp_path: Path) -> None:
    weights = np.array([1e15, 1e-30, 3.0, 2.0], np.float32)
    columns = [0, 2**32 - 1, 70_000, 2**32 - 1]
    ends = [0, 2, 4]
    vectors = scipy.sparse.csr_matrix((weights, columns, ends), shape=(2, 2**32))
    with made(tmp_path / "a.grain", vectors, 2) as col:
        ranked = found(col, {2**32 - 1: 1e-5}, 5)
        assert [i for i, _ in ranked] == ["1", "0"]
        np.testing.assert_allclose([s for _, s in ranked], [2e-5, 1e-35], rtol=1e-6)
        assert found(col, {0: 1e15}, 5)[0][0] == "0"


@pytest.mark.parametrize(
    ("data", "columns", "ends", "told"),
    [
        ([1, -1], [0, 1], [0, 1, 2], r"row 1: column 1 has weight -1"),
        ([1, np.nan], [0, 1], [0, 1, 2], r"row 1: column 1 has weight nan"),
        ([1, np.inf], [0, 1], [0, 1, 2], r"row 1: column 1 has weight inf"),
        ([1, 1], [0, 9], [0, 1, 2], r"row 1: column 9 .* columns run from 0 to 4"),
        ([1, 1], [3, 3], [0, 2, 2], r"row 0: column 3 .* given twice"),
        ([1, 1], [0, 1], [0, 2, 1], r"indptr does not fit"),
        ([1, 1, 1], [0, 1], [0, 1, 2], r"one for each column"),
        ([1e16, 1], [0, 1], [0, 1, 2], r"row 0: column 0 .* at most"),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, data: Any, columns: Any, ends: Any, told: str) -> None:
    class Matrix:
        format = "csr"
        shape = (2, 5)

    bad = Matrix()
    bad.data, bad.indices, bad.indptr = np.array(data), np.array(columns), np.array(ends)  # type: ignore[attr-defined]
    with bigrain.create(
        tmp_path / "a.grain", fields={"s": bigrain.SparseField(vocabulary_size=5)}
    ) as col:
        col.add([{"id": "a", "text": "x"}, {"id": "b", "text": "y"}])
        with pytest.raises(InvalidVectorsError, match=told):
            col.add_vectors("s", ["a", "b"], bad)
        col.commit()
        assert col.search({1: 1.0}, fields="s") == []


def test_unsorted_columns_are_taken(tmp_path: Path) -> None:
    matrix = scipy.sparse.csr_matrix(
        (np.array([1, 2, 3], np.float32), [4, 0, 2], [0, 3]), shape=(1, 5)
    )
    with made(tmp_path / "a.grain", matrix, 1) as col:
        assert found(col, {4: 1.0, 0: 10.0}, 1) == [("0", 21)]


def test_queries_of_ten_thousand_columns(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    vectors = scipy.sparse.random(200, 20_000, 0.01, format="csr", random_state=1, dtype=np.float32)
    columns = rng.choice(20_000, 10_000, replace=False)
    query = scipy.sparse.csr_matrix(
        (rng.random(10_000).astype(np.float32), (np.zeros(10_000), columns)), (1, 20_000)
    )
    with made(tmp_path / "a.grain", vectors, 200) as col:
        assert found(col, query, 10) == best(vectors, query, np.ones(200, bool), 10)
        too_many = dict.fromkeys(range(100_001), 1.0)
        with pytest.raises(InvalidQueryError, match="query 0: 100,001 columns"):
            col.search(too_many, fields="s")


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ({1: -1.0}, "query 0: column 1 has weight -1.0"),
        ({1: float("nan")}, "query 0: column 1 has weight nan"),
        ({"one": 1.0}, "no field 'one'"),
        ({"5": 1.0}, "no field '5' .* maps column numbers, not text"),
        ({"s": 1.0, 5: 1.0}, "names of fields or columns, not both: 's' and 5"),
        ({5: 1.0, "s": 1.0}, "query 0: 's' is no column"),
        ({5.0: 1.0}, "query 0: 5.0 is no column"),
        ({5: "1"}, "query 0: column 5 has weight '1'; weights are numbers"),
        ({5: True}, "query 0: column 5 has weight True"),
        ({5: None}, "query 0: column 5 has weight None"),
        ({10**30: 1.0}, "query 0: a column number or a weight is too large"),
        ({5: float("inf")}, "query 0: column 5 has weight inf"),
        ({}, "query 0: the query is empty"),
        ({5: 0.0}, "query 0: the query is empty"),
        (scipy.sparse.csr_matrix((1, 3)), "query 0: the query is empty"),
        ({-1: 1.0}, "query 0: column -1"),
        (scipy.sparse.csr_matrix(np.ones((2, 3))), "one row, got 2"),
    ],
)
def test_bad_queries_are_told(tmp_path: Path, query: Any, told: str) -> None:
    with (
        made(tmp_path / "a.grain", some_vectors(np.random.default_rng(1), 5), 5) as col,
        pytest.raises(InvalidInputError, match=told),
    ):
        col.search(query, fields="s")


def matrix_like(matrix: Any) -> SparseMatrix:
    return SparseMatrix(matrix.data, matrix.indices, matrix.indptr, matrix.shape)


@pytest.mark.parametrize(
    "as_queries",
    [matrix_like, scipy.sparse.csr_matrix, scipy.sparse.csr_array, scipy.sparse.coo_array, list],
)
def test_rows_of_a_matrix_are_queries(tmp_path: Path, as_queries: Any) -> None:
    rng = np.random.default_rng(4)
    vectors, queries = some_vectors(rng, 100), some_vectors(rng, 5, 8)
    with made(tmp_path / "a.grain", vectors, 100) as col:
        wanted = [found(col, query, 3) for query in queries]
        ids, scores = col.search_many(as_queries(queries), k=3, arrays=True)
        assert [list(zip(*row, strict=True)) for row in zip(ids, scores, strict=True)] == wanted
        hits = col.search_many({"s": as_queries(queries)}, k=3)
        assert [[(h.id, np.float32(h.score)) for h in some] for some in hits] == wanted
        assert found(col, matrix_like(queries[2]), 3) == wanted[2]
        with pytest.raises(InvalidQueryError, match="one row, got 5; search_many"):
            col.search(matrix_like(queries), fields="s")
        with pytest.raises(
            InvalidQueryError, match=f"query 1: .* empty.*counted from query {QUERY_BATCH}"
        ):
            col.search_many([{1: 1.0}] * (QUERY_BATCH + 1) + [{}])


@pytest.mark.parametrize("ends", [[0, 3], [1, 2], [0, 2, 1, 2], [], [0.0, 2.0], 2, [0, -1, 2]])
def test_a_matrix_of_queries_that_does_not_fit_is_refused(tmp_path: Path, ends: Any) -> None:
    bad = SparseMatrix(np.ones(2), np.arange(2), np.array(ends), (1, 5))
    with (
        made(tmp_path / "a.grain", some_vectors(np.random.default_rng(1), 5), 5) as col,
        pytest.raises(InvalidQueryError, match="indptr"),
    ):
        col.search_many(bad)


def test_widths_may_differ_where_the_columns_fit(tmp_path: Path) -> None:
    with bigrain.create(
        tmp_path / "a.grain", fields={"s": bigrain.SparseField(vocabulary_size=10)}
    ) as col:
        col.add_vectors("s", ["narrow"], scipy.sparse.csr_matrix(([2.0], [3], [0, 1]), (1, 4)))
        col.add_vectors("s", ["wide"], scipy.sparse.csr_matrix(([1.0], [9], [0, 1]), (1, 99)))
        with pytest.raises(InvalidVectorsError, match="column 10 .* 0 to 9, the vocabulary has 10"):
            col.add_vectors("s", ["no"], scipy.sparse.csr_matrix(([1.0], [10], [0, 1]), (1, 99)))
        with pytest.raises(InvalidVectorsError, match="column 5 .* run from 0 to 3"):
            forged = SparseMatrix(np.ones(1), np.array([5]), np.array([0, 1]), (1, 4))
            col.add_vectors("s", ["no"], forged)
        col.commit()
        narrow = scipy.sparse.csr_matrix(([1.0], [3], [0, 1]), (1, 4))
        assert [hit.id for hit in col.search(narrow)] == ["narrow"]
        wide = scipy.sparse.csr_matrix(([1.0, 1.0], [3, 9], [0, 2]), (1, 50))
        assert [hit.id for hit in col.search(wide)] == ["narrow", "wide"]
        with pytest.raises(InvalidQueryError, match="query 0: column 40"):
            col.search(scipy.sparse.csr_matrix(([1.0], [40], [0, 1]), (1, 50)))
        assert col.sparse_vectors("s")[1].shape == (2, 10)


@pytest.mark.parametrize("section", ["weights", "lists"])
def test_a_flipped_bit_is_noticed_and_repaired(tmp_path: Path, section: str) -> None:
    rng = np.random.default_rng(2)
    vectors = some_vectors(rng, 60)
    made(tmp_path / "a.grain", vectors, 60).close()
    (path,) = (tmp_path / "a.grain" / "segments").glob("s-*")
    with bigrain.open(tmp_path / "a.grain", read_only=True) as col:
        place = col._view.fields["s"].index.views[0].segment.file.section(section)
    raw = bytearray(path.read_bytes())
    raw[place.offset + place.n_bytes // 2] ^= 4
    path.write_bytes(raw)
    with bigrain.open(tmp_path / "a.grain") as col:
        assert not col.verify().ok
        with pytest.raises(DamagedError, match=section):
            for row in range(60):
                col.search(vectors[row], k=60, fields="s")
    bigrain.repair(tmp_path / "a.grain")
    with bigrain.open(tmp_path / "a.grain") as col:
        assert col.verify().ok
        lost = 1 if section == "weights" else 0
        assert col.stats()["fields"]["s"]["rows"] == 60 - lost


def test_the_audit_tells_whether_a_part_of_the_recall_was_reached(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    vectors, queries = some_vectors(rng, 1500), some_vectors(rng, 60, 12)
    alive = np.ones(1500, bool)
    with made(tmp_path / "a.grain", vectors, 1500) as col:
        report = col.audit(queries=queries, recall=0.5, k=5)
        (told,) = report.fields
        assert (told.field, told.asked, told.queries, report.audited) == ("s", 0.5, 60, 60)
        assert not told.looks_further and report.rows_read == 1500
        col.search(queries[0], fields="s")  # exact: nothing to look at again
        assert col.audit().audited == 0
        for query in queries[:20]:
            col.search(query, k=5, fields="s", recall=0.5, filter={"odd": 1})
        again = col.audit()
        assert 0 < again.audited <= 20 and again.fields[0].queries == 60 + again.audited
        shares = []
        for query in queries:
            true = best(vectors, query, alive, 5)
            got = found(col, query, 5, recall=0.5)
            good = sum((i, s) in true or s >= true[-1][1] for i, s in got)
            shares.append(good / len(true))
        assert told.reached == pytest.approx(np.mean(shares)) and 0.5 < told.reached < 1
