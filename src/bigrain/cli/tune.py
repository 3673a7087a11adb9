"""bigrain tune: what recall costs in time and memory, and which codes to choose."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bigrain.cli.options import State, collection_argument, common, memory_option, parse_size
from bigrain.cli.output import human_bytes, note, print_json, print_table, progress
from bigrain.cli.vectors import queries_in
from bigrain.cli.writing import changing

if TYPE_CHECKING:
    from bigrain.tuning import TuneReport, TuneRow

__all__ = ["tune"]


@click.command(short_help="Measure recall against speed and memory, choose codes.")
@collection_argument
@click.option("--recall", type=float, metavar="SHARE",
              help="The share of the true best that shall be found (default: 0.95).")  # fmt: skip
@click.option("--fit", metavar="SIZE",
              callback=lambda ctx, param, text: None if text is None else parse_size(text),
              help="The memory that the collection shall be opened with later, such as 512MB "
              "(default: --memory).")  # fmt: skip
@click.option("--queries", type=click.Path(path_type=Path), metavar="FILE",
              help="Queries as JSONL or TSV, or vectors as .npy or .npz (default: stored "
              "vectors, their means).")  # fmt: skip
@click.option("--field", metavar="NAME",
              help="Which dense or multi-vector field, if there are several.")  # fmt: skip
@click.option("-k", default=10, show_default=True, type=int, metavar="N",
              help="How many of the best shall be found.")  # fmt: skip
@click.option("--rows", default=50_000, show_default=True, type=int, metavar="N",
              help="How many rows codes are tried on.")  # fmt: skip
@click.option("--apply", is_flag=True, help="Make the field's codes anew as chosen.")
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE",
              help="Draw recall against queries a second and bytes, as a PNG.")  # fmt: skip
@memory_option
@common
def tune(
    state: State,
    path: Path,
    recall: float | None,
    fit: int | None,
    queries: Path | None,
    field: str | None,
    k: int,
    rows: int,
    apply: bool,
    plot: Path | None,
    memory: int | None,
) -> None:
    """Measure what recall costs in time and memory, and choose codes.

    It does so for a field with codes, dense or multi-vector.

    Codes of several sizes are tried on a sample of the rows. The quickest that reaches the
    recall within the memory is chosen on one half of the queries; the other half tells what recall
    it reaches. Nothing is changed without --apply.

    \b
    Examples:
      bigrain tune docs.grain
      bigrain tune docs.grain --recall 0.98 --queries questions.tsv --plot frontier.png
      bigrain tune vectors.grain --queries questions.npy
      bigrain tune docs.grain --fit 512MB --apply
    """
    import bigrain

    if plot is not None:
        from bigrain.evaluation.plot import require_matplotlib

        require_matplotlib()  # before the long part
    asked = None if queries is None else queries_in(queries)
    opened = (
        changing(path, memory, state)
        if apply
        else bigrain.open(path, read_only=True, memory_budget_bytes=memory)
    )
    with opened as col:
        report = col.tune(
            recall, fit, asked, field=field, k=k, apply=apply, trial_rows=rows,
            progress=progress(state),
        )  # fmt: skip
    if plot is not None:
        report.plot(plot)
    if state.as_json:
        print_json(report.to_dict())
        return
    _print(report)
    for told in report.notes:
        note(told, state)
    if report.applied:
        click.echo(f"applied: {path} has these codes since snapshot {report.snapshot}")
    elif apply:
        click.echo(f"{path} is coded so already; nothing was changed")


def _print(report: TuneReport) -> None:
    print_table(
        ["", "codes", "recall=", "reached", "95 % interval", "candidates", "codes looked at",
         "microseconds", "in memory"],
        [_cells(report, row) for row in _worth_showing(report)],
        left=2,
    )  # fmt: skip
    click.echo(("chosen: " if report.chosen else "") + report.verdict())
    click.echo(report.measured())


def _cells(report: TuneReport, row: TuneRow) -> list[str]:
    from bigrain.tuning.report import codes_of

    mark = "*" if row == report.chosen else "~" if report.chosen is None and (
        row == report.nearest
    ) else ""  # fmt: skip
    return [
        mark,
        codes_of(row.field),
        f"{row.setting:g}",
        f"{row.reached:.4f}",
        f"{row.low:.4f} to {row.high:.4f}",
        f"{row.candidates:,}",
        f"{row.share_of_codes:.0%}",
        f"{row.microseconds:,.0f}",
        human_bytes(row.bytes_in_memory),
    ]


def _worth_showing(report: TuneReport) -> list[TuneRow]:
    """Every code at three settings, and what is chosen; JSON has all."""
    shown = {0.9, 0.95, 0.99, report.asked}
    rows = [r for r in report.rows if r.setting in shown or r in (report.chosen, report.nearest)]
    return sorted(rows, key=lambda r: (r.bytes_in_memory, r.setting))
