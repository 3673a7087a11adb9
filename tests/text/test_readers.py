"""Files, folders, standard input and BEIR sets, the hostile ones included."""

import gzip
import io
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from bigrain.errors import CancelledError, ConfigError, InvalidDocumentError
from bigrain.text import beir_corpus, beir_judgments, beir_queries, read_documents
from bigrain.types import Document


def read(source: object, **options: object) -> list[Document]:
    return list(read_documents(source, **options))  # type: ignore[arg-type]


def put(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def pdf(text: str, title: str) -> bytes:
    stream = f"BT /F1 12 Tf 20 100 Td ({text}) Tj ET".encode()
    bodies = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 300 200] /Contents 4 0 R "
        b"/Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        b"<< /Title (%s) >>" % title.encode(),
    ]
    out = b"%PDF-1.4\n"
    places = []
    for number, body in enumerate(bodies, start=1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    return out + (
        b"xref\n0 7\n0000000000 65535 f \n%strailer\n<< /Size 7 /Root 1 0 R /Info 6 0 R >>\n"
        b"startxref\n%d\n%%%%EOF" % (table, len(out))
    )


def test_a_folder_of_all_kinds(tmp_path: Path) -> None:
    put(tmp_path / "a.txt", "plain")
    put(tmp_path / "b" / "c.md.gz", "intro\n\n```\n# not\n```\n## Head ##\n\nbody")
    put(tmp_path / "b" / "r.rst", "Title\n=====\n\nbody")
    page = "<title>T &amp; t</title><script>no</script><p>One <b>b</b>old<p>Two<br>2"
    put(tmp_path / "h.html", page)
    put(tmp_path / "p.pdf", pdf("Hello PDF", "The title"))
    put(tmp_path / "t.csv", 'id,text,year\n1,"a, ""b""\nc",1999\n\n2,d,\n')
    put(tmp_path / "t.tsv", 'text\tn\n"quoted\t5\n')
    put(tmp_path / "x.jsonl", '{"_id": 7, "body": "B", "title": "T", "k": [1]}\n\n{"text": "u"}\n')
    put(tmp_path / "y.json.gz", '[{"contents": "C", "metadata": {"a": 1}}]')
    put(tmp_path / ".hidden.txt", "no")
    put(tmp_path / "z.exe", b"\0\1")
    put(tmp_path / "empty.txt", " \n")
    notices: list[str] = []
    found = {d.id: d for d in read(tmp_path, notice=notices.append)}
    assert set(found) == {
        *["a.txt", "b/c.md.gz", "b/r.rst", "h.html", "p.pdf", "1", "2", "t.tsv:2", "7"],
        *["x.jsonl:3", "y.json.gz:1"],
    }
    assert found["a.txt"] == Document("plain", "a.txt", "", {"path": "a.txt"})
    assert found["b/c.md.gz"].title == "Head" and found["b/r.rst"].title == "Title"
    assert (found["h.html"].title, found["h.html"].text) == ("T & t", "One bold\n\nTwo\n2")
    assert (found["p.pdf"].title, found["p.pdf"].text) == ("The title", "Hello PDF")
    assert found["p.pdf"].metadata == {"path": "p.pdf", "page_count": 1}
    assert found["1"].text == 'a, "b"\nc' and found["1"].metadata == {"year": 1999}
    assert found["t.tsv:2"].text == '"quoted'
    assert found["7"] == Document("B", "7", "T", {"k": [1]})
    assert found["y.json.gz:1"].metadata == {"a": 1}
    assert any(".exe" in n for n in notices) and any("empty.txt" in n for n in notices)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("name", ["a.txt", "a.csv", "a.jsonl", "a.json"])
def test_encodings(tmp_path: Path, name: str, encoding: str) -> None:
    content = {"a.txt": "é漢", "a.csv": "text\né漢\n"}.get(name, '{"text": "é漢"}')
    (document,) = read(put(tmp_path / name, content.encode(encoding)))
    assert document.text == "é漢"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"ab\xffc", r"byte 2 \(0xff\).*UTF-16"),
        ("a.txt", b"a\0b", "NUL character at position 1"),
        ("a.jsonl", b'{"text": "a"}\n{"text": "\xe9"}\n', "line 2: byte 24"),
        ("a.jsonl", '{"text": "a"}\n{"text": ', "line 2.*expected an object"),
        ("a.jsonl", '["text"]', "line 1.*an array"),
        ("a.jsonl", '{"txt": "a"}', "line 1.*'txt'.*text_column"),
        ("a.jsonl", '{"text": 3}', "'text' must be a string, found a number"),
        ("a.jsonl", '{"text": "\\ud800"}', "line 1: lone surrogate"),
        ("a.jsonl", '{"text": "a", "k": NaN}', "NaN"),
        ("a.jsonl", '{"text": "a", "k": 1e999}', "finite"),
        ("a.jsonl", '{"text": "a", "id": [1]}', "id must be"),
        ("a.jsonl", '{"text": "a", "k": ' + "[" * 100 + "]" * 100 + "}", "deeper than 16"),
        ("a.json", "[" * 200_000, "nested too deeply"),
        ("a.csv", "id,txt\n1,a\n", "'id', 'txt'.*text_column"),
        ("a.csv", "text,n\na,1,2\n", "line 2: 3 fields"),
        ("a.csv", 'text\n"never closed\n', "row that begins on line 2"),
        ("a.csv", "text,text\na,b\n", "'text' occurs twice"),
        ("a.pdf", b"%PDF-1.4 nonsense", "not a PDF"),
        ("a.docx", b"PK", "not a kind of file read"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    path = put(tmp_path / name, content)
    with pytest.raises(InvalidDocumentError, match=message) as caught:
        read(path)
    assert str(path) in str(caught.value)


def test_skip_goes_on_behind_the_bad_line(tmp_path: Path) -> None:
    put(tmp_path / "a.jsonl", '{"text": "a"}\nbroken\n{"text": "c"}\n')
    put(tmp_path / "b.txt", b"\xff")
    put(tmp_path / "c.txt", "good")
    notices: list[str] = []
    found = read(tmp_path, on_error="skip", notice=notices.append)
    assert [d.text for d in found] == ["a", "c", "good"]
    assert len(notices) == 2 and "line 2" in notices[0] and "b.txt" in notices[1]


def test_chosen_columns(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", "key;abstract\nk1;words\n")
    (document,) = read(path, text_column="abstract", id_column="key")
    assert (document.id, document.text) == ("k1", "words")


@pytest.mark.parametrize("name", ["a.txt.gz", "a.jsonl.gz", "a.csv.gz"])
def test_bombs_are_stopped(tmp_path: Path, name: str) -> None:
    path = put(tmp_path / name, b'{"text": "a"}\n' * 300_000)
    with pytest.raises(InvalidDocumentError, match=r"max_bytes=1,000,000"):
        read(path, max_bytes=1_000_000, text_column="text" if "json" in name else '{"text": "a"}')


def test_a_long_line_is_stopped_and_a_long_plain_file_is_not(tmp_path: Path) -> None:
    rows = "".join(json.dumps({"text": f"row {i}"}) + "\n" for i in range(1000))
    assert len(read(put(tmp_path / "a.jsonl", rows), max_bytes=100)) == 1000
    with pytest.raises(InvalidDocumentError, match="line 1: more than"):
        read(put(tmp_path / "b.jsonl", '{"text": "' + "x" * 1000 + '"}'), max_bytes=100)


def test_a_damaged_gzip_file_is_named(tmp_path: Path) -> None:
    path = put(tmp_path / "a.txt.gz", "words " * 1000)
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(InvalidDocumentError, match="not a whole gzip file"):
        read(path)
    path.write_bytes(b"plain text")
    with pytest.raises(InvalidDocumentError, match="not a whole gzip file"):
        read(path)


def test_a_skipped_rest_of_a_file_tells_how_much_was_read(tmp_path: Path) -> None:
    rows = "".join(json.dumps({"text": f"row {i * i % 997}"}) + "\n" for i in range(5000))
    path = put(tmp_path / "a.jsonl.gz", rows)
    path.write_bytes(path.read_bytes()[:-2000])
    notices: list[str] = []
    found = read(path, on_error="skip", notice=notices.append)
    assert 0 < len(found) < 5000
    assert [n.partition(": ")[0] for n in notices] == [f"skipped after {len(found):,} documents"]


def test_links_are_not_followed_out_or_around(tmp_path: Path) -> None:
    put(tmp_path / "outside.txt", "secret")
    folder = tmp_path / "in"
    put(folder / "a.txt", "a")
    (folder / "loop").symlink_to(folder)
    (folder / "self.txt").symlink_to("self.txt")
    (folder / "out.txt").symlink_to(tmp_path / "outside.txt")
    (folder / "same.txt").symlink_to("a.txt")
    notices: list[str] = []
    assert [d.id for d in read(folder, notice=notices.append)] == ["a.txt", "same.txt"]
    assert len(notices) == 3


def test_equal_names_in_two_folders_get_different_ids(tmp_path: Path) -> None:
    first, second = put(tmp_path / "x" / "r.txt", "1"), put(tmp_path / "y" / "r.txt", "2")
    ids = [d.id for d in read([first.parent, second.parent])]
    assert ids == ["r.txt", (tmp_path / "y" / "r.txt").as_posix()]


def test_wrong_options_are_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        read_documents(tmp_path, on_error="ignore")
    with pytest.raises(ConfigError):
        read_documents(tmp_path, max_bytes=0)
    with pytest.raises(InvalidDocumentError, match="no such file"):
        read_documents(tmp_path / "nowhere")


def test_progress_can_cancel(tmp_path: Path) -> None:
    put(tmp_path / "a.txt", "a")

    def stop(update: object) -> None:
        raise CancelledError("enough")

    with pytest.raises(CancelledError):
        read(tmp_path, progress=stop)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'\n{"id": "a", "text": "A"}\n', [("a", "A")]),
        (b"one\n\ntwo\n", [("stdin:1", "one"), ("stdin:3", "two")]),
        (b"", []),
    ],
)
def test_standard_input(
    monkeypatch: pytest.MonkeyPatch, data: bytes, expected: list[tuple[str, str]]
) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(data)))
    assert [(d.id, d.text) for d in read("-")] == expected


