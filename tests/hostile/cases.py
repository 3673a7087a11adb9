"""Hostile input, one table: what somebody may pass in, and what must become of it.

A case is accepted (and then found again) or refused with one error of the tree in
`bigrain.errors`, whose message matches `says`. Of files that are accepted, `says` names the ids of
the documents in them. `test_library`, `test_command_line` and
`test_bombs` run the table; anything else that takes input can run it too: a case names its kind
and carries its payload, and knows nothing of who is asked.

    document   rows for `add`
    vectors    (field, ids, vectors) for `add_vectors`, see FIELDS
    search     (query, options)
    delete     ids
    create     (path below a folder with obstacles, fields or a function that makes them)
    files      {path: bytes, or "-> target" for a link, "|" for a pipe}; all of it is read
"""

from __future__ import annotations

import datetime
import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse

import bigrain
from bigrain.search.filter import And, Compare, Exists, Member, Not, Or

NAN, INF = float("nan"), float("inf")
FIELDS: dict[str, Any] = {
    "lex": bigrain.LexicalField(),
    "sub": bigrain.SubstringField(),
    "vec": bigrain.DenseField(dim=8),
    "far": bigrain.DenseField(dim=8, metric="l2", heavy="float32"),
    "ip": bigrain.DenseField(dim=8, metric="ip"),
    "imp": bigrain.SparseField(),
    "voc": bigrain.SparseField(vocabulary_size=10),
    "tok": bigrain.MultiVectorField(dim=4),
}
# What is there before every case.
DOCUMENTS: list[dict[str, Any]] = [
    {"id": "a", "text": "Grain is stored in silos.", "metadata": {"year": 2020, "lang": "en"}},
    {"id": "b", "text": "Mills grind grain.", "metadata": {"year": 2021, "tags": ["x", "y"]}},
    {"id": "c", "text": "The moon orbits the earth.", "metadata": {"day": "2020-05-01"}},
]


@dataclass(frozen=True)
class Case:
    """`error` None: accepted. `says` is searched in the message. `make` builds the payload."""

    name: str
    kind: str
    make: Callable[[], Any]
    error: str | None
    says: str = ""


def build() -> list[Case]:
    """All cases, in order; their names are distinct."""
    cases = [
        *texts(), *titles(), *ids(), *rows(), *metadata(), *dense(), *sparse(), *ragged(),
        *vector_ids(), *queries(), *filters(), *arguments(), *deletions(), *creations(), *files(),
    ]  # fmt: skip
    assert len({case.name for case in cases}) == len(cases)
    return cases


def numbered(kind: str, label: str, entries: list[tuple[Any, str | None, str]]) -> Iterator[Case]:
    """Cases out of (payload, or a function that makes it; error; says)."""
    for number, (payload, error, says) in enumerate(entries):
        make = payload if callable(payload) else (lambda payload=payload: payload)
        yield Case(f"{label}-{number:02}", kind, make, error, says)


# -- documents ----------------------------------------------------------------------------------

DOCUMENT = "InvalidDocumentError"


def document(**row: Any) -> list[dict[str, Any]]:
    """A good document and this one, so that the row is told."""
    return [{"id": "good", "text": "fine"}, {"id": "odd", "text": "odd", **row}]


def texts() -> Iterator[Case]:
    accepted: list[Any] = [
        "\u202egnirts a\u202c and back",  # bidi override
        "\u2067rtl isolate\u2069 \u2066ltr\u2069",
        "مرحبا world שלום 世界",
        "z\u0351\u0363a\u0312l\u0489g\u0334o\u0337 text",
        "👩‍👩‍👧‍👦🏳️‍🌈🇩🇪🇫🇷" * 50,
        "\ufeffbegins with a byte order mark",
        "line\r\nline\rline\nline\u2028line\u2029line\x0bline\x0cline\x85",
        "\x01\x02\x1b[31mred\x1b[0m\x7f\x9b",
        "\ufffe\uffff noncharacters \U0010ffff",
        "\ue000 private use",
        "ﷺ ligature ﬁ Ⅷ ① ㌍",
        "İstanbul ıı ß ẞ ſ",
        "a\u200bb\u200cc\u200dd\u2060e\u00ad zero width",
        "\u0301 begins with a mark",
        "\u1160\u1161 lone vowels \u11a8",
        "' OR 1=1; DROP TABLE documents; --",
        "${jndi:ldap://x} {{7*7}} %s %n %x <script>alert(1)</script>",
        "../../../../etc/passwd",
        '{"json": [1, 2, {"a": null}]}',
        ".",
        "!!! ??? ---",
        "\u00a0text\u3000",
        lambda: "x" * 3_000_000,  # one word
        lambda: "a" + "\u0301" * 100_000,  # one letter with its marks
        lambda: "\u0e01" * 200_000,  # a script without blanks
        lambda: "🇩" * 100_001,
        lambda: ("word " * 20 + "\n") * 10_000,
        lambda: "." * 300_000,
        lambda: "a." * 200_000,
        lambda: "\n" * 300_000 + "end",
        lambda: ("(" * 1000 + ")" * 1000) * 50,
        lambda: "\u1100\u1161\u11a8" * 50_000,
        lambda: "\ufdfa" * 20_000,  # each folds to eighteen characters
        lambda: " ".join(f"w{i}" for i in range(50_000)),
    ]
    for number, text in enumerate(accepted):
        make = text if callable(text) else (lambda text=text: text)
        yield Case(f"text-{number:02}", "document", lambda make=make: document(text=make()), None)
    yield from numbered(
        "document", "text-refused", [
            (document(text="NUL \0 inside"), DOCUMENT, "row 1.*NUL"),
            (document(text="\0"), DOCUMENT, "row 1.*NUL"),
            (document(text="lone \ud800 high"), DOCUMENT, "row 1.*surrogate.*position 5"),
            (document(text="lone \udfff low"), DOCUMENT, "row 1.*surrogate"),
            (document(text="\udc80\udcff bytes that were no text"), DOCUMENT, "row 1.*surrogate"),
            (document(text="\udfff\ud800 the wrong way round"), DOCUMENT, "row 1.*surrogate"),
            (document(text=""), DOCUMENT, "row 1.*empty"),
            (document(text=" \t\n\u00a0\u2003"), DOCUMENT, "row 1.*empty"),
            (document(text=None), DOCUMENT, "row 1.*not text"),
            (document(text=5), DOCUMENT, "row 1.*int"),
            (document(text=b"bytes"), DOCUMENT, "row 1.*bytes"),
            (document(text=["a"]), DOCUMENT, "row 1.*list"),
            (document(text={"a": 1}), DOCUMENT, "row 1.*dict"),
            (document(text=NAN), DOCUMENT, "row 1.*float"),
        ],
    )  # fmt: skip


def titles() -> Iterator[Case]:
    yield from numbered(
        "document", "title", [
            (document(title="\0"), DOCUMENT, "row 1.*title.*NUL"),
            (document(title="\ud800"), DOCUMENT, "row 1.*title.*surrogate"),
            (document(title=5), DOCUMENT, "row 1.*title"),
            (document(title=["t"]), DOCUMENT, "row 1.*title"),
            (document(title="\x1b]0;owned\x07 title"), None, ""),
            (lambda: document(title="t" * 1_000_000), None, ""),
        ],
    )  # fmt: skip


