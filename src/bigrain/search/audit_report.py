"""What an audit found."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["AuditReport", "FieldAudit"]


@dataclass(frozen=True)
class FieldAudit:
    """Live queries of a field that asked for one recall, answered again exactly.

    `low` and `high` are the 95 % interval of `reached` over queries. `at`: seconds since 1970.
    `looks_further`: the recall was missed, and later searches of this handle look further.
    """

    field: str
    asked: float
    queries: int
    reached: float
    low: float
    high: float
    at: float
    looks_further: bool = False

    @property
    def holds(self) -> bool:
        """False if the recall reached is less than was asked by more than chance."""
        return not self.high < self.asked

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "holds": self.holds}

    def __str__(self) -> str:
        verdict = "holds" if self.holds else "falls short"
        if self.looks_further:
            verdict += "; later searches look further"
        return (
            f"{self.field}: asked {self.asked:g}, reached {self.reached:.4f} "
            f"[{self.low:.4f}, {self.high:.4f}] on {self.queries:,} queries: {verdict}"
        )


@dataclass(frozen=True)
class AuditReport:
    """`fields`: what is known of each field and asked recall, this audit's queries included.

    `audited`: queries answered again by this audit; `waiting`: left for the next one; `dropped`:
    those whose snapshot nobody has open any more.
    """

    fields: tuple[FieldAudit, ...]
    audited: int
    waiting: int
    dropped: int
    rows_read: int
    seconds: float

    @property
    def holds(self) -> bool:
        """Whether every field keeps its promise, as far as can be told."""
        return all(field.holds for field in self.fields)

    def to_dict(self) -> dict[str, Any]:
        told = asdict(self)
        told["fields"] = [field.to_dict() for field in self.fields]
        return {**told, "holds": self.holds}

    def __str__(self) -> str:
        lines = [str(field) for field in self.fields] or ["no query was audited"]
        told = f"{self.audited:,} queries answered again in {self.seconds:.2g} s"
        for n, what in ((self.waiting, "waiting"), (self.dropped, "dropped")):
            told += f", {n:,} {what}" if n else ""
        return "\n".join([*lines, told])
