"""The systems that `peers.py` compares: one file each, imported where it runs."""

from __future__ import annotations

from importlib import import_module
from typing import Any

SYSTEMS = {
    "lexical": {
        "bigrain": "bigrain_words:Bigrain",
        "bm25s": "bm25s_eager:Bm25s",
        "bm25s-mapped": "bm25s_eager:Bm25sMapped",
        "tantivy": "tantivy_words:Tantivy",
        "pisa": "pisa:PisaWords",
        "pisa-8bit": "pisa:PisaQuantised",
        "fts5": "sqlite_fts:Fts5",
        "pyserini": "lucene:Pyserini",
    },
    "learned": {
        "bigrain": "bigrain_vectors:Bigrain",
        "seismic": "seismic_blocks:Seismic",
        "seismic-small": "seismic_blocks:SeismicSmall",
        "bmp": "bmp_blocks:Bmp",
        "numba-taat": "numba_terms:NumbaTerms",
        "scipy-csr": "scipy_product:ScipyProduct",
        "pisa": "pisa:PisaImpacts",
    },
}


def make(track: str, name: str, budget: int | None) -> Any:
    """The adapter of a system; `budget` is a limit of memory for those that keep one."""
    module, cls = SYSTEMS[track][name].split(":")
    return getattr(import_module(f"{__name__}.{module}"), cls)(budget)