def ids() -> Iterator[Case]:
    accepted = [
        "../../x", "/etc/passwd", "C:\\x", ".", "..", "a/b", "a b", " ", "\n", "\x1b[2J",
        "'; DROP TABLE documents; --", '"', "`", "%00", "NULL", "null", "-1", "0", "1e5", "é",
        "e\u0301", "🦆", "\u202e", "\u200b", "x" * 512, 0, -7, 2**63, 10**500, np.int64(5),
        np.uint64(2**64 - 1),
    ]  # fmt: skip
    yield from numbered("document", "id", [(document(id=odd), None, "") for odd in accepted])
    yield from numbered(
        "document", "id-refused", [
            (document(id=""), DOCUMENT, "row 1.*0 characters"),
            (document(id="x" * 513), DOCUMENT, "row 1.*513"),
            (document(id="x" * 10_000), DOCUMENT, "row 1.*10000"),
            (document(id="a\0b"), DOCUMENT, "row 1.*NUL"),
            (document(id="\ud800"), DOCUMENT, "row 1.*surrogate"),
            (document(id=True), DOCUMENT, "row 1.*bool"),
            (document(id=1.0), DOCUMENT, "row 1.*float"),
            (document(id=NAN), DOCUMENT, "row 1.*float"),
            (document(id=b"a"), DOCUMENT, "row 1.*bytes"),
            (document(id=["a"]), DOCUMENT, "row 1.*list"),
            (document(id={"a": 1}), DOCUMENT, "row 1.*dict"),
            (document(id=10**512), DOCUMENT, "row 1.*bits"),
            (document(id=10**10_000), DOCUMENT, "row 1.*bits"),
            (document(id="good"), "DuplicateIdError", "row 1.*'good'"),
            ([{"id": 7, "text": "x"}, {"id": "7", "text": "y"}], "DuplicateIdError", "row 1.*'7'"),
            ([{"id": "p", "_id": "q", "text": "x"}], DOCUMENT, "row 0.*_id"),
        ],
    )  # fmt: skip


class Lying(dict):  # type: ignore[type-arg]
    """A mapping whose text is of a class of its own."""


class Text(str):
    def strip(self, *_: Any) -> str:
        raise RuntimeError("should never be asked")


def rows() -> Iterator[Case]:
    yield from numbered(
        "document", "rows", [
            ("one text", DOCUMENT, "list"),
            (b"bytes", DOCUMENT, "list"),
            ({"text": "x"}, DOCUMENT, "list"),
            (5, DOCUMENT, "iterable"),
            (None, DOCUMENT, "iterable"),
            ([None], DOCUMENT, "row 0"),
            ([5], DOCUMENT, "row 0"),
            ([b"x"], DOCUMENT, "row 0"),
            ([["x"]], DOCUMENT, "row 0"),
            ([{}], DOCUMENT, "row 0.*'text'"),
            ([{"text": "x", "__class__": 1}], DOCUMENT, "row 0.*__class__"),
            ([{"text": "x", "k" * 10_000: 1}], DOCUMENT, "row 0.*unknown key"),
            ([{"text": "x", 5: 1}], DOCUMENT, "row 0.*5"),
            ([{"text": "x", None: 1}], DOCUMENT, "row 0.*None"),
            ([{"text": "x", ("t",): 1}], DOCUMENT, "row 0.*unknown"),
            ([{"text": "x", 10**9999: 1}], DOCUMENT, "row 0.*bits"),
            ([Lying(text=Text("kept"), id="odd")], None, ""),
            ([], None, ""),
            (lambda: [f"text {i}" for i in range(3000)], None, ""),
        ],
    )  # fmt: skip


def nested(depth: int, kind: type = dict) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"k": value} if kind is dict else [value]
    return value


def looping() -> Any:
    loop: dict[str, Any] = {}
    loop["k"] = [loop]
    return loop


def metadata() -> Iterator[Case]:
    accepted: list[Any] = [
        {"a.b": 1, "a": {"b": 2}},
        {"it's": 1, 'a "quote"': 2, "`back`": 3, "a]b": 4, "$gt": 5, "AND": 6},
        {"'; DROP TABLE attributes; --": "'; DROP TABLE attributes; --"},
        {"key": "%_*?[]"},
        {"ключ": "знач", "鍵": "値", "🔑": "🦆"},
        {"long " * 1000: "v" * 10_000},
        {"n": [2**63 - 1, -(2**63), 0, -0.0, 1e308, 5e-324]},
        {"mixed": [1, "1", True, None, 1.0, [], {}, [[1]], {"x": [1]}]},
        {"same": 1, "Same": 2, "SAME": 3},
        {"e\u0301": 1, "é": 2},
        {"": {}} and {"empty": {}, "none": None, "list": []},
        {" ": 1, "\n": 2, "\u202e": 3, "\x1b": 4},
        {"day": datetime.date(1, 1, 1), "when": datetime.datetime.max},
        {"zone": datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)},
        {"ns": np.datetime64("2020-01-02T03:04:05.123456789", "ns")},
        {"days": np.array(["2020-01-02", "NaT"], "datetime64[ns]")},
        {"set": {3, 1, 2}, "tuple": (1, 2), "frozen": frozenset("ab")},
        {"np": np.float64(1.5), "i8": np.int8(-1), "b": np.bool_(True), "s": np.str_("x")},
        {"array": np.arange(5), "zero": np.array(3)},
        {"id": "other", "text": "other", "_id": 1, "docno": 0, "rowid": 1},
        lambda: {f"k{i}": i for i in range(10_000)},
        lambda: {"k": list(range(10_000))},
        lambda: nested(15),
        lambda: {"k": nested(14, list)},
    ]
    for number, value in enumerate(accepted):
        make = value if callable(value) else (lambda value=value: value)
        yield Case(
            f"metadata-{number:02}",
            "document",
            lambda make=make: document(metadata=make()),
            None,
        )
    refused: list[tuple[Any, str]] = [
        (5, "mapping"), ([1], "mapping"), ("text", "mapping"), (b"x", "mapping"),
        ({5: 1}, "keys are strings"), ({None: 1}, "keys are strings"), ({"": 1}, "keys"),
        ({("a",): 1}, "keys"), ({10**9999: 1}, "bits"), ({"a": {b"b": 1}}, "keys"),
        ({"k": NAN}, "'k'.*nan"), ({"k": INF}, "'k'.*inf"), ({"k": {"n": [1, -INF]}}, "'n'.*inf"),
        ({"k": 2**63}, "64 bits"), ({"k": -(2**63) - 1}, "64 bits"), ({"k": 10**5000}, "64 bits"),
        ({"k": [[10**99999]]}, "64 bits"),
        ({"k": object()}, "object"), ({"k": b"x"}, "bytes"), ({"k": 1j}, "complex"),
        ({"k": len}, "builtin"), ({"k": (i for i in ())}, "generator"),
        ({"k": datetime.timedelta(1)}, "timedelta"), ({"k": datetime.time(1)}, "time"),
        ({"k": np.timedelta64(5, "ns")}, "timedelta"),
        ({"k": np.array([1], "timedelta64[ns]")}, "timedelta"),
        ({"k": np.array([1, NAN])}, "nan"), ({"k": np.float32(INF)}, "inf"),
        ({"k": np.array([1 + 1j])}, "complex"), ({"k": np.array([b"x"])}, "bytes"),
        ({"k": np.array([object()], object)}, "object"),
        ({"k": "\ud800"}, "surrogate"), ({"\ud800": 1}, "surrogate"), ({"k": ["\udfff"]}, "surr"),
        ({"k": "a\0b"}, "NUL"), ({"a\0b": 1}, "NUL"), ({"a": {"\0": 1}}, "NUL"),
        (lambda: {"k": "x" * (1 << 20)}, "larger"), (lambda: {"k" * (1 << 20): 1}, "larger"),
        (lambda: {f"{i}": "x" * 200 for i in range(10_000)}, "larger"),
        (lambda: {"k": list(range(200_000))}, "larger"),
        (lambda: nested(17), "nested"), (lambda: nested(100_000), "nested"),
        (lambda: {"k": nested(100_000, list)}, "nested"), (looping, "nested"),
        (lambda: {"k" * 1_000_000: {f"{i}": NAN for i in range(2000)}}, "nan"),
    ]  # fmt: skip
    for number, (value, says) in enumerate(refused):
        make = value if callable(value) else (lambda value=value: value)
        yield Case(
            f"metadata-refused-{number:02}",
            "document",
            lambda make=make: document(metadata=make()),
            DOCUMENT,
            f"row 1.*{says}",
        )


