"""bigrain delete: documents, by id."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from bigrain.cli.options import State, collection_argument, common, memory_option
from bigrain.cli.output import print_json, progress
from bigrain.cli.writing import changing
from bigrain.errors import counted

__all__ = ["delete"]


@click.command(short_help="Delete documents by id.")
@collection_argument
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@click.option("--ignore-missing", is_flag=True, help="Pass over ids that are not there.")
@memory_option
@common
def delete(
    state: State, path: Path, ids: tuple[str, ...], ignore_missing: bool, memory: int | None
) -> None:
    """Delete documents by id; - reads ids from standard input, one a line.

    Either all of them are deleted or, if one is not there, none. `bigrain compact` gives the
    space back.

    \b
    Examples:
      bigrain delete docs.grain report-7 report-8
      bigrain delete docs.grain - --ignore-missing < old-ids.txt
    """
    wanted = list(ids)
    if wanted == ["-"]:
        from bigrain.text.sources import DEFAULT_MAX_BYTES, stream_lines

        lines = stream_lines(sys.stdin.buffer, "standard input", DEFAULT_MAX_BYTES)
        wanted = [line.strip() for _, line in lines if line.strip()]
    with changing(path, memory, state) as col:
        n_deleted = col.delete(wanted, missing="ignore" if ignore_missing else "raise")
        snapshot = col.commit(progress=progress(state))
        total = len(col)
    if state.as_json:
        print_json(
            {"path": str(path), "snapshot": snapshot, "deleted": n_deleted, "documents": total}
        )
    elif not state.quiet:
        click.echo(
            f"{path}: {counted(n_deleted, 'document')} deleted; {total:,} left, snapshot {snapshot}"
        )
