"""Vectors of every kind on the command line, from files and as queries."""

import json

import numpy as np
import pytest
import scipy.sparse

from bigrain.text import write_sparse_vectors


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def brought(tmp_path):
    """Files of vectors of each kind for the documents a and b."""
    write_lines(tmp_path / "docs.jsonl", [
        {"_id": "a", "text": "heavy water boils"}, {"_id": "b", "text": "the moon"},
    ])  # fmt: skip
    write_lines(tmp_path / "sparse.jsonl", [
        {"id": "a", "vector": {"water": 1.5, "heavy": 1}}, {"id": "b", "vector": {"moon": 2}},
    ])  # fmt: skip
    (tmp_path / "vocab.txt").write_text("heavy\nwater\nmoon\n")
    write_lines(tmp_path / "dense.jsonl", [
        {"id": "a", "vector": [1, 0, 0.5]}, {"id": "b", "vector": [0, 1, 0]},
    ])  # fmt: skip
    np.save(tmp_path / "dense.npy", np.array([[1, 0, 0.5], [0, 1, 0]], np.float32))
    (tmp_path / "ids.txt").write_text("a\nb\n")
    np.savez(
        tmp_path / "tokens.npz", values=np.eye(4)[:3], offsets=[0, 2, 3], ids=["a", "b"]
    )  # fmt: skip
    return tmp_path


def with_vectors(program, brought):
    path = brought / "docs.grain"
    return path, program.json(
        "index", brought / "docs.jsonl", "--to", path, "--no-dense",
        "--vectors", f"impacts={brought / 'sparse.jsonl'}", "--vectors",
        f"dense={brought / 'dense.jsonl'}", "--vectors", f"tokens={brought / 'tokens.npz'}",
        "--vocabulary", brought / "vocab.txt",
    )  # fmt: skip


def test_tune_and_bench_ask_with_vectors_of_a_file(program, tmp_path):
    rng = np.random.default_rng(0)
    np.save(tmp_path / "v.npy", rng.normal(size=(400, 8)).astype(np.float32))
    np.save(tmp_path / "q.npy", rng.normal(size=(40, 8)).astype(np.float32))
    path = tmp_path / "v.grain"
    program("index", "--to", path, "--vectors", f"v={tmp_path / 'v.npy'}")
    tuned = program.json("tune", path, "--queries", tmp_path / "q.npy")
    assert "40 queries that were given" in tuned["verdict"] or tuned["rows"]
    told = program.json("bench", path, "--queries", tmp_path / "q.npy", "-n", 30)
    assert told["queries"] == 30 and list(told["systems"]) == ["v"]
    np.save(tmp_path / "wide.npy", np.ones((3, 9), np.float32))
    refused = program("bench", path, "--queries", tmp_path / "wide.npy", code=2)
    assert "takes a query such as" in refused.stderr
    assert "--queries FILE.npy" in program("bench", path, code=2).stderr


def test_index_makes_fields_of_vectors(program, brought):
    path, made = with_vectors(program, brought)
    assert made["documents"] == 2
    fields = program.json("stats", path)["fields"]
    assert {name: field["family"] for name, field in fields.items()} == {
        "lexical": "lexical", "impacts": "sparse", "dense": "dense", "tokens": "multivector",
    }  # fmt: skip
    assert fields["impacts"]["vocabulary_size"] == 3 and fields["dense"]["dim"] == 3
    alone = brought / "alone.grain"
    shown = program("index", "--to", alone, "--vectors", f"v={brought / 'dense.npy'}").stdout
    assert "2 documents" in shown and "--vector v=" in shown
    assert [h["id"] for h in program.json("search", alone, "--vector", "v=[0, 1, 0]")["hits"]] == [
        "1", "0",
    ]  # fmt: skip


def test_index_refuses_vectors_that_do_not_fit(program, brought):
    path, docs = brought / "docs.grain", brought / "docs.jsonl"
    program("index", "--to", path, code=2)
    for value in ("dense.npy", "=x.npy", "v="):
        program("index", docs, "--to", path, "--vectors", value, code=2)
    file = brought / "dense.jsonl"
    assert "is the name of another field" in program(
        "index", docs, "--to", path, "--vectors", f"lexical={file}", code=2
    ).stderr  # fmt: skip
    other = write_lines(brought / "other.jsonl", [{"id": "c", "vector": [1, 0]}])
    told = program("index", docs, "--to", path, "--vectors", f"v={other}", code=2).stderr
    assert "no document has id 'c'" in told
    told = program(
        "index", docs, "--to", path, "--vectors", f"v={brought / 'sparse.jsonl'}", code=2
    ).stderr
    assert "'water' is no column" in told and "--vocabulary FILE" in told
    assert not path.exists()


