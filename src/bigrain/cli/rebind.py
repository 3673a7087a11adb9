"""bigrain rebind: say where the encoder of a collection is."""

from __future__ import annotations

from pathlib import Path

import click

from bigrain.cli.options import State, collection_argument, common
from bigrain.cli.output import print_json

__all__ = ["rebind"]


@click.command(short_help="Say where a moved encoder is.")
@collection_argument
@click.option("--encoder", required=True, metavar="NAME",
              help="The same encoder: its folder, its hub name, or a registered name.")  # fmt: skip
@click.option("--field", "fields", multiple=True, metavar="NAME",
              help="Only this field; may be given again (default: all that it made).")  # fmt: skip
@common
def rebind(state: State, path: Path, encoder: str, fields: tuple[str, ...]) -> None:
    """Let a collection find its encoder in another folder or under another name.

    Nothing is encoded again: the encoder must be the one that made the vectors, which is checked
    by its fingerprint.

    \b
    Examples:
      bigrain rebind docs.grain --encoder models/minilm
      bigrain rebind docs.grain --encoder acme/small --field dense
    """
    import bigrain

    if Path(encoder).expanduser().is_dir():
        encoder = str(Path(encoder).expanduser().resolve())  # found from other folders, too
    names = bigrain.rebind(path, encoder, list(fields) or None)
    if state.as_json:
        print_json({"path": str(path), "encoder": encoder, "fields": list(names)})
    elif not state.quiet:
        click.echo(f"{path}: {', '.join(names)} by {encoder}")
