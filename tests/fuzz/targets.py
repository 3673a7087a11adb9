"""A target for every parser: bytes in, nothing or an error of the tree out, its promises kept.

`target_of` gives the function of a name, and its seeds. A function raises only where the parser
broke its promise: an exception outside `bigrain.errors`, or an invariant that does not hold.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import tempfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import numpy as np

import bigrain
from bigrain import kernels
from bigrain.config import field_from_dict
from bigrain.encoders.static import StaticEncoder
from bigrain.encoders.wordpiece import BertTokeniser, normalise
from bigrain.errors import BigrainError, DamagedError
from bigrain.evaluation import load_judgments, load_queries, load_run
from bigrain.kernels.token_records import KINDS
from bigrain.search import filter as filters
from bigrain.storage.attributes import attributes_of, normalise_metadata
from bigrain.storage.files import Disk
from bigrain.storage.segment import SegmentFile
from bigrain.text import Analyser, Chunking, clean_text, fold, read_documents, sentences, split
from bigrain.text.beir import beir_judgments, beir_queries
from bigrain.text.rows import parse_json
from bigrain.text.tokenise import script_counts, tokens, words
from bigrain.writing.intake import take_in
from tests.fuzz import segments
from tests.kernels.token_cases import random_record, random_tables

Target = Callable[[bytes], None]


@cache
def folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="bigrain-fuzz-files-"))


def text_of(data: bytes) -> str:
    """Any string, lone surrogates among them."""
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return data.decode("utf-8", "surrogateescape")


def value_of(data: bytes) -> object:
    """Any JSON value, or text."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return text_of(data)


# -- files --------------------------------------------------------------------------------------


def segment_file(data: bytes) -> None:
    """Header, table and trailer."""
    path = folder() / "raw.seg"
    path.write_bytes(data)
    try:
        file = SegmentFile(Disk(), path)
    except (DamagedError, bigrain.FormatError):
        return
    try:
        for name, section in file.sections.items():
            assert section.offset + section.n_bytes <= len(data)
            if section.shape[0] < 1 << 20:
                for _ in file.check(name):
                    pass
                file.read(name)
    except DamagedError:
        pass
    finally:
        file.close()


def segment_table(data: bytes) -> None:
    """The table behind right checksums."""
    good = segments.valid("sparse")
    end = segments._trailer(len(good), len(data), segments.zlib.crc32(data))
    segment_file(good + data + end)


def inverted_list(data: bytes) -> None:
    """How many postings, and a packed list: rows in order or an error, the same at every level."""
    n, n_rows, data = int.from_bytes(data[:2], "little"), 5000, data[2:]
    found = []
    for level in kernels.available_levels():
        opened = kernels.levels.kernels(level)
        try:
            one = opened.PostingList(np.frombuffer(data, np.uint8), n, n_rows)
        except ValueError as error:
            found.append(str(error))
            continue
        rows, impacts, _ = one.decode()
        assert (np.diff(rows.astype(np.int64)) > 0).all() and rows[-1] < n_rows and impacts.all()
        lengths, each = np.ones(n_rows, np.uint8), np.array([1.0])
        best, _ = opened.search_lists(
            [one], each, each / 255, lengths, 0.1, 0.1, None, n_rows, n_rows, 0.0
        )
        found.append(str(sorted(best.tolist())))
    assert len(set(found)) == 1


def packed_lists() -> list[bytes]:
    """Seeds of `inverted_list`."""
    seeds = []
    for n in (1, 7, 128, 300):
        at = np.arange(n, dtype=np.uint32)
        rows, impacts = 16 * at + at * 13 % 16, (at % 255 + 1).astype(np.uint8)
        data, _, _ = kernels.encode_lists(rows, impacts, at % np.uint32(5), np.array([0, n]))
        seeds.append(n.to_bytes(2, "little") + data.tobytes())
    return seeds


