"""Small tables of every method."""

from __future__ import annotations

from typing import Any

from bigrain import tables

ROWS, DIM = 1000, 16
FULL_BYTES = 4 * ROWS * DIM
FIELDS = (10, 90, 900)
# What a method needs at this small size beside the defaults.
OPTIONS: dict[str, dict[str, Any]] = {
    "dedup.v1": {"block_rows": 8},
    "optembed.v1": {"generations": 2, "mutations": 2, "crossovers": 2, "parents": 3},
}
BUDGETS: dict[str, int] = {"full.v1": 2 * FULL_BYTES, "int16.v1": FULL_BYTES // 2 + 2000}


def make(name: str, **changes: Any) -> Any:
    """A table of 1,000 rows, ids by falling frequency, half of the full bytes."""
    given = {
        "budget_bytes": BUDGETS.get(name, FULL_BYTES // 2),
        "frequencies": "falling",
        "seed": 3,
        **OPTIONS.get(name, {}),
        **changes,
    }
    return tables.create(name, given.pop("rows", ROWS), given.pop("dim", DIM), **given)
