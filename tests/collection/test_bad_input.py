"""What must be refused, with an error that names the place, and nothing changed by it."""

import datetime
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse

import bigrain
from bigrain.testing import check_invariants, fingerprint
from tests.collection import making

NAN, INF = float("nan"), float("inf")
ENCODERS: dict[str, Any] = {}


def encode(texts: list[str]) -> Any:
    return ENCODERS["now"](texts)


def good(texts: list[str]) -> Any:
    return np.array([[len(t), t.count("a"), 1.0] for t in texts])


@pytest.fixture(autouse=True)
def _encoder() -> None:
    ENCODERS["now"] = good
    bigrain.register_encoder("test", lambda: bigrain.CallableEncoder("test", encode, 3))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[tuple[Any, Any]]:
    col, model = making.make(tmp_path / "docs.grain", {**making.FIELDS, "enc": ENC})
    making.fill(col, model, ["a", "b", "c"])
    making.commit(col, model)
    yield col, model
    col.close()


ENC = bigrain.DenseField(encoder="test")


def unchanged(col: Any, model: Any) -> None:
    """The documents are as before, also after committing what is pending."""
    del model.fields["enc"]
    col.add(["one more document"])
    col.commit()
    assert len(col) == 4
    col.delete([d.id for d in col.documents() if d.id not in model.documents])
    col.commit()
    check_invariants(col, model)


DOCUMENTS: list[tuple[Any, type[Exception], str]] = [
    ("text", bigrain.InvalidDocumentError, "list"),
    (b"text", bigrain.InvalidDocumentError, "list"),
    ({"text": "x"}, bigrain.InvalidDocumentError, "list"),
    (bigrain.Document("x"), bigrain.InvalidDocumentError, "list"),
    (5, bigrain.InvalidDocumentError, "iterable"),
    (None, bigrain.InvalidDocumentError, "iterable"),
    ([None], bigrain.InvalidDocumentError, "row 1"),
    ([b"bytes"], bigrain.InvalidDocumentError, "row 1"),
    ([""], bigrain.InvalidDocumentError, "row 1.*empty"),
    ([" \n\t\u00a0"], bigrain.InvalidDocumentError, "row 1.*empty"),
    ([{"text": None}], bigrain.InvalidDocumentError, "row 1.*text"),
    ([{}], bigrain.InvalidDocumentError, "row 1.*no 'text'"),
    ([{"text": "x", "colour": 1}], bigrain.InvalidDocumentError, "row 1.*colour"),
    ([{"text": "x", 5: 1}], bigrain.InvalidDocumentError, "row 1.*5"),
    ([{"text": "lone \ud800 half"}], bigrain.InvalidDocumentError, "row 1.*surrogate"),
    ([{"text": "x", "title": "\udfff"}], bigrain.InvalidDocumentError, "row 1.*title"),
    ([{"text": "NUL \x00"}], bigrain.InvalidDocumentError, "row 1.*NUL"),
    ([{"text": "x", "title": 5}], bigrain.InvalidDocumentError, "row 1.*title"),
    *(
        ([{"text": "x", "id": odd}], bigrain.InvalidDocumentError, "row 1.*id")
        for odd in ("", "x" * 513, 1.5, True, b"a", ("a",), "a\x00", "\ud800", NAN, [])
    ),
    ([{"text": "x", "id": "n"}, {"text": "y", "id": "n"}], bigrain.DuplicateIdError, "row 2.*'n'"),
    ([{"text": "x", "id": 7}, {"text": "y", "id": "7"}], bigrain.DuplicateIdError, "row 2.*'7'"),
    *(
        ([{"text": "x", "id": "m", "metadata": odd}], bigrain.InvalidDocumentError, "row 1.*'m'")
        for odd in (
            5, [1], "text", {5: 1}, {"": 1}, {None: 1}, {"k": NAN}, {"k": INF}, {"k": 2**63},
            {"k": object()}, {"k": b"bytes"}, {"k": 1j}, {"k": {"n": [1, {"m": NAN}]}},
            {"k": "\ud800"}, {"\x00": 1}, {"k": "a\x00b"}, {"k": np.float32(NAN)},
            {"k": np.longdouble(1)}, {"k": np.array([1.0, INF])}, {"k": "x" * (1 << 20)},
        )
    ),
]  # fmt: skip