# -- vectors ------------------------------------------------------------------------------------

VECTORS = "InvalidVectorsError"
SOUND = np.arange(1.0, 17.0).reshape(2, 8)


def put(at: Any, value: float, dtype: Any = np.float64) -> Any:
    changed = SOUND.astype(dtype)
    changed[at] = value
    return changed


class Subclass(np.ndarray):  # type: ignore[type-arg]
    pass


def read_only() -> Any:
    array = SOUND.copy()
    array.flags.writeable = False
    return array


def dense() -> Iterator[Case]:
    two = ["a", "b"]
    entries: list[tuple[Any, str | None, str]] = [
        (("vec", two, SOUND), None, ""),
        (("vec", two, SOUND.astype(">f4")), None, ""),
        (("vec", two, SOUND.astype(">f8")), None, ""),
        (("vec", two, SOUND.astype(np.float16)), None, ""),
        (("vec", two, SOUND.astype(np.longdouble)), None, ""),
        (("vec", two, SOUND.astype(np.uint8)), None, ""),
        (("vec", two, SOUND[::-1, ::-1]), None, ""),
        (("vec", two, np.asfortranarray(SOUND)), None, ""),
        (("vec", two, np.repeat(SOUND, 2, axis=1)[:, ::2]), None, ""),
        (("vec", two, np.broadcast_to(SOUND[0], (2, 8))), None, ""),
        (("vec", two, SOUND.view(Subclass)), None, ""),
        (("vec", two, np.asmatrix(SOUND)), None, ""),
        (("vec", two, np.ma.masked_array(SOUND)), None, ""),
        (("vec", two, SOUND.tolist()), None, ""),
        (("vec", two, tuple(map(tuple, SOUND))), None, ""),
        (lambda: ("vec", two, read_only()), None, ""),
        (("vec", two, put(0, 1e-45, np.float32)), None, ""),
        (("vec", two, put((0, 0), 3e38)), None, ""),
        (("vec", np.array(two), SOUND), None, ""),
        (("vec", [], np.empty((0, 8))), None, ""),
        (("far", two, put((0, 0), 1e14)), None, ""),
        (("ip", two, put((0, 0), 65504.0)), None, ""),
        (("vec", two, put((1, 3), NAN)), VECTORS, "'vec', row 1.*position 3.*nan"),
        (("vec", two, put((1, 3), -INF)), VECTORS, "'vec', row 1.*inf"),
        (("vec", two, put((0, 7), 1e39)), VECTORS, "'vec', row 0.*inf"),
        (("vec", two, put(1, 0)), VECTORS, "'vec', row 1.*zero"),
        (("vec", two, put(1, 1e-60)), VECTORS, "'vec', row 1.*zero"),
        (("vec", two, put(0, 5e-324)), VECTORS, "'vec', row 0.*zero"),
        (("ip", two, put((1, 0), 65520.0)), VECTORS, "'ip', row 1.*float16"),
        (("far", two, put((1, 0), 3e38)), VECTORS, "'far', row 1.*overflow"),
        (("far", two, put((0, 1), -1e16)), VECTORS, "'far', row 0.*overflow"),
        (("vec", two, np.ma.masked_less(SOUND, 4)), VECTORS, "masked"),
        (("vec", two, SOUND.astype(object)), VECTORS, "object"),
        (("vec", two, SOUND.astype(complex)), VECTORS, "complex"),
        (("vec", two, SOUND.astype(bool)), VECTORS, "bool"),
        (("vec", two, SOUND.astype("U8")), VECTORS, "<U8"),
        (("vec", two, SOUND.astype("S8")), VECTORS, "S8"),
        (("vec", two, SOUND.astype("datetime64[s]")), VECTORS, "datetime64"),
        (("vec", two, np.zeros((2, 8), [("x", "f4")])), VECTORS, "x"),
        (("vec", two, np.float64(3)), VECTORS, r"shape \(\)"),
        (("vec", two, np.empty(0)), VECTORS, "shape"),
        (("vec", two, SOUND[0]), VECTORS, r"shape \(8,\)"),
        (("vec", two, SOUND[None]), VECTORS, r"shape \(1, 2, 8\)"),
        (("vec", two, SOUND[:, :7]), VECTORS, "7 wide"),
        (("vec", two, np.empty((2, 0))), VECTORS, "0 wide"),
        (("vec", two, SOUND.T), VECTORS, "2 wide"),
        (("vec", two, SOUND[:1]), VECTORS, "2 ids but 1"),
        (("vec", two, [[1.0] * 8, [1.0] * 7]), VECTORS, "unequal"),
        (("vec", two, [[10**400] * 8] * 2), VECTORS, "object"),
        (("vec", two, [["x"] * 8] * 2), VECTORS, "U"),
        (("vec", two, [[None] * 8] * 2), VECTORS, "object"),
        (("vec", two, None), VECTORS, "object"),
        (("vec", two, "text"), VECTORS, "U4"),
        (("vec", two, {"a": 1}), VECTORS, "object"),
        (("vec", two, scipy.sparse.csr_matrix(SOUND)), VECTORS, "object"),
        (lambda: ("vec", two, nested(1000, list)), VECTORS, "'vec'"),
        (("lex", two, SOUND), VECTORS, "'lex'"),
        (("nofield", two, SOUND), "UnknownFieldError", "nofield"),
        ((["vec"], two, SOUND), "UnknownFieldError", "vec"),
        (("../vec", two, SOUND), "UnknownFieldError", "no field"),
        ((10**9999, two, SOUND), "UnknownFieldError", "bits"),
    ]
    yield from numbered("vectors", "dense", entries)


class FakeCsr:
    """What looks like a CSR matrix and was never checked by SciPy."""

    format = "csr"

    def __init__(self, data: Any, indices: Any, indptr: Any, shape: Any = (2, 9)) -> None:
        self.data, self.indices, self.indptr, self.shape = data, indices, indptr, shape


def csr(data: Any, indices: Any, indptr: Any, shape: Any = (2, 9)) -> Any:
    arrays = np.asarray(data), np.asarray(indices), np.asarray(indptr)
    return ("imp", ["a", "b"], FakeCsr(*arrays, shape))


