"""Documents for `index` and `add`, with notes about what is left out and a guess of how many."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bigrain.cli.options import parse_size
from bigrain.cli.output import note

if TYPE_CHECKING:
    from bigrain.cli.options import State
    from bigrain.types import Document

__all__ = ["Sources", "reading_options", "sources_argument"]

SHOWN_NOTES = 5
SAMPLE_BYTES = 1 << 20
ROWS = (".jsonl", ".ndjson", ".csv", ".tsv")


def sources_argument(function: Callable[..., Any]) -> Callable[..., Any]:
    """SOURCE..."""
    return click.argument("sources", metavar="SOURCE...", nargs=-1, required=True)(function)


def reading_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """How sources are read."""
    for decorate in (
        click.option("--skip-errors", is_flag=True, help="Leave out what cannot be read."),
        click.option(
            "--max-bytes",
            callback=lambda ctx, param, text: text and parse_size(text),
            metavar="SIZE",
            help="Largest document or line, unpacked (default: 268MB).",
        ),
        click.option("--id-column", metavar="NAME", help="Where rows keep their id."),
        click.option("--text-column", metavar="NAME", help="Where rows keep their text."),
    ):
        function = decorate(function)
    return function


class Sources:
    """An iterable of documents; `len` is a guess, made for the progress bar only."""

    def __init__(
        self,
        sources: Sequence[str],
        state: State,
        *,
        text_column: str | None,
        id_column: str | None,
        skip_errors: bool,
        max_bytes: int | None,
    ) -> None:
        self._sources, self._state = sources, state
        self._options: dict[str, Any] = {
            "text_column": text_column,
            "id_column": id_column,
            "on_error": "skip" if skip_errors else "raise",
            **({} if max_bytes is None else {"max_bytes": max_bytes}),
        }
        self._n_notes = 0

    def __iter__(self) -> Iterator[Document]:
        from bigrain.text import read_documents

        yield from read_documents(self._sources, notice=self._notice, **self._options)
        if self._n_notes > SHOWN_NOTES:
            note(f"... and {self._n_notes - SHOWN_NOTES:,} more were left out", self._state)

    def _notice(self, message: str) -> None:
        self._n_notes += 1
        if self._n_notes <= SHOWN_NOTES:
            note(message, self._state)

    def shown(self) -> Sources | Iterator[Document]:
        """With its length where that can be guessed, so that a bar can tell the time left."""
        return iter(self) if "-" in self._sources else self

    def __len__(self) -> int:
        return sum(_guess(Path(source)) for source in self._sources)


def _guess(path: Path) -> int:
    """About how many documents a file or folder holds, from its names and sizes."""
    if not path.is_dir():
        return _guess_file(path)
    total = 0
    for here, folders, names in os.walk(path):
        corpus = [name for name in ("corpus.jsonl", "corpus.jsonl.gz") if name in names]
        if corpus:
            folders.clear()
        visible = [name for name in corpus[:1] or names if not name.startswith(".")]
        total += sum(_guess_file(Path(here, name)) for name in visible)
    return total


def _guess_file(path: Path) -> int:
    if not path.name.lower().removesuffix(".gz").endswith(ROWS):
        return 1
    try:
        if not path.is_file():  # opening a pipe would wait for a writer
            return 1
        with path.open("rb") as raw:
            stream = gzip.GzipFile(fileobj=raw) if path.name.lower().endswith(".gz") else raw
            lines = stream.read(SAMPLE_BYTES).count(b"\n")
            read = raw.tell()  # compressed bytes, where they are
        return max(1, round(lines * path.stat().st_size / max(1, read)))
    except (OSError, EOFError, zlib.error):
        return 1
