"""bigrain verify: read everything through."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bigrain.cli.options import State, collection_argument, common
from bigrain.cli.output import plain_text, print_json, progress

if TYPE_CHECKING:
    from bigrain.writing.checking import Report

__all__ = ["verify"]


@click.command(short_help="Check every byte.")
@collection_argument
@common
@click.pass_context
def verify(ctx: click.Context, state: State, path: Path) -> None:
    """Check every byte: checksums, counts, and that each code has its original.

    Works on collections too damaged to open, and while others search or write. Exit code 0 if the
    collection is sound, 1 if it is not.

    \b
    Examples:
      bigrain verify docs.grain
      bigrain verify docs.grain --json || echo "restore it from a copy"
    """
    report = _check(path, state)
    if state.as_json:
        print_json({"path": str(path), **report.to_dict()})
    elif not report.ok or not state.quiet:
        click.echo(f"{path}: " + "\n".join(map(_line, report.summary().splitlines())))
    if not report.ok:
        ctx.exit(1)


def _check(path: Path, state: State) -> Report:
    """The report; where nothing can be read at all, that is the problem it names."""
    from bigrain.errors import DamagedError, NotACollectionError
    from bigrain.progress import reporting
    from bigrain.storage.catalogue import CATALOGUE
    from bigrain.storage.files import DISK
    from bigrain.storage.folder import Folder
    from bigrain.writing.checking import Report, check_collection

    folder = Folder(DISK, path)
    try:
        folder.require()
    except NotACollectionError as error:
        if not folder.segments.is_dir():
            raise
        return Report(problems=[str(error)])
    try:
        with reporting(progress(state)) as reporter:
            return check_collection(folder, reporter)
    except (DamagedError, NotACollectionError) as error:
        return Report(problems=[str(error)])
    except (LookupError, TypeError, ValueError) as error:
        # What was read makes no sense, as far as anybody foresaw.
        return Report(problems=[f"{CATALOGUE}: not readable: {type(error).__name__}: {error}"])


def _line(line: str) -> str:
    indent = len(line) - len(line.lstrip())
    return " " * indent + plain_text(line)
