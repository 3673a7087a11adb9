"""Both grains after learning: papers/A-1, section 11, checks 6 and 7."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bigrain
from bigrain.index.effort import Effort
from bigrain.learning import task
from bigrain.learning.adapter import AdapterSettings, train_adapter
from bigrain.testing import QuickDisk
from tests.learning.making import ASKED, ASKING, IDS, JUDGMENTS, QUERIES, VECTORS, made

K = 10
COUNTS = (10, 20, 50, 100, 400)


@pytest.fixture(scope="module")
def col(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Codes of 2 bytes, so that candidates miss something."""
    path = made(Path(tmp_path_factory.mktemp("made")) / "a.grain", light_bytes=2)
    settings = AdapterSettings(rank=8, epochs=6, rate=2e-2)
    with bigrain.open(path, files=QuickDisk()) as col, pytest.MonkeyPatch.context() as patch:
        patch.setattr(task, "train_adapter", partial(train_adapter, settings=settings))
        assert col.learn(QUERIES, JUDGMENTS, what="adapter").published == ("adapter",)
        yield col


def by_codes(col: Any, queries: Any, n: int) -> list[Any]:
    """Numbers of the first n by their codes' estimates."""
    index = col._view.fields["vec"].index
    return [one.units[:n] for one in index.candidates(list(queries), Effort(n), None)]


def recall(found: list[Any]) -> float:
    return float(np.mean([i in list(row)[:K] for i, row in enumerate(found)]))


def test_recall_after_verification_grows_with_the_candidates(col: Any) -> None:
    found = []
    for n in COUNTS:
        ids, _ = col.search_many(list(ASKING), K, fields="vec", n_candidates=n, arrays=True)
        found.append(float(np.mean([IDS[i] in ids[i] for i in range(ASKED)])))
    assert all(b > a - 0.01 for a, b in zip(found, found[1:], strict=False)), found
    assert found[-1] > found[0] + 0.05
    asked = col._opened.families["vec"].asked(ASKING)
    assert found[-2] > recall(by_codes(col, asked, K)), "verified candidates beat codes alone"


def test_one_map_of_queries_serves_both_grains(col: Any) -> None:
    """Candidates by the plain query, verified by the adapted one, are not better."""
    asked = col._opened.families["vec"].asked(ASKING)
    kinds = []
    for queries in (ASKING, asked):
        verified = []
        for query, some in zip(asked, by_codes(col, queries, 100), strict=True):
            order = np.argsort(-(VECTORS[some] @ query), kind="stable")
            verified.append(some[order])
        kinds.append(recall(verified))
    assert kinds[1] >= kinds[0] - 0.01, kinds