def sparse() -> Iterator[Case]:
    big = 2**63 - 1
    entries: list[tuple[Any, str | None, str]] = [
        (csr([1.0, 2.0], [0, 1], [0, 1, 2]), None, ""),
        (csr([1.0, 2.0], [5, 1], [0, 2, 2]), None, ""),  # columns in any order, an empty row
        (csr([1, 2], [0, 1], [0, 1, 2]), None, ""),
        (csr([0.0, 1e-45], [0, 1], [0, 1, 2]), None, ""),
        (csr([1e15, 1.0], [0, 1], [0, 1, 2]), None, ""),
        (csr([1.0], [2**32 - 1], [0, 1, 1], (2, 2**32)), None, ""),
        (csr(np.array([1.0, 2.0], ">f8"), [0, 1], [0, 1, 2]), None, ""),
        (("imp", ["a", "b"], scipy.sparse.coo_matrix(np.eye(2))), None, ""),
        (("imp", ["a", "b"], scipy.sparse.csc_matrix(np.eye(2))), None, ""),
        (csr([1.0, 2.0], [0, 9], [0, 1, 2]), VECTORS, "row 1.*column 9"),
        (csr([1.0, 2.0], [0, -1], [0, 1, 2]), VECTORS, "row 1.*column -1"),
        (csr([1.0], [2**32], [0, 1, 1], (2, 2**40)), VECTORS, "column 4294967296"),
        (csr([1.0], [2**62], [0, 1, 1], (2, 2**63)), VECTORS, "column"),
        (csr([1.0, 2.0], np.array([0, 2**64 - 1], "u8"), [0, 1, 2]), VECTORS, "column -1"),
        (csr([1.0, 2.0], [0.5, 1.0], [0, 1, 2]), VECTORS, "whole numbers"),
        (csr([1.0, 2.0], [0, NAN], [0, 1, 2]), VECTORS, "whole numbers"),
        (csr([1.0, 2.0], [0, 1], [0.0, 1.0, 2.0]), VECTORS, "whole numbers"),
        (csr([1.0, 2.0], [[0, 1]], [0, 1, 2]), VECTORS, "whole numbers"),
        (csr([1.0, 2.0], [0, 1], 2), VECTORS, "whole numbers"),
        (csr([1.0, 2.0], [0, 1], []), VECTORS, "indptr"),
        (csr([1.0, 2.0], [0, 1], [0, 2, 1]), VECTORS, "indptr"),
        (csr([1.0, 2.0], [0, 1], [1, 1, 2]), VECTORS, "indptr"),
        (csr([1.0, 2.0], [0, 1], [0, 1, 3]), VECTORS, "indptr"),
        (csr([1.0, 2.0], [0, 1], [0, -1, 2]), VECTORS, "indptr"),
        (csr([1.0, 2.0], [0, 1], [0, big, 2]), VECTORS, "indptr"),
        (csr([1.0, 2.0], [0, 1], [0, big, -2, 2]), VECTORS, "indptr"),  # differences wrap around
        (csr([1.0], [0, 1], [0, 1, 2]), VECTORS, "one for each"),
        (csr([1.0, NAN], [0, 1], [0, 1, 2]), VECTORS, "row 1.*finite"),
        (csr([1.0, INF], [0, 1], [0, 1, 2]), VECTORS, "row 1.*finite"),
        (csr([1.0, 1e39], [0, 1], [0, 1, 2]), VECTORS, "row 1.*finite"),
        (csr([1.0, 1e16], [0, 1], [0, 1, 2]), VECTORS, "row 1.*overflow"),
        (csr([1.0, -1.0], [0, 1], [0, 1, 2]), VECTORS, "row 1.*0 or more"),
        (csr([1.0, 2.0], [3, 3], [0, 2, 2]), VECTORS, "row 0.*twice"),
        (csr(["x", "y"], [0, 1], [0, 1, 2]), VECTORS, "numbers"),
        (csr([1j, 2j], [0, 1], [0, 1, 2]), VECTORS, "numbers"),
        (csr(np.array([1, 2], object), [0, 1], [0, 1, 2]), VECTORS, "numbers"),
        (csr([1.0], [0], [0, 1]), VECTORS, "2 ids but 1"),
        (("voc", ["a"], scipy.sparse.csr_matrix(np.ones((1, 11)))), VECTORS,
         "column 10"),
        (("voc", ["a"], FakeCsr(np.ones(1), np.array([10]), np.array([0, 1]), (1, 10))), VECTORS,
         "column 10"),
        (("imp", ["a"], np.ones((1, 3))), VECTORS, "CSR"),
        (("imp", ["a"], {0: 1.0}), VECTORS, "CSR"),
        (("imp", ["a"], None), VECTORS, "CSR"),
    ]  # fmt: skip
    yield from numbered("vectors", "sparse", entries)


def ragged() -> Iterator[Case]:
    six, two, big = np.ones((6, 4)), ["a", "b"], 2**63 - 1

    def offsets(value: Any) -> Any:
        return ("tok", two, (six, value))

    entries: list[tuple[Any, str | None, str]] = [
        (offsets([0, 2, 6]), None, ""),
        (offsets(np.array([0, 5, 6], np.uint8)), None, ""),
        (offsets(np.array([0, 5, 6], ">i8")), None, ""),
        (offsets([0, 6]), VECTORS, "2 ids but 1"),
        (offsets([0, 2, 4, 6]), VECTORS, "2 ids but 3"),
        (offsets([0, 2, 7]), VECTORS, "0 to 7"),
        (offsets([1, 2, 6]), VECTORS, "from 1"),
        (offsets([0, 6, 6]), VECTORS, "row 1.*'b'"),
        (offsets([0, 7, 6]), VECTORS, "row 1"),
        (offsets([0, -1, 6]), VECTORS, "row 0"),
        (offsets([0, big, 6]), VECTORS, "row 1"),
        (offsets([0, big, -2, 6]), VECTORS, "row 1"),  # differences wrap around
        (offsets(np.array([0, 2**64 - 1, 6], np.uint64)), VECTORS, "row 0"),
        (offsets([0.0, 2.0, 6.0]), VECTORS, "whole"),
        (offsets([]), VECTORS, "whole"),
        (offsets(6), VECTORS, "whole"),
        (offsets([[0, 2, 6]]), VECTORS, "whole"),
        (offsets([0, 10**30, 6]), VECTORS, "whole"),
        (offsets(None), VECTORS, "whole"),
        (offsets("026"), VECTORS, "whole"),
        (("tok", two, six), VECTORS, "offsets"),
        (("tok", two, (six,)), VECTORS, "offsets"),
        (
            ("tok", two, [six, [0, 2, 6]]),
            VECTORS,
            r"row 1 .*\(tokens, 4\), got list of shape \(3,\)",
        ),
        (("tok", two, [six, 7]), VECTORS, "row 1 .*got int"),
        (("tok", two, [six, None]), VECTORS, "row 1 .*got NoneType"),
        (("tok", two, [six, six[:0]]), VECTORS, "row 1 .*at least one"),
        (("tok", two, (six[:, :3], [0, 2, 6])), VECTORS, "3 wide"),
        (("tok", two, (six * NAN, [0, 2, 6])), VECTORS, "row 0"),
        (("tok", two, (np.vstack([six[:3], six[3:] * INF]), [0, 2, 6])), VECTORS, "row 1.*inf"),
        (
            ("tok", two, (np.vstack([six[:3], six[3:] * 1e17]), [0, 2, 6])),
            VECTORS,
            "row 1.*overflow",
        ),
        (("tok", two, (six.astype(object), [0, 2, 6])), VECTORS, "object"),
    ]
    yield from numbered("vectors", "ragged", entries)


def vector_ids() -> Iterator[Case]:
    entries: list[tuple[Any, str | None, str]] = [
        (("vec", ["a", "a"], SOUND), "DuplicateIdError", "row 1"),
        (("vec", ["a", "nobody"], SOUND), "UnknownDocumentError", "row 1.*nobody"),
        (("vec", ["a", "\ud800"], SOUND), DOCUMENT, "row 1"),
        (("vec", ["a", None], SOUND), DOCUMENT, "row 1"),
        (("vec", ["a", 1.5], SOUND), DOCUMENT, "row 1"),
        (("vec", ["a", 10**9999], SOUND), DOCUMENT, "row 1.*bits"),
        (("vec", "ab", SOUND), VECTORS, "list of ids"),
        (("vec", {"a", "b"}, SOUND), VECTORS, "list of ids"),
        (("vec", None, SOUND), "InvalidInputError", "list"),
        (("vec", 5, SOUND), "InvalidInputError", "list"),
    ]
    yield from numbered("vectors", "vector-ids", entries)


# -- searching ----------------------------------------------------------------------------------

QUERY, FILTER = "InvalidQueryError", "InvalidFilterError"


