"""Fields of one encoder, in Python and on the command line."""

import json

import pytest
from click.testing import CliRunner

import bigrain
from bigrain.cli import main
from tests.encoders.letters import FAMILIES, Letters


@pytest.fixture(autouse=True)
def letters():
    model = Letters()
    bigrain.register_encoder("letters", lambda: model)
    return model


def run(*arguments):
    return CliRunner().invoke(main, [str(a) for a in arguments])


def test_all_families_of_an_encoder_or_some():
    fields = bigrain.fields_of("letters", language="de")
    assert [field.family for field in fields.values()] == ["lexical", *FAMILIES]
    assert fields["lexical"].language == "de"
    assert all(fields[family].encoder == "letters" for family in FAMILIES)
    assert list(bigrain.fields_of("letters", "sparse")) == ["lexical", "sparse"]


@pytest.mark.parametrize(
    ("families", "said"),
    [
        (["dense", "words"], "gives dense, sparse, multivector, not 'words'"),
        ([], "families is empty"),
        ([5], "not 5"),
    ],
)
def test_families_that_are_not_there(families, said):
    with pytest.raises(bigrain.ConfigError, match=said):
        bigrain.fields_of("letters", families)


def test_an_unknown_name_says_what_could_be_one():
    with pytest.raises(bigrain.ConfigError, match="'lettres' is not registered.*known: .*letters"):
        bigrain.fields_of("lettres")


def test_the_command_line_takes_an_encoder(tmp_path, letters):
    source = tmp_path / "docs.jsonl"
    source.write_text('{"id": "a", "text": "grain in silos"}\n{"id": "b", "text": "the moon"}\n')
    target = tmp_path / "docs.grain"
    done = run("index", source, "--to", target, "--encoder", "letters", "--json")
    assert done.exit_code == 0 and json.loads(done.stdout)["documents"] == 2
    assert letters.documents == {"grain in silos": 1, "the moon": 1}
    with bigrain.open(target) as col:
        assert list(col.fields) == ["lexical", *FAMILIES]
    other = tmp_path / "other.grain"
    done = run(
        "index", source, "--to", other, "--encoder", "letters", "--families", "dense, sparse"
    )
    assert done.exit_code == 0
    with bigrain.open(other) as col:
        assert list(col.fields) == ["lexical", "dense", "sparse"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--encoder", "letters", "--no-dense"], "exclude each other"),
        (["--encoder", "letters", "--families", "dense,words"], "not 'words'"),
        (["--encoder", "lettres"], "is not registered"),
    ],
)
def test_wrong_options_leave_nothing(tmp_path, options, said):
    source = tmp_path / "docs.txt"
    source.write_text("grain in silos")
    done = run("index", source, "--to", tmp_path / "docs.grain", *options)
    assert done.exit_code != 0 and said in done.stderr
    assert not (tmp_path / "docs.grain").exists()


def test_without_the_extra_its_name_is_told(tmp_path, monkeypatch):
    import sys

    for library in ("torch", "transformers"):
        monkeypatch.setitem(sys.modules, library, None)
    (tmp_path / "model").mkdir()
    for name, text in (("config.json", "{}"), ("vocab.txt", "[PAD]"), ("pytorch_model.bin", "")):
        (tmp_path / "model" / name).write_text(text)
    with pytest.raises(bigrain.MissingExtraError, match=r"pip install 'bigrain\[transformers\]'"):
        bigrain.fields_of(str(tmp_path / "model"))


def test_passages_fit_the_window_that_an_encoder_tells(tmp_path, letters):
    letters.window_chars = 40
    letters.fusion_weights = lambda families: dict.fromkeys(families, 0.5)
    source = tmp_path / "docs.txt"
    source.write_text("Grain is stored in silos. " * 6)
    command = ["index", source, "--encoder", "letters", "--families", "dense", "--to"]
    done = run(*command, tmp_path / "a.grain")
    assert done.exit_code == 0, done.stderr
    assert "passages of at most 40 characters" in done.stderr and "--chunk-chars" in done.stderr
    assert all(len(text) <= 40 for text in letters.documents)
    assert "at most 40 characters" in run("stats", tmp_path / "a.grain").stdout
    with bigrain.open(tmp_path / "a.grain") as col:
        told = col.stats()
        assert told["chunking"]["overlap_chars"] == 4
        assert told["fusion"]["weights"] == bigrain.Fusion().weights | {"dense": 0.5}
    done = run(*command, tmp_path / "b.grain", "--chunk-chars", "60")
    assert done.exit_code == 0 and "passages of at most" not in done.stderr
    done = run(*command, tmp_path / "c.grain", "--no-chunks")
    assert done.exit_code == 0 and "of at most" not in run("stats", tmp_path / "c.grain").stdout


def test_passages_know_the_text_they_were_cut_from(tmp_path, letters):
    seen = []
    encode = letters.encode_documents
    letters.encode_documents = lambda texts, families: seen.extend(texts) or encode(texts, families)
    text = "Grain is stored in silos. The moon orbits. Zoo and jazz."
    chunking = bigrain.Chunking(max_chars=26)
    with bigrain.create(tmp_path / "a", bigrain.fields_of("letters"), chunking=chunking) as col:
        col.add([{"id": "a", "title": "All", "text": text}, {"id": "b", "text": "short"}])
    *passages, short = seen
    assert type(short) is str and len(passages) == 3
    for place, passage in enumerate(passages):
        start, stop = passage.whole.spans[place]
        assert passage.place == place and passage.whole is passages[0].whole
        assert passage == "All " + passage.whole.text[start:stop]
    assert passages[0].whole.text == f"All {text}"
