"""bigrain bench tables: which compressed embedding table is best at which size?"""

from __future__ import annotations

import math
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bigrain.cli.options import State, common
from bigrain.cli.output import human_bytes, human_seconds, note, print_json, print_table, progress

if TYPE_CHECKING:
    from bigrain.tables.bench.report import Row

__all__ = ["bench_tables"]


@click.command("tables", short_help="Compare compressed embedding tables at equal bytes.")
@click.option("--data", default="generated", show_default=True, metavar="NAME",
              type=click.Choice(["generated", "arxiv-authors", "movielens-small"]),
              help="generated, arxiv-authors or movielens-small.")  # fmt: skip
@click.option("--folder", type=click.Path(path_type=Path), metavar="FOLDER",
              help="Where the data lies, if it is not generated: for movielens-small GroupLens' "
              "movies.csv and ratings.csv, or the same with .gz.")  # fmt: skip
@click.option("--rows", type=click.IntRange(min=10), metavar="N",
              help="Rows of generated data (default: 20,000).")  # fmt: skip
@click.option("--vocabulary", type=click.IntRange(min=10), metavar="N",
              help="Ids of the largest field of generated data (default: 10,000).")  # fmt: skip
@click.option("--skew", type=float, metavar="S",
              help="Exponent of Zipf's law in generated data (default: 1.1).")  # fmt: skip
@click.option("--model", metavar="NAME",
              help="dlrm, wide_deep, cross, deepfm, or bag for arxiv-authors (default: dlrm, or "
              "bag).")  # fmt: skip
@click.option("--method", "methods", multiple=True, metavar="NAME",
              help="A method, like mgqe.v1; may be repeated (default: all).")  # fmt: skip
@click.option("--rate", "rates", multiple=True, type=click.FloatRange(0, 1, min_open=True),
              metavar="SHARE",
              help="Of the bytes of a full table; may be repeated (default: 0.5, 0.1, 0.01, "
              "0.001).")  # fmt: skip
@click.option("--seeds", default=1, show_default=True, type=click.IntRange(min=1), metavar="N",
              help="How many runs of each, for intervals.")  # fmt: skip
@click.option("--dim", default=16, show_default=True, type=click.IntRange(min=1), metavar="N",
              help="Width of a row.")  # fmt: skip
@click.option("--epochs", default=10.0, show_default=True, type=click.FloatRange(0, min_open=True),
              metavar="N", help="At most so many.")  # fmt: skip
@click.option("--to", type=click.Path(path_type=Path, file_okay=False), metavar="FOLDER",
              help="Keep a record of each run there; what has one is not run again.")  # fmt: skip
@click.option("--plot", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Draw score against bytes into FILE.")  # fmt: skip
@common
def bench_tables(
    state: State,
    data: str,
    folder: Path | None,
    rows: int | None,
    vocabulary: int | None,
    skew: float | None,
    model: str | None,
    methods: tuple[str, ...],
    rates: tuple[float, ...],
    seeds: int,
    dim: int,
    epochs: float,
    to: Path | None,
    plot: Path | None,
) -> None:
    """Train every kind of compressed embedding table and compare them at equal bytes.

    Each run is one method at one rate and seed, in a process of its own: same data, model, batches
    and early stopping. Its score is the AUC of clicks, or the accuracy of classes, on the test
    rows, looked up in the exported table. A file may be 1 % larger than its rate says. Needs the
    extra learn.

    \b
    Examples:
      bigrain bench tables --rows 5000 --method hash.v1 --method mgqe.v1 --rate 0.1
      bigrain bench tables --data movielens-small --folder ml/ --seeds 3 --to runs/ --plot t.png
    """
    from bigrain.tables.bench.grid import RATES, jobs, run_jobs
    from bigrain.tables.bench.report import best_at, pareto, recommendations, summary
    from bigrain.tables.bench.report import plot as draw

    given = {"rows": rows, "vocabulary": vocabulary, "skew": skew}
    options = {name: value for name, value in given.items() if value is not None}
    if options and data != "generated":
        raise click.UsageError("--rows, --vocabulary and --skew are of generated data")
    if folder is None and data != "generated":
        raise click.UsageError(f"{data} is read from its folder: give it with --folder")
    wanted = jobs(
        methods or None,
        rates or RATES,
        seeds,
        data=data,
        folder=None if folder is None else str(folder),
        data_options=options,
        model=model or ("bag" if data == "arxiv-authors" else "dlrm"),
        dim=dim,
        epochs=epochs,
    )
    state.after_cancel = "the records of finished runs are kept" if to else "nothing was kept"
    with nullcontext(to) if to else tempfile.TemporaryDirectory() as place:
        records = run_jobs(wanted, Path(place), progress=progress(state))
    found = summary(records)
    impossible = [record for record in records if "impossible" in record]
    if plot is not None:
        draw(found, plot, f"{data}, {wanted[0].model}, width {dim}")
    if state.as_json:
        front = {(row.method, row.rate) for row in pareto(found)}
        print_json(
            {
                "rows": [_plain(row, (row.method, row.rate) in front) for row in found],
                "impossible": [record["impossible"] for record in impossible],
                "recommendations": recommendations(found),
            }
        )
        return
    for group in best_at(found).values():
        _print(group)
    for record in impossible:
        note(record["impossible"], state)
    for purpose, told in recommendations(found).items():
        click.echo(f"{purpose}: {told}")


def _plain(row: Row, in_front: bool) -> dict[str, Any]:
    from dataclasses import asdict

    told = {**asdict(row), "pareto": in_front}
    return {name: None if value != value else value for name, value in told.items()}


def _print(rows: list[Row]) -> None:
    print_table(
        ["", "score", "log loss", "bytes", "rate", "training", "its memory", "lookup ns", "torch"],
        [
            [
                row.method,
                f"{row.score:.4f}" + ("" if math.isnan(row.interval) else f" ±{row.interval:.4f}"),
                f"{row.log_loss:.4f}",
                human_bytes(row.bytes),
                f"{row.achieved_rate:.4g}",
                human_seconds(row.train_s),
                human_bytes(row.peak_training_bytes),
                f"{row.lookup_ns:.0f}",
                f"{row.torch_lookup_ns:.0f}",
            ]
            for row in rows
        ],
        title=f"at {rows[0].rate:g} of the bytes; torch.nn.Embedding {rows[0].embedding_ns:.0f} ns",
    )
