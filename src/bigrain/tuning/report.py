"""What `tune` found."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import Any

from bigrain.config import USUAL_BITS, DenseField, MultiVectorField

__all__ = ["TuneReport", "TuneRow", "codes_of"]


def codes_of(field: DenseField | MultiVectorField) -> str:
    """What sets the codes of a field apart from others that were tried, in words."""
    if isinstance(field, MultiVectorField):
        sketch = f", sketch={field.sketch}" if field.sketch else ""
        return f"light={field.light!r}, light_bytes={field.light_bytes}{sketch}"
    told = [f"code={field.code!r}"]
    told += [f"bits={field.bits}"] if field.bits != USUAL_BITS[field.code] else []
    told += [f"light_bytes={field.light_bytes}"]
    told += [f"reduction={field.reduction!r}"] if field.reduction != "pca" else []
    return ", ".join(told)


@dataclass(frozen=True)
class TuneRow:
    """One way to code the field, searched with one `recall=`.

    `chosen_by` is the recall on the queries that the choice was made by, `surely` that less its
    standard error; `reached` with its 95 % interval from `low` to `high` that on the fresh ones.
    Candidates, microseconds (of one core, for a single query) and bytes are for all rows.
    """

    field: DenseField | MultiVectorField
    setting: float
    candidates: int
    share_of_codes: float
    chosen_by: float
    surely: float
    reached: float
    low: float
    high: float
    microseconds: float
    bytes_in_memory: int

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "field": self.field.to_dict()}


@dataclass(frozen=True)
class TuneReport:
    """The frontier of a field with codes, and the choice for what was asked.

    `chosen` is the quickest row that reaches the recall within the memory; None if there is none,
    and `nearest` comes nearest to it. `light_bytes_allowed`: what the budget leaves this field.
    """

    name: str
    k: int
    asked: float
    memory_budget_bytes: int
    light_bytes_allowed: int
    rows: tuple[TuneRow, ...]
    chosen: TuneRow | None
    nearest: TuneRow
    budget_needed: int  # by the row that is chosen or nearest
    queries: int
    queries_from: str
    rows_tried: int
    rows_of_field: int
    extrapolated: bool  # fewer rows were tried than there are
    notes: tuple[str, ...] = ()
    applied: bool = False
    snapshot: int = -1  # in which it was applied

    @property
    def field(self) -> DenseField | MultiVectorField:
        """The definition of the field that is chosen, or nearest."""
        return (self.chosen or self.nearest).field

    def to_dict(self) -> dict[str, Any]:
        told = asdict(self)
        told["rows"] = [row.to_dict() for row in self.rows]
        told["chosen"] = None if self.chosen is None else self.chosen.to_dict()
        told["nearest"] = self.nearest.to_dict()
        return {
            **told,
            "field": self.field.to_dict(),
            "verdict": self.verdict(),
        }

    def verdict(self) -> str:
        """The answer in words."""
        row = self.chosen or self.nearest
        told = (
            f"{codes_of(row.field)} searched with recall={row.setting:g}: recall "
            f"{row.reached:.4f} [{row.low:.4f}, {row.high:.4f}] on fresh queries, "
            f"{row.microseconds:,.0f} microseconds, {row.bytes_in_memory:,} bytes in memory"
        )
        if self.chosen is not None:
            return f"recall {self.asked:g}: {told}"
        if row.bytes_in_memory > self.light_bytes_allowed:
            return (
                f"memory_budget_bytes={self.memory_budget_bytes:,} leaves "
                f"{self.light_bytes_allowed:,} bytes for this field, and no code that fits reaches "
                f"recall {self.asked:g}. The nearest takes memory_budget_bytes="
                f"{self.budget_needed:,}: {told}"
            )
        return f"no code that fits reaches recall {self.asked:g}. The nearest: {told}"

    def measured(self) -> str:
        """What was measured, and what was not."""
        told = f"measured with {self.queries_from}, one half to choose by, the other to state"
        told += f"; top {self.k}; codes tried on {self.rows_tried:,} of {self.rows_of_field:,} rows"
        if self.extrapolated:
            told += (
                "; the present codes were measured among all of them, and figures of others are "
                "extrapolated by what those differ from the sample"
            )
        return told

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Draw recall against queries a second and bytes, as PNG or what `path` ends in.

        Needs the extra `eval`.
        """
        from bigrain.tuning.plot import plot

        plot(self, path)

    def __str__(self) -> str:
        return "\n".join([self.verdict(), self.measured(), *self.notes])
