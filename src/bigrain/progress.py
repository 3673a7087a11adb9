"""How long calls report themselves and how they are cancelled.

A long call takes `progress`: None (silent), True (a bar on the terminal) or a callable that gets a
`ProgressUpdate` now and then. Whatever the callable raises cancels the call, which leaves nothing
half done; `bigrain.CancelledError` is there to be raised.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

__all__ = ["ProgressLike", "ProgressUpdate", "Reporter", "reporting"]


@dataclass(frozen=True, slots=True)
class ProgressUpdate:
    """A moment of a long call. `total`, and so `remaining_s`, may be unknown (None)."""

    stage: str
    done: int
    total: int | None
    unit: str
    elapsed_s: float

    @property
    def rate(self) -> float:
        """Units per second since the stage began."""
        return self.done / self.elapsed_s if self.elapsed_s > 0 else 0.0

    @property
    def remaining_s(self) -> float | None:
        """Seconds left at the present rate."""
        if self.total is None or self.done == 0:
            return None
        return max(self.total - self.done, 0) / self.rate if self.rate else None


ProgressLike: TypeAlias = "bool | Callable[[ProgressUpdate], object] | None"


class Reporter:
    """Passes advances on to a callable, at most every `interval_s` seconds."""

    interval_s = 0.1

    def __init__(self, callback: Callable[[ProgressUpdate], object] | None) -> None:
        self._callback = callback
        self._stage, self._unit = "", ""
        self._total: int | None = None
        self._done, self._began, self._last = 0, 0.0, 0.0

    def stage(self, name: str, total: int | None = None, unit: str = "documents") -> None:
        """Begin a stage; the former one is over."""
        self._emit_last()
        self._stage, self._unit, self._total = name, unit, total
        self._done, self._began, self._last = 0, time.monotonic(), 0.0
        self._emit()

    def advance(self, n: int = 1) -> None:
        self._done += n
        if self._callback and time.monotonic() - self._last >= self.interval_s:
            self._emit()

    def finish(self) -> None:
        self._emit_last()

    def _emit_last(self) -> None:
        if self._stage:
            self._emit()

    def _emit(self) -> None:
        if self._callback is None:
            return
        now = time.monotonic()
        self._last = now
        self._callback(
            ProgressUpdate(self._stage, self._done, self._total, self._unit, now - self._began)
        )


@contextmanager
def reporting(progress: ProgressLike) -> Iterator[Reporter]:
    """The reporter for a user's `progress` argument."""
    if progress is True:
        with _terminal_bar() as callback:
            reporter = Reporter(callback)
            yield reporter
            reporter.finish()
        return
    reporter = Reporter(progress if callable(progress) else None)
    yield reporter
    reporter.finish()


@contextmanager
def _terminal_bar() -> Iterator[Callable[[ProgressUpdate], object]]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns: list[Any] = [
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    ]
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, Any] = {}

        def show(update: ProgressUpdate) -> None:
            if update.stage not in tasks:
                tasks[update.stage] = bar.add_task(update.stage, total=update.total, rate="")
            bar.update(
                tasks[update.stage],
                completed=update.done,
                total=update.total,
                rate=f"{update.rate:,.0f} {update.unit}/s",
            )

        yield show
