"""The real collection and the plain model take the same random steps and must agree."""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

import bigrain
from bigrain.storage.attributes import normalise_metadata
from bigrain.testing import QuickDisk, check_invariants, check_ranking, strategies
from bigrain.text.normalise import clean_text
from bigrain.writing import merging
from tests.collection import making

EXAMPLES = int(os.environ.get("BIGRAIN_TEST_STEPS", "15"))


@pytest.fixture(autouse=True)
def _small_merges(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three segments of a size are merged after a commit, so that it happens often."""
    monkeypatch.setattr(merging, "FAN_IN", 3)


class CollectionMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.mkdtemp()
        self.path = Path(self.folder) / "docs.grain"
        self.col, self.model = making.make(self.path)
        self.searched = -1

    def teardown(self) -> None:
        self.col.close()
        shutil.rmtree(self.folder)

    def pick(self, data: Any) -> list[str]:
        ids = sorted(self.model.pending)
        return data.draw(st.lists(st.sampled_from(ids), unique=True, max_size=6)) if ids else []

    @rule(documents=st.lists(strategies.documents(), max_size=6, unique_by=lambda d: d.id))
    def add(self, documents: list[bigrain.Document]) -> None:
        known = set(self.model.pending)
        counts = self.col.add(documents)
        assert counts.replaced == sum(d.id in known for d in documents)
        assert counts.added == len(documents) - counts.replaced
        self.model.add([self.stored(d) for d in documents])

    @staticmethod
    def stored(d: bigrain.Document) -> bigrain.Document:
        plain = normalise_metadata(d.metadata, "")
        return bigrain.Document(clean_text(d.text), d.id, clean_text(d.title), plain)

    @rule(data=st.data(), seed=st.integers(0, 99), name=st.sampled_from(["vec", "imp", "tok"]))
    def add_vectors(self, data: Any, seed: int, name: str) -> None:
        ids = self.pick(data)
        making.give_vectors(self.col, self.model, name, ids, np.random.default_rng(seed))

    @rule(data=st.data())
    def delete(self, data: Any) -> None:
        ids = self.pick(data)
        assert self.col.delete(ids) == len(ids)
        self.model.delete(ids)

    @rule(rows=st.lists(strategies.documents(), min_size=1, max_size=3, unique_by=lambda d: d.id))
    def add_that_fails(self, rows: list[bigrain.Document]) -> None:
        with pytest.raises(bigrain.InvalidDocumentError):
            self.col.add([*rows, {"text": 5}])
        with pytest.raises(bigrain.UnknownDocumentError):
            self.col.delete([*list(self.model.pending)[:2], "not there"])

    @rule()
    def commit(self) -> None:
        making.commit(self.col, self.model)

    @rule()
    def rollback(self) -> None:
        self.col.rollback()
        self.model.rollback()

    @rule()
    def compact(self) -> None:
        self.col.rollback()
        self.model.rollback()
        self.col.compact()
        assert all(f["segments"] <= 1 for f in self.col.stats()["fields"].values())

    @rule()
    def reopen(self) -> None:
        self.col.close()
        self.model.rollback()
        self.col = bigrain.open(self.path, files=QuickDisk())
        self.searched = -1

    @rule(query=strategies.texts(4), k=st.integers(1, 30), where=strategies.filters())
    def search(self, query: str, k: int, where: dict[str, Any]) -> None:
        check_ranking(self.col.search(query, k=k, fields="lex"), self.model.scores("lex", query), k)
        try:
            hits = self.col.search(query, k=k, fields="lex", filter=where)
        except bigrain.InvalidFilterError as error:
            assert "no document has metadata key" in str(error)
        else:
            check_ranking(hits, self.model.scores("lex", query, where), k)

    @rule(row=strategies.vectors(8), k=st.integers(1, 30))
    def search_vectors(self, row: Any, k: int) -> None:
        hits = self.col.search(row, k=k, fields="vec", n_candidates=100)
        check_ranking(hits, self.model.scores("vec", row), k)

    @invariant()
    def agrees(self) -> None:
        fresh, self.searched = self.col.snapshot != self.searched, self.col.snapshot
        if fresh:
            check_invariants(self.col, self.model)


TestCollection = CollectionMachine.TestCase
TestCollection.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
