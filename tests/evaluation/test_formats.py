"""Files read back equal, runs keep their order anywhere, and broken files say where."""

import gzip

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigrain.errors import InvalidInputError
from bigrain.evaluation import (
    load_judgments,
    load_queries,
    load_run,
    save_judgments,
    save_queries,
    save_run,
)
from bigrain.evaluation.ranking import ranked

readable = st.characters(exclude_categories=["Cs"])
trec_ids = st.text(readable, min_size=1, max_size=8).filter(
    lambda s: s.strip() and s[0] != "\ufeff" and not set(s) & set(" \t\v\f\r\n")
)
beir_ids = st.text(readable, min_size=1, max_size=8).filter(
    lambda s: s.strip() and s[0] != "\ufeff" and not set(s) & set("\t\r\n")
)
grades = st.integers(-2, 4)
singles = st.floats(allow_nan=False, allow_infinity=False, width=32, max_value=2.0**100)


def table(ids, values, min_size=1):
    inner = st.dictionaries(ids, values, min_size=1, max_size=6)
    return st.dictionaries(ids, inner, min_size=min_size, max_size=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("formats")


@given(judgments=table(trec_ids, grades))
def test_trec_judgments_read_back_equal(folder, judgments):
    save_judgments(folder / "qrels.txt", judgments)
    assert load_judgments(folder / "qrels.txt") == judgments


@given(judgments=table(beir_ids, grades))
def test_beir_judgments_read_back_equal(folder, judgments):
    for name in ("test.tsv", "test.tsv.gz"):
        save_judgments(folder / name, judgments)
        assert load_judgments(folder / name) == judgments


@given(queries=st.dictionaries(st.text(readable, min_size=1), st.text(readable), min_size=1))
def test_jsonl_queries_read_back_equal(folder, queries):
    for name in ("queries.jsonl", "queries.jsonl.gz"):
        save_queries(folder / name, queries)
        assert load_queries(folder / name) == queries


@given(
    queries=st.dictionaries(
        beir_ids.filter(lambda s: not s.lstrip().startswith("{")),
        st.text(readable).filter(lambda s: not set(s) & set("\r\n")),
        min_size=1,
    )
)
def test_tsv_queries_read_back_equal(folder, queries):
    save_queries(folder / "queries.tsv", queries)
    assert load_queries(folder / "queries.tsv") == queries


@given(run=table(trec_ids, st.floats(-1e30, 1e30), min_size=0))
def test_runs_read_back_equal(folder, run):
    save_run(folder / "exact.run", run, distinct=False)
    assert load_run(folder / "exact.run") == run


@given(run=table(trec_ids, st.sampled_from([0.0, 1.0, 1.0 + 1e-12, -3.5]) | singles))
def test_distinct_scores_keep_the_order_under_every_rule_for_ties(folder, run):
    save_run(folder / "distinct.run", run)
    back = load_run(folder / "distinct.run")
    for qid, scores in run.items():
        order = [doc for doc, _ in ranked(scores)]
        written = np.array([back[qid][doc] for doc in order], dtype=np.float32)
        assert (written[:-1] > written[1:]).all()
        if len({np.float32(score) for score in scores.values()}) == len(scores):
            assert back[qid] == scores


def test_what_a_run_file_looks_like(tmp_path):
    save_run(tmp_path / "x.run", {"q": {"a": 1.0, "b": 1.0, "c": 2.5}}, tag="mine")
    assert (tmp_path / "x.run").read_text() == (
        "q Q0 c 1 2.5 mine\nq Q0 b 2 1.0 mine\nq Q0 a 3 0.9999999403953552 mine\n"
    )


def test_ms_marco_runs_and_windows_files_are_read(tmp_path):
    (tmp_path / "run.tsv").write_bytes(b"q\tb\t1\r\nq\ta\t2\r\n")
    assert [doc for doc, _ in ranked(load_run(tmp_path / "run.tsv")["q"])] == ["b", "a"]
    (tmp_path / "dev.tsv").write_bytes(
        b"\xef\xbb\xbfquery-id\tcorpus-id\tscore\r\nq 1\td\t1\r\n\r\n"
    )
    assert load_judgments(tmp_path / "dev.tsv") == {"q 1": {"d": 1}}
    (tmp_path / "bare.tsv").write_text("q\td\t2.0\n")
    assert load_judgments(tmp_path / "bare.tsv") == {"q": {"d": 2}}
    (tmp_path / "qrels").write_text("q\t0\td\t1\n")
    assert load_judgments(tmp_path / "qrels") == {"q": {"d": 1}}
    (tmp_path / "q").write_text('{"id": 7, "query": "x"}\n')
    assert load_queries(tmp_path / "q") == {"7": "x"}


BROKEN = [
    (load_judgments, b"q1 0 d1 1\nq1 0 d2\n", "line 2: expected 4 columns"),
    (load_judgments, b"q1 0 d1 high\n", "line 1: expected 4 columns"),
    (load_judgments, b"q\td\t1\nq\td\n", "line 2: expected query-id"),
    (load_judgments, b"q\td\t1.5\n", "line 1: expected query-id"),
    (load_judgments, b"q 0 d 1\nq 0 d 2\n", "line 2: expected one grade"),
    (load_judgments, b"\n", "no judgments found"),
    (load_judgments, b"q 0 d\xff 1\n", "line 1: not UTF-8"),
    (load_run, b"q Q0 d 1 2.0 t\nq Q0 d 2 1.0 t\n", "line 2: expected each document once"),
    (load_run, b"q Q0 d 1 nan t\n", "line 1: expected 6 columns"),
    (load_run, b"q Q0 d 1 2.0\n", "line 1: expected 6 columns"),
    (load_run, b"q\td\t0\n", "line 1: expected 3 columns"),
    (load_queries, b'{"_id": "q", "text": "x"}\n{"_id": "q"\n', "line 2: expected a JSON object"),
    (load_queries, b'{"text": "x"}\n', "line 1: expected a JSON object"),
    (load_queries, b'{"_id": true, "text": "x"}\n', "line 1: expected a JSON object"),
    (load_queries, b"q\tx\nq\ty\n", "line 2: expected a query id not seen"),
    (load_queries, b"lonely\n", "line 1: expected a query id, a tab"),
    (load_queries, b"", "no queries found"),
    (load_queries, gzip.compress(b"q\tx\n", mtime=0)[:-9], "not a whole gzip"),
]


@pytest.mark.parametrize(("load", "content", "message"), BROKEN, ids=[row[2] for row in BROKEN])
def test_broken_files_name_file_line_and_what_was_expected(tmp_path, load, content, message):
    (tmp_path / "broken").write_bytes(content)
    with pytest.raises(InvalidInputError, match=message) as caught:
        load(tmp_path / "broken")
    assert str(tmp_path / "broken") in str(caught.value)


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(InvalidInputError, match="no such file"):
        load_run(tmp_path / "absent")
    with pytest.raises(InvalidInputError, match="is a folder"):
        load_judgments(tmp_path)


@pytest.mark.parametrize(
    ("save", "data"),
    [
        (save_run, {"q": {"fine": 1.0, "not fine": 0.5}}),
        (save_run, {"q": {"d": float("inf")}}),
        (save_run, {"q": {"d": 1e300}}),
        (save_judgments, {"q": {"fine": 1, "": 1}}),
        (save_judgments, {"q": {"d": 0.5}}),
        (save_queries, {"q": "lone surrogate \ud800"}),
    ],
)
def test_what_a_format_cannot_hold_is_refused_and_leaves_the_old_file(tmp_path, save, data):
    (tmp_path / "file").write_text("old")
    with pytest.raises(InvalidInputError):
        save(tmp_path / "file", data)
    assert (tmp_path / "file").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_line_break_does_not_fit_into_tsv(tmp_path):
    with pytest.raises(InvalidInputError, match="jsonl"):
        save_queries(tmp_path / "q.tsv", {"q": "two\nlines"})