def nested(depth: int) -> Any:
    value: Any = {"k": 1}
    for _ in range(depth):
        value = {"k": value}
    return value


@pytest.mark.parametrize(("documents", "error", "says"), DOCUMENTS)
def test_bad_documents(world: Any, documents: Any, error: type[Exception], says: str) -> None:
    col, model = world
    given = [{"text": "fine", "id": "a"}, *documents] if isinstance(documents, list) else documents
    with pytest.raises(error, match=f"(?s){says}"):
        col.add(given)
    unchanged(col, model)


def test_metadata_that_contains_itself_is_refused(world: Any) -> None:
    loop: dict[str, Any] = {}
    loop["k"] = loop
    for metadata in (loop, nested(40)):
        with pytest.raises(bigrain.InvalidDocumentError, match="row 0.*nested"):
            world[0].add([{"text": "x", "metadata": metadata}])


def test_odd_metadata_that_is_fine(world: Any) -> None:
    col, _ = world
    metadata = {
        "day": datetime.date(2020, 1, 2),
        "when": datetime.datetime(2020, 1, 2, 3, 4),
        "numpy": np.int64(3),
        "array": np.array([1, 2]),
        "truth": np.bool_(True),
        "set": {2, 1},
        "none": None,
        "odd key.with 'quotes' `and` ü": 1,
        "limits": [2**63 - 1, -(2**63), 1e308, 5e-324],
    }
    col.add([{"text": "x", "id": "m", "metadata": metadata}])
    col.commit()
    (found,) = col.get(["m"])
    assert found.metadata["array"] == [1, 2] and found.metadata["day"] == "2020-01-02"
    for key in metadata.keys() - {"none"}:
        assert [h.id for h in col.search("x", fields="lex", filter={key: {"$exists": 1}})] == ["m"]
    for value in metadata["limits"]:  # type: ignore[attr-defined]
        assert [h.id for h in col.search("x", fields="lex", filter={"limits": value})] == ["m"]