def queries() -> Iterator[Case]:
    accepted: list[Any] = [
        "grain AND OR NOT (", '"unbalanced', "'; DROP TABLE documents; --", "*", "?", "grain*",
        "field:grain", "\0", "\ud800", "grain \udfff", "\ufeff", "\u202e", "a\u0301" * 1000,
        "🦆", "!!!", "the", "\x1b[31m", "-", "--help", "%s", "日本", "مرحبا", "NULL", "-1",
        lambda: "x" * 1_000_000, lambda: "." * 1_000_000,
        lambda: "a" + "\u0301" * 100_000,
    ]  # fmt: skip
    yield from (
        Case(
            f"query-{number:02}",
            "search",
            lambda text=text: (text() if callable(text) else text, {"fields": "lex"}),
            None,
        )
        for number, text in enumerate(accepted)
    )
    signs = ['"a b', '+', '-', '+"', '-"" x', "^2", "x^1e9", "*", "~", "title:", 'title:"', "+x -x",
             "\ud800*", "x\ud800~", "水*", "+\0x", "grain~ gra* +grain -moon \"grain is\"^2",
             lambda: "~ " * 100_000, lambda: '"' * 100_001, lambda: "x" * 100_000 + "~",
             lambda: "ab" * 100_000 + "*", lambda: "+" + "a-" * 5_000]  # fmt: skip
    yield from (
        Case(
            f"operators-{number:02}",
            "search",
            lambda text=text: (
                bigrain.Query(text() if callable(text) else text),
                {"fields": "lex"},
            ),
            None,
        )
        for number, text in enumerate([*accepted, *signs])
    )
    yield from numbered(
        "search", "query-refused", [
            (lambda: (bigrain.Query("-moon"), {}), QUERY, "must not"),
            (lambda: (bigrain.Query(""), {}), QUERY, "empty"),
            (lambda: (bigrain.Query("+x " * 2000), {}), QUERY, "1,000"),
            (lambda: (bigrain.Query("xy* " * 200), {}), QUERY, "32 of them"),
            (lambda: (bigrain.Query("+x " + "word " * 20_000), {}), QUERY, "words"),
            (lambda: (bigrain.Query('"' + "word " * 20_000 + '"'), {}), QUERY, "words"),
            (("grain", {"feedback": "best"}), QUERY, "rm3"),
            (("grain", {"feedback": True}), QUERY, "rm3"),
            ((np.ones(8), {"fields": "vec", "feedback": "rm3"}), QUERY, "rocchio"),
            (("", {"fields": "lex"}), QUERY, "empty"),
            ((" \n\t", {"fields": "lex"}), QUERY, "empty"),
            ((None, {}), QUERY, "NoneType"),
            ((5, {}), QUERY, "int"),
            ((b"grain", {}), QUERY, "bytes"),
            ((["grain"], {}), QUERY, "list"),
            ((object(), {}), QUERY, "object"),
            (lambda: ("word " * 200_000, {"fields": "lex"}), QUERY, "words"),
            ((np.ones(7), {}), QUERY, r"\(7,\)"),
            ((np.float64(1), {}), QUERY, "float64"),
            ((np.full(8, NAN), {"fields": "vec"}), QUERY, "NaN"),
            ((np.full(8, 1e39), {"fields": "vec"}), QUERY, "infinity"),
            ((np.zeros(8), {"fields": "vec"}), QUERY, "zero"),
            ((np.full(8, 3e38), {"fields": "far"}), QUERY, "overflow"),
            ((np.full(8, 1e-45), {"fields": "far"}), None, ""),
            ((np.ones(16)[::-2], {"fields": "far"}), None, ""),
            (([10**400] * 8, {"fields": "far"}), QUERY, "8 numbers"),
            (({1: 1.0}, {}), None, ""),
            (({2**70: 1.0}, {}), QUERY, "'imp'"),
            (({1: 1e16}, {"fields": "imp"}), QUERY, "overflow"),
            (({1: NAN}, {"fields": "imp"}), QUERY, "finite"),
            (({"1": 1.0}, {"fields": "imp"}), "UnknownFieldError", "'1'.*column numbers, not text"),
            (({True: 1.0}, {"fields": "imp"}), QUERY, "True is no column"),
            (({1: "1"}, {"fields": "imp"}), QUERY, "column 1 has weight '1'"),
            (({1: True}, {"fields": "imp"}), QUERY, "column 1 has weight True"),
            (({}, {}), QUERY, "the query is empty"),
            (({"imp": {}}, {}), QUERY, "the query is empty"),
            (({"lex": "", "imp": {1: 1.0}}, {}), QUERY, "the query is empty"),
            (({"lex": {1: 1.0}}, {}), QUERY, "takes text, got dict"),
            (({"vec": "grain"}, {}), QUERY, "no encoder"),
            (({"vec": {1: 1.0}}, {}), QUERY, "numbers, got dict"),
            (({"vec": np.ones((2, 8))}, {}), QUERY, r"\(2, 8\)"),
            (({"tok": {1: 1.0}}, {}), QUERY, "tok"),
            (({"imp": np.ones(8)}, {}), QUERY, "got ndarray"),
            (({"lex": "grain", 5: 1.0}, {}), QUERY, "not both"),
            (({"lex": "grain"}, {"fields": ["imp"]}), QUERY, "nothing for field 'imp'"),
            (({"lex": "grain", "none": "x"}, {"fields": ["lex"]}), "UnknownFieldError", "none"),
            (({"lex": None}, {}), QUERY, "NoneType"),
            (({"lex": {"lex": "grain"}}, {}), QUERY, "takes text, got dict"),
            (({"lex": "grain", "imp": {1: 1.0}}, {}), None, ""),
            ((np.ones((3, 4)), {}), None, ""),
            ((np.empty((0, 4)), {}), QUERY, "no token"),
            ((np.full((2, 4), 1e16), {"fields": "tok"}), QUERY, "overflow"),
            (("grain", {"fields": "vec"}), QUERY, "no encoder"),
        ],
    )  # fmt: skip


def arguments() -> Iterator[Case]:
    wrong = {
        "k": [0, -1, 2**40, 10**9999, True, 1.0, "3", None, NAN, [3], np.array([1, 2])],
        "recall": [0, -1, 1.01, NAN, INF, True, "high", [0.9], 10**9999],
        "n_candidates": [0, -1, 2**40, True, 2.5, 10**9999],
        "fields": [[], 5, {"lex": -1}, {"lex": NAN}, {"lex": INF}, {"lex": "x"}, {"lex": 0},
                   {"lex": 1e300}, {"lex": 10**400}],
    }  # fmt: skip
    entries: list[tuple[Any, str | None, str]] = [
        (("grain", {name: value}), QUERY, "") for name, values in wrong.items() for value in values
    ]
    entries += [
        (("grain", {"fields": value}), "UnknownFieldError", "no field")
        for value in ("nofield", "", "lex'; --", "../lex", ["lex", 5], [["lex"]], [None], "\ud800")
    ]
    entries += [(("grain", {"k": k}), None, "") for k in (1, 3, 1_000_000, np.int64(2))]
    entries += [(("grain", {"recall": r}), None, "") for r in (1, 1.0, 1e-300, 0.98)]
    yield from numbered("search", "argument", entries)


