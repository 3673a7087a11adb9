"""bigrain learn-encoder: make an encoder out of texts alone."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from bigrain.cli.options import State, common
from bigrain.cli.output import human_bytes, human_seconds, print_json, progress
from bigrain.cli.sources import Sources, reading_options, sources_argument
from bigrain.errors import counted

__all__ = ["learn_encoder"]

KINDS = (
    "lsa", "pmi", "skip-gram", "rand-walk", "bit-cipher", "fastrp", "pv", "binary-pv", "rb-pv"
)  # fmt: skip


@click.command("learn-encoder", short_help="Learn an encoder from texts alone.")
@sources_argument
@click.option("--to", "target", required=True, metavar="FOLDER", type=click.Path(path_type=Path),
              help="A new folder for the encoder.")  # fmt: skip
@click.option("--encoder", "kind", default="lsa", show_default=True, type=click.Choice(KINDS),
              metavar="KIND", help=f"{', '.join(KINDS)}.")  # fmt: skip
@click.option("--dim", type=int, metavar="N", help="Width of the vectors (default: 300).")
@click.option("--bits", type=int, metavar="N",
              help="Of the code of binary-pv and rb-pv (default: 128).")  # fmt: skip
@click.option("--language", metavar="NAME",
              help="Chooses stemmer and stop words (default: plain words).")  # fmt: skip
@click.option("--epochs", type=int, metavar="N", help="Passes over the texts.")
@click.option("--seed", type=int, default=0, show_default=True, metavar="N",
              help="The same seed gives the same encoder.")  # fmt: skip
@reading_options
@common
def learn_encoder(
    state: State,
    sources: tuple[str, ...],
    target: Path,
    kind: str,
    dim: int | None,
    bits: int | None,
    language: str | None,
    epochs: int | None,
    seed: int,
    **reading: Any,
) -> None:
    """Learn an encoder from the texts of SOURCE, without weights, labels or network.

    For languages and domains that the bundled encoder does not know. SOURCE is what `bigrain index`
    takes; all known words and one vector for each are kept in memory. Needs the extra corpus.

    \b
    Examples:
      bigrain learn-encoder papers/ --to papers-encoder
      bigrain learn-encoder corpus.jsonl --encoder pmi --language ja --to ja-encoder
      bigrain learn-encoder notes/ --encoder rb-pv --bits 128 --to notes-encoder
    """
    from bigrain.encoders import corpus
    from bigrain.encoders.corpus.learned import require_new

    require_new(target)
    began = time.perf_counter()
    texts = [f"{one.title} {one.text}" for one in Sources(sources, state, **reading)]
    passes = {} if epochs is None else {"epochs": epochs}
    encoder = corpus.learn(
        kind, texts, dim=dim, bits=bits, language=language, seed=seed, progress=progress(state),
        **passes,
    )  # fmt: skip
    encoder.save(target)
    seconds = time.perf_counter() - began
    n_bytes = sum(file.stat().st_size for file in target.iterdir())
    if state.as_json:
        print_json({
            "path": str(target), "kind": kind, "dim": encoder.dim, "texts": len(texts),
            "words": len(encoder.words), "bytes": n_bytes, "seconds": seconds,
        })  # fmt: skip
    elif not state.quiet:
        click.echo(
            f"{target}: {kind} of {encoder.dim} dimensions from {counted(len(texts), 'text')}, "
            f"{len(encoder.words):,} words, {human_bytes(n_bytes)}, in {human_seconds(seconds)}"
        )