VECTORS: list[tuple[str, Any, Any, str]] = [
    ("vec", ["a", "b"], np.full((2, 8), NAN), "'vec', row 0"),
    ("vec", ["a", "b"], np.vstack([np.ones(8), np.full(8, -INF)]), "'vec', row 1"),
    ("vec", ["a", "b"], np.vstack([np.ones(8), np.full(8, 1e39)]), "'vec', row 1"),
    ("vec", ["a", "b"], np.vstack([np.ones(8), np.zeros(8)]), "'vec', row 1.*zero"),
    ("vec", ["a"], np.ones((1, 7)), "7 wide, the field is 8"),
    ("vec", ["a"], np.ones(8), "shape"),
    ("vec", ["a"], np.ones((1, 8), complex), "complex"),
    ("vec", ["a"], np.ones((1, 8), bool), "bool"),
    ("vec", ["a"], np.full((1, 8), "x"), "<U1"),
    ("vec", ["a", "b"], [[1.0] * 8, [1.0] * 7], "unequal"),
    ("vec", ["a"], None, "object"),
    ("vec", ["a", "b"], np.ones((3, 8)), "2 ids but 3 vectors"),
    ("imp", ["a"], making.as_csr([{1: -1.0}]), "'imp', row 0.*column 1"),
    ("imp", ["a", "b"], making.as_csr([{1: 1.0}, {2: NAN}]), "'imp', row 1.*column 2"),
    ("imp", ["a"], making.as_csr([{1: INF}]), "'imp', row 0"),
    ("imp", ["a"], scipy.sparse.csr_matrix(np.array([[1e300]])), "'imp', row 0.*1e\\+300"),
    (
        "imp",
        ["a", "b"],
        scipy.sparse.csr_matrix(([1.0, 1.0, 1.0], [0, 5, 5], [0, 1, 3]), shape=(2, 9)),
        "'imp', row 1.*twice",
    ),
    ("imp", ["a"], np.ones((1, 3)), "CSR"),
    ("imp", ["a"], scipy.sparse.csr_matrix(np.eye(2)), "1 ids but 2"),
    ("imp", ["a"], scipy.sparse.csr_matrix(np.eye(1, dtype=complex)), "numbers"),
    ("tok", ["a"], np.ones((2, 4)), "offsets"),
    ("tok", ["a"], (np.ones((2, 4)), [0, 3]), "0 to 3"),
    ("tok", ["a"], (np.ones((2, 4)), [1, 2]), "from 1"),
    ("tok", ["a", "b"], (np.ones((2, 4)), [0, 2, 2]), "row 1.*'b'"),
    ("tok", ["a", "b"], (np.ones((2, 4)), [0, 3, 2]), "row 1"),
    ("tok", ["a"], (np.ones((2, 4)), [0.0, 2.0]), "whole"),
    ("tok", ["a"], (np.ones((2, 4)), []), "whole"),
    ("tok", ["a"], (np.ones((2, 4)), [[0], [1, 2]]), "whole"),
    ("tok", ["a"], (np.ones((2, 3)), [0, 2]), "3 wide"),
    ("tok", ["a"], (np.full((2, 4), NAN), [0, 2]), "'tok', row 0"),
    ("tok", ["a"], (np.full((2, 4), 1e16), [0, 2]), "overflow"),
    ("lex", ["a"], np.ones((1, 8)), "'lex' makes its vectors from text"),
    ("enc", ["a"], np.ones((1, 3)), "'enc' makes its vectors from text"),
]


@pytest.mark.parametrize(("field", "ids", "vectors", "says"), VECTORS)
@pytest.mark.filterwarnings("ignore:overflow")
def test_bad_vectors(world: Any, field: str, ids: Any, vectors: Any, says: str) -> None:
    col, model = world
    with pytest.raises(bigrain.InvalidVectorsError, match=f"(?s){says}"):
        col.add_vectors(field, ids, vectors)
    unchanged(col, model)


@pytest.mark.parametrize(
    ("ids", "error", "says"),
    [
        (["a", "a"], bigrain.DuplicateIdError, "row 1.*'a'"),
        (["a", "nope"], bigrain.UnknownDocumentError, "row 1.*'nope'"),
        (["a", 1.5], bigrain.InvalidDocumentError, "row 1"),
        (["a", None], bigrain.InvalidDocumentError, "row 1"),
        (["a", "\ud800"], bigrain.InvalidDocumentError, "row 1"),
    ],
)
def test_bad_ids_for_vectors(world: Any, ids: Any, error: type[Exception], says: str) -> None:
    col, model = world
    with pytest.raises(error, match=says):
        col.add_vectors("vec", ids, np.ones((2, 8)))
    with pytest.raises(bigrain.UnknownFieldError, match="'nofield'.*lex"):
        col.add_vectors("nofield", ids, np.ones((2, 8)))
    unchanged(col, model)


@pytest.mark.parametrize(
    ("ids", "error"),
    [
        (["a", "nope"], bigrain.UnknownDocumentError),
        (["a", 1.5], bigrain.InvalidDocumentError),
        (["a", ["b"]], bigrain.InvalidDocumentError),
        (["a", "\ud800"], bigrain.InvalidDocumentError),
    ],
)
def test_bad_deletions(world: Any, ids: Any, error: type[Exception]) -> None:
    col, model = world
    with pytest.raises(error):
        col.delete(ids)
    with pytest.raises(bigrain.InvalidInputError, match="missing="):
        col.delete(["a"], missing="maybe")
    unchanged(col, model)


