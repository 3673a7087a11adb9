"""One file a run: what was reached for each test query, and what it cost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["Records", "compared"]


class Records:
    """Runs by what they are: `keep` adds one at once, so that an interrupted script goes on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, **key: Any) -> Path:
        name = "_".join(str(part).replace(" ", "-") for part in key.values())
        return self.folder / f"{name}.npz"

    def keep(self, key: dict[str, Any], values: np.ndarray, **more: Any) -> None:
        np.savez(self.path(**key), found=values, told=json.dumps({**key, **more}))
        mean = np.round(np.atleast_1d(values.mean(axis=0)), 4).tolist()
        print(json.dumps({**key, "mean": mean, **more}), flush=True)

    def all(self) -> list[tuple[dict[str, Any], np.ndarray]]:
        out = []
        for path in sorted(self.folder.glob("*.npz")):
            with np.load(path) as file:
                out.append((json.loads(str(file["told"])), file["found"]))
        return out


def compared(after: np.ndarray, before: np.ndarray) -> dict[str, Any]:
    """Paired over queries (n,): the difference, its 95 % interval, p of a randomisation test."""
    from bigrain.evaluation.significance import paired_bootstrap_interval, randomisation_test

    low, high = paired_bootstrap_interval(after, before, seed=0)
    return {
        "difference": round(float((after - before).mean()), 4),
        "interval": [round(low, 4), round(high, 4)],
        "p": round(randomisation_test(after, before), 5),
    }
