"""bigrain repair: mend what is damaged, name what is gone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bigrain.cli.options import State, collection_argument, common, memory_option
from bigrain.cli.output import plain_text, print_json, progress

if TYPE_CHECKING:
    from bigrain.config import Field

__all__ = ["repair"]

# What `stats` adds to the definition of a field.
MEASURED = {
    "segments",
    "rows",
    "recall",
    "light_bytes_in_memory",
    "bytes_on_disk",
    "encoder_fingerprint",
}


@click.command(short_help="Mend damage, say what is gone.")
@collection_argument
@click.option("--dry-run", is_flag=True, help="Change nothing; say what would be done.")
@click.option(
    "--fields",
    "fields_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="What `bigrain stats docs.grain --json > stats.json` saved before the damage; only needed "
    "where the definition of the fields itself is damaged.",
)
@memory_option
@common
@click.pass_context
def repair(
    ctx: click.Context,
    state: State,
    path: Path,
    dry_run: bool,
    fields_file: Path | None,
    memory: int | None,
) -> None:
    """Mend a damaged collection, also one that does not open any more.

    What is sound is kept, codes are made again from vectors, and what fields read from texts from
    the texts. The rest is named. Damaged files are set aside in the folder damaged/, not deleted.
    Searching goes on meanwhile. Exit code 0 if nothing is gone, 1 if something is.

    \b
    Examples:
      bigrain repair docs.grain --dry-run
      bigrain repair docs.grain
      bigrain repair docs.grain --json | jq .documents_lost
    """
    import bigrain

    report = bigrain.repair(
        path,
        memory_budget_bytes=memory,
        progress=progress(state),
        dry_run=dry_run,
        fields=None if fields_file is None else _read_fields(fields_file),
    )
    if state.as_json:
        print_json({"path": str(path), **report.to_dict()})
    elif not report.complete or not state.quiet:
        click.echo(f"{path}: " + "\n".join(map(_line, report.summary().splitlines())))
    if not report.complete:
        ctx.exit(1)


def _line(line: str) -> str:
    indent = len(line) - len(line.lstrip())
    return " " * indent + plain_text(line)


def _read_fields(file: Path) -> dict[str, Field]:
    """Fields out of the JSON of `stats`, or of its "fields" alone."""
    from bigrain.config import check_field_name, field_from_dict
    from bigrain.errors import ConfigError, shown

    try:
        told = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        told = None
    # A field may be called "fields": then it has a family, the whole of `stats` has not.
    inner = told.get("fields") if isinstance(told, dict) else None
    if isinstance(inner, dict) and not isinstance(inner.get("family"), str):
        told = inner
    if not _are_mappings(told):
        raise ConfigError(
            f"{file} holds no fields; expected what `bigrain stats docs.grain --json` prints, or "
            'its "fields" alone: {"lexical": {"family": "lexical"}}'
        )
    fields = {}
    for name, spec in told.items():
        try:
            definition = {key: value for key, value in spec.items() if key not in MEASURED}
            fields[check_field_name(name)] = field_from_dict(definition)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{file}: field {shown(name)}: {error}") from None
    return fields


def _are_mappings(told: object) -> bool:
    """Whether it is a mapping of names to mappings, at least one."""
    return isinstance(told, dict) and bool(told) and all(isinstance(v, dict) for v in told.values())