VECTOR = np.ones(8)
QUERIES: list[tuple[Any, dict[str, Any], type[Exception], str]] = [
    *(("x", {"k": k}, bigrain.InvalidQueryError, "k=") for k in (0, -1, True, 1.0, "3", None)),
    *(("x", {"k": k}, bigrain.InvalidQueryError, "k=") for k in (2**40, np.array([1, 2]))),
    *(("x", {"recall": r}, bigrain.InvalidQueryError, "recall=") for r in (0, -1, 1.1, NAN, True)),
    *(("x", {"n_candidates": n}, bigrain.InvalidQueryError, "n_cand") for n in (0, -1, True, 2.5)),
    ("x", {"fields": "nofield"}, bigrain.UnknownFieldError, "nofield.*lex"),
    ("x", {"fields": []}, bigrain.InvalidQueryError, "empty"),
    ("x", {"fields": {"lex": -1}}, bigrain.InvalidQueryError, "weight.*'lex'"),
    ("x", {"fields": {"lex": NAN}}, bigrain.InvalidQueryError, "weight.*'lex'"),
    ("x", {"fields": {"lex": "much"}}, bigrain.InvalidQueryError, "weight.*'lex'"),
    ("x", {"fields": "vec"}, bigrain.InvalidQueryError, "'vec' has no encoder"),
    (VECTOR, {"fields": "lex"}, bigrain.InvalidQueryError, "'lex' takes text"),
    (None, {}, bigrain.InvalidQueryError, "NoneType"),
    (5, {}, bigrain.InvalidQueryError, "int"),
    (b"x", {}, bigrain.InvalidQueryError, "bytes"),
    ([[1.0], [1.0, 2.0]], {}, bigrain.InvalidQueryError, "list"),
    (np.ones(5), {}, bigrain.InvalidQueryError, r"\(5,\)"),
    (np.ones(5), {"fields": "vec"}, bigrain.InvalidQueryError, r"\(5,\)"),
    (np.full(8, NAN), {}, bigrain.InvalidQueryError, "NaN"),
    (np.full(8, 1e39), {}, bigrain.InvalidQueryError, "infinity"),
    (np.zeros(8), {}, bigrain.InvalidQueryError, "zero"),
    (["a"] * 8, {"fields": "vec"}, bigrain.InvalidQueryError, "8 numbers"),
    (np.full((2, 4), NAN), {}, bigrain.InvalidQueryError, "'tok', row 0"),
    (np.empty((0, 4)), {}, bigrain.InvalidQueryError, "no token"),
    (np.ones(8, complex), {}, bigrain.InvalidQueryError, "complex128"),
    (np.ones(8, bool), {}, bigrain.InvalidQueryError, "bool"),
    (["1"] * 8, {}, bigrain.InvalidQueryError, "list of <U1"),
    ({1: -1.0}, {}, bigrain.InvalidQueryError, "'imp'"),
    ({1: NAN}, {}, bigrain.InvalidQueryError, "'imp'"),
    ({-1: 1.0}, {}, bigrain.InvalidQueryError, "'imp'"),
    ({2**32: 1.0}, {}, bigrain.InvalidQueryError, "'imp'"),
    ({2**70: 1.0}, {}, bigrain.InvalidQueryError, "'imp'"),
    ({1.5: 1.0}, {}, bigrain.InvalidQueryError, "'imp'"),
    ({"word": 1.0}, {}, bigrain.UnknownFieldError, "'word'.*column numbers, not text"),
    ({1: "much"}, {}, bigrain.InvalidQueryError, "'imp'"),
    ({1: 1e300}, {}, bigrain.InvalidQueryError, "'imp'"),
    ("x " * 20_000, {"fields": "lex"}, bigrain.InvalidQueryError, "words"),
    *(
        ("x", {"filter": f}, bigrain.InvalidFilterError, says)
        for f, says in (
            ("", "empty"), ("  ", "empty"), ({}, "empty"), (5, "int"), ("year", "character 4"),
            ("year >", "character 6"), ("year > 3 AND", "character"), ("(year > 3", r"'\)'"),
            ("year > 3)", "character 8"), ("year > 'open", "character 6"), ("year ~", "character"),
            ("yaer > 3", "did you mean 'year'"), ("AND year", "key"), ("year IN ()", "number"),
            ("year IN (1", r"'\)'"), ("year BETWEEN 1", "AND"), ("(" * 1000 + "year", "deeper"),
            ("NOT " * 1000 + "year > 3", "deeper"), ("year > 3 \x00", "character"),
            ({"year": {"$near": 3}}, r"\$near"), ({"$xor": []}, r"\$xor"), ({"$and": []}, "one"),
            ({"$and": [5]}, "dictionary"), ({5: 1}, "5"), ({"year": NAN}, "finite"),
            ({"year": 2**64}, "64 bits"), ({"year": object()}, "object"), ({"year": {}}, "empty"),
            ({"year": {"$in": 5}}, "list"), ({"year": {"$in": "ab"}}, "list"),
            ({"year": "\ud800"}, "surrogate"), ({"year": np.array([1, 2])}, "ndarray"),
            ({"none": 1}, "no document has"), ({"year": {"$in": [None]}}, "NoneType"),
        )
    ),
]  # fmt: skip


