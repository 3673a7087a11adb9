"""bigrain count: how often a string occurs, and where."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bigrain.cli.options import Asking, State, collection_argument, common, memory_option
from bigrain.cli.output import plain_text, print_json, print_table
from bigrain.errors import counted

if TYPE_CHECKING:
    from bigrain.search.occurrences import Occurrences, Stretch

__all__ = ["count"]

SHOWN_PLACES = 5


@click.command(cls=Asking, short_help="How often does a string occur, and where?")
@collection_argument
@click.argument("pattern")
@click.option("--limit", default=10, show_default=True, type=int, metavar="N",
              help="How many documents to list, those with the most first.")  # fmt: skip
@click.option("--places", default=100, show_default=True, type=int, metavar="N",
              help="How many places of each document to list.")  # fmt: skip
@click.option("--field", metavar="NAME", help="The substring field, where there are several.")
@click.option("--filter", "condition", metavar="CONDITION", help="A condition on metadata.")
@memory_option
@common
def count(
    state: State,
    path: Path,
    pattern: str,
    limit: int,
    places: int,
    field: str | None,
    condition: str | None,
    memory: int | None,
) -> None:
    """Count PATTERN in all titles and texts, exactly.

    Any string will do: words, a part of one, punctuation. Case and the length of white space do not
    count unless the collection was made so. The collection needs an index of substrings:
    bigrain index --substrings. A PATTERN that begins with - needs a blank in it, or -- before it.

    \b
    Examples:
      bigrain count docs.grain "climate sensitivity"
      bigrain count docs.grain "e.g." --limit 3 --filter "year >= 2020"
      bigrain count docs.grain "colour" --limit 0 --json
    """
    import bigrain

    with bigrain.open(path, read_only=True, memory_budget_bytes=memory) as col:
        found = col.occurrences(pattern, limit=limit, places=places, field=field, filter=condition)
    if state.as_json:
        print_json(found.to_dict())
    else:
        _print(found)


def _print(found: Occurrences) -> None:
    times = "once" if found.total == 1 else f"{found.total:,} times"
    where = f" in {counted(found.n_documents, 'document')}" if found.total else ""
    click.echo(f"{plain_text(found.pattern)}: {times}{where}")
    if found.documents:
        print_table(
            ["document", "times", "at"],
            [
                [document.id, f"{document.count:,}", _places(document.places)]
                for document in found.documents
            ],
        )


def _places(places: tuple[Stretch, ...]) -> str:
    told = [f"title {p.start}" if p.in_title else f"{p.start}" for p in places[:SHOWN_PLACES]]
    return ", ".join(told) + (", ..." if len(places) > SHOWN_PLACES else "")