def token_record(data: bytes) -> None:
    """A record of tokens of any kind and width: refused everywhere, or the same at every level."""
    data = data.ljust(2, b"\0")
    kind, dim, data = KINDS[data[0] % len(KINDS)], data[1] % 140 + 1, data[2:]
    tables = random_tables(np.random.default_rng(dim), kind, dim)
    each = kernels.token_bytes(kind, dim, 9 if tables and tables.centroids is not None else 0)
    count = len(data) // each
    record = np.frombuffer(data[: count * each], np.uint8)
    query = np.random.default_rng(1).normal(size=(dim % 37, dim)).astype(np.float32)
    found = []
    for level in kernels.available_levels():
        opened = kernels.levels.kernels(level)
        try:
            scores = opened.token_scores(record, query, kind, *(tables or (None, None, None, 0.0)))
        except ValueError as error:
            assert "centroid number" in str(error)
            found.append(False)
            continue
        assert scores.shape == (count, len(query))
        ones = np.zeros(1, np.int32)
        total = opened.maxsim_pairs(
            record, ones.astype(np.int64), ones + np.int32(count), ones, query,
            np.array([0, len(query)]), kind, *(tables or (None, None, None, 0.0)),
        )  # fmt: skip
        size = abs(scores).sum()
        if count and np.isfinite(size):
            assert abs(total[0] - scores.max(axis=0).sum()) <= 1e-3 * size
        found.append(True)
    assert len(set(found)) == 1


def token_records() -> list[bytes]:
    """Seeds of `token_record`."""
    seeds = []
    for at, kind in enumerate(KINDS):
        for dim in (1, 9, 70):
            rng = np.random.default_rng(at)
            tables = random_tables(rng, kind, dim)
            record = random_record(rng, kind, dim, 5, tables)
            seeds.append(bytes([at, dim - 1]) + record.tobytes())
    return seeds


def forged_segment(name: str, data: bytes) -> None:
    segments.use(name, segments.forged(name, data))


def documents_file(ending: str, data: bytes) -> None:
    """Readers: documents that `add` would take, or an error."""
    path = folder() / f"a{ending}"
    path.write_bytes(data)
    try:
        found = list(read_documents(path, max_bytes=1 << 22))
    except BigrainError as error:
        assert path.name in str(error)
        return
    for row, document in enumerate(take_in(found, blank_ok=True)):
        assert document.text == found[row].text == clean_text(document.text)


def judged_file(load: Callable[[Path], object], data: bytes) -> None:
    path = folder() / "judged.tsv"
    path.write_bytes(data)
    try:
        assert isinstance(load(path), dict)
    except BigrainError as error:
        assert path.name in str(error)


def beir_folder(data: bytes) -> None:
    (folder() / "qrels").mkdir(exist_ok=True)
    (folder() / "qrels" / "test.tsv").write_bytes(data)
    (folder() / "queries.jsonl").write_bytes(data)
    for load in (beir_judgments, beir_queries):
        try:
            for value in load(folder()).values():
                assert isinstance(value, str | dict)
        except BigrainError:
            pass


def encoder_folder(data: bytes) -> None:
    """The weights of a static encoder; each file in turn, its digest right."""
    here = folder() / "encoder"
    here.mkdir(exist_ok=True)
    names = ("vocab.txt", "table.npy", "scales.npy", "columns.npy", "config.json")
    chosen = names[data[0] % 5] if data else names[0]
    contents = {**encoder_files(), chosen: data[1:]}
    digests = {name: hashlib.sha256(contents[name]).hexdigest() for name in names[:4]}
    if chosen != "config.json":
        config = {"name": "x", "tf_power": 0.5, "sha256": digests}
        contents["config.json"] = json.dumps(config).encode()
    for name, content in contents.items():
        (here / name).write_bytes(content)
    try:
        encoder = StaticEncoder(here)
    except (DamagedError, bigrain.ConfigError):
        return
    found = encoder.encode_documents(["a b", "ab ba"])
    assert np.isfinite(found["dense"]).all() and np.isfinite(found["multivector"][0]).all()
    assert (found["sparse"].data > 0).all()


