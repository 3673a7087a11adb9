"""bigrain eval: how good are the answers?"""

from __future__ import annotations

import re
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
from bigrain.errors import counted

if TYPE_CHECKING:
    from bigrain.evaluation import Comparison, Evaluation

__all__ = ["evaluate", "measure_name"]

KNOWN_AS = {"R@": "Recall@", "RR@": "MRR@", "AP@": "MAP@"}


@click.command("eval", short_help="Measure the quality of the answers.")
@collection_argument
@click.option("--beir", type=click.Path(path_type=Path), metavar="FOLDER",
              help="A BEIR folder: its queries.jsonl and qrels/SPLIT.tsv.")  # fmt: skip
@click.option("--split", metavar="NAME", help="Split of --beir (default: test, else dev, train).")
@click.option("--queries", type=click.Path(path_type=Path), metavar="FILE",
              help="Queries as JSONL or TSV.")  # fmt: skip
@click.option("--judgments", type=click.Path(path_type=Path), metavar="FILE",
              help="Judgments as TREC qrels or BEIR TSV.")  # fmt: skip
@click.option("--vector", "vectors", multiple=True, metavar="NAME=FILE",
              help="Ask this field with the vectors of a file, by the ids of queries.")  # fmt: skip
@vocabulary_option
@click.option("--measures", metavar="NAMES",
              help="Measures by their ir-measures names, such as 'nDCG@10,R@100,P@5'.")  # fmt: skip
@click.option("-k", default=100, show_default=True, metavar="N", type=int,
              help="How many results are looked at.")  # fmt: skip
@click.option("--ignore-identical-ids", is_flag=True,
              help="Drop a result with the id of the query.")  # fmt: skip
@click.option("--save", type=click.Path(path_type=Path), metavar="DIR",
              help="Write evaluation.json, a picture and the runs there.")  # fmt: skip
@memory_option
@common
def evaluate(
    state: State,
    path: Path,
    beir: Path | None,
    split: str | None,
    queries: Path | None,
    judgments: Path | None,
    vectors: tuple[str, ...],
    vocabulary: Path | None,
    measures: str | None,
    k: int,
    ignore_identical_ids: bool,
    save: Path | None,
    memory: int | None,
) -> None:
    """Measure quality and latency: each field alone, and all of them fused.

    Prints nDCG@10, Recall@100, MRR@10 and MAP with 95 % intervals over queries, and whether
    differences from the first field are more than chance. Needs pip install 'bigrain[eval]'.

    Fields without an encoder are measured too where --vector, a file as for bigrain add-vectors,
    has their queries; queries without a vector there are left out.

    \b
    Examples:
      bigrain eval docs.grain --beir scifact/
      bigrain eval docs.grain --beir scifact/ --split train --save results/
      bigrain eval docs.grain --queries questions.tsv --judgments qrels.txt --measures "nDCG@5 P@5"
      bigrain eval docs.grain --beir scifact/ --vector splade=queries.jsonl --vocabulary vocab.txt
    """
    import bigrain
    from bigrain.evaluation import load_queries
    from bigrain.text import beir_judgments, beir_queries

    if (beir is None) == (queries is None and judgments is None):
        raise click.UsageError("give --beir FOLDER, or --queries FILE and --judgments FILE")
    if beir is None and (judgments is None or (queries is None and not vectors)):
        raise click.UsageError("--queries and --judgments belong together")
    if beir is None and split is not None:
        raise click.UsageError("--split goes with --beir")
    if save is not None:
        from bigrain.evaluation.plot import require_matplotlib

        require_matplotlib()  # before the long part
    asked = re.split(r"[,;\s]+", measures.strip(" ,;")) if measures else _default_measures(k)
    texts: Mapping[str, Any] = {}
    if beir is not None:
        texts = beir_queries(beir)
    elif queries is not None:
        texts = load_queries(queries)
    brought = query_vectors(named(vectors, "--vector"), read_terms(vocabulary)) if vectors else []
    with bigrain.open(path, read_only=True, memory_budget_bytes=memory) as col:
        found = col.evaluate(
            queries_by_field(col, texts, brought) if brought else texts,
            beir_judgments(beir, split) if beir is not None else str(judgments),
            k=k,
            measures=asked,
            ignore_identical_ids=ignore_identical_ids,
            keep_runs=save is not None,
            progress=progress(state),
        )
    if save is not None:
        found.save(save)
    if state.as_json:
        print_json(_brief(found))
    else:
        _print(found, state)
        if save is not None and not state.quiet:
            click.echo(f"saved: {save}/evaluation.json, evaluation.png, runs/")


def measure_name(name: str) -> str:
    """The name most people know: Recall@100 for R@100."""
    for short, long in KNOWN_AS.items():
        if name.startswith(short):
            return long + name[len(short) :]
    return name


def _default_measures(k: int) -> list[str]:
    from bigrain.evaluation import DEFAULT_MEASURES

    if k < 1:
        return list(DEFAULT_MEASURES)  # `evaluate` says what is wrong with k
    names = []
    for measure in DEFAULT_MEASURES:
        name, cutoff = measure.split("@")
        names.append(f"{name}@{min(int(cutoff), k)}")
    return names


def _brief(found: Evaluation) -> dict[str, Any]:
    """`to_dict` without the single queries; `--save` keeps those."""
    told = found.to_dict()
    for system in told["systems"]:
        del system["per_query"]
        if system["latency"]:
            del system["latency"]["seconds"]
    return told


def _print(found: Evaluation, state: State) -> None:
    n_queries = max(system.n_queries for system in found.systems.values())
    rows = []
    for system in found.systems.values():
        row = [system.name]
        for each in system.measures.values():
            row.append(f"{each.mean:.4f} [{_bound(each.low)}, {_bound(each.high)}]")
        latency = system.latency
        if latency is not None:
            row += [
                f"{latency.p50_s * 1e3:.3g}",
                f"{latency.p95_s * 1e3:.3g}",
                f"{latency.queries_per_second:,.0f}",
            ]
        rows.append(row)
    print_table(
        ["", *map(measure_name, found.measures), "p50 ms", "p95 ms", "queries/s"],
        rows,
        title=f"{found.name}: {counted(n_queries, 'query', 'queries')}, mean [95 % interval]",
    )
    for comparison in found.comparisons:
        click.echo(_compared(comparison))
    for message in found.notes:
        note(message, state)


def _compared(each: Comparison) -> str:
    p = each.p_randomisation if each.p_holm is None else each.p_holm
    direction = "better" if each.difference > 0 else "worse"
    verdict = f"{direction}, not by chance" if each.significant() else "may be chance"
    shown = f"p = {p:.4f}" if p >= 0.0001 else "p < 0.0001"
    return (
        f"{each.a} - {each.b}: {measure_name(each.measure)} {each.difference:+.4f} "
        f"[{each.low:+.4f}, {each.high:+.4f}], {shown}: {verdict} "
        f"({each.wins} queries won, {each.ties} tied, {each.losses} lost)"
    )


def _bound(number: float) -> str:
    return f"{number:.3f}".removeprefix("0") if 0 <= number < 1 else f"{number:.3f}"
