"""One memory number: how `memory_budget_bytes` is shared out."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from bigrain.errors import ConfigError

__all__ = ["Budget", "peak_bytes", "process_bytes"]

MINIMUM = 32 << 20
DEFAULT_SHARE = 4  # of the machine's memory


@dataclass(frozen=True, slots=True)
class Budget:
    """The number and its parts, in bytes."""

    total: int

    @classmethod
    def of(cls, memory_budget_bytes: int | None) -> Budget:
        """The user's number, or a quarter of the machine's memory."""
        if memory_budget_bytes is None:
            return cls(max(MINIMUM * 8, _physical_bytes() // DEFAULT_SHARE))
        if isinstance(memory_budget_bytes, bool) or not isinstance(memory_budget_bytes, int):
            raise ConfigError(
                f"memory_budget_bytes={memory_budget_bytes!r} must be a whole number of bytes, "
                "such as 512 * 2**20"
            )
        if memory_budget_bytes < MINIMUM:
            raise ConfigError(
                f"memory_budget_bytes={memory_budget_bytes:,} is too small to work in; at least "
                f"{MINIMUM:,} (32 MiB)"
            )
        return cls(memory_budget_bytes)

    @property
    def light(self) -> int:
        """For codes, norms and dictionaries that stay in memory."""
        return self.total * 6 // 10

    @property
    def lists(self) -> int:
        """For recently used inverted lists."""
        return self.total * 2 // 10

    @property
    def build(self) -> int:
        """For pending postings before they spill, over all fields."""
        return self.total // 10

    @property
    def catalogue(self) -> int:
        """For SQLite's page cache, per connection."""
        return min(self.total // 32, 16 << 20)


def _physical_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def process_bytes() -> int | None:
    """Resident memory of this process now, where the system tells."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def peak_bytes() -> int:
    """The most resident memory this process has had."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
