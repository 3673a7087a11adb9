"""bigrain add-vectors: vectors from a file for a field without an encoder."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bigrain.cli.options import State, collection_argument, common, memory_option
from bigrain.cli.output import human_seconds, print_json, progress
from bigrain.cli.vectors import read_file, read_terms, vocabulary_option
from bigrain.cli.writing import changing

if TYPE_CHECKING:
    from bigrain import Collection

__all__ = ["add_vectors"]


@click.command("add-vectors", short_help="Give documents vectors from a file.")
@collection_argument
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--field", metavar="NAME",
              help="The field (default: the only one that takes vectors).")  # fmt: skip
@click.option("--ids", type=click.Path(path_type=Path), metavar="FILE",
              help="The ids of the vectors, one a line, where their file has none.")  # fmt: skip
@vocabulary_option
@memory_option
@common
def add_vectors(
    state: State,
    path: Path,
    file: Path,
    field: str | None,
    ids: Path | None,
    vocabulary: Path | None,
    memory: int | None,
) -> None:
    """Give documents their vectors in a field without an encoder; the old ones are replaced.

    FILE is .npy (n, dim); .npz with `vectors` and `ids`, with `values`, `offsets` and `ids` of
    token vectors, or of scipy.sparse.save_npz; or .jsonl, .jsonl.gz with lines such as
    {"id": "a", "vector": [0.1, 0.7]} or {"id": "a", "vector": {"7": 1.5}}. Without ids the vectors
    are those of documents 0, 1, 2. All of them become visible at once, or none.

    \b
    Examples:
      bigrain add-vectors docs.grain splade.jsonl --field splade --vocabulary vocab.txt
      bigrain add-vectors docs.grain vectors.npy --ids ids.txt
    """
    began = time.perf_counter()
    names, vectors = read_file(file, read_terms(vocabulary), ids)
    with changing(path, memory, state) as col:
        field = field or _only_field(col)
        counts = col.add_vectors(field, names, vectors)
        snapshot = col.commit(progress=progress(state))
        total = len(col)
    seconds = time.perf_counter() - began
    if state.as_json:
        print_json({
            "path": str(path), "snapshot": snapshot, "field": field, "vectors": len(names),
            "documents_made": counts.added, "documents": total, "seconds": seconds,
        })  # fmt: skip
    elif not state.quiet:
        click.echo(
            f"{path}: {len(names):,} vectors in field {field}, {counts.added:,} of new documents, "
            f"in {human_seconds(seconds)}; snapshot {snapshot}"
        )


def _only_field(col: Collection) -> str:
    taking = [name for name, field in col.fields.items() if not field.reads_text]
    if len(taking) != 1:
        raise click.UsageError(
            f"name the field with --field: {', '.join(taking)}"
            if taking
            else "no field of this collection takes vectors; `bigrain index --vectors` makes one"
        )
    return taking[0]
