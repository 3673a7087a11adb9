"""The real collection and the plain model take the same random steps and must agree."""

import os

import pytest
from hypothesis import HealthCheck, settings

from bigrain.testing.machine import CollectionMachine
from bigrain.writing import merging

EXAMPLES = int(os.environ.get("BIGRAIN_TEST_STEPS", "20"))


@pytest.fixture(autouse=True)
def _small_merges(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three segments of a size are merged after a commit, so that it happens often."""
    monkeypatch.setattr(merging, "FAN_IN", 3)


class SpillingMachine(CollectionMachine):
    """Builders write to disk what they would usually keep in memory."""

    spill_early = True


def _settings(examples: int) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=25,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


TestCollection = CollectionMachine.TestCase
TestCollection.settings = _settings(EXAMPLES)
TestSpilling = SpillingMachine.TestCase
TestSpilling.settings = _settings(EXAMPLES // 2)
