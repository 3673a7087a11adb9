"""What an adapter of any family is: build into a folder, open it, search at a setting.

Each family's `adapters/base.py` says what `build` is given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any


class System:
    """One system. Subclasses set the names and fill in `build`, `open`, `ladder`, `search`."""

    package = ""  # what pip installs
    module = ""  # what Python imports
    describes = ""  # what was built, in words

    def __init__(self) -> None:
        self.setting: dict[str, Any] = {}

    def once(self) -> None:
        """What a process does once for any collection: imports, just-in-time compilation."""

    def open(self, folder: Path) -> None:
        """Load what `build` wrote; the process's growth from here on is the index."""
        raise NotImplementedError

    def ladder(self) -> list[dict[str, Any]]:
        """Search settings, cheapest first."""
        return [{}]

    def prepare(self, queries: Sequence[Any]) -> Sequence[Any]:
        """Queries in the form that the system takes, outside the clock."""
        return queries

    def search(self, queries: Sequence[Any], k: int) -> Any:
        """The k best of each query at `self.setting`; `ids` makes the answer lists of numbers."""
        return [self.single(query, k) for query in queries]

    def single(self, query: Any, k: int) -> Any:
        """The k best of one query."""
        return self.search([query], k)

    def others(self) -> dict[str, Callable[..., Any]]:
        """Further ways to ask a single query: name -> function of what `single` takes."""
        return {}

    def ids(self, found: Any) -> Any:
        """Document numbers of what `search` gave, best first, outside the clock."""
        return [list(map(int, row)) for row in found]

    def close(self) -> None:
        """Let go of files."""
