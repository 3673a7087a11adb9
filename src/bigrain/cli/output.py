"""What commands print with. Results go to stdout, everything else to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

    from bigrain.cli.options import State
    from bigrain.progress import ProgressLike

__all__ = [
    "console",
    "human_bytes",
    "human_seconds",
    "note",
    "plain_text",
    "print_json",
    "print_table",
    "progress",
]


def console() -> Console:
    """Where results go: as wide as the terminal, or plain and never wrapped in a pipe."""
    from rich.console import Console

    if sys.stdout.isatty():
        return Console(highlight=False)
    return Console(file=sys.stdout, highlight=False, width=10_000, color_system=None)


def progress(state: State) -> ProgressLike:
    """A bar with rate and time left, where somebody can see it."""
    return True if sys.stderr.isatty() and not state.quiet else None


def note(message: str, state: State) -> None:
    """Something worth knowing, on stderr."""
    if not state.quiet:
        click.echo(f"note: {plain_text(message)}", err=True)


def print_json(value: Any, *, indent: int | None = 1) -> None:
    """JSON on stdout. What it cannot hold is written as text."""
    text = json.dumps(value, indent=indent, ensure_ascii=False, default=str)
    if any("\ud800" <= char <= "\udfff" for char in text):  # a terminal cannot be told half of one
        text = json.dumps(value, indent=indent, default=str)
    click.echo(text)


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1, title: str = ""
) -> None:
    """Aligned columns; the first `left` to the left, numbers to the right."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    target = console()
    table = Table(
        title=Text(title) if title else None,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD if target.is_terminal else None,
        header_style="bold",
        pad_edge=False,
        padding=(0, 2, 0, 0),
    )
    for at, column in enumerate(columns):
        table.add_column(Text(column), justify="left" if at < left else "right")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    if target.is_terminal:
        target.print(table)
        return
    with target.capture() as captured:
        target.print(table)
    for line in captured.get().splitlines():
        click.echo(line.rstrip())


def human_bytes(n_bytes: float) -> str:
    """12.3 MB, in powers of ten."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if n_bytes < 1000:
            return f"{n_bytes:.0f} {unit}" if unit == "bytes" else f"{n_bytes:.3g} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:,.3g} TB"


def human_seconds(seconds: float) -> str:
    """0.21 s, 3 min 12 s, 2 h 5 min."""
    if seconds < 60:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def plain_text(text: str) -> str:
    """One line without control characters: a document must not steer the terminal."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
