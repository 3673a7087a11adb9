"""bigrain bench: how fast are the answers?"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bigrain.cli.bench_tables import bench_tables
from bigrain.cli.options import State, collection_argument, common, memory_option
from bigrain.cli.output import note, plain_text, print_json, print_table, progress
from bigrain.cli.vectors import queries_in
from bigrain.errors import counted

if TYPE_CHECKING:
    from bigrain import Collection
    from bigrain.progress import Reporter

__all__ = ["bench"]

LOOKED_AT = 20_000
QUERY_WORDS = 8
WARM_UP = 10


class Bench(click.Command):
    """`bench COLLECTION`, and `bench tables`, which has options of its own."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **x: Any
    ) -> click.Context:
        if args[:1] == [bench_tables.name]:
            return bench_tables.make_context(f"{info_name} {args[0]}", args[1:], parent, **x)
        return super().make_context(info_name, args, parent, **x)


@click.command(cls=Bench, short_help="Measure latency and throughput.")
@collection_argument
@click.option("--queries", type=click.Path(path_type=Path), metavar="FILE",
              help="Queries as JSONL or TSV, or vectors as .npy or .npz (default: the "
              "collection's titles).")  # fmt: skip
@click.option("-n", "n_queries", default=200, show_default=True, type=click.IntRange(min=1),
              metavar="N", help="How many queries.")  # fmt: skip
@click.option("-k", default=10, show_default=True, type=int, metavar="N", help="How many hits.")
@click.option("--recall", type=float, metavar="SHARE", help="As in `bigrain search`.")
@click.option("--threads", default=os.cpu_count() or 1, type=click.IntRange(min=1), metavar="N",
              help="Threads for the batched figure (default: all processors).")  # fmt: skip
@memory_option
@common
def bench(
    state: State,
    path: Path,
    queries: Path | None,
    n_queries: int,
    k: int,
    recall: float | None,
    threads: int,
    memory: int | None,
) -> None:
    """Measure latency and throughput of this collection on this machine.

    Each field that can be asked with the queries is asked alone, then all of them together: first
    one query at a time, then all queries as a batch. `bigrain bench tables` is another thing: it
    compares embedding tables.

    \b
    Examples:
      bigrain bench docs.grain
      bigrain bench docs.grain --queries queries.jsonl -n 1000 --json
      bigrain bench vectors.grain --queries questions.npy --recall 0.98
      bigrain bench tables --help
    """
    import bigrain
    from bigrain import InvalidInputError, kernels
    from bigrain.judging import own_fields
    from bigrain.progress import reporting

    with bigrain.open(path, read_only=True, memory_budget_bytes=memory) as col:
        if queries is None:
            texts, source = _own_queries(col, n_queries)
        else:
            texts, source = queries_in(queries)[:n_queries], f"the first of {queries}"
        if not texts:
            raise InvalidInputError(
                "nothing to measure: "
                + (f"no queries in {queries}" if queries else "no documents with text")
                + "; queries may be vectors too: --queries FILE.npy"
            )
        asked = {name: options["fields"] for name, options in own_fields(col, texts[0]).items()}
        for name in col.fields.keys() - asked.keys():
            note(f"field {name!r} cannot be asked so, and was not measured", state)
        results = {}
        with reporting(progress(state)) as reporter:
            for name, fields in asked.items():
                reporter.stage(f"asking {name}", 2 * len(texts), "queries")
                options = {"k": k, "fields": fields, "recall": recall}
                results[name] = _measure(col, texts, options, threads, reporter)
        report = {
            "path": str(path),
            "documents": len(col),
            "queries": len(texts),
            "queries_from": source,
            "k": k,
            "recall": recall,
            "threads": threads,
            "processors": os.cpu_count(),
            "kernels": kernels.level(),
            "systems": results,
        }
    if state.as_json:
        print_json(report)
    else:
        _print(report)


def _measure(
    col: Collection,
    texts: Sequence[Any],
    options: dict[str, Any],
    threads: int,
    reporter: Reporter,
) -> dict[str, float]:
    from bigrain.evaluation import Latency

    for text in texts[:WARM_UP]:
        col.search_many([text], arrays=True, **options)
    seconds = []
    for text in texts:
        began = time.perf_counter()
        col.search_many([text], arrays=True, **options)
        seconds.append(time.perf_counter() - began)
        reporter.advance()
    began = time.perf_counter()
    col.search_many(texts, arrays=True, threads=threads, **options)
    batched = time.perf_counter() - began
    reporter.advance(len(texts))
    single = Latency.of(seconds)
    return {
        "p50_ms": single.p50_s * 1e3,
        "p95_ms": single.p95_s * 1e3,
        "p99_ms": single.p99_s * 1e3,
        "queries_per_second": single.queries_per_second,
        "queries_per_second_batched": len(texts) / batched,
    }


def _own_queries(col: Collection, n: int) -> tuple[list[Any], str]:
    """The first words of titles, or of texts without one, of documents drawn at random."""
    documents = list(islice(col.documents(), LOOKED_AT))
    drawn = random.Random(0).sample(documents, min(n, len(documents)))
    texts = [
        " ".join(plain_text(document.title or document.text[:400]).split()[:QUERY_WORDS])
        for document in drawn
    ]
    among = "the" if len(col) <= LOOKED_AT else f"the first {LOOKED_AT:,}"
    return [text for text in texts if text], (
        f"the first {QUERY_WORDS} words of titles or texts of {among} documents, drawn with seed 0"
    )


def _print(report: dict[str, Any]) -> None:
    print_table(
        ["", "p50 ms", "p95 ms", "p99 ms", "queries/s, one by one", "queries/s, batched"],
        [
            [
                name,
                *(f"{result[f'p{p}_ms']:.3g}" for p in (50, 95, 99)),
                f"{result['queries_per_second']:,.0f}",
                f"{result['queries_per_second_batched']:,.0f}",
            ]
            for name, result in report["systems"].items()
        ],
        title=f"{report['path']}: {counted(report['documents'], 'document')}",
    )
    recall = "" if report["recall"] is None else f", recall {report['recall']:g}"
    click.echo(
        f"measured: {counted(report['queries'], 'query', 'queries')} ({report['queries_from']}), "
        f"k {report['k']}{recall}, ids and scores without texts, "
        f"after {min(WARM_UP, report['queries'])} to warm up; the batch on "
        f"{counted(report['threads'], 'thread')} of "
        f"{counted(report['processors'], 'processor')}; kernels {report['kernels']}"
    )