@pytest.mark.parametrize(("query", "options", "error", "says"), QUERIES)
def test_bad_queries(
    world: Any, query: Any, options: Any, error: type[Exception], says: str
) -> None:
    col, _ = world
    with pytest.raises(error, match=f"(?s){says}"):
        col.search(query, **options)
    with pytest.raises(error, match=f"(?s){says}"):
        col.search_many([query, query], threads=2, **options)


def test_a_key_that_nested_deeper_than_a_filter_may(world: Any) -> None:
    deep: Any = {"year": 1}
    for _ in range(500):
        deep = {"$not": deep}
    with pytest.raises(bigrain.InvalidFilterError, match="deeper"):
        world[0].search("x", filter=deep)


def test_bad_arguments_of_search_many(world: Any) -> None:
    col, _ = world
    for queries in ("text", b"x"):
        with pytest.raises(bigrain.InvalidQueryError, match="in a list"):
            col.search_many(queries)
    with pytest.raises(bigrain.InvalidInputError, match="takes a list"):
        col.search_many({"a": 1})
    with pytest.raises(bigrain.InvalidQueryError, match="one vector of 8 numbers"):
        col.search_many(np.ones(8))
    with pytest.raises(bigrain.InvalidQueryError, match=r"NaN or infinity \(query 1\)"):
        col.search_many([[1.0] * 8, [NAN] * 8])
    for threads in (0, -1, True, 1.5, None):
        with pytest.raises(bigrain.InvalidQueryError, match="threads="):
            col.search_many(["x"], threads=threads)
    for bad in ({"k": 0}, {"fields": "nofield"}, {"filter": "("}):
        with pytest.raises(bigrain.InvalidInputError):
            col.search_many([], **bad)
    assert col.search_many([]) == []
    ids, scores = col.search_many([], k=3, arrays=True)
    assert ids.shape == scores.shape == (0, 3)


def test_queries_of_odd_text_find_nothing_or_something(world: Any) -> None:
    col, _ = world
    for query in ("", " "):
        with pytest.raises(bigrain.InvalidQueryError, match="empty"):
            col.search(query, fields="lex")
    for query in ("\x00", "\ud800", "!!!", "the", "grain \udfff", "x" * 100_000, "日本"):
        col.search(query, fields="lex")
    assert "\ud800" not in col and 5 not in col and "a" in col
    assert col.get(["\ud800", "a"])[0] is None