def filters() -> Iterator[Case]:
    injections = [
        "' OR '1'='1", "x'; DROP TABLE documents; --", "\\", "%", "_", "\x1a", "*/ OR 1=1 /*",
        "a' UNION SELECT body FROM documents --",
    ]  # fmt: skip
    found: list[Any] = [
        *({"lang": text} for text in injections),
        *({"lang": {"$in": [text]}} for text in injections),
        *("lang = '" + text.replace("'", "''") + "'" for text in injections),
        "missing IS NULL", "missing IS NOT NULL", "`odd ' key` IS NULL", {"missing": None},
        {"missing": {"$exists": False}}, {"$not": {"year": 2020}},
        "(" * 60 + "year = 2020" + ")" * 60,
        "NOT " * 40 + "year = 2020",
        lambda: "year IN (" + ",".join(map(str, range(50_000))) + ")",
        lambda: {"year": {"$in": list(range(100_000))}},
        lambda: " OR ".join(f"year = {i}" for i in range(1000)),
        lambda: " " * 1_000_000 + "year = 2020",
        "year = 9223372036854775807", "year > -9223372036854775808", "year < 1e308",
        "year = -0.0", "day = '2020-05-01'", "day < '\U0010ffff'", "lang >= ''",
        {"day": np.datetime64("2020-05-01", "ns")}, {"day": datetime.date(2020, 5, 1)},
        And((Exists("year"), Or((Compare("year", ">", 1), Not(Exists("year")))))),
    ]  # fmt: skip
    for number, condition in enumerate(found):
        yield Case(
            f"filter-{number:02}",
            "search",
            lambda c=condition: ("grain", {"fields": "lex", "filter": c() if callable(c) else c}),
            None,
        )
    refused: list[tuple[Any, str]] = [
        ("", "empty"), ("   ", "empty"), ({}, "empty"), (5, "int"), ([], "list"), (b"x", "bytes"),
        (True, "bool"), (lambda: lambda: None, "function"),
        ("year", "character"), ("year =", "character"), ("= 5", "character"), ("year == == 5", "c"),
        ("year = 5 AND", "character"), ("AND", "key"), ("()", "key"), ("year = 5)", "the end"),
        ("year ; DROP TABLE documents", "character"), ("year = 5; --", "character"),
        ("year LIKE '%'", "expected"), ("year = (SELECT 1)", "expected"), ("year = 'open", "char"),
        ('year = "open', "char"), ("`open = 5", "character"), ("year = 5 \0", "character"),
        ("year = 1e999", "finite"), ("year = 99999999999999999999", "64 bits"),
        ("yaer = 5", "did you mean 'year'"), ("missing = 5", "no document has"),
        (lambda: "(" * 50_000 + "year = 5" + ")" * 50_000, "deeper"),
        (lambda: "NOT " * 50_000 + "year = 5", "deeper"),
        (lambda: "year = 5 AND " * 20_000 + "year = 5", "conditions"),
        (lambda: " OR ".join(["year = 5"] * 1001), "conditions"),
        (lambda: "year IN (" + "1," * 100_001 + "1)", "values"),
        (lambda: "year = " + "1" * 1_000_000 + "x", "character"),
        (lambda: "year = " + "1" * 1_000_000, "finite"),
        (lambda: "year = '" + "''" * 200_000, "character"),
        (lambda: "k" * 1_000_000 + " = 5", "no document has"),
        (lambda: "x" * (5 << 20), "characters"),
        (lambda: {"year": {"$in": list(range(100_001))}}, "100,001"),
        (lambda: {"$or": [{"year": 5}] * 1001}, "conditions"),
        (lambda: {f"k{i}": 1 for i in range(1001)}, "conditions"),
        (lambda: nested_not(100_000), "deeper"),
        (lambda: nested_and(100_000), "deeper"),
        ({"year": {"$near": 3}}, r"\$near"), ({"year": {"$where": "1"}}, r"\$where"),
        ({"year": {5: 3}}, "operator 5"), ({"year": {10**9999: 3}}, "bits"), ({"$xor": []}, "xor"),
        ({"$and": []}, "at least one"), ({"$and": "x"}, "and"), ({"$and": [5]}, "dictionary"),
        ({"$not": 5}, r"\$not"), ({5: 5}, "5"), ({None: 5}, "None"), ({"year": NAN}, "finite"),
        ({"year": INF}, "finite"), ({"year": 2**64}, "64 bits"), ({"year": 10**9999}, "64 bits"),
        ({"year": object()}, "object"), ({"year": b"x"}, "bytes"), ({"year": 1j}, "complex"),
        ({"year": {}}, "empty"), ({"year": {"$in": 5}}, "list"), ({"year": {"$in": "ab"}}, "list"),
        ({"year": {"$in": [None]}}, "NoneType"), ({"year": {"$in": [[1]]}}, "list"),
        ({"year": "\ud800"}, "surrogate"), ({"year": np.array([1, 2])}, "ndarray"),
        ({"year": np.float64(NAN)}, "finite"), ({"year": {"$gt": np.datetime64("NaT")}}, "None"),
        (Compare("year", "= 1 OR 1 =", 1), "not a filter"), (Compare("year", "=", NAN), "finite"),
        (Compare(5, "=", 1), "not a filter"),  # type: ignore[arg-type]
        (Compare("year", "=", object()), "object"),  # type: ignore[arg-type]
        (Member("year", [1]), "not a filter"),  # type: ignore[arg-type]
        (And(()), "not a filter"), (Not("year = 5"), "not a filter"),  # type: ignore[arg-type]
    ]  # fmt: skip
    for number, (condition, says) in enumerate(refused):
        yield Case(
            f"filter-refused-{number:02}",
            "search",
            lambda c=condition: ("grain", {"fields": "lex", "filter": c() if callable(c) else c}),
            FILTER,
            says,
        )


def nested_not(depth: int) -> Any:
    condition: Any = {"year": 5}
    for _ in range(depth):
        condition = {"$not": condition}
    return condition


def nested_and(depth: int) -> Any:
    condition: Any = {"year": 5}
    for _ in range(depth):
        condition = {"$and": [condition]}
    return condition


def deletions() -> Iterator[Case]:
    yield from numbered(
        "delete", "delete", [
            (["a"], None, ""),
            ([], None, ""),
            (["a", "nobody"], "UnknownDocumentError", "nobody"),
            (["a", "' OR 1=1 --"], "UnknownDocumentError", "OR 1=1"),
            (["a", "%"], "UnknownDocumentError", "%"),
            (["a", None], DOCUMENT, "row 1"),
            (["a", ["b"]], DOCUMENT, "row 1"),
            (["a", "\ud800"], DOCUMENT, "row 1"),
            (["a", "a\0"], DOCUMENT, "row 1"),
            (["a", "x" * 10_000], DOCUMENT, "row 1"),
            (["a", 10**9999], DOCUMENT, "row 1"),
            (5, "InvalidInputError", "list"),
            (None, "InvalidInputError", "list"),
        ],
    )  # fmt: skip


# -- collections --------------------------------------------------------------------------------


