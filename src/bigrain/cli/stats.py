"""bigrain stats: what a collection holds and needs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from bigrain.cli.options import State, collection_argument, common, memory_option
from bigrain.cli.output import human_bytes, print_json, print_table
from bigrain.errors import counted

__all__ = ["stats"]


@click.command(short_help="Show documents, fields and bytes.")
@collection_argument
@memory_option
@common
def stats(state: State, path: Path, memory: int | None) -> None:
    """Show documents, fields, bytes in memory and on disk.

    \b
    Examples:
      bigrain stats docs.grain
      bigrain stats docs.grain --json
    """
    import bigrain

    with bigrain.open(path, read_only=True, memory_budget_bytes=memory) as col:
        told = col.stats()
    if state.as_json:
        print_json(told)
        return
    n_documents = told["documents"]
    disk, ram = told["bytes_on_disk"], told["memory"]
    click.echo(f"{path}: {counted(n_documents, 'document')}, snapshot {told['snapshot']}")
    print_table(
        ["field", "family", "encoder", "segments", "rows", "in memory", "on disk"],
        [_field_row(name, field) for name, field in told["fields"].items()],
        left=3,
    )
    for name, field in told["fields"].items():
        for line in (*_learned_lines(name, field), *_recall_lines(name, field)):
            click.echo(line)
    families = list(dict.fromkeys(field["family"] for field in told["fields"].values()))
    if len(families) > 1:
        weights = told["fusion"]["weights"]
        shown = ", ".join(f"{family} {weights.get(family, 1.0):g}" for family in families)
        click.echo(f"fused      {told['fusion']['method']}, weights: {shown}")
    if (cut := told["chunking"]) is not None:
        click.echo(f"passages   of at most {cut['max_chars']:,} characters")
    texts = human_bytes(disk["catalogue"])
    click.echo(f"on disk    {human_bytes(sum(disk.values()))}, of it texts and metadata {texts}")
    click.echo(
        f"in memory  {human_bytes(ram['light_grains'])} of codes; budget "
        f"{human_bytes(ram['budget'])}, this process {human_bytes(ram['process_now'] or 0)}"
    )
    if told["deleted_documents_kept"]:
        click.echo(
            f"deleted    space for {counted(told['deleted_documents_kept'], 'document')} is still "
            "taken; `bigrain compact` gives it back"
        )


def _reads(field: dict[str, Any]) -> str:
    if field["family"] == "lexical":
        return f"BM25, {field['language'] or 'exact words'}"
    if field["family"] == "substring":
        return "every substring"
    return field.get("encoder") or "your own vectors"


def _field_row(name: str, field: dict[str, Any]) -> list[str]:
    rows = field["rows"]
    per_row = f" ({human_bytes(field['light_bytes_in_memory'] / rows)} a row)" if rows else ""
    return [
        name,
        field["family"],
        _reads(field),
        f"{field['segments']:,}",
        f"{rows:,}",
        human_bytes(field["light_bytes_in_memory"]) + per_row,
        human_bytes(field["bytes_on_disk"]),
    ]


def _learned_lines(name: str, field: dict[str, Any]) -> list[str]:
    """What `learn` has given a field."""
    told = field.get("learned", {})
    parts = []
    if n := told.get("codes_from_queries"):
        parts.append(f"codes from {counted(n, 'question')}")
    if rank := told.get("adapter_rank"):
        parts.append(f"an adapter of queries, rank {rank}")
    return [f"learned    {name}: {', '.join(parts)}"] if parts else []


def _recall_lines(name: str, field: dict[str, Any]) -> list[str]:
    """How far a dense field looks for a recall, and what an audit found."""
    recall = field.get("recall")
    if recall is None or not field["rows"]:
        return []
    efforts = [
        f"{asked}: {e['candidates']:,} from {e['share_of_codes']:.0%} of the codes"
        for asked, e in recall["effort"].items()
    ]
    further = "; further than calibrated, after an audit" if recall["looks_further"] else ""
    lines = [
        f"recall     {name}: {recall['default']:g} unless asked otherwise; for the top 10, "
        f"{'; '.join(efforts)}{further}"
    ]
    for a in recall["audited"]:
        when = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(a["at"]))
        verdict = "holds" if a["holds"] else "falls short"
        lines.append(
            f"audited    {name}: asked {a['asked']:g}, reached {a['reached']:.4f} "
            f"[{a['low']:.4f}, {a['high']:.4f}] on "
            f"{counted(a['queries'], 'query', 'queries')}, {when}: {verdict}"
        )
    return lines
