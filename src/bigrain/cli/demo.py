"""bigrain demo: the library at work on two judged collections that come with it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bigrain.cli.index import build
from bigrain.cli.options import State, common
from bigrain.cli.output import (
    console,
    human_bytes,
    human_seconds,
    note,
    print_json,
    print_table,
    progress,
)
from bigrain.cli.search import language_of, print_hits
from bigrain.errors import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bigrain import Collection

__all__ = ["demo", "demo_folder"]

MEASURES = ("nDCG@10", "R@100")
CAUTION = (
    "the bundled encoder learned from documents and training questions of both sets, and 197 of "
    "SciFact's 300 test claims share an abstract or their wording with a training claim: read the "
    "dense and fused figures as those of an encoder that knows its collection, not of one that "
    "meets new text"
)
SHOWN_HITS = 2


@dataclass(frozen=True)
class Set:
    """A judged collection: what it is, where, and questions to show it with."""

    name: str
    about: str
    folder: Path
    questions: tuple[str, ...] = field(default=())


def demo_folder(name: str) -> Path:
    """The BEIR folder "scifact" or "medquad" that comes with bigrain."""
    return Path(__file__).parents[1] / "demo_data" / name


def _sets(data: Path | None) -> list[Set]:
    if data is not None:
        return [Set(data.resolve().name or "data", f"the BEIR folder {data}", data)]
    return [
        Set(
            "scifact",
            "abstracts of scientific papers, asked with claims",
            demo_folder("scifact"),
            ("Does vitamin D prevent fractures?", "how do bacteria become resistant to drugs"),
        ),
        Set(
            "medquad",
            "health pages of four US institutes, asked with questions",
            demo_folder("medquad"),
            ("What can I do about kidney stones?", "numb feet and diabetes"),
        ),
    ]


@click.command(short_help="See it at work on judged collections.")
@click.option("--keep", type=click.Path(path_type=Path), metavar="DIR",
              help="Keep the collections there, to try other commands on.")  # fmt: skip
@click.option("--data", type=click.Path(path_type=Path), metavar="FOLDER",
              help="Use this BEIR folder instead of the data that comes with bigrain.")  # fmt: skip
@common
def demo(state: State, keep: Path | None, data: Path | None) -> None:
    """Index, search and measure two judged collections, in under a minute.

    SciFact (5,183 abstracts, 300 claims) and a part of MedQuAD (3,485 health passages, 266
    questions) come with bigrain; nothing is downloaded.

    \b
    Examples:
      bigrain demo
      bigrain demo --keep demo/ && bigrain search demo/scifact.grain "what causes asthma?"
      bigrain demo --data my-beir-folder/
    """
    import bigrain
    from bigrain import kernels

    began = time.perf_counter()
    if not state.as_json:
        _heading(f"bigrain {bigrain.__version__}, kernels {kernels.level()}")
        click.echo("Small codes of all documents stand in memory; originals on disk verify them.")
    reports = []
    with _place(keep) as place:
        for each in _sets(data):
            reports.append(_show(each, place / f"{each.name}.grain", state))
    seconds = time.perf_counter() - began
    if state.as_json:
        print_json({
            "version": bigrain.__version__, "kernels": kernels.level(), "seconds": seconds,
            "sets": reports, "notes": [CAUTION] if data is None else [],
        })  # fmt: skip
        return
    _quality(reports)
    if data is None and any(report["systems"] for report in reports):
        note(CAUTION, state)
    _costs(reports)
    _next_steps(keep, seconds)


@contextmanager
def _place(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep
        return
    with tempfile.TemporaryDirectory(prefix="bigrain-demo-") as folder:
        yield Path(folder)


def _show(each: Set, path: Path, state: State) -> dict[str, Any]:
    """Index, search and measure one set; what was found, as JSON values."""
    from rich.text import Text

    import bigrain
    from bigrain.text import beir_queries, read_documents

    summary = build(list(read_documents(each.folder)), path, state)
    with bigrain.open(path, read_only=True) as col:
        if not state.as_json:
            _heading(f"{each.name}: {each.about}")
            click.echo(
                f"indexed {counted(summary['documents'], 'document')} in "
                f"{human_seconds(summary['seconds'])}, "
                f"{summary['documents_per_second']:,.0f} a second"
            )
            for question in each.questions or list(beir_queries(each.folder).values())[:2]:
                began = time.perf_counter()
                hits = col.search(question, SHOWN_HITS)
                took = (time.perf_counter() - began) * 1e3
                click.echo()
                console().print(
                    Text.assemble((f"? {question}", "bold"), (f"  {took:.1f} ms", "dim"))
                )
                print_hits(hits, question, language_of(col))
        systems = _evaluate(col, each.folder, state)
    return {"name": each.name, **summary, "systems": systems}


def _evaluate(col: Collection, folder: Path, state: State) -> dict[str, dict[str, float]] | None:
    """Measures and latency by field; None where the extra for it is missing."""
    from bigrain import MissingExtraError
    from bigrain.text import beir_judgments, beir_queries

    try:
        found = col.evaluate(
            beir_queries(folder),
            beir_judgments(folder),
            measures=MEASURES,
            progress=progress(state),
        )
    except MissingExtraError as error:
        note(f"quality and latency are left out: {error}", state)
        return None
    return {
        name: {
            **{measure: each.mean for measure, each in system.measures.items()},
            "p50_ms": system.latency.p50_s * 1e3 if system.latency else float("nan"),
            "n_queries": system.n_queries,
        }
        for name, system in found.systems.items()
    }


def _heading(text: str) -> None:
    from rich.rule import Rule
    from rich.text import Text

    out = console()
    click.echo()
    if out.is_terminal:
        out.print(Rule(Text(text, "bold"), align="left"))
    else:
        click.echo(f"== {text}")


def _quality(reports: Iterable[Mapping[str, Any]]) -> None:
    measured = [report for report in reports if report["systems"]]
    if not measured:
        return
    _heading("how good, how fast (each field alone, then fused)")
    columns = [""]
    for report in measured:
        columns += [f"{report['name']} nDCG@10", "Recall@100", "p50 ms"]
    rows = []
    for name in measured[0]["systems"]:
        row = [name]
        for report in measured:
            system = report["systems"][name]
            row += [*(f"{system[m]:.3f}" for m in MEASURES), f"{system['p50_ms']:.2f}"]
        rows.append(row)
    print_table(columns, rows)
    for report in measured:
        n_queries = max(system["n_queries"] for system in report["systems"].values())
        click.echo(f"{report['name']}: {counted(n_queries, 'judged question')}, one at a time")


def _costs(reports: Iterable[Mapping[str, Any]]) -> None:
    _heading("what it takes")
    print_table(
        ["", "documents", "documents/s", "in memory, each", "on disk, each"],
        [
            [
                report["name"],
                f"{report['documents']:,}",
                f"{report['documents_per_second']:,.0f}",
                human_bytes(report["bytes_in_memory"] / report["documents"]),
                human_bytes(report["bytes_on_disk"] / report["documents"]),
            ]
            for report in reports
        ],
    )


def _next_steps(keep: Path | None, seconds: float) -> None:
    _heading(f"done in {human_seconds(seconds)}; where to go next")
    kept = "docs.grain" if keep is None else f"{keep / 'scifact.grain'}"
    if keep is None:
        click.echo("  bigrain index FOLDER --to docs.grain           your own files")
    click.echo(f'  bigrain search {kept} "a question" --explain')
    click.echo(f"  bigrain bench {kept}")
    click.echo("  bigrain --help                                 all commands")
    click.echo("  docs/ and examples/ in the source              tutorial, Python")
