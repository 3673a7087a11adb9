"""What users met, and what they are told now."""

import logging
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import bigrain
from bigrain.cli import main
from bigrain.text import Analyser, read_documents
from tests.hostile import cases


def test_a_nan_from_an_encoder_names_the_document(tmp_path: Path) -> None:
    def encode(texts: list[str]) -> np.ndarray:
        return np.array([[1.0, float("nan") if "bad" in text else 2.0] for text in texts])

    bigrain.register_encoder("nan", lambda: bigrain.CallableEncoder("nan", encode, 2))
    fields = {"enc": bigrain.DenseField(encoder="nan")}
    with bigrain.create(tmp_path / "docs.grain", fields) as col:
        long = " ".join(["A sentence of a long text."] * 300)
        documents = [{"id": f"d{i}", "text": f"{long} number {i}."} for i in range(5)]
        documents[3]["text"] += " This one is bad."
        with pytest.raises(bigrain.InvalidVectorsError, match=r"'enc', document 'd3'.*nan"):
            col.add(documents)
        assert len(col) == 0


def test_vectors_near_the_end_of_float32_are_refused_before_their_scores_overflow(
    tmp_path: Path,
) -> None:
    fields = {"far": bigrain.DenseField(dim=4, metric="ip", heavy="float32")}
    with bigrain.create(tmp_path / "docs.grain", fields) as col:
        with pytest.raises(bigrain.InvalidVectorsError, match="row 1.*overflow"):
            col.add_vectors("far", ["a", "b"], [[1.0] * 4, [1e38] * 4])
        col.add_vectors("far", ["a", "b"], [[1e15] * 4, [-1e15] * 4])
        col.commit()
        hits = col.search(np.full(4, 1e15), explain=True)
        assert [hit.id for hit in hits] == ["a", "b"]
        assert all(np.isfinite(hit.score) for hit in hits)


def test_a_missing_stemmer_is_no_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "Stemmer", None)
    with pytest.raises(bigrain.MissingExtraError, match="pip install PyStemmer") as caught:
        Analyser("hu").analyse("kutyák")
    assert "[" not in str(caught.value)


def test_a_broken_pdf_is_told_once_and_not_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a.pdf").write_bytes(cases.pdf(cases.DRAWN)[:-40] + b"startxref 99 %%EOF")
    with caplog.at_level(logging.DEBUG):
        list(read_documents(tmp_path, on_error="skip"))
    assert not [record for record in caplog.records if record.name.startswith("pypdf")]


def test_indexing_a_folder_with_a_pipe_in_it_ends(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    os.mkfifo(tmp_path / "in" / "rows.jsonl")
    (tmp_path / "in" / "a.txt").write_text("grain")
    given = ["index", str(tmp_path / "in"), "--to", str(tmp_path / "docs.grain"), "--no-dense"]
    result = CliRunner().invoke(main, given)
    assert result.exit_code == 0 and "1 document," in result.stdout
    assert "a broken link, or a device" in result.stderr


@pytest.fixture
def grain(tmp_path: Path) -> Path:
    path = tmp_path / "docs.grain"
    with bigrain.create(path, {"lex": bigrain.LexicalField()}) as col:
        col.add([{"id": "a", "text": "grain \U0001f33e"}])
        col.commit()
    return path


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        (["delete", "GRAIN", "-"], b"a\n\xff\n"),
        (["search", "GRAIN", "-"], b"grain\n\xff\n"),
        (["search", "GRAIN", "-"], b'{"text": ' + b"[" * 100_000),
        (["search", "GRAIN", "-"], b'{"text": 5}'),
        (["search", "GRAIN", "-"], b'{"text": "a", "id": ' + b"9" * 9999 + b"}"),
        (["add", "GRAIN", "-"], b"\xff\xfe\x00\xd8"),
        (["add", "GRAIN", "-", "--max-bytes", "100"], b"x" * 101),
    ],
)
def test_standard_input_that_is_no_text_is_refused_in_one_line(
    grain: Path, arguments: list[str], given: bytes
) -> None:
    named = [str(grain) if one == "GRAIN" else one for one in arguments]
    result = CliRunner().invoke(main, named, input=given)
    assert result.exit_code == 2, result.stderr
    (told,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert "standard input" in told and "max_bytes" not in told


def test_a_query_that_is_half_a_character_is_printed_as_json(grain: Path) -> None:
    result = CliRunner().invoke(main, ["search", str(grain), "grain \udcff", "--json"])
    assert result.exit_code == 0, result.stderr
    assert "\\udcff" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["delete", "GRAIN", "nobody"], "hint: `--ignore-missing`"),
        (["search", "GRAIN", "x", "-k", "0"], "-k 0"),
        (["stats", "/nowhere.grain"], "bigrain index"),
        (["index", "ROWS", "--to", "NEW", "--text-column", "body"], "--text-column"),
        (["index", "ROWS", "--to", "NEW", "--max-bytes", "5"], "--max-bytes"),
    ],
)
def test_the_command_line_speaks_of_its_own_options(
    grain: Path, tmp_path: Path, arguments: list[str], says: str
) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"txt": "grain"}\n')
    places = {"GRAIN": str(grain), "ROWS": str(rows), "NEW": str(tmp_path / "new.grain")}
    result = CliRunner().invoke(main, [places.get(one, one) for one in arguments])
    assert result.exit_code in (2, 5)
    assert says in result.stderr
    for word in ("missing=", "text_column", "bigrain.create", "max_bytes", "k="):
        assert word not in result.stderr
