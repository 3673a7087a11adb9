"""bigrain audit: is the recall that is asked for reached with these queries?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bigrain.cli.options import State, collection_argument, common, memory_option
from bigrain.cli.output import print_json, print_table, progress
from bigrain.cli.vectors import queries_in

if TYPE_CHECKING:
    from bigrain.search.audit_report import AuditReport

__all__ = ["audit"]


@click.command(short_help="Is the recall that is asked for reached?")
@collection_argument
@click.option("--queries", type=click.Path(path_type=Path), metavar="FILE", required=True,
              help="Queries as JSONL or TSV, or vectors as .npy or .npz.")  # fmt: skip
@click.option("--recall", type=float, metavar="SHARE",
              help="The share of the true best that is asked for (default: 0.95).")  # fmt: skip
@click.option("-k", default=10, show_default=True, type=int, metavar="N",
              help="How many of the best shall be found.")  # fmt: skip
@memory_option
@common
@click.pass_context
def audit(
    ctx: click.Context,
    state: State,
    path: Path,
    queries: Path,
    recall: float | None,
    k: int,
    memory: int | None,
) -> None:
    """Put queries to every field that looks at codes, answer them again exactly, and compare.

    The exit code is 1 if less was reached than asked, by more than chance. `bigrain tune` finds
    the setting of a dense field that reaches it.

    \b
    Examples:
      bigrain audit docs.grain --queries questions.tsv
      bigrain audit docs.grain --queries questions.jsonl --recall 0.98 -k 20 --json
      bigrain audit docs.grain --queries splade-questions.npz --recall 0.9
    """
    import bigrain

    asked = queries_in(queries)
    with bigrain.open(path, read_only=True, memory_budget_bytes=memory) as col:
        found = col.audit(queries=asked, recall=recall, k=k, progress=progress(state))
    if state.as_json:
        print_json(found.to_dict())
    else:
        _print(found)
    if not found.holds:
        ctx.exit(1)


def _print(found: AuditReport) -> None:
    print_table(
        ["field", "asked", "reached", "95 % interval", "queries", ""],
        [
            [
                each.field,
                f"{each.asked:g}",
                f"{each.reached:.4f}",
                f"{each.low:.4f} to {each.high:.4f}",
                f"{each.queries:,}",
                "holds" if each.holds else "falls short",
            ]
            for each in found.fields
        ],
    )
