"""What `Collection.stats` tells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bigrain.budget import peak_bytes, process_bytes
from bigrain.families.dense import DenseFamily
from bigrain.index.coded_index import CodedIndex
from bigrain.index.effort import DEFAULT_RECALL
from bigrain.index.live import in_figures
from bigrain.search.view import FieldView
from bigrain.storage.catalogue import CATALOGUE

if TYPE_CHECKING:
    from bigrain.collection import Collection

__all__ = ["stats_of"]

STATED_RECALLS = (0.9, 0.95, 0.99)


def stats_of(col: Collection) -> dict[str, Any]:
    """What `Collection.stats` promises."""
    view = col._require_open()
    fields = {}
    for name, field in view.fields.items():
        views = field.index.views
        on_disk = sum(v.segment.file.n_bytes for v in views)
        light = sum(v.segment.memory_bytes for v in views)
        fields[name] = {
            **field.family.spec.to_dict(),
            "segments": len(views),
            "rows": field.index.n_rows,
            "light_bytes_in_memory": light,
            "bytes_on_disk": on_disk,
            "encoder_fingerprint": field.family.fingerprint(),
        }
        if learned := _learned_of(field):
            fields[name]["learned"] = learned
        if isinstance(field.index, CodedIndex):
            fields[name]["recall"] = _recall_of(col, name, field.index)
    catalogue = sum(
        path.stat().st_size for path in col._folder.path.glob(f"{CATALOGUE}*") if path.exists()
    )
    return {
        "path": str(col._folder.path),
        "snapshot": view.number,
        "documents": view.n_documents,
        "deleted_documents_kept": view.n_dead,
        "segments": sum(f["segments"] for f in fields.values()),
        "fields": fields,
        "fusion": col._opened.fusion.to_dict(),
        "chunking": None if col._opened.chunking is None else col._opened.chunking.to_dict(),
        "bytes_on_disk": {
            "catalogue": catalogue,
            "segments": sum(f["bytes_on_disk"] for f in fields.values()),
        },
        "memory": {
            "budget": col._opened.budget.total,
            "shares": col._opened.budget.to_dict(),
            "light_grains": sum(f["light_bytes_in_memory"] for f in fields.values()),
            "list_cache": col._opened.cache.n_bytes + col._opened.cache.blocks.n_bytes,
            "process_now": process_bytes(),
            "process_peak": peak_bytes(),
        },
        "pending_changes": col._session is not None and col._session.changed,
    }


def _learned_of(field: FieldView) -> dict[str, int]:
    """Of how many queries the codes of a dense field were learned, and the rank of its adapter."""
    if not isinstance(field.family, DenseFamily):
        return {}
    seen = max((v.segment.codec.learned_from for v in field.index.views), default=0)
    adapter = field.family.adapter
    told = {"codes_from_queries": seen, "adapter_rank": 0 if adapter is None else adapter.rank}
    return {key: value for key, value in told.items() if value}


def _recall_of(col: Collection, name: str, index: CodedIndex[Any]) -> dict[str, Any]:
    """How far a field with codes looks for the top 10, and what the audit says of it."""
    return {
        "default": DEFAULT_RECALL,
        "effort": {f"{r:g}": in_figures(index, index.effort(r, 10), 10) for r in STATED_RECALLS},
        "looks_further": col._auditor.looks_further(name),
        "audited": [verdict.to_dict() for verdict in col._auditor.known(name)],
        "waiting_for_audit": col._auditor.sampler.n_waiting(name),
        "audit_error": col._auditor.error,
    }
