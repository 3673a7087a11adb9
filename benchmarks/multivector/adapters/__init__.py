"""The systems that `peers.py` compares: one file each, imported where it runs."""

from __future__ import annotations

from importlib import import_module
from typing import Any

SYSTEMS = {
    "bigrain": "bigrain_tokens:Bigrain",
    "bigrain-regression": "bigrain_tokens:BigrainRegression",
    "fast-plaid": "fast_plaid_index:FastPlaid4",
    "fast-plaid-2bit": "fast_plaid_index:FastPlaid2",
    "warp": "warp_index:Warp4",
    "lancedb": "lancedb_multivector:LanceDb",
    "exact": "brute_force:BruteForce",
}


def make(name: str) -> Any:
    """The adapter of a system."""
    module, cls = SYSTEMS[name].split(":")
    return getattr(import_module(f"{__name__}.{module}"), cls)()
