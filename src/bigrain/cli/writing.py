"""A collection opened to be changed, so that a cancelled command can say how far it got."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bigrain.cli.options import State

if TYPE_CHECKING:
    from bigrain import Collection

__all__ = ["changing", "closed_bytes"]


@contextmanager
def changing(path: Path, memory: int | None, state: State) -> Iterator[Collection]:
    """Open for writing. Changes that were not committed are forgotten at the end."""
    import bigrain

    with bigrain.open(path, memory_budget_bytes=memory) as col:
        before = col.snapshot
        try:
            yield col
        except BaseException:
            # Merging after a commit may be cancelled too: by then the changes are there.
            if col.snapshot != before:
                state.after_cancel = f"the changes had been committed as snapshot {col.snapshot}"
            raise


def closed_bytes(path: Path, stats: dict[str, Any]) -> int:
    """Bytes on disk of a collection now closed: SQLite has folded its log into the catalogue."""
    from bigrain.storage.catalogue import CATALOGUE

    catalogue = sum(file.stat().st_size for file in path.glob(f"{CATALOGUE}*"))
    return catalogue + int(stats["bytes_on_disk"]["segments"])
