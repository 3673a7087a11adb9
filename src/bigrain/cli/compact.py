"""bigrain compact: merge segments, drop what is deleted."""

from __future__ import annotations

import time
from pathlib import Path

import click

from bigrain.cli.options import State, collection_argument, common, memory_option
from bigrain.cli.output import human_bytes, human_seconds, print_json, progress
from bigrain.cli.writing import changing, closed_bytes

__all__ = ["compact"]


@click.command(short_help="Merge segments, give space back.")
@collection_argument
@memory_option
@common
def compact(state: State, path: Path, memory: int | None) -> None:
    """Merge each field's segments into one and give back the space of deleted documents.

    Searching goes on meanwhile. What other processes still read is kept until the next time.

    \b
    Examples:
      bigrain compact docs.grain
      bigrain compact docs.grain --memory 1GB --json
    """
    began = time.perf_counter()
    with changing(path, memory, state) as col:
        before = col.stats()
        snapshot = col.compact(progress=progress(state))
        after = col.stats()
    report = {
        "path": str(path),
        "snapshot": snapshot,
        "seconds": time.perf_counter() - began,
        "segments_before": before["segments"],
        "segments": after["segments"],
        "bytes_before": sum(before["bytes_on_disk"].values()),
        "bytes_on_disk": closed_bytes(path, after),
    }
    if state.as_json:
        print_json(report)
    elif not state.quiet:
        click.echo(
            f"{path}: {report['segments_before']} segments became {report['segments']}, "
            f"{human_bytes(report['bytes_before'])} became {human_bytes(report['bytes_on_disk'])}, "
            f"in {human_seconds(report['seconds'])}"
        )