def test_a_generator_that_raises_changes_nothing(world: Any) -> None:
    col, model = world

    def documents(n: int) -> Iterator[str]:
        yield from (f"text {i}" for i in range(n))
        raise LookupError("from the user's generator")

    for n in (0, 1, 3000):  # nothing, part of a batch, several batches
        with pytest.raises(LookupError):
            col.add(documents(n))
    unchanged(col, model)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda c: c.add(["inner"]), bigrain.PendingChangesError),
        (lambda c: c.delete(["a"]), bigrain.PendingChangesError),
        (lambda c: c.commit(), bigrain.BigrainError),
        (lambda c: c.rollback(), bigrain.StorageError),
    ],
)
def test_changes_from_inside_an_add_are_refused(world: Any, change: Any, error: Any) -> None:
    col, model = world
    col.add(["before"])

    def documents() -> Iterator[str]:
        yield "one"
        assert col.search("grain", fields="lex")  # looking is fine
        change(col)
        yield "two"

    with pytest.raises(error):
        col.add(documents())
    col.rollback()
    unchanged(col, model)


@pytest.mark.parametrize(
    ("encoder", "error"),
    [
        (lambda texts: 1 / 0, ZeroDivisionError),
        (lambda texts: np.ones((len(texts) + 1, 3)), bigrain.InvalidVectorsError),
        (lambda texts: np.ones((len(texts), 4)), bigrain.InvalidVectorsError),
        (lambda texts: np.ones(3), bigrain.InvalidVectorsError),
        (lambda texts: np.full((len(texts), 3), NAN), bigrain.InvalidVectorsError),
        (lambda texts: np.full((len(texts), 3), INF), bigrain.InvalidVectorsError),
    ],
)
def test_an_encoder_that_misbehaves_changes_nothing(world: Any, encoder: Any, error: Any) -> None:
    col, model = world
    ENCODERS["now"] = encoder
    with pytest.raises(error):
        col.add(["some text", {"id": "a", "text": "replaced"}])
    with pytest.raises(error):
        col.search("grain")
    ENCODERS["now"] = good
    unchanged(col, model)


def test_progress_that_raises_cancels_with_nothing_changed(world: Any) -> None:
    """At whichever of its calls it raises."""
    col, model = world
    done, n = False, 0
    while not done:
        n += 1
        calls = 0

        def stop(update: Any, n: int = n) -> None:
            nonlocal calls
            calls += 1
            if calls == n:
                raise bigrain.CancelledError("stop")

        try:
            col.add(["cancelled?"], progress=stop)
            done = True
        except bigrain.CancelledError:
            assert not col.stats()["pending_changes"]
        col.rollback()
    assert n > 2
    unchanged(col, model)


def test_progress_that_raises_in_commit_leaves_changes_pending(world: Any) -> None:
    col, model = world
    making.fill(col, model, ["new"])
    before = fingerprint(col)
    for n in (1, 2):
        calls = 0

        def stop(update: Any, n: int = n) -> None:
            nonlocal calls
            calls += 1
            if calls == n:
                raise bigrain.CancelledError("stop")

        with pytest.raises(bigrain.CancelledError):
            col.commit(progress=stop)
        assert fingerprint(col) == before
    making.commit(col, model)
    del model.fields["enc"]
    check_invariants(col, model)


@pytest.mark.parametrize("call", ["add", "add_vectors", "delete", "compact"])
def test_a_read_only_handle_writes_nothing(world: Any, call: str) -> None:
    arguments = {
        "add": (["x"],),
        "add_vectors": ("vec", ["a"], np.ones((1, 8))),
        "delete": (["a"],),
    }
    with bigrain.open(world[0].path, read_only=True) as col:
        with pytest.raises(bigrain.ReadOnlyError, match="read_only=True"):
            getattr(col, call)(*arguments.get(call, ()))
        assert col.commit() == col.snapshot