def test_add_vectors_of_every_kind(program, brought):
    path, _ = with_vectors(program, brought)
    new = write_lines(brought / "new.jsonl", [{"_id": "a", "vector": {"2": 9}}])
    done = program.json("add-vectors", path, new, "--field", "impacts")
    assert (done["vectors"], done["documents_made"], done["documents"]) == (1, 0, 2)
    assert program.json("search", path, "--vector", 'impacts={"2": 1}')["hits"][0]["id"] == "a"
    program("add-vectors", path, brought / "tokens.npz", "--field", "tokens")
    told = program("add-vectors", path, new, code=2).stderr
    assert "--field: impacts, dense, tokens" in told
    swapped = brought / "swapped.txt"
    swapped.write_text("b\r\na\r\n")
    program("add-vectors", path, brought / "dense.npy", "--field", "dense", "--ids", swapped)
    assert program.json("search", path, "--vector", "dense=[1, 0, 0]")["hits"][0]["id"] == "b"
    before = program.json("stats", path)["snapshot"]
    program("add-vectors", path, brought / "dense.npy", "--field", "dense", code=2)  # no ids 0, 1
    program("add-vectors", path, brought / "none.npy", "--field", "dense", code=8)
    assert program.json("stats", path)["snapshot"] == before


def test_search_with_vectors_beside_text_and_alone(program, brought):
    path, _ = with_vectors(program, brought)
    vocabulary = ("--vocabulary", brought / "vocab.txt")
    both = program.json("search", path, "moon", "--vector", 'impacts={"water": 1}', *vocabulary)
    assert {hit["id"]: set(hit["parts"]) for hit in both["hits"]} == {
        "a": {"lexical", "impacts"}, "b": {"lexical", "impacts"},
    }  # fmt: skip
    (brought / "q.json").write_text("[[0, 0, 1, 0], [0, 0, 1, 0]]")
    tokens = program.json("search", path, "--vector", f"tokens={brought / 'q.json'}")
    assert tokens["hits"][0]["id"] == "b" and tokens["query"] is None
    shown = program(
        "search", path, "--vector", f"dense={brought / 'dense.jsonl'}", "--vector",
        f"impacts={brought / 'sparse.jsonl'}", "--vector", f"tokens={brought / 'tokens.npz'}",
        "-k", 1, *vocabulary,
    ).stdout  # fmt: skip
    assert shown.startswith("# a\n 1. a  1.0000") and "# b\n 1. b  1.0000" in shown
    weighed = ("--field", "lexical=1", "--field", "impacts=3")
    told = program.json("search", path, "moon", "--vector", 'impacts={"1": 1}', *weighed)
    assert told["hits"][0]["id"] == "a" and told["hits"][0]["score"] == 0.75


def test_search_refuses_vectors_that_say_nothing(program, brought):
    path, _ = with_vectors(program, brought)
    program("search", path, code=2)
    for vector, told in (
        ("impacts", "NAME=VALUE"), ('impacts={"1": NaN}', "NaN is no number"),
        ('impacts={"1": "x"}', "weight of '1' is 'x'"), ("impacts={}", "query is empty"),
        ('none={"1": 1}', "no field 'none'"), ('lexical={"1": 1}', "takes text"),
        ("dense=[1, 2]", r"shape"), ("dense=[[1], [2, 3]]", "unequal"), ("dense=[true]", "array"),
        (f"dense={brought / 'dense.jsonl'}", "leave QUERY out"),
    ):  # fmt: skip
        assert told in program("search", path, "moon", "--vector", vector, code=2).stderr
    told = program(
        "search", path, "moon", "--vector", "dense=[1, 0, 0]", "--field", "lexical", code=2
    ).stderr
    assert "name it too" in told
    program("search", path, "--vector", f"dense={brought / 'none.npy'}", code=8)


def test_eval_measures_fields_of_vectors(program, brought):
    path, _ = with_vectors(program, brought)
    (brought / "qrels.txt").write_text("q1 0 a 1\nq2 0 b 1\n")
    (brought / "queries.tsv").write_text("q1\theavy water\nq2\tmoon\nq3\tnever asked\n")
    write_lines(brought / "asked.jsonl", [
        {"id": "q1", "vector": {"0": 1}}, {"id": "q2", "vector": {"2": 1}},
    ])  # fmt: skip
    given = ("--judgments", brought / "qrels.txt", "--vector", f"impacts={brought / 'asked.jsonl'}")
    told = program.json("eval", path, "--queries", brought / "queries.tsv", *given)
    assert [system["name"] for system in told["systems"]] == ["lexical", "impacts", "fused"]
    alone = program.json("eval", path, *given)
    assert [system["name"] for system in alone["systems"]] == ["impacts"]
    program("eval", path, *given[:2], "--vector", 'impacts={"0": 1}', code=2)
    (brought / "qrels.txt").write_text("q3 0 a 1\n")
    assert "judged queries have no" in program("eval", path, *given, code=2).stderr


def test_audit_takes_vectors(program, tmp_path):
    rng = np.random.default_rng(2)
    path, rows = tmp_path / "docs.grain", rng.random((1200, 40)) * (rng.random((1200, 40)) < 0.3)
    write_lines(tmp_path / "rows.jsonl", [
        {"id": i, "vector": {str(c): row[c] for c in np.flatnonzero(row).tolist()}}
        for i, row in enumerate(rows)
    ])  # fmt: skip
    program("index", "--to", path, "--vectors", f"impacts={tmp_path / 'rows.jsonl'}")
    write_sparse_vectors(
        tmp_path / "q.npz", [str(i) for i in range(30)], scipy.sparse.csr_matrix(rows[:30])
    )
    told = program.json("audit", path, "--queries", tmp_path / "q.npz", "--recall", "0.6")
    (field,) = told["fields"]
    assert (field["field"], field["queries"], field["asked"]) == ("impacts", 30, 0.6)
    assert told["holds"] and field["reached"] > 0.6
