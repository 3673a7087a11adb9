"""Every error bigrain raises on purpose, grouped by what the caller can do about it.

    BigrainError
    ├── InvalidInputError (ValueError)        mend what was passed in
    │   ├── InvalidDocumentError              a document of `add`
    │   ├── DuplicateIdError                  one id twice in one call
    │   ├── InvalidVectorsError               vectors or offsets of `add_vectors`, or a query vector
    │   ├── InvalidQueryError                 a query, k, recall
    │   ├── InvalidFilterError                a filter: syntax or unknown key
    │   ├── UnknownFieldError (KeyError)      a field the collection does not have
    │   ├── UnknownDocumentError (KeyError)   an id the collection does not have
    │   └── ConfigError                       a field, chunking or budget setting
    ├── CollectionError                       choose another path, version or moment
    │   ├── NotACollectionError (FileNotFoundError)
    │   ├── CollectionExistsError (FileExistsError)
    │   ├── FormatError                       written by a newer bigrain
    │   ├── LockedError (BlockingIOError)     another writer is at work
    │   ├── ReadOnlyError (PermissionError)
    │   ├── ClosedError
    │   └── PendingChangesError               commit or roll back first
    ├── EncoderMismatchError                  bring the encoder the field was built with
    ├── BudgetError (MemoryError)             raise memory_budget_bytes or choose smaller codes
    ├── StorageError (OSError)                the disk said no: full, read-only, failing
    ├── DamagedError                          bytes on disk are not what was written
    ├── MissingExtraError (ImportError)       pip install 'bigrain[extra]'
    └── CancelledError                        the caller's progress callback stopped the call

`kind` is a stable word for scripts; kinds are added to, never renamed.
"""

from __future__ import annotations

__all__ = [
    "BigrainError",
    "BudgetError",
    "CancelledError",
    "ClosedError",
    "CollectionError",
    "CollectionExistsError",
    "ConfigError",
    "DamagedError",
    "DuplicateIdError",
    "EncoderMismatchError",
    "FormatError",
    "InvalidDocumentError",
    "InvalidFilterError",
    "InvalidInputError",
    "InvalidQueryError",
    "InvalidVectorsError",
    "LockedError",
    "MissingExtraError",
    "NotACollectionError",
    "PendingChangesError",
    "ReadOnlyError",
    "StorageError",
    "UnknownDocumentError",
    "UnknownFieldError",
]

SHOWN_CHARS = 80


def counted(n: int, what: str, several: str = "") -> str:
    """`1 document`, `2,000 documents`, as a message shows a number of things."""
    return f"{n:,} {what if n == 1 else several or what + 's'}"


def shown(value: object) -> str:
    """`value` as a message shows it: one short line, whatever was passed in."""
    if isinstance(value, int) and abs(value) >= 10**SHOWN_CHARS:  # Python may refuse to print it
        return f"a whole number of {value.bit_length():,} bits"
    if isinstance(value, str | bytes) and len(value) > SHOWN_CHARS:
        value, cut = value[:SHOWN_CHARS], f"... ({len(value):,} long)"
    else:
        cut = ""
    try:
        text = repr(value)
    except Exception:  # of a stranger's class, or too deep, or with a number too long
        return f"a {type(value).__name__}"
    return text + cut if len(text) <= 2 * SHOWN_CHARS else f"{text[:SHOWN_CHARS]}...{cut}"


class BigrainError(Exception):
    """Base of all errors raised on purpose."""

    kind = "error"

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else self.kind


class InvalidInputError(BigrainError, ValueError):
    kind = "invalid-input"


class InvalidDocumentError(InvalidInputError):
    kind = "invalid-document"


class DuplicateIdError(InvalidInputError):
    kind = "duplicate-id"


class InvalidVectorsError(InvalidInputError):
    kind = "invalid-vectors"


class InvalidQueryError(InvalidInputError):
    kind = "invalid-query"


class InvalidFilterError(InvalidInputError):
    kind = "invalid-filter"


class UnknownFieldError(InvalidInputError, KeyError):
    kind = "unknown-field"


class UnknownDocumentError(InvalidInputError, KeyError):
    kind = "unknown-document"


class ConfigError(InvalidInputError):
    kind = "config"


class CollectionError(BigrainError):
    kind = "collection"


class NotACollectionError(CollectionError, FileNotFoundError):
    kind = "not-a-collection"


class CollectionExistsError(CollectionError, FileExistsError):
    kind = "collection-exists"


class FormatError(CollectionError):
    kind = "newer-format"


class LockedError(CollectionError, BlockingIOError):
    kind = "locked"


class ReadOnlyError(CollectionError, PermissionError):
    kind = "read-only"


class ClosedError(CollectionError):
    kind = "closed"


class PendingChangesError(CollectionError):
    kind = "pending-changes"


class EncoderMismatchError(BigrainError):
    kind = "encoder-mismatch"


class BudgetError(BigrainError, MemoryError):
    kind = "budget"


class StorageError(BigrainError, OSError):
    kind = "storage"

    def __str__(self) -> str:
        return str(self.args[-1]) if self.args else self.kind


class DamagedError(BigrainError):
    """Names the file and section, with what was expected and what was found."""

    kind = "damaged"

    def __init__(self, file: str, section: str, expected: object, found: object) -> None:
        self.file = file
        self.section = section
        self.expected = expected
        self.found = found
        super().__init__(f"{file}: {section} is damaged: expected {expected}, found {found}")

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.file, self.section, self.expected, self.found)


class MissingExtraError(BigrainError, ImportError):
    """A feature needs a library that is not installed.

    `extra` is the extra that brings it; empty where it is a `package` of the default install.
    """

    kind = "missing-extra"

    def __init__(self, feature: str, extra: str, package: str = "") -> None:
        self.feature, self.extra, self.package = feature, extra, package
        super().__init__(
            f"{feature} needs an extra: pip install 'bigrain[{extra}]'"
            if extra
            else f"{feature} needs {package}, which comes with bigrain: pip install {package}"
        )

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.feature, self.extra, self.package)


class CancelledError(BigrainError):
    kind = "cancelled"
