"""One memory number: how `memory_budget_bytes` is shared out.

The number is for the whole process, as the system counts it (resident memory), where bigrain is
its only large user. What the engine is made of comes off first: a constant for Python, NumPy and
bigrain itself, and what the encoders say they hold. Other data of the process is not looked at.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from bigrain.errors import ConfigError

__all__ = ["Budget", "peak_bytes", "process_bytes"]

MIB = 1 << 20
ENGINE = 46 * MIB  # Python, NumPy, SQLite and bigrain at work: measured 38 to 45
LEAST_SHARED = 32 * MIB  # below it a batch of documents does not fit
MINIMUM = 96 * MIB  # enough for the engine, the bundled encoder and LEAST_SHARED
DEFAULT_SHARE = 4  # of the machine's memory
LIGHT, LISTS, BUILD, SEARCH, CATALOGUE = 62, 8, 12, 12, 4  # percent; 2 are kept back


@dataclass(frozen=True, slots=True)
class Budget:
    """The number and its parts, in bytes."""

    total: int
    encoders: int = 0  # what they hold
    fitting: int = 0  # a codec that reduces vectors, while it is fitted

    @classmethod
    def of(cls, memory_budget_bytes: int | None) -> Budget:
        """The user's number, or a quarter of the machine's memory."""
        if memory_budget_bytes is None:
            return cls(max(256 * MIB, _physical_bytes() // DEFAULT_SHARE))
        if isinstance(memory_budget_bytes, bool) or not isinstance(memory_budget_bytes, int):
            raise ConfigError(
                f"memory_budget_bytes={memory_budget_bytes!r} must be a whole number of bytes, "
                "such as 512 * 2**20"
            )
        if memory_budget_bytes < MINIMUM:
            raise ConfigError(
                f"memory_budget_bytes={memory_budget_bytes:,} is too small to work in; at least "
                f"{MINIMUM:,} ({MINIMUM // MIB} MiB)"
            )
        return cls(memory_budget_bytes)

    def with_fixed(self, *, encoders: int, fitting: int) -> Budget:
        """The same number when so much is spoken for; ConfigError if too little is left."""
        least = ENGINE + encoders + fitting + LEAST_SHARED
        if self.total < least:
            raise ConfigError(
                f"memory_budget_bytes={self.total:,} is too small for encoders of {encoders:,} "
                f"bytes and codecs that take {fitting:,} to be fitted; at least {least:,}"
            )
        return Budget(self.total, encoders, fitting)

    @property
    def fixed(self) -> int:
        """What comes off first."""
        return ENGINE + self.encoders + self.fitting

    @property
    def shared(self) -> int:
        """What is left for data, and shared out below."""
        return self.total - self.fixed

    @property
    def light(self) -> int:
        """For what stays in memory: codes, norms, dictionaries, lists of the deleted."""
        return self.shared * LIGHT // 100

    @property
    def lists(self) -> int:
        """For recently used inverted lists."""
        return self.shared * LISTS // 100

    @property
    def build(self) -> int:
        """For pending changes before they spill, sealing and merging, over all fields."""
        return self.shared * BUILD // 100

    @property
    def search(self) -> int:
        """For searches while they run, over all threads, and for remembered filters."""
        return self.shared * SEARCH // 100

    @property
    def catalogue(self) -> int:
        """For SQLite's page caches."""
        return min(self.shared * CATALOGUE // 100, 24 * MIB)

    def total_for_light(self, n_bytes: int) -> int:
        """The least `memory_budget_bytes` whose light share holds `n_bytes`."""
        return self.fixed + max(LEAST_SHARED, n_bytes * 100 // LIGHT + 2)

    def to_dict(self) -> dict[str, int]:
        """Every share, for people who ask where the number went."""
        return {
            "engine": ENGINE,
            "encoders": self.encoders,
            "fitting": self.fitting,
            "light": self.light,
            "lists": self.lists,
            "build": self.build,
            "search": self.search,
            "catalogue": self.catalogue,
        }


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
    """The most resident memory this process has had.

    Read where the kernel keeps it for this program: `ru_maxrss` also counts what the parent had
    when it started this process.
    """
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
