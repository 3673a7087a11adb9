"""bigrain add: more documents, or new versions of them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from bigrain.cli.options import State, collection_argument, common, memory_option
from bigrain.cli.output import human_seconds, print_json, progress
from bigrain.cli.sources import Sources, reading_options, sources_argument
from bigrain.cli.writing import changing
from bigrain.errors import counted

__all__ = ["add"]


@click.command(short_help="Add or replace documents.")
@collection_argument
@sources_argument
@reading_options
@memory_option
@common
def add(
    state: State, path: Path, sources: tuple[str, ...], memory: int | None, **reading: Any
) -> None:
    """Add documents to a collection; those with an id that is there already replace it.

    All of them become visible at once, or none. SOURCE is what `bigrain index` takes.

    \b
    Examples:
      bigrain add docs.grain new-papers/
      bigrain add docs.grain corrections.jsonl
      echo '{"id": "a", "text": "Hello", "year": 2024}' | bigrain add docs.grain -
    """
    documents = Sources(sources, state, **reading)
    began = time.perf_counter()
    with changing(path, memory, state) as col:
        counts = col.add(documents.shown(), progress=progress(state))
        snapshot = col.commit(progress=progress(state))
        total = len(col)
    seconds = time.perf_counter() - began
    if state.as_json:
        print_json({
            "path": str(path), "snapshot": snapshot, "added": counts.added,
            "replaced": counts.replaced, "passages": counts.passages, "documents": total,
            "seconds": seconds,
        })  # fmt: skip
    elif not state.quiet:
        click.echo(
            f"{path}: {counted(counts.added, 'document')} added, {counts.replaced:,} replaced, in "
            f"{human_seconds(seconds)}; {total:,} in all, snapshot {snapshot}"
        )
