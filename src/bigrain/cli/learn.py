"""bigrain learn: codes, a query adapter and weights learned from questions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bigrain.cli.options import State, collection_argument, common, memory_option
from bigrain.cli.output import note, print_json, print_table, progress
from bigrain.cli.vectors import (
    named,
    queries_by_field,
    query_vectors,
    read_terms,
    vocabulary_option,
)
from bigrain.cli.writing import changing

if TYPE_CHECKING:
    from bigrain.learning.report import LearnReport

__all__ = ["learn"]


@click.command(short_help="Learn from questions, publish what is better.")
@collection_argument
@click.option("--beir", type=click.Path(path_type=Path), metavar="FOLDER",
              help="A BEIR folder: its queries.jsonl and qrels/SPLIT.tsv.")  # fmt: skip
@click.option("--split", metavar="NAME", help="Split of --beir (default: train).")
@click.option("--queries", type=click.Path(path_type=Path), metavar="FILE",
              help="Queries as JSONL or TSV; without --judgments they teach codes alone.",
              )  # fmt: skip
@click.option("--judgments", type=click.Path(path_type=Path), metavar="FILE",
              help="Judgments, or clicks, as TREC qrels or BEIR TSV.")  # fmt: skip
@click.option("--unlabelled", is_flag=True,
              help="Learn codes from the documents alone.")  # fmt: skip
@click.option("--vector", "vectors", multiple=True, metavar="NAME=FILE",
              help="Ask this field with the vectors of a file, by the ids of queries.")  # fmt: skip
@vocabulary_option
@click.option("--field", metavar="NAME", help="Which dense field, if there are several.")
@click.option("--light-bytes", type=int, metavar="N",
              help="Make codes of so many bytes (default: as they are).")  # fmt: skip
@click.option("--minutes", default=10.0, show_default=True, type=float, metavar="N",
              help="When training stops.")  # fmt: skip
@click.option("--only", "parts", multiple=True, metavar="PART",
              type=click.Choice(["light", "adapter", "fusion", "encoder"]),
              help="Learn this part: light, adapter or fusion (may be repeated); or encoder, by "
              "itself.")  # fmt: skip
@click.option("--encoder-folder", type=click.Path(path_type=Path), metavar="FOLDER",
              help="A new folder for the encoder of --only encoder.")  # fmt: skip
@click.option("--hold-out", default="documents", show_default=True,
              type=click.Choice(["documents", "questions"]),
              help="Judge by questions about documents that were not learned from, or about "
              "any.")  # fmt: skip
@click.option("--seed", default=0, show_default=True, type=int, metavar="N",
              help="Of everything that is drawn at random.")  # fmt: skip
@click.option("--force", is_flag=True, help="Publish also what is not better.")
@click.option("--undo", is_flag=True, help="Take back all that was learned.")
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE",
              help="Draw recall of the candidates against bytes, by fitted and by learned codes of "
              "several sizes, as a PNG; takes some minutes more.")  # fmt: skip
@memory_option
@common
def learn(
    state: State,
    path: Path,
    beir: Path | None,
    split: str | None,
    queries: Path | None,
    judgments: Path | None,
    unlabelled: bool,
    vectors: tuple[str, ...],
    vocabulary: Path | None,
    field: str | None,
    light_bytes: int | None,
    minutes: float,
    parts: tuple[str, ...],
    encoder_folder: Path | None,
    hold_out: str,
    seed: int,
    force: bool,
    undo: bool,
    plot: Path | None,
    memory: int | None,
) -> None:
    """Learn from questions how a dense field, and the fusion of fields, find what is right.

    Learned are codes that put it among the candidates (needs pip install 'bigrain[learn]'), an
    adapter of queries that ranks it first, and the weights of the fields. A part of the questions
    is held out, and what is not better on these is not published. Without judgments codes alone
    are learned. After a call that was stopped or killed the same command goes on where it was;
    the training of an encoder begins anew.

    \b
    Examples:
      bigrain learn docs.grain --queries questions.tsv --judgments qrels.txt
      bigrain learn docs.grain --beir scifact/ --light-bytes 32 --plot recall.png
      bigrain learn docs.grain --unlabelled --minutes 5
      bigrain learn docs.grain --beir scifact/ --only encoder --encoder-folder my-encoder
      bigrain learn docs.grain --undo
    """
    judged_by_file = queries is not None or judgments is not None
    told = {"--queries or --judgments": judged_by_file, "--beir": beir is not None,
            "--unlabelled": unlabelled, "--undo": undo}  # fmt: skip
    given = [name for name, there in told.items() if there]
    if len(given) > 1:
        raise click.UsageError(f"{' and '.join(given)}: not both")
    if not given:
        raise click.UsageError(
            "give --queries FILE and --judgments FILE, or --beir FOLDER, or --unlabelled, or --undo"
        )
    if beir is None and split is not None:
        raise click.UsageError("--split goes with --beir")
    if judgments is not None and queries is None and not vectors:
        raise click.UsageError("--judgments needs --queries, or --vector with the ids of queries")
    if plot is not None:
        from bigrain.evaluation.plot import require_drawable

        require_drawable(plot)
    texts, judged = _given(beir, split, queries, judgments)
    brought = query_vectors(named(vectors, "--vector"), read_terms(vocabulary)) if vectors else []
    with changing(path, memory, state) as col:
        if undo:
            _say(state, path, col.unlearn(progress(state)))
            return
        state.after_cancel = (
            "nothing was changed; the training of the encoder begins anew" if "encoder" in parts
            else "nothing was changed; the same command goes on from what was trained"
        )  # fmt: skip
        asked = queries_by_field(col, texts or {}, brought) if brought else texts
        report = col.learn(
            asked, judged, field=field, light_bytes=light_bytes, minutes=minutes,
            what=parts or ("light", "adapter", "fusion"), hold_out=hold_out, force=force,
            seed=seed, sweep=plot is not None,
            encoder_folder=encoder_folder, progress=progress(state),
        )  # fmt: skip
    if state.as_json:
        print_json(report.to_dict())
    else:
        _print(report, state)
    if plot is not None:  # last: a disk that is full must not keep the report back
        report.plot(plot)


def _given(
    beir: Path | None, split: str | None, queries: Path | None, judgments: Path | None
) -> tuple[dict[str, Any] | None, Mapping[str, Mapping[str, int]] | None]:
    """The queries and judgments of the files."""
    from bigrain.evaluation import load_judgments, load_queries
    from bigrain.text import beir_judgments, beir_queries

    if beir is not None:
        return dict(beir_queries(beir)), beir_judgments(beir, split or "train")
    return (
        None if queries is None else dict(load_queries(queries)),
        None if judgments is None else load_judgments(judgments),
    )


def _say(state: State, path: Path, snapshot: int) -> None:
    if state.as_json:
        print_json({"undone": True, "snapshot": snapshot})
    else:
        click.echo(f"{path}: what it had learned is taken back, in snapshot {snapshot}")


def _print(report: LearnReport, state: State) -> None:
    print_table(
        ["", "part", "measure", "before", "after", "gain", "95 % interval", "questions"],
        [
            [
                "*" if gain.published else "", gain.part, gain.measure, f"{gain.before:.4f}",
                f"{gain.after:.4f}", f"{gain.difference:+.4f}",
                f"{gain.low:+.4f} to {gain.high:+.4f}", f"{gain.questions:,}",
            ]
            for gain in report.gains
        ],
        left=3,
    )  # fmt: skip
    before, after = report.light_bytes
    size = f"{after} bytes a code" if before == after else f"{before} -> {after} bytes a code"
    click.echo(size + (f", adapter {report.adapter_bytes:,} bytes" * bool(report.adapter_bytes)))
    for line in report.changed_weights():
        click.echo(line)
    click.echo(report.learned_from())
    click.echo(report.verdict())
    for told in report.notes:
        note(told, state)
