"""The systems that `peers.py` compares: one file each, imported where it runs."""

from __future__ import annotations

from importlib import import_module
from typing import Any

SYSTEMS = {
    "bigrain": "bigrain_field:Bigrain",
    "bigrain-opq": "bigrain_field:BigrainOpq",
    "turbovec": "turbovec_flat:Turbovec",
    "rabitq-ivf": "rabitq:RabitqIvf",
    "symphonyqg": "rabitq:SymphonyQG",
    "faiss-ivf-rabitq": "faiss_ivf:FaissIvfRabitq",
    "faiss-ivf-pq": "faiss_ivf:FaissIvfPq",
    "faiss-hnsw": "faiss_hnsw:FaissHnsw",
    "hnswlib": "hnswlib_graph:Hnswlib",
    "usearch-b1": "usearch_graph:UsearchBits",
    "usearch-f16": "usearch_graph:UsearchHalf",
    "lancedb-ivf-rq": "lancedb_ivf:LanceIvfRq",
    "lancedb-ivf-pq": "lancedb_ivf:LanceIvfPq",
    "diskann": "diskann_disk:DiskAnn",
    "svs-leanvec": "svs_leanvec:SvsLeanVec",
    "scann": "scann_tree:Scann",
}


def make(name: str, originals: Any, threads: int) -> Any:
    """The adapter of a system, over memory-mapped unit vectors (n, dim) float32."""
    module, cls = SYSTEMS[name].split(":")
    return getattr(import_module(f"{__name__}.{module}"), cls)(originals, threads)