@pytest.fixture
def beir(tmp_path: Path) -> Path:
    put(tmp_path / "corpus.jsonl.gz", '{"_id": "d1", "title": "T", "text": "x"}\n')
    put(tmp_path / "queries.jsonl", '{"_id": "q1", "text": "what"}\n')
    put(tmp_path / "qrels" / "dev.tsv", "query-id\tcorpus-id\tscore\nq1\td1\t2\n")
    put(tmp_path / "qrels" / "train.tsv", "q1 0 d1 1\n")
    return tmp_path


def test_beir(beir: Path) -> None:
    assert list(beir_corpus(beir)) == [Document("x", "d1", "T")]
    assert read(beir) == [Document("x", "d1", "T")]
    assert beir_queries(beir) == {"q1": "what"}
    assert beir_judgments(beir) == {"q1": {"d1": 2}}
    assert beir_judgments(beir, "train") == {"q1": {"d1": 1}}


def test_bad_beir_folders_are_named(beir: Path) -> None:
    with pytest.raises(InvalidDocumentError, match="there are dev, train"):
        beir_judgments(beir, "test")
    put(beir / "qrels" / "dev.tsv", "query-id\tcorpus-id\tscore\nq1\td1\tgood\n")
    with pytest.raises(InvalidDocumentError, match=r"dev\.tsv, line 2"):
        beir_judgments(beir)
    put(beir / "queries.jsonl", '{"_id": "q1"}\n')
    with pytest.raises(InvalidDocumentError, match="line 1"):
        beir_queries(beir)
    with pytest.raises(InvalidDocumentError, match=r"corpus\.jsonl"):
        beir_corpus(beir / "qrels")


def test_a_deeply_nested_page_is_read_without_recursion(tmp_path: Path) -> None:
    (document,) = read(put(tmp_path / "a.html", "<div>" * 5000 + "deep"))
    assert document.text == "deep"
