"""What every benchmark shares: the machine, the data, writing results."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import bigrain
from bigrain import kernels
from bigrain.text import beir_corpus, beir_judgments, beir_queries

DATA = Path(os.environ.get("BIGRAIN_DATA", Path(__file__).parents[2] / "shared" / "data"))


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 2**30, 1),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "bigrain": bigrain.__version__,
        "kernels": kernels.level(),
        "date": time.strftime("%Y-%m-%d"),
    }


def load_set(name: str) -> tuple[list[bigrain.Document], dict[str, str], dict[str, dict[str, int]]]:
    """Documents, queries and judgments of a judged set (test split, or dev where there is none)."""
    folder = DATA / name
    judgments = beir_judgments(folder)
    queries = beir_queries(folder)
    return list(beir_corpus(folder)), {q: queries[q] for q in judgments}, judgments


def passages(limit: int | None = None) -> Iterator[str]:
    """The lines of the passages set, in file order."""
    import gzip

    seen = 0
    for path in sorted((DATA / "passages").glob("*.txt.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                if limit is not None and seen >= limit:
                    return
                seen += 1
                yield line.rstrip("\n")


def save(path: Path, result: dict[str, Any]) -> None:
    """Write a result beside its script, with the machine."""
    path.write_text(json.dumps({"machine": machine(), **result}, indent=2) + "\n")
    print(f"wrote {path}")


def forget(path: Path) -> None:
    """Let the system drop what it holds of a file in memory."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)
