"""Libraries of the extra, imported when they are needed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from bigrain.errors import MissingExtraError

__all__ = ["needed", "require", "there"]


def needed(library: str, what: str) -> Any:
    """The module, or the error that names the extra."""
    try:
        return import_module(library)
    except ImportError as error:
        if (error.name or library).split(".")[0] != library.split(".")[0]:
            raise  # it is there, and fails for a reason of its own
        raise MissingExtraError(f"the encoder {what}", "transformers") from None


def require(what: str) -> None:
    """Say so now where the extra is not installed, without the seconds of importing it."""
    if not (there("torch") and there("transformers")):
        raise MissingExtraError(f"the encoder {what}", "transformers")


def there(library: str) -> bool:
    """Whether the library can be imported."""
    from importlib.util import find_spec

    return find_spec(library) is not None
