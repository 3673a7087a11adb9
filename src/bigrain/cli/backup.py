"""bigrain backup: a consistent copy while others read and write."""

from __future__ import annotations

import os
import time
from pathlib import Path

import click

from bigrain.cli.options import State, collection_argument, common
from bigrain.cli.output import human_bytes, human_seconds, print_json, progress

__all__ = ["backup"]


@click.command(short_help="Copy it while it is in use.")
@collection_argument
@click.argument("target", metavar="TARGET", type=click.Path(path_type=Path))
@click.option(
    "--link",
    is_flag=True,
    help="Share the segment files instead of copying them; on the same file system only.",
)
@common
def backup(state: State, path: Path, target: Path, link: bool) -> None:
    """Make TARGET a second collection that holds the newest snapshot.

    Others may search and write meanwhile. Everything is checked on the way, and a damaged
    collection is refused. The copy is a collection like any other: to restore, put it in the place
    of the one that is gone. With --link damage to a segment file is damage to both.

    \b
    Examples:
      bigrain backup docs.grain /mnt/copies/docs-monday.grain
      bigrain backup docs.grain before-upgrade.grain --link
    """
    from bigrain.progress import reporting
    from bigrain.storage.files import DISK
    from bigrain.storage.folder import Folder
    from bigrain.writing.backup import back_up

    folder = Folder(DISK, path)
    folder.require()
    state.hints = not os.path.lexists(target)  # nobody should replace a backup by an index
    began = time.perf_counter()
    with reporting(progress(state)) as reporter:
        snapshot = back_up(folder, target, reporter, link=link)
    seconds = time.perf_counter() - began
    n_bytes = sum(file.stat().st_size for file in target.rglob("*") if file.is_file())
    report = {
        "path": str(path),
        "target": str(target),
        "snapshot": snapshot,
        "linked": link,
        "bytes": n_bytes,
        "seconds": seconds,
    }
    if state.as_json:
        print_json(report)
    elif not state.quiet:
        click.echo(
            f"{target}: snapshot {snapshot} of {path}, {human_bytes(n_bytes)}, "
            f"in {human_seconds(seconds)}"
        )
