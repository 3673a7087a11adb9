"""Documents out of files, folders and standard input.

    .txt .text .md .rst .html .htm .pdf     one document a file
    .csv .tsv                               one a row, the first line names the columns
    .jsonl .ndjson .json                    one an object
    a folder with corpus.jsonl              a BEIR set: its corpus only
    -                                       standard input: JSON lines, or one document a line

Each also with `.gz`. `rows` says how a row becomes a document, `sources` how bytes become text.
"""

from __future__ import annotations

import itertools
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from bigrain.errors import (
    BigrainError,
    ConfigError,
    InvalidDocumentError,
    MissingExtraError,
    shown,
)
from bigrain.progress import ProgressLike, reporting
from bigrain.text.html import html_text
from bigrain.text.normalise import clean_text
from bigrain.text.pdf import pdf_text
from bigrain.text.rows import Columns, json_documents, json_lines, table_documents
from bigrain.text.sources import (
    DEFAULT_MAX_BYTES,
    decode,
    read_bytes,
    read_lines,
    stream_lines,
)
from bigrain.types import MAX_ID_CHARS, Document

__all__ = ["Source", "read_documents"]

ROOM_FOR_LINE = 12  # ":" and a line's number

Source: TypeAlias = "str | os.PathLike[str]"

_TEXT = frozenset([".txt", ".text", ".md", ".markdown", ".rst"])
_HTML = frozenset([".html", ".htm", ".xhtml"])
_TABLES = frozenset([".csv", ".tsv"])
_LINES = frozenset([".jsonl", ".ndjson"])
_KINDS = _TEXT | _HTML | _TABLES | _LINES | {".pdf", ".json"}
_ACCEPTED = ".txt .md .rst .html .pdf .csv .tsv .jsonl .json, each also with .gz"


def read_documents(
    sources: Source | Iterable[Source],
    *,
    progress: ProgressLike = None,
    on_error: str = "raise",
    notice: Callable[[str], object] | None = None,
    text_column: str | None = None,
    id_column: str | None = None,
    max_bytes: int | None = DEFAULT_MAX_BYTES,
) -> Iterator[Document]:
    """The documents of files and folders, one after another, in sorted order.

    Ids: for a file that is one document, its path relative to the folder given (its name, if the
    file itself was given); for rows, their `_id` or `id`, else `path:line`. Where several sources
    share a relative path, later ones keep the path as given. Metadata of whole files: `path`, and
    `page_count` for PDF. Folders are read with what is below them; hidden files, links that leave
    the folder and files of other kinds are left out, and all but the hidden ones noticed.

    Args:
        sources: paths, or "-" for standard input.
        progress: see `bigrain.progress`.
        on_error: "raise" at the first document that cannot be read, or "skip" it with a notice.
        notice: called with a sentence for each thing left out; None is silent.
        text_column, id_column: where rows keep them, if not under the usual names.
        max_bytes: the most that a file that is one document, or one line of another, may hold,
            unpacked; rows of a `.gz` file may unpack to more if it is large itself (`sources`).
            None: no limit.

    Raises, when called: ConfigError for a wrong option, InvalidDocumentError for a source that is
    not there. While reading: InvalidDocumentError names file and line, StorageError a file that
    cannot be read, MissingExtraError the extra for HTML and PDF.
    """
    if on_error not in ("raise", "skip"):
        raise ConfigError(f"on_error={on_error!r}: accepted are 'raise' and 'skip'")
    if max_bytes is not None and (type(max_bytes) is not int or max_bytes < 1):
        raise ConfigError(
            f"max_bytes={shown(max_bytes)}: give a number of bytes, or None for no limit"
        )
    given = [sources] if isinstance(sources, (str, os.PathLike)) else list(sources)
    for source in given:
        if str(source) != "-" and not _is_there(Path(source)):
            raise InvalidDocumentError(f"no such file or folder: {shown(str(source))}")
    reading = _Reading(
        columns=Columns(text_column, id_column),
        max_bytes=max_bytes,
        skip=on_error == "skip",
        notice=notice or (lambda message: None),
    )
    return _reported(reading, given, progress)


def _reported(
    reading: _Reading, sources: list[Source], progress: ProgressLike
) -> Iterator[Document]:
    with reporting(progress) as reporter:
        reporter.stage("reading")
        for source in sources:
            for document in reading.source(source, one_of_many=len(sources) > 1):
                yield document
                reporter.advance()


