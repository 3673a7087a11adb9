"""A tiny collection, a tiny BEIR folder, and a way to call the program."""

import json
import shutil

import pytest
from click.testing import CliRunner

from bigrain.cli import main

DOCUMENTS = [
    {"_id": "silo", "title": "Silos", "text": "Grain is kept dry in towers.", "year": 2019},
    {"_id": "moon", "title": "Moon", "text": "The Moon goes around the Earth.", "year": 2021},
    {"_id": "bread", "title": "Bread", "text": "Flour and water, baked.", "year": 2023},
    {"_id": "tide", "title": "Tides", "text": "The sea rises with the Moon.", "year": 2023},
]
QUERIES = {"q1": "dry grain", "q2": "moon", "q3": "baked flour"}
JUDGMENTS = {"q1": {"silo": 1}, "q2": {"moon": 2, "tide": 1}, "q3": {"bread": 1}}


class Program:
    """`program("stats", path)` calls the command line in this process."""

    def __call__(self, *args, code=0, stdin=None):
        result = CliRunner().invoke(main, [str(arg) for arg in args], input=stdin)
        shown = f"{args}\n{result.stdout}\n{result.stderr}"
        assert result.exit_code == code, shown
        assert "Traceback" not in result.stderr, shown
        return result

    def json(self, *args, **options):
        return json.loads(self(*args, "--json", **options).stdout)


@pytest.fixture
def program():
    return Program()


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def beir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("beir")
    write_lines(folder / "corpus.jsonl", DOCUMENTS)
    write_lines(folder / "queries.jsonl", [{"_id": q, "text": t} for q, t in QUERIES.items()])
    (folder / "qrels").mkdir()
    rows = [f"{q}\t{d}\t{g}" for q, grades in JUDGMENTS.items() for d, g in grades.items()]
    (folder / "qrels" / "test.tsv").write_text(
        "query-id\tcorpus-id\tscore\n" + "\n".join(rows) + "\n", encoding="utf-8"
    )
    return folder


@pytest.fixture(scope="session")
def made(beir, tmp_path_factory):
    path = tmp_path_factory.mktemp("made") / "docs.grain"
    Program()("index", beir, "--to", path)
    return path


@pytest.fixture
def grain(made, tmp_path):
    """A copy of the collection, to do anything to."""
    return shutil.copytree(made, tmp_path / "docs.grain")
