"""bigrain index: a new collection from files."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import click

from bigrain.cli.options import State, common, memory_option
from bigrain.cli.output import human_bytes, human_seconds, note, print_json, progress
from bigrain.cli.sources import Sources, reading_options
from bigrain.cli.vectors import field_for, named, read_file, read_terms, vocabulary_option
from bigrain.cli.writing import closed_bytes
from bigrain.errors import counted

if TYPE_CHECKING:
    from bigrain import Chunking
    from bigrain.config import Field
    from bigrain.types import Documents

__all__ = ["build", "index", "say_summary"]

NO_VECTORS: Mapping[str, Any] = MappingProxyType({})


@click.command(short_help="Make a new collection from files.")
@click.argument("sources", metavar="[SOURCE...]", nargs=-1)
@click.option("--to", "target", required=True, type=click.Path(path_type=Path),
              metavar="COLLECTION", help="The new collection, such as docs.grain.")  # fmt: skip
@click.option("--language", default="en", show_default=True, metavar="NAME",
              help="Language of the words, or 'none' to match them exactly.")  # fmt: skip
@click.option("--title-weight", default=1, show_default=True, metavar="N", type=int,
              help="How many times the words of a title count, 0 to 20.")  # fmt: skip
@click.option("--chunk-chars", type=click.IntRange(min=16), metavar="N",
              help="Longest passage in characters (default: 2000, or what the encoder reads "
              "at once).")  # fmt: skip
@click.option("--no-chunks", is_flag=True, help="Leave long texts whole.")
@click.option("--encoder", metavar="NAME",
              help="A registered encoder, or a transformer model: folder or hub name.")  # fmt: skip
@click.option("--families", metavar="NAMES",
              help="The encoder's vectors: some of dense,sparse,multivector (all).")  # fmt: skip
@click.option("--no-dense", is_flag=True, help="Words only (BM25), no vectors.")
@click.option("--substrings", is_flag=True,
              help="Index every substring too, for bigrain count and n-grams.")  # fmt: skip
@click.option("--vectors", multiple=True, metavar="NAME=FILE",
              help="Another field, with the vectors of a file; may be given again.")  # fmt: skip
@vocabulary_option
@click.option("--replace", is_flag=True, help="Replace the collection that is there already.")
@reading_options
@memory_option
@common
def index(
    state: State,
    sources: tuple[str, ...],
    target: Path,
    language: str,
    title_weight: int,
    chunk_chars: int | None,
    no_chunks: bool,
    encoder: str | None,
    families: str | None,
    no_dense: bool,
    substrings: bool,
    vectors: tuple[str, ...],
    vocabulary: Path | None,
    replace: bool,
    memory: int | None,
    **reading: Any,
) -> None:
    """Make a new collection from files, folders, JSONL or BEIR folders.

    Reads .txt .md .rst .html .pdf (one document each), .jsonl .json .csv .tsv (one a row), each
    also with .gz, folders of them, and - for standard input: JSON lines, or one document a line.
    The collection appears when all of it is there; an error leaves nothing behind.

    Files of --vectors are what bigrain add-vectors takes; they hold dense, sparse or token vectors
    of the documents, by id. Without SOURCE the collection is made of vectors alone.

    \b
    Examples:
      bigrain index papers/ --to docs.grain
      bigrain index corpus.jsonl --to docs.grain --vectors splade=splade.jsonl --no-dense
      bigrain index corpus.jsonl.gz --to docs.grain --language de --memory 2GB
      bigrain index papers/ --to docs.grain --encoder sentence-transformers/all-MiniLM-L6-v2
      zcat dump.gz | bigrain index - --to docs.grain --chunk-chars 1000
    """
    from bigrain import Chunking, LexicalField, SubstringField, fields_of
    from bigrain.config import STATIC_ENCODER

    if no_chunks and chunk_chars is not None:
        raise click.UsageError("--chunk-chars and --no-chunks exclude each other")
    chunking: Chunking | Literal["auto"] | None = "auto"
    if no_chunks:
        chunking = None
    elif chunk_chars is not None:
        chunking = Chunking("sentence", max_chars=chunk_chars, overlap_chars=chunk_chars // 10)
    if encoder is not None and not encoder.strip():
        raise click.BadParameter("it is empty; name an encoder", param_hint="--encoder")
    if encoder and Path(encoder).expanduser().is_dir():
        encoder = str(Path(encoder).expanduser().resolve())  # found from other folders, too
    if encoder and no_dense:
        raise click.UsageError("--encoder and --no-dense exclude each other; see --families")
    if (encoder or families) and not sources:
        raise click.UsageError("--encoder reads texts: name a SOURCE")
    spoken = None if language.lower() == "none" else language
    fields: dict[str, Field] = {}
    if sources:
        fields["lexical"] = LexicalField(language=spoken, title_weight=title_weight)
        if not no_dense:
            usual = None if encoder else ["dense"]
            wanted = usual if families is None else [one.strip() for one in families.split(",")]
            fields = fields_of(encoder or STATIC_ENCODER, wanted) | fields
        if substrings:
            fields["substrings"] = SubstringField()
    elif not vectors:
        raise click.UsageError("nothing to index: name a SOURCE, or --vectors NAME=FILE")
    terms = read_terms(vocabulary)
    brought = {
        name: read_file(Path(file), terms) for name, file in named(vectors, "--vectors").items()
    }
    for name, (_, rows) in brought.items():
        if name in fields:
            raise click.BadParameter(
                f"{name!r} is the name of another field", param_hint="--vectors"
            )
        fields[name] = field_for(name, rows, terms)
    documents = Sources(sources, state, **reading).shown() if sources else None
    summary = build(
        documents, target, state, fields=fields, chunking=chunking, memory=memory,
        replace=replace, vectors=brought,
    )  # fmt: skip
    if state.as_json:
        print_json(summary)
    elif not state.quiet:
        say_summary(summary)
        asking = '"your question"' if sources else f"--vector {next(iter(brought))}=QUERY.json"
        click.echo(f"next: bigrain search {target} {asking}")


def build(
    documents: Documents | None,
    target: Path,
    state: State,
    *,
    fields: dict[str, Field] | None = None,
    chunking: Chunking | Literal["auto"] | None = "auto",
    memory: int | None = None,
    replace: bool = False,
    vectors: Mapping[str, tuple[Sequence[str], Any]] = NO_VECTORS,
) -> dict[str, Any]:
    """Make the collection beside its place and move it there when it is whole; the summary.

    `vectors`: (ids, vectors) by field; without documents these make them.
    """
    import bigrain
    from bigrain.storage.drafts import drafting
    from bigrain.storage.files import DISK

    _check_target(target, replace)
    began = time.perf_counter()
    with drafting(DISK, target) as folder:
        draft = folder / target.name
        with bigrain.create(draft, fields, memory, chunking=chunking) as col:
            added = replaced = passages = 0
            if documents is not None:
                counts = col.add(documents, progress=progress(state))
                added, replaced, passages = counts.added, counts.replaced, counts.passages
                if not added:
                    raise bigrain.InvalidInputError(
                        "no documents in what was given, so no collection was made"
                    )
            for name, (ids, rows) in vectors.items():
                made = col.add_vectors(name, ids, rows).added
                added, passages = added + made, passages + made
            col.commit(progress=progress(state))
            stats = col.stats()
        _note_passages(chunking, stats["chunking"], state)
        seconds = time.perf_counter() - began
        _move(draft, target)
    return {
        "path": str(target),
        "snapshot": stats["snapshot"],
        "documents": stats["documents"],
        "replaced": replaced,
        "passages": passages,
        "seconds": seconds,
        "documents_per_second": added / seconds,
        "bytes_on_disk": closed_bytes(target, stats),
        "bytes_in_memory": stats["memory"]["light_grains"],
    }


def _note_passages(asked: object, used: dict[str, Any] | None, state: State) -> None:
    from bigrain.writing.intake import DEFAULT_CHUNKING

    if asked == "auto" and used is not None and used["max_chars"] < DEFAULT_CHUNKING.max_chars:
        note(
            f"texts are cut into passages of at most {used['max_chars']:,} characters, about what "
            "the encoder reads at once; --chunk-chars sets another length",
            state,
        )


def say_summary(summary: dict[str, Any]) -> None:
    """The summary of `build` in a few lines."""
    n = summary["documents"]
    click.echo(
        f"{summary['path']}: {counted(n, 'document')}, "
        f"{counted(summary['passages'], 'passage')}, in {human_seconds(summary['seconds'])} "
        f"({summary['documents_per_second']:,.0f} documents/s)"
    )
    click.echo(
        f"  on disk {human_bytes(summary['bytes_on_disk'])} "
        f"({human_bytes(summary['bytes_on_disk'] / n)} a document), "
        f"codes in memory {human_bytes(summary['bytes_in_memory'])} "
        f"({human_bytes(summary['bytes_in_memory'] / n)} a document)"
    )


def _check_target(target: Path, replace: bool) -> None:
    from bigrain import CollectionExistsError, ConfigError
    from bigrain.storage.catalogue import CATALOGUE

    if not target.parent.is_dir():
        raise ConfigError(f"{target.parent} is not a folder; make it first")
    if not target.exists() and not target.is_symlink():
        return
    is_collection = (target / CATALOGUE).is_file()
    if replace and not is_collection:
        raise CollectionExistsError(f"{target} is no collection, so it is not replaced")
    if not replace and not (target.is_dir() and not any(target.iterdir())):
        raise CollectionExistsError(f"{target} is already there; choose another path")


def _move(draft: Path, target: Path) -> None:
    """Give the finished collection its name; one that has it is taken away, if nobody writes."""
    from bigrain.storage.files import DISK
    from bigrain.storage.folder import Folder

    files = DISK
    if not target.exists():
        files.rename(draft, target)
    elif not any(target.iterdir()):
        target.rmdir()
        files.rename(draft, target)
    else:
        lock = Folder(files, target).lock_for_writing()
        old = target.parent / f".{target.name}.{uuid.uuid4().hex[:8]}.old"
        try:
            files.rename(target, old)
            try:
                files.rename(draft, target)
            except BaseException:
                os.rename(old, target)
                raise
        finally:
            lock.release()
        shutil.rmtree(old, ignore_errors=True)
    files.sync_folder(target.parent)