def creations() -> Iterator[Case]:
    lex = {"lex": bigrain.LexicalField()}
    config = "ConfigError"
    paths: list[tuple[Any, str | None, str]] = [
        (("docs.grain", lex), None, ""),
        (("sub/../docs.grain", lex), None, ""),
        (("a b\n'\";$(x)`.grain", lex), None, ""),
        (("ünïcode 日本 🦆", lex), None, ""),
        (("-rf", lex), None, ""),
        (("link-to-empty", lex), "CollectionExistsError", ""),
        (("file", lex), "CollectionExistsError", "already there"),
        (("full", lex), "CollectionExistsError", "already there"),
        (("loop", lex), "CollectionExistsError", "already there"),
        (("nowhere/docs.grain", lex), config, "not a folder"),
        (("file/docs.grain", lex), config, "path|folder"),
        (("x" * 300, lex), config, "path"),
        (("nul\0byte", lex), config, "path"),
        (("\ud800", lex), config, "path"),
        (("", lex), config, "path"),
        ((None, lex), config, "path"),
        ((5, lex), config, "path"),
        ((b"docs.grain", lex), config, "path"),
    ]
    yield from numbered("create", "path", paths)
    names = ["", " ", "1a", "a b", "a/b", "../a", "a.b", "a'b", "a\0", "é", "\ud800", "x" * 65,
             None, 5, ("a",), "sqlite_", "-a", "CON"]  # fmt: skip
    good = {"sqlite_", "CON"}
    yield from numbered(
        "create", "field-name",
        [
            (("docs.grain", {name: bigrain.LexicalField()}), None if name in good else config,
             "" if name in good else "field name")
            for name in names
        ],
    )  # fmt: skip
    yield from numbered(
        "create", "fields", [
            (("docs.grain", fields), config, "")
            for fields in ({}, [], 5, "lex", {"lex": None}, {"lex": "lexical"}, {"lex": {}},
                           {"lex": bigrain.LexicalField})
        ],
    )  # fmt: skip
    settings: list[tuple[type, dict[str, Any]]] = [
        *((bigrain.DenseField, {"dim": d}) for d in (0, -1, 4097, 2**70, 10**9999, 1.5, "8", True)),
        *((bigrain.DenseField, {"dim": 8, "light_bytes": b}) for b in (0, -1, 2, 10**9999, 0.5)),
        *((bigrain.DenseField, {"code": c}) for c in ("", "RaBitQ", None, 5, ["pq"], 10**9999)),
        *((bigrain.DenseField, {"bits": b}) for b in (0, -1, 9, "1", True, 1.0, 10**9999)),
        *((bigrain.DenseField, {"code": "scalar", "bits": b}) for b in (1, 2, 5, 16)),
        (bigrain.DenseField, {"code": "pq", "bits": 8}),
        (bigrain.DenseField, {"dim": 64, "bits": 4, "light_bytes": 1}),
        (bigrain.DenseField, {"dim": 64, "code": "opq", "light_bytes": 33}),
        *((bigrain.DenseField, {"reduction": r}) for r in ("", "PCA", None, 5, ["pca"])),
        *((bigrain.DenseField, {"metric": m}) for m in ("", "dot", None, 5, ["ip"], 10**9999)),
        *((bigrain.DenseField, {"heavy": h}) for h in ("int4", None, np.float16, ["float16"])),
        *((bigrain.DenseField, {"encoder": e}) for e in ("", 5, ["x"], 10**9999)),
        *((bigrain.LexicalField, {"k1": k}) for k in (-1, NAN, INF, "1", True, None, 10**400)),
        *((bigrain.LexicalField, {"b": b}) for b in (-0.1, 1.1, NAN, "0", None)),
        *((bigrain.LexicalField, {"language": x}) for x in ("xx", "", 5, ["en"], "\ud800")),
        *((bigrain.SparseField, {"vocabulary_size": v}) for v in (0, -1, 2**33, 10**9999, 1.0)),
        *((bigrain.MultiVectorField, {"dim": d}) for d in (0, -1, 5000, 10**9999, "8")),
    ]
    yield from (
        Case(
            f"setting-{number:02}",
            "create",
            lambda kind=kind, options=options: ("docs.grain", lambda: {"f": kind(**options)}),
            config,
        )
        for number, (kind, options) in enumerate(settings)
    )


# -- files --------------------------------------------------------------------------------------


def jsonl(*rows: Any) -> bytes:
    return "".join(
        (row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows
    ).encode()


def pdf(content: bytes, *, length: int | None = None, packed: bool = False) -> bytes:
    """A PDF of one page that says what `content` draws."""
    entries = b"/Filter /FlateDecode " if packed else b""
    stream = zlib.compress(content) if packed else content
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R /Resources "
        b"<< /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>",
        b"<< " + entries + b"/Length %d >>\nstream\n" % (length or len(stream)) + stream
        + b"\nendstream",
    ]  # fmt: skip
    out, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, start=1):
        places.append(len(out))
        out += b"%d 0 obj\n" % number + body + b"\nendobj\n"
    table = b"xref\n0 5\n0000000000 65535 f \n" + b"".join(b"%010d 00000 n \n" % p for p in places)
    return out + table + b"trailer << /Size 5 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % len(out)


DRAWN = b"BT /F1 9 Tf (Grain in silos) Tj ET"


