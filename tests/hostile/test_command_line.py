"""The table against the command line: done or refused, in one line and without a traceback."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import bigrain
from bigrain.cli import main
from tests.hostile import cases, running

OPTIONS = {"k", "recall", "filter", "fields"}
PYTHON_WORDS = ("max_bytes", "text_column", "missing=", "bigrain.open", "bigrain.create", "budget_")
CODES = {None: 0, "CollectionExistsError": 5}


def as_json(value: Any) -> str | None:
    """The value as JSON, lone surrogates included; None where JSON cannot carry it."""
    try:
        return json.dumps(value, allow_nan=False)
    except (RecursionError, TypeError, ValueError):
        return None


def arguments_of(case: cases.Case, payload: Any) -> list[str] | None:
    """The command that does what the case asks for, or None where there is none."""
    if case.kind == "document" and isinstance(payload, list) and payload:
        rows = as_rows(payload)
        if rows is None:
            return None
        Path("rows.jsonl").write_text(rows)
        return ["add", "GRAIN", "rows.jsonl"]
    if case.kind == "files":
        running.lay(Path("in"), payload)
        return ["add", "GRAIN", "in"]
    if case.kind == "delete" and isinstance(payload, list) and payload:
        if not all(isinstance(one, str) and one.isprintable() for one in payload):
            return None
        return ["delete", "GRAIN", "--", *payload]
    if case.kind == "search":
        query, options = payload
        if not isinstance(query, str) or not options.keys() <= OPTIONS or query == "-":
            return None
        given = ["search", "GRAIN"]
        for name, value in options.items():
            kind = str if name in ("filter", "fields") else (int, float, np.integer)
            if not isinstance(value, kind) or isinstance(value, bool) or as_json(str(name)) is None:
                return None
            if isinstance(value, int) and value.bit_length() > 1000:
                return None  # nobody can type it
            flag = {"k": "-k", "fields": "--field"}.get(name, f"--{name}")
            given += [flag, str(value)]
        return [*given, "--", query]
    return None


def as_rows(rows: list[Any]) -> str | None:
    """The rows as JSON lines, or None where they would say something else.

    Readers leave out rows without text and take unknown keys as metadata.
    """
    lines = []
    for row in rows:
        text = as_json(row)
        if text is None or json.loads(text) != row or not isinstance(row, dict):
            return None
        if "text" not in row or row.keys() - {"id", "text", "title", "metadata"}:
            return None
        if not row.get("id") or not isinstance(row.get("metadata", {}), dict):
            return None
        if not str(row["text"]).strip():
            return None
        lines.append(text + "\n")
    return "".join(lines)


# All files; of the rest, which the library has seen, every third case.
CASES = [
    case
    for number, case in enumerate(cases.build())
    if case.kind == "files" or (case.kind in ("document", "delete", "search") and number % 3 == 0)
]
SOUND = [(d["id"], "", d["text"], d["metadata"]) for d in cases.DOCUMENTS]


@pytest.fixture(scope="module")
def grain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("line") / "docs.grain"
    running.make(path).close()
    return path


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(
    grain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: cases.Case
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = arguments_of(case, case.make())
    if arguments is None:
        pytest.skip("the command line cannot be given this")
    given = [str(grain) if one == "GRAIN" else one for one in arguments]
    result = CliRunner().invoke(main, given)
    shown = f"{result.stdout[-500:]}\n{result.stderr[-1500:]}"
    assert result.exit_code == CODES.get(case.error, 2), shown
    assert "Traceback" not in result.stderr, shown
    if case.error is not None:
        told = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
        assert len(told) == 1, shown
        assert not any(word in result.stderr for word in PYTHON_WORDS), shown
    with bigrain.open(grain) as col:
        if case.error is None and case.kind != "search" and col.snapshot:
            col.delete([d.id for d in col.documents()])
            col.add(cases.DOCUMENTS)
            col.commit()
        assert running.state(col) == SOUND