@dataclass
class _Reading:
    """The options of one call, and the labels it has given to files."""

    columns: Columns
    max_bytes: int | None
    skip: bool
    notice: Callable[[str], object]
    labels: set[str] = field(default_factory=set)

    def source(self, source: Source, *, one_of_many: bool) -> Iterator[Document]:
        """The documents of one source: standard input, a file or a folder."""
        if str(source) == "-":
            yield from self.standard_input()
            return
        root = Path(source)
        for path in self.files_below(root) if root.is_dir() else [root]:
            label = path.relative_to(root).as_posix() if path != root else path.name
            if one_of_many:
                label = path.as_posix() if label in self.labels else label
                self.labels.add(label)
            n = 0
            try:
                _check_label(label, path)
                for document in self.file(path, label):
                    n += 1
                    yield document
            except MissingExtraError:
                raise
            except BigrainError as error:
                if not self.skip:
                    raise
                before = f" after {n:,} documents" if n else ""
                self.notice(f"skipped{before}: {error}")

    def fail(self, error: BigrainError) -> None:
        if not self.skip:
            raise error
        self.notice(f"skipped: {error}")

    def file(self, path: Path, label: str) -> Iterator[Document]:
        """The documents of one file, by the ending of its name."""
        kind, name = _kind_of(path), str(path)
        documents: Iterator[Document]
        if kind in _LINES:
            lines = read_lines(path, self.max_bytes)
            documents = json_lines(lines, name, label, self.columns, self.fail)
        elif kind in _TABLES:
            lines = read_lines(path, self.max_bytes)
            documents = table_documents(
                lines, name, label, self.columns, self.fail, tabs=kind == ".tsv"
            )
        elif kind == ".json":
            text = decode(read_bytes(path, self.max_bytes), name)
            if not text or text.isspace():
                documents = iter(())
            else:
                documents = json_documents(text, name, label, self.columns, self.fail)
        else:
            documents = self.whole_file(path, label, kind)
        empty = True
        for document in documents:
            empty = False
            if document.text.strip() or document.title.strip():
                yield document
            else:
                self.notice(f"skipped: {name}: document {document.id!r} has no text")
        if empty:
            self.notice(f"skipped: {name}: no documents in it")

    def whole_file(self, path: Path, label: str, kind: str) -> Iterator[Document]:
        """The file as one document."""
        name = str(path)
        if kind not in _KINDS and kind:
            raise InvalidDocumentError(f"{name}: {kind} is not a kind of file read; {_ACCEPTED}")
        data = read_bytes(path, self.max_bytes)
        metadata: dict[str, object] = {"path": label}
        if not data.strip():
            title = text = ""
        elif kind == ".pdf":
            title, text, metadata["page_count"] = pdf_text(data, name, self.max_bytes)
        elif kind in _HTML:
            title, text = html_text(data, name)
        else:
            text = decode(data, name)
            title = _heading(text) if kind not in (".txt", ".text", "") else ""
        try:
            yield Document(
                text=clean_text(text), id=label, title=clean_text(title), metadata=metadata
            )
        except InvalidDocumentError as error:
            raise InvalidDocumentError(f"{name}: {error}") from None

    def files_below(self, folder: Path) -> Iterator[Path]:
        """Files that can be read, sorted; what is left out is noticed."""
        top = os.path.realpath(folder)
        others: Counter[str] = Counter()

        def unreadable(error: OSError) -> None:
            self.fail(InvalidDocumentError(f"{error.filename} cannot be read: {error.strerror}"))

        for here, folders, names in os.walk(folder, onerror=unreadable):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in folders:
                if os.path.islink(os.path.join(here, name)):
                    self.notice(f"skipped: {os.path.join(here, name)}: a link to a folder")
            corpus = next((n for n in ("corpus.jsonl", "corpus.jsonl.gz") if n in names), None)
            if corpus is not None:  # a BEIR set: queries and judgments are no documents
                folders.clear()
                names = [corpus]
            for name in sorted(names):
                path = Path(here, name)
                if name.startswith("."):
                    continue
                if _kind_of(path) not in _KINDS:
                    others[_kind_of(path) or "no ending"] += 1
                elif not path.is_file():
                    self.notice(f"skipped: {path}: not a file (a broken link, or a device)")
                elif path.is_symlink() and not _is_inside(os.path.realpath(path), top):
                    self.notice(f"skipped: {path}: a link that leaves the folder")
                else:
                    yield path
        if others:
            kinds = ", ".join(f"{n} {kind}" for kind, n in others.most_common(8))
            self.notice(f"skipped: {folder}: files of other kinds ({kinds}); read are {_ACCEPTED}")

    def standard_input(self) -> Iterator[Document]:
        """JSON lines if the first line is a JSON object, else one document a line."""
        lines = stream_lines(sys.stdin.buffer, "standard input", self.max_bytes)
        filled = ((number, line) for number, line in lines if not line.isspace())
        first = next(filled, None)
        if first is None:
            self.notice("skipped: standard input: no documents in it")
            return
        both = itertools.chain([first], filled)
        if first[1].lstrip().startswith("{"):
            yield from json_lines(both, "standard input", "stdin", self.columns, self.fail)
            return
        for number, line in both:
            try:
                yield Document(text=clean_text(line.strip()), id=f"stdin:{number}")
            except InvalidDocumentError as error:
                self.fail(InvalidDocumentError(f"standard input, line {number}: {error}"))


def _kind_of(path: Path) -> str:
    """The ending of the name in small letters, `.gz` aside."""
    name = path.name.lower().removesuffix(".gz")
    return os.path.splitext(name)[1]


def _check_label(label: str, path: Path) -> None:
    """Ids are made of a file's name, so the name must be text, and not too long."""
    try:
        clean_text(label)
    except InvalidDocumentError as error:
        raise InvalidDocumentError(f"{shown(str(path))}: the file's name: {error}") from None
    if len(label) > MAX_ID_CHARS - ROOM_FOR_LINE:
        raise InvalidDocumentError(
            f"{path}: its path is {len(label)} characters long; at most "
            f"{MAX_ID_CHARS - ROOM_FOR_LINE} can become an id"
        )


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name longer than any file's
        return False


def _is_inside(path: str, top: str) -> bool:
    return os.path.commonpath([path, top]) == top


_ATX = re.compile(r" {0,3}#{1,6}[ \t]+(\S.*)")
_UNDERLINE = re.compile(r"([=~^*+-])\1{2,}\s*")


def _heading(text: str) -> str:
    """The first heading of Markdown or reStructuredText within the first 200 lines, or ""."""
    before = ""
    in_code = False
    for line in text[:100_000].split("\n", 200)[:200]:
        if line.lstrip().startswith(("```", "~~~")):
            in_code = not in_code
        elif not in_code:
            match = _ATX.match(line)
            if match:
                return match[1].strip().rstrip("#").strip()
            if before and _UNDERLINE.fullmatch(line):
                return before
        before = "" if _UNDERLINE.fullmatch(line) else line.strip()
    return ""
