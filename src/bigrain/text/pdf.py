"""Title, text and number of pages of a PDF file."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bigrain.errors import InvalidDocumentError, MissingExtraError

__all__ = ["pdf_text"]


def pdf_text(data: bytes, name: str, max_chars: int | None = None) -> tuple[str, str, int]:
    """(title, text, number of pages); pages are divided by a blank line.

    Characters a PDF cannot name properly (lone surrogates, NUL) are replaced, as they come from
    its fonts and not from its author. A file that cannot be read, or needs a password, raises
    InvalidDocumentError; so does one with more than `max_chars` of text.
    """
    try:
        from pypdf import PdfReader
    except ImportError:
        raise MissingExtraError("reading PDF", "files") from None
    try:
        with _without_log():
            title, pages = _read(PdfReader(io.BytesIO(data)), name, max_chars)
    except InvalidDocumentError:
        raise
    except MemoryError:
        raise
    except Exception as error:  # pypdf answers damage with errors of many kinds
        raise InvalidDocumentError(
            f"{name}: not a PDF that can be read ({type(error).__name__}: {error})"
        ) from error
    return title, "\n\n".join(page for page in pages if page), len(pages)


def _read(reader: Any, name: str, max_chars: int | None) -> tuple[str, list[str]]:
    if reader.is_encrypted and not reader.decrypt(""):
        raise InvalidDocumentError(f"{name}: the PDF needs a password; save it without one")
    pages: list[str] = []
    total = 0
    for page in reader.pages:
        pages.append(_mended(page.extract_text()).strip())
        total += len(pages[-1])
        if max_chars is not None and total > max_chars:
            raise InvalidDocumentError(
                f"{name}: more than {max_chars:,} characters of text; raise max_bytes"
            )
    title = reader.metadata.title if reader.metadata else None
    return _mended(str(title or "")).strip(), pages


@contextmanager
def _without_log() -> Iterator[None]:
    """What pypdf logs about damage is in its errors, or was repaired."""
    logger = logging.getLogger("pypdf")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)


def _mended(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", " ")