@cache
def encoder_files() -> dict[str, bytes]:
    table, scales, columns = io.BytesIO(), io.BytesIO(), io.BytesIO()
    np.save(table, np.arange(-8, 8, dtype=np.int8).reshape(4, 4))
    np.save(scales, np.ones(4, np.float32))
    np.save(columns, np.array([-1, 1, 2, 3], np.int32))
    return {
        "vocab.txt": b"[UNK]\na\nb\n##b\n",
        "table.npy": table.getvalue(),
        "scales.npy": scales.getvalue(),
        "columns.npy": columns.getvalue(),
        "config.json": b'{"name": "x", "tf_power": 0.5, "sha256": {}}',
    }


# -- strings ------------------------------------------------------------------------------------


def filter_text(data: bytes) -> None:
    check_filter(text_of(data))


def filter_value(data: bytes) -> None:
    check_filter(value_of(data))


def check_filter(source: object) -> None:
    try:
        parsed = filters.parse(source)
    except bigrain.InvalidFilterError as error:
        assert len(str(error)) < 2000
        return
    assert filters.parse(parsed) == parsed
    hash(parsed)
    walk(parsed)


def walk(node: object) -> None:
    """Every value of a filter is one that SQLite can be asked for."""
    if isinstance(node, filters.And | filters.Or):
        for part in node.parts:
            walk(part)
    elif isinstance(node, filters.Not):
        walk(node.part)
    else:
        values = getattr(node, "values", (getattr(node, "value", 0),))
        for value in values:
            assert isinstance(value, str | int | float)
            assert not isinstance(value, int) or -(2**63) <= value < 2**63
            assert not isinstance(value, float) or math.isfinite(value)


def query_text(data: bytes) -> None:
    """Every text is a query, and no query fails in a way that is not told."""
    text = text_of(data)
    query = bigrain.Query(text)
    for clause in query.clauses:
        assert any(map(str.isalnum, clause.text)) and 0 < clause.boost <= 1000
        assert clause.asked.startswith(clause.text)
    assert not query.clauses or query.clauses == bigrain.Query(text).clauses
    assert all(len(notice) < 300 for notice in query.notices)
    try:
        hits = asked_collection().search(query, explain=True)
    except bigrain.InvalidQueryError as error:
        assert len(str(error)) < 2000
        return
    for hit in hits:
        told = (hit.explanation or {})["lexical"]
        assert math.isclose(sum(told["terms"].values()), hit.score, rel_tol=1e-3)


@cache
def asked_collection() -> bigrain.Collection:
    fields = {"lexical": bigrain.LexicalField()}
    col = bigrain.create(Path(tempfile.mkdtemp(prefix="bigrain-fuzz-query-")) / "q.grain", fields)
    col.add([{"title": "Heavy water", "text": "grain in the silos 日本の水 ぬ"},
             "gran graine water", "いぬ retrieval of heavy things"])  # fmt: skip
    col.commit()
    return col


def json_text(data: bytes) -> None:
    try:
        parse_json(text_of(data), "here")
    except bigrain.InvalidDocumentError as error:
        assert "here" in str(error)


def metadata_value(data: bytes) -> None:
    try:
        plain = normalise_metadata(value_of(data), "row 0")
    except bigrain.InvalidDocumentError as error:
        assert "row 0" in str(error)
        return
    json.dumps(plain, allow_nan=False).encode()
    assert normalise_metadata(plain, "row 0") == plain
    for key, value in attributes_of(plain):
        assert isinstance(key, str) and isinstance(value, str | int | float)