@pytest.mark.parametrize(
    "call",
    [
        lambda c: c.search("x"), lambda c: c.search_many(["x"]), lambda c: c.add(["x"]),
        lambda c: c.add_vectors("vec", ["a"], np.ones((1, 8))), lambda c: c.delete("a"),
        lambda c: c.commit(), lambda c: c.compact(), lambda c: c.get(["a"]), len,
        lambda c: list(c.documents()), lambda c: c.stats(), lambda c: c.verify(),
        lambda c: c.refresh(), lambda c: c.snapshot, lambda c: "a" in c,
    ],
)  # fmt: skip
def test_a_closed_collection_says_so(world: Any, call: Any) -> None:
    col, _ = world
    col.close()
    col.close()
    with pytest.raises(bigrain.ClosedError, match="open it again"):
        call(col)


def test_paths_that_hold_no_collection(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    for name in ("missing", "file", "empty", "file/below"):
        with pytest.raises(bigrain.NotACollectionError, match=name.split("/")[0]):
            bigrain.open(tmp_path / name)
    for name in ("file", "."):
        with pytest.raises(bigrain.CollectionExistsError):
            bigrain.create(tmp_path / name, making.FIELDS)
    with pytest.raises(bigrain.ConfigError, match="not a folder"):
        bigrain.create(tmp_path / "no" / "where", making.FIELDS)
    assert len(bigrain.create(tmp_path / "empty", making.FIELDS)) == 0  # an empty folder is fine


def test_bad_settings(tmp_path: Path) -> None:
    for fields in ({}, {"0": ENC}, {"a b": ENC}, {5: ENC}, {"a": "lexical"}, {"a" * 65: ENC}):
        with pytest.raises(bigrain.ConfigError):
            bigrain.create(tmp_path / "docs.grain", fields)
    for budget in (0, -1, True, "1GB", 1.5):
        with pytest.raises(bigrain.ConfigError, match="memory_budget_bytes"):
            bigrain.create(tmp_path / "docs.grain", making.FIELDS, memory_budget_bytes=budget)
    assert list(tmp_path.iterdir()) == []


def test_a_commit_of_nothing_makes_no_snapshot(world: Any) -> None:
    col, _ = world
    assert col.commit() == 1
    col.add([])
    col.delete([])
    col.delete(["nope"], missing="ignore")
    col.add_vectors("vec", [], np.empty((0, 8)))
    assert col.commit() == 1


def test_pending_changes_stand_in_the_way_of_compact(world: Any) -> None:
    col, _ = world
    col.add(["x"])
    with pytest.raises(bigrain.PendingChangesError, match="rollback"):
        col.compact()


def test_a_text_of_ten_megabytes_is_quick(tmp_path: Path) -> None:
    with bigrain.create(tmp_path / "docs.grain", {"lex": bigrain.LexicalField()}) as col:
        text = "A sentence about grain and the moon. " * 280_000
        began = time.process_time()
        counts = col.add([text, "grain"])
        col.commit()
        assert time.process_time() - began < 30
        assert counts.passages > 1000
        (hit,) = col.search("moon")
        assert hit.text == text.strip() or len(hit.text) >= 10_000_000


def test_ids_that_are_numbers_are_their_text(tmp_path: Path) -> None:
    with bigrain.create(tmp_path / "docs.grain", {"lex": bigrain.LexicalField()}) as col:
        col.add([{"id": 7, "text": "seven"}, {"id": np.int32(8), "text": "eight"}, "no id"])
        col.commit()
        assert col.delete([7, "8"]) == 2
        col.commit()
        assert [d.text for d in col.documents()] == ["no id"]


def test_ids_made_up_are_free(tmp_path: Path) -> None:
    with bigrain.create(tmp_path / "docs.grain", {"lex": bigrain.LexicalField()}) as col:
        col.add([{"id": "1", "text": "one"}, "made up", {"id": "1-1", "text": "x"}, "made up too"])
        col.commit()
        assert len(col) == 4 and len({d.id for d in col.documents()}) == 4