def files() -> Iterator[Case]:
    row = {"id": "1", "text": "grain"}
    entries: list[tuple[Any, str | None, str]] = [
        ({"a.jsonl": jsonl(row)}, None, "1"),
        ({"a.jsonl": b"\xef\xbb\xbf" + jsonl(row)}, None, "1"),
        ({"a.jsonl": "\ufeff".encode("utf-16-le") + jsonl(row).decode().encode("utf-16-le")},
         None, "1"),
        ({"a.txt": "text".encode("utf-16")}, None, "a.txt"),
        ({"a.txt": "\ufefftext".encode("utf-16-be")}, None, "a.txt"),
        ({"a.jsonl": jsonl(row).replace(b"\n", b"\r\n")}, None, "1"),
        ({"a.txt": b"text\r\nwith\rall\nends"}, None, "a.txt"),
        ({"a.jsonl": b"\n\n" + jsonl(row) + b"\n \n"}, None, "1"),
        ({"a.jsonl": jsonl({**row, "id": 7})}, None, "7"),
        ({"a.jsonl": jsonl({**row, "year": 2020, "metadata": {"year": 2020}})}, None, "1"),
        ({"a.csv": b"id,text\n1,\"a\nb\"\"c\"\"\"\n"}, None, "1"),
        ({"a.csv": b"id;text\n1;a,b\n"}, None, "1"),
        ({"a.html": b"<title>T</title><p>text &amp; more &#0; &#xd800; &#x110000;"}, None,
         "a.html"),
        ({"a.html": "<meta charset=latin1><p>caf\xe9".encode("latin1")}, None, "a.html"),
        ({"a.html": b"<p>unclosed <b><i><table><td>text"}, None, "a.html"),
        ({"a.html": b"<script>while(1){}</script>text<!-- <script> -->"}, None, "a.html"),
        ({"a.pdf": pdf(DRAWN)}, None, "a.pdf"),
        ({"a.pdf": pdf(DRAWN, packed=True)}, None, "a.pdf"),
        ({"a.pdf": pdf(DRAWN)[:-30]}, DOCUMENT, "PDF"),  # without its end
        ({"a.md": b"# " * 1000 + b"\n\ntext"}, None, "a.md"),
        ({"a.txt": b"text", "sub/b.txt": b"text", ".hidden.txt": b"\xff"}, None, "a.txt sub/b.txt"),
        ({"a.txt": b"text", "loop": "-> ."}, None, "a.txt"),
        ({"a.txt": b"text", "self.txt": "-> self.txt"}, None, "a.txt"),
        ({"a.txt": b"text", "out.txt": "-> /etc/hostname"}, None, "a.txt"),
        ({"a.txt": b"text", "up.txt": "-> ../../outside.txt"}, None, "a.txt"),
        ({"a.txt": b"text", "zero.txt": "-> /dev/zero"}, None, "a.txt"),
        ({"a.txt": b"text", "pipe.txt": "|"}, None, "a.txt"),
        ({"a.txt": b"text", "pipe.jsonl": "|"}, None, "a.txt"),
        ({"a.txt": b"text", "pipe.csv.gz": "|"}, None, "a.txt"),
        ({"a.txt": b"text", "b.docx": b"PK", "c.zip": b"PK", "d": b"\x7fELF"}, None, "a.txt"),
        ({"a.txt": b"text", "empty.pdf": b"", "empty.json": b"", "empty.html": b" "}, None,
         "a.txt"),
        # Text that is none.
        ({"a.txt": b"caf\xe9 \xff\xfe"}, DOCUMENT, r"a\.txt.*byte 3"),
        ({"a.txt": b"\xed\xa0\x80 a surrogate"}, DOCUMENT, "byte 0"),
        ({"a.txt": b"\xc0\xaf overlong"}, DOCUMENT, "byte 0"),
        ({"a.txt": b"\xff\xfea"}, DOCUMENT, "UTF-16"),
        ({"a.txt": b"\xff\xfe\x00\xd8"}, DOCUMENT, "UTF-16"),
        ({"a.txt": b"\x00\x00\xfe\xff\x00\x00\x00a"}, DOCUMENT, "byte|NUL"),
        ({"a.txt": b"binary \0 data"}, DOCUMENT, "NUL"),
        # JSON.
        ({"a.jsonl": jsonl(row, "{broken")}, DOCUMENT, "line 2.*JSON"),
        ({"a.jsonl": jsonl(row, "[1]")}, DOCUMENT, "line 2.*array"),
        ({"a.jsonl": jsonl(row, "5")}, DOCUMENT, "line 2.*number"),
        ({"a.jsonl": jsonl(row, "null")}, DOCUMENT, "line 2.*null"),
        ({"a.jsonl": jsonl(row, "{}")}, DOCUMENT, "line 2.*no text"),
        ({"a.jsonl": jsonl(row, '{"text": 5}')}, DOCUMENT, "line 2.*text"),
        ({"a.jsonl": jsonl(row, '{"text": "\\ud800"}')}, DOCUMENT, "line 2.*surrogate"),
        ({"a.jsonl": jsonl(row, '{"text": "\\u0000"}')}, DOCUMENT, "line 2.*NUL"),
        ({"a.jsonl": jsonl(row, '{"text": "a", "k": NaN}')}, DOCUMENT, "line 2.*NaN"),
        ({"a.jsonl": jsonl(row, '{"text": "a", "k": 1e999999}')}, DOCUMENT, "line 2.*finite"),
        ({"a.jsonl": jsonl(row, '{"text": "a", "id": 1e999999}')}, DOCUMENT, "line 2.*id"),
        ({"a.jsonl": jsonl(row, '{"text": "a", "id": true}')}, DOCUMENT, "line 2.*id"),
        ({"a.jsonl": jsonl(row, '{"text": "a", "id": "' + "x" * 600 + '"}')}, DOCUMENT,
         "line 2.*600"),
        ({"a.jsonl": jsonl(row, {**row, "id": "2", "year": 1, "metadata": {"year": 2}})}, DOCUMENT,
         "line 2.*'year'.*leave one out"),
        ({"a.jsonl": jsonl(row, {**row, "k": 2**63})}, DOCUMENT, "line 2.*64 bits"),
        ({"a.jsonl": jsonl(row, row)}, "DuplicateIdError", "'1'"),
        (lambda: {"a.jsonl": jsonl(row, '{"text": "a", "k": ' + "9" * 1_000_000 + "}")}, DOCUMENT,
         "line 2.*digits"),
        (lambda: {"a.jsonl": jsonl(row, '{"text": "a", "id": ' + "9" * 4000 + "}")}, DOCUMENT,
         "line 2.*id"),
        (lambda: {"a.jsonl": jsonl(row, '{"text":' * 200_000)}, DOCUMENT, "line 2.*deeply"),
        (lambda: {"a.jsonl": jsonl(row, '{"text": "a", "k": ' + "[" * 99 + "]" * 99 + "}")},
         DOCUMENT, "line 2.*nested"),
        (lambda: {"a.json": b"[" * 1_000_000}, DOCUMENT, "deeply"),
        (lambda: {"a.json": b'[{"text": "a"},' * 1000}, DOCUMENT, "JSON"),
        ({"a.json": b'{"text": "a"} {"text": "b"}'}, DOCUMENT, "JSON"),
        # Tables.
        ({"a.csv": b"id,text\n1,\0\n"}, DOCUMENT, "line 2.*NUL"),
        ({"a.csv": b"id,text\n1,a,b\n"}, DOCUMENT, "line 2.*3 fields"),
        ({"a.csv": b'id,text\n1,"never closed\n'}, DOCUMENT, "line 2"),
        ({"a.csv": b'id,text\n1,"a"b\n'}, DOCUMENT, "line 2"),
        ({"a.csv": b"text,text\na,b\n"}, DOCUMENT, "occurs twice"),
        ({"a.csv": b"id,body text\n1,a\n"}, DOCUMENT, "no text"),
        ({"a.csv": b"id,text\n\xff,a\n"}, DOCUMENT, "line 2.*byte"),
        (lambda: {"a.csv": b"text" + b"," * 2_000_000 + b"\n"}, DOCUMENT, "occurs twice"),
        (lambda: {"a.csv": ",".join(["text", *map(str, range(90_000))]).encode()
                  + b"\na" + b",1" * 90_000}, DOCUMENT, "larger"),
        # Pages.
        ({"a.html": b"<p>a\0b"}, DOCUMENT, "NUL"),
        ({"a.html": b"<meta charset=punycode>\xff"}, DOCUMENT, "charset"),
        ({"a.html": b"<meta charset=rot13>\xff"}, DOCUMENT, "charset"),
        ({"a.html": b"<meta charset=nonsense>\xff"}, DOCUMENT, "charset"),
        ({"a.html": b"<p>\xff"}, DOCUMENT, "byte 3"),
        ({"a.pdf": b"%PDF-1.4 nonsense"}, DOCUMENT, "not a PDF"),
        ({"a.pdf": b"\0" * 1000}, DOCUMENT, "not a PDF"),
        ({"a.pdf": pdf(DRAWN).replace(b"/Kids [3 0 R]", b"/Kids [2 0 R]")}, DOCUMENT, "PDF"),
        ({"a.pdf": pdf(b"\xff\xfe garbage", packed=True).replace(b"x\x9c", b"zz")}, None, ""),
        # Packed.
        ({"a.txt.gz": gzip.compress(b"text")[:-4]}, DOCUMENT, "gzip"),
        ({"a.txt.gz": b"not packed"}, DOCUMENT, "gzip"),
        ({"a.jsonl.gz": gzip.compress(jsonl(row))[:-9]}, DOCUMENT, "gzip"),
        ({"a.jsonl.gz": gzip.compress(jsonl(row)) + b"junk"}, DOCUMENT, "gzip"),
        ({"a.txt.gz": gzip.compress(b"\xff\xff")}, DOCUMENT, "byte 0"),
        ({"\udcff.txt": b"text"}, DOCUMENT, "name"),
        ({"/".join(["d" * 100] * 6) + "/a.txt": b"text"}, DOCUMENT, "characters long"),
    ]  # fmt: skip
    yield from numbered("files", "files", entries)


def bombs() -> list[Case]:
    """Cases that a careless reader would fill the memory or the day with; run in a child."""
    step = 1 << 24
    entries: list[tuple[Any, str | None, str]] = [
        (lambda: {"a.txt.gz": packed(b"a" * step, 64)}, DOCUMENT, "bytes to hold"),
        (lambda: {"a.jsonl.gz": packed(b" " * step, 64)}, DOCUMENT, "bytes to hold"),
        (lambda: {"a.csv.gz": packed(b'text\n"', 1) + packed(b"a" * step, 64)}, DOCUMENT,
         "bytes to hold"),
        (lambda: {"a.json.gz": packed(b"[" * step, 64)}, DOCUMENT, "bytes to hold"),
        (lambda: {"a.html.gz": packed(b"a" * step, 64)}, DOCUMENT, "bytes to hold"),
        (lambda: {"a.html": b"<div>" * 1_000_000 + b"text"}, DOCUMENT, "nested"),
        (lambda: {"a.html": b"<b><p>" * 20_000 + b"text"}, DOCUMENT, "nested"),
        (lambda: {"a.html": b"<p>text<li>" * 50_000}, None, "a.html"),
        (lambda: {"a.html": b"<" * 1_000_000 + b"text"}, None, "a.html"),
        (lambda: {"a.pdf": pdf(b" " * (300 << 20), packed=True)}, DOCUMENT, "PDF"),
        (lambda: {"a.pdf": pdf(b"BT " + b"[" * 100_000, packed=True)}, None, ""),
        (lambda: {"a.pdf": pdf(DRAWN, length=2**40)}, DOCUMENT, "PDF"),
        (lambda: {"a.txt": b"x" * (50 << 20)}, None, "a.txt"),
    ]  # fmt: skip
    return list(numbered("files", "bomb", entries))


def packed(part: bytes, times: int) -> bytes:
    """gzip of `times` parts, made from one."""
    return gzip.compress(part, 9) * times