def chunks(data: bytes) -> None:
    """Spans lie inside the text, rise, and cover all that is not blank."""
    text = text_of(data[2:])
    size = 16 + (data[0] if data else 0)
    chunking = Chunking(
        "sentence" if len(data) % 2 else "paragraph", size, min(size // 2, len(data) % 50)
    )
    for spans in (split(text, chunking), sentences(text)):
        covered = bytearray(len(text))
        last = (-1, -1)
        for start, end in spans:
            assert 0 <= start < end <= len(text) and start > last[0] and end > last[1]
            assert not text[start].isspace() and not text[end - 1].isspace()
            covered[start:end] = b"\1" * (end - start)
            last = start, end
        assert all(done or char.isspace() for done, char in zip(covered, text, strict=True))


def word_forms(data: bytes) -> None:
    text = text_of(data)
    folded = fold(text)
    assert fold(folded) == folded
    for word in tokens(text):
        assert word and not any(char.isspace() for char in word)
    words(text)
    script_counts(text)
    for language in ("en", "tr", "ja", None):
        assert all(0 < len(term) <= 255 for term in Analyser(language).analyse(text))


@cache
def pieces() -> tuple[BertTokeniser, kernels.WordPiece]:
    vocabulary = ["[UNK]", "a", "b", "##b", "##a", "ab", "é", "日", ".", "##"]
    return BertTokeniser(vocabulary), kernels.WordPiece(vocabulary)


def word_pieces(data: bytes) -> None:
    text = text_of(data)
    tokeniser, kernel = pieces()
    ids, offsets = tokeniser.encode([text, "a", text])
    assert offsets[0] == 0 and offsets[-1] == len(ids) and (np.diff(offsets) >= 0).all()
    assert ((ids >= 0) & (ids < 10)).all()
    assert (ids[: offsets[1]] == ids[offsets[2] :]).all()
    assert normalise(normalise(text)) is not None
    try:
        kernel.encode([text])
    except ValueError as error:
        assert "surrogate" in str(error)


def vocabulary_file(data: bytes) -> None:
    """A trie of any words gives each of them back, as the reference does."""
    from bigrain.kernels import reference

    listed = data.decode("utf-8", "replace").split("\n")
    given = ["[UNK]", *listed]
    found: list[object] = []
    for maker in (kernels.WordPiece, reference.WordPiece):
        try:
            made = (
                maker(given) if maker is kernels.WordPiece else maker(given, "[UNK]", "##", 100)  # type: ignore[call-arg]
            )
            found.append([part.tolist() for part in made.encode(listed)])
        except ValueError:
            found.append("refused")
    assert found[0] == found[1]


def field_value(data: bytes) -> None:
    try:
        field = field_from_dict(value_of(data))  # type: ignore[arg-type]
    except bigrain.ConfigError:
        return
    assert field_from_dict(field.to_dict()) == field


def chunking_value(data: bytes) -> None:
    try:
        chunking = Chunking.from_dict(value_of(data))  # type: ignore[arg-type]
    except bigrain.ConfigError:
        return
    assert Chunking.from_dict(chunking.to_dict()) == chunking


# -- the table ----------------------------------------------------------------------------------

ROW = b'{"id": "1", "text": "caf\xc3\xa9 \\ud83d\\ude00", "metadata": {"n": [1, 2.5e3, null]}}\n'
CSV = b'id,text,n\n1,"a, ""b""\nc",5\n2,d,\n'
HTML = b"<html><head><title>T</title><meta charset=latin1></head><body><p>a<b>c</p><pre> d</pre>"
FILTER = (
    b"year >= 2020 AND (lang = 'e''n' OR tags IN ('a', \"b\")) AND NOT `k` IS NULL AND z = -1.5e3"
)
QUERY = '+grain "heavy water"^2 -moon silo* -gra*^3 grian~ watre~1 title:heavy C++ „water“'
PROSE = "Dr. Smith paid $3.50. Really?! 日本語。次。\n\nمرحبا 🇩🇪🇫🇷 e\u0301 It's".encode()


def names() -> list[str]:
    """All targets, in order."""
    return list(_targets())


def target_of(name: str) -> tuple[Target, list[bytes]]:
    """(target, seeds)."""
    target, seeds = _targets()[name]
    return target, seeds or [segments.valid(field) for field in segments.FIELDS]


def _targets() -> dict[str, tuple[Target, list[bytes]]]:
    from tests.hostile.cases import DRAWN, pdf

    field = json.dumps(bigrain.DenseField(dim=8).to_dict()).encode()
    lexical = json.dumps(bigrain.LexicalField().to_dict()).encode()
    made: dict[str, tuple[Target, list[bytes]]] = {
        "segment-file": (segment_file, []),
        "inverted-list": (inverted_list, packed_lists()),
        "token-record": (token_record, token_records()),
        "segment-table": (segment_table, [b'{"meta": {"n_rows": 1}, "sections": {"a": {"dtype": '
                                          b'"<u4", "shape": [3], "offset": 64, "crc32": 0}}}']),
        "reader-jsonl": (partial(documents_file, ".jsonl"), [ROW * 2]),
        "reader-json": (partial(documents_file, ".json"), [b"[" + ROW[:-1] + b"]"]),
        "reader-csv": (partial(documents_file, ".csv"), [CSV]),
        "reader-tsv": (partial(documents_file, ".tsv"), [CSV.replace(b",", b"\t")]),
        "reader-html": (partial(documents_file, ".html"), [HTML]),
        "reader-pdf": (partial(documents_file, ".pdf"), [pdf(DRAWN), pdf(DRAWN, packed=True)]),
        "reader-text": (partial(documents_file, ".md"), [b"# T\n\n" + PROSE,
                                                         PROSE.decode().encode("utf-16")]),
        "reader-gzip": (partial(documents_file, ".jsonl.gz"), [segments_gzip()]),
        "qrels": (partial(judged_file, load_judgments), [b"q1 0 d1 1\nq1 0 d2 0\n",
                                                         b"query-id\tcorpus-id\tscore\nq\td\t1\n"]),
        "run": (partial(judged_file, load_run), [b"q1 Q0 d1 1 2.5 tag\n", b"q1\td1\t1\n"]),
        "queries": (partial(judged_file, load_queries), [b'{"_id": "q", "text": "t"}\n',
                                                          b"q\tt\n"]),
        "beir": (beir_folder, [b"q\td\t1\n", b'{"_id": "q", "text": "t"}\n']),
        "encoder": (encoder_folder, [bytes([i]) + content
                                     for i, content in enumerate(encoder_files().values())]),
        "filter-text": (filter_text, [FILTER]),
        "filter-value": (filter_value, [b'{"year": {"$gte": 2020}, "$or": [{"l": "e"}, {"$not": '
                                        b'{"t": {"$in": [1, "a"]}}}], "k": null}']),
        "query": (query_text, [QUERY.encode(), "日本の* 水~1 ぬ (a OR text:b)".encode()]),
        "json": (json_text, [ROW]),
        "metadata": (metadata_value, [b'{"a": {"b": [1, "x", true, null]}, "c.d": 2.5}']),
        "chunks": (chunks, [b"\x10\x00" + PROSE * 3]),
        "words": (word_forms, [PROSE]),
        "wordpiece": (word_pieces, [PROSE, b"ab abb \xe6\x97\xa5."]),
        "vocabulary": (vocabulary_file, [b"a\nab\nb\n##b\n##ab"]),
        "field": (field_value, [field, lexical]),
        "chunking": (chunking_value, [json.dumps(Chunking().to_dict()).encode()]),
    }  # fmt: skip
    for name in segments.FIELDS:
        made[f"forged-{name}"] = (partial(forged_segment, name), [b"seed"])
    return made


def segments_gzip() -> bytes:
    import gzip

    return gzip.compress(ROW * 3, mtime=0)
