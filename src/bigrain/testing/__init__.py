"""The test kit: what bigrain's own tests break it with, for anyone who extends or embeds it.

`FaultyFiles` stands in for a disk that fails at a chosen operation, `Model` is a collection in
plain Python, `check_invariants` holds the two against each other. `strategies` draws
documents, metadata, filters and vectors (needs `hypothesis`, imported when it is used).
"""

from bigrain.testing.faults import FaultyFiles, QuickDisk
from bigrain.testing.invariants import check_invariants, check_ranking, fingerprint
from bigrain.testing.model import Model, bm25_scores, matches

__all__ = [
    "FaultyFiles",
    "Model",
    "QuickDisk",
    "bm25_scores",
    "check_invariants",
    "check_ranking",
    "fingerprint",
    "matches",
]
