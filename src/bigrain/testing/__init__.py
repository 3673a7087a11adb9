"""The test kit: what bigrain's own tests break it with, for anyone who extends or embeds it.

`FaultyFiles` stands in for a disk that fails at a chosen operation, `Model` is a collection in
plain Python, `check_invariants` holds the two against each other. `bigrain.testing.vfs` fails
single calls inside SQLite; `bigrain.testing.power` lays out what a power cut may leave behind.

Two modules need `hypothesis`. `bigrain.testing.strategies` draws documents, metadata, filters and
vectors. `bigrain.testing.machine.CollectionMachine` is a state machine that takes a collection and
its model through random histories: changes of every family of field, commits, failures of the disk,
compactions, backups, readers that keep their snapshot. With three lines it is a test of yours:

    class TestCollection(CollectionMachine.TestCase):
        settings = hypothesis.settings(max_examples=50, stateful_step_count=30, deadline=None)
"""

from bigrain.testing.faults import FaultyFiles, QuickDisk
from bigrain.testing.invariants import (
    check_contents,
    check_encoders,
    check_fused,
    check_grains,
    check_invariants,
    check_ranking,
    check_recall,
    fingerprint,
)
from bigrain.testing.model import Model, bm25_scores, matches

__all__ = [
    "FaultyFiles",
    "Model",
    "QuickDisk",
    "bm25_scores",
    "check_contents",
    "check_encoders",
    "check_fused",
    "check_grains",
    "check_invariants",
    "check_ranking",
    "check_recall",
    "fingerprint",
    "matches",
]
