"""The door: what a user adds becomes `Stored` documents, or an error that names the row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from bigrain.encoders.one_pass import source_of
from bigrain.errors import InvalidDocumentError, InvalidInputError, shown
from bigrain.families import Family
from bigrain.storage.attributes import normalise_metadata
from bigrain.text.chunk import Chunking, split
from bigrain.text.normalise import clean_text
from bigrain.types import MAX_ID_CHARS, Document, Documents

__all__ = ["DEFAULT_CHUNKING", "check_id", "spans_of", "take_in", "usual_chunking"]

KEYS = frozenset({"id", "_id", "text", "title", "metadata"})
MAX_TEXT_CHARS = 256 << 20
DEFAULT_CHUNKING = Chunking(by="sentence", max_chars=2000, overlap_chars=200)


def take_in(documents: Documents, *, blank_ok: bool) -> Iterator[Document]:
    """Checked documents in order; `id` None where the user gave none."""
    if isinstance(documents, str | bytes | Mapping | Document):
        raise InvalidDocumentError(
            f"add takes several documents; put the {type(documents).__name__} in a list"
        )
    try:
        iterator = iter(documents)
    except TypeError:
        raise InvalidDocumentError(
            f"add takes an iterable of documents, not {type(documents).__name__}"
        ) from None
    for row, given in enumerate(iterator):
        yield _one(row, given, blank_ok)


def _one(row: int, given: Any, blank_ok: bool) -> Document:
    if isinstance(given, str):
        document = Document(text=given)
    elif isinstance(given, Document):
        document = given
    elif isinstance(given, Mapping):
        document = _from_mapping(row, given)
    else:
        raise InvalidDocumentError(
            f"row {row}: a document is text, a mapping with 'text', or a Document, not "
            f"{type(given).__name__}"
        )
    identifier = None if document.id is None else check_id(document.id, f"row {row}")
    where = f"row {row}" if identifier is None else f"row {row} (id {identifier!r})"
    text = _text(document.text, where, "text")
    title = _text(document.title, where, "title")
    if not blank_ok and not (text.strip() or title.strip()):
        raise InvalidDocumentError(f"{where}: text and title are empty; leave the document out")
    return Document(text, identifier, title, normalise_metadata(document.metadata, where))


def _from_mapping(row: int, given: Mapping[str, Any]) -> Document:
    unknown = next((key for key in given if key not in KEYS), None)
    if unknown is not None or None in given:
        raise InvalidDocumentError(
            f"row {row}: unknown key {shown(unknown)}; a document has id, text, title and "
            "metadata (put your own keys into metadata)"
        )
    if given.get("id") is not None and given.get("_id") not in (None, given["id"]):
        raise InvalidDocumentError(
            f"row {row}: id is {shown(given['id'])} and _id is {shown(given['_id'])}; give one"
        )
    if "text" not in given:
        raise InvalidDocumentError(f"row {row}: the document has no 'text'")
    title, metadata = given.get("title"), given.get("metadata")
    return Document(
        text=given["text"],
        id=given.get("id", given.get("_id")),
        title="" if title is None else title,
        metadata={} if metadata is None else metadata,
    )


def check_id(identifier: object, where: str) -> str:
    """An id as text: 1 to 512 characters without NUL or lone surrogates; whole numbers are fine."""
    if isinstance(identifier, int | np.integer) and not isinstance(identifier, bool):
        if abs(int(identifier)) >= 10**MAX_ID_CHARS:
            raise InvalidDocumentError(f"{where}: the id is {shown(int(identifier))}; use text")
        identifier = str(int(identifier))
    if not isinstance(identifier, str):
        raise InvalidDocumentError(
            f"{where}: an id is text or a whole number, not {type(identifier).__name__}"
        )
    identifier = str(identifier)
    if not 0 < len(identifier) <= MAX_ID_CHARS:
        raise InvalidDocumentError(
            f"{where}: the id has {len(identifier)} characters; accepted are 1 to {MAX_ID_CHARS}"
        )
    try:
        identifier.encode()
    except UnicodeEncodeError:
        raise InvalidDocumentError(f"{where}: the id holds a lone surrogate") from None
    if "\x00" in identifier:
        raise InvalidDocumentError(f"{where}: the id holds a NUL byte")
    return identifier


def _text(text: object, where: str, what: str) -> str:
    if not isinstance(text, str):
        raise InvalidDocumentError(f"{where}: {what} is a {type(text).__name__}, not text")
    if len(text) > MAX_TEXT_CHARS:
        raise InvalidDocumentError(
            f"{where}: {what} has {len(text):,} characters; at most {MAX_TEXT_CHARS:,}: split it"
        )
    try:
        return clean_text(str(text))
    except InvalidInputError as error:
        raise InvalidDocumentError(f"{where}: {what}: {error}") from None


def spans_of(text: str, chunking: Chunking | None) -> np.ndarray[Any, np.dtype[np.int32]] | None:
    """Passages as an (n, 2) array, or None when the whole text is one."""
    if chunking is None or len(text) <= chunking.max_chars:
        return None
    spans = split(text, chunking)
    return np.array(spans, np.int32) if len(spans) > 1 else None


def usual_chunking(families: Iterable[Family]) -> Chunking:
    """Passages of 2,000 characters, or as many as the smallest window of the encoders holds."""
    sources = [source_of(family.encoder) for family in families]
    windows = [n for s in sources if (n := getattr(s, "window_chars", None)) is not None]
    most = min([DEFAULT_CHUNKING.max_chars, *windows])
    return replace(DEFAULT_CHUNKING, max_chars=most, overlap_chars=most // 10)
