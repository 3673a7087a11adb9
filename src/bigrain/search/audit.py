"""The running audit: live queries answered again exactly, and what follows from it.

If fewer true neighbours were found than were asked for, by more than chance, a dense index is told
how far it would have had to look for those of the audited queries, and later efforts are enough for
them too (`index.live`). That stays in the memory of the handle. Of sparse fields it is only told.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain.index.base import Ranked, Selection
from bigrain.index.coded_index import CodedIndex
from bigrain.index.effort import DECISIVE, LiveQueries
from bigrain.index.live import NEIGHBOURS, joined, measured
from bigrain.index.sparse import SparseIndex
from bigrain.interval import mean_share_interval
from bigrain.progress import Reporter, reporting
from bigrain.search.audit_report import AuditReport, FieldAudit
from bigrain.search.sampling import Sample, Sampler
from bigrain.search.view import SnapshotView

__all__ = ["Auditor"]

TOGETHER = 64  # queries for which rows are read once
UNITS_OF_LONG = 4  # passages looked for, for every one that a document may hide
KEPT_SHARES = 2000  # of audited queries, the newest
KEPT_LIVE = 512
LEAST_LIVE = 32  # queries that must be known before an index heeds them
KEPT_QUERIES_BYTES = 256 << 10
ENOUGH = 32  # samples that must wait before the thread begins
POLL_S = 0.5


@dataclass
class _Record:
    """What is known of a field: shares by asked recall, and gaps and ranks of the queries."""

    shares: dict[float, deque[tuple[float, int]]] = field(default_factory=dict)
    live: LiveQueries | None = None
    heeded: bool = False
    last: dict[float, FieldAudit] = field(default_factory=dict)
    queries: deque[npt.NDArray[np.float32]] = field(default_factory=deque)


@dataclass(eq=False)
class _Pass:
    """Samples of one field, snapshot and filter, and their rows as far as they are read."""

    samples: list[Sample]
    view: SnapshotView
    index: CodedIndex[Any] | SparseIndex
    selection: Selection | None
    steps: Generator[int, None, list[Ranked]]


class Auditor:
    """Everything that one handle knows about the recall of its searches."""

    def __init__(self) -> None:
        self.sampler = Sampler()
        self.error: str | None = None  # what ended the thread
        self._one_at_a_time = threading.Lock()
        self._records: dict[str, _Record] = {}
        self._pass: _Pass | None = None  # begun, and stopped by the clock
        self._view: weakref.ref[SnapshotView] | None = None
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    # -- what the collection tells ------------------------------------------------------------

    def shown(self, view: SnapshotView | None) -> None:
        """Another snapshot is in view: what is known of the queries goes for it too."""
        self._view = None if view is None else weakref.ref(view)
        begun = self._pass
        if begun is not None and begun.view is not view:
            self._pass = None
            self.sampler.put_back(begun.samples)
        for name, record in list(self._records.items()):
            if record.heeded:
                self._tell_index(name, record.live)

    def forget(self, name: str) -> None:
        """The codes of a field were made anew in another way."""
        self._records.pop(name, None)
        self.sampler.forget(name)
        self._tell_index(name, None)

    def known(self, name: str) -> list[FieldAudit]:
        """The last verdict for each recall that was asked of a field."""
        record = self._records.get(name)
        return [] if record is None else [record.last[r] for r in sorted(record.last)]

    def looks_further(self, name: str) -> bool:
        record = self._records.get(name)
        return record is not None and record.heeded

    def queries(self, name: str) -> Any:
        """(n, dim) audited queries of a field, the newest ones, or a list of (m, dim) of token
        vectors; None if there are none.
        """
        record = self._records.get(name)
        if record is None or not record.queries:
            return None
        found = list(record.queries)
        return np.stack(found) if found[0].ndim == 1 else found

    # -- in the background --------------------------------------------------------------------

    def start(self, share: float) -> None:
        """Audit in a thread that takes at most this share of one core."""
        self._thread = threading.Thread(
            target=self._serve, args=(share,), name="bigrain-audit", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """End the thread and wait for it."""
        self._stop.set()
        thread, self._thread = self._thread, None
        if thread is not None and thread is not threading.current_thread():
            thread.join()
        self._pass = None

    def _serve(self, share: float) -> None:
        rest = 1 / share - 1

        def pause(seconds: float) -> bool:
            return self._stop.wait(seconds * rest)

        try:
            while not self._stop.wait(POLL_S):
                if len(self.sampler) >= ENOUGH or self._pass is not None:
                    with reporting(None) as reporter:
                        self.run(reporter, pause=pause)
        except Exception as error:  # the searches themselves will say it louder
            self.error = f"{type(error).__name__}: {error}"

    # -- auditing -----------------------------------------------------------------------------

    def run(
        self,
        reporter: Reporter,
        max_seconds: float | None = None,
        pause: Callable[[float], bool] | None = None,
    ) -> AuditReport:
        """Answer the waiting samples again, until time is up.

        `pause` is called with the seconds that a step took, and returns whether to stop.
        """
        began = time.monotonic()
        rows_read = audited = 0

        def over() -> bool:
            return max_seconds is not None and time.monotonic() - began >= max_seconds

        def idle(since: float) -> bool:
            """After a step: whether to stop here."""
            rested = pause is not None and pause(time.monotonic() - since)
            return rested or over() or self._stop.is_set()

        with self._one_at_a_time:
            current, self._pass = self._pass, None
            groups, dropped = _grouped(self.sampler.take_all())
            try:
                n_rows = sum(view.fields[some[0].field].index.n_rows for view, some in groups)
                n_rows += 0 if current is None else current.index.n_rows
                reporter.stage("auditing", n_rows, "rows")
                stopped = over()
                while not stopped and (groups or current is not None):
                    if current is None:
                        current = _begin(*groups.pop(0))
                    since = time.monotonic()
                    try:
                        read = next(current.steps)
                    except StopIteration as done:
                        self._judge(current, done.value)
                        audited += len(current.samples)
                        current = None
                    else:
                        rows_read += read
                        reporter.advance(read)
                    stopped = idle(since)
            finally:
                self.sampler.put_back([sample for _, some in groups for sample in some])
            now = time.time()
            fields = tuple(
                verdict for name in list(self._records) for verdict in self._verdicts(name, now)
            )
            self._keep(current)
            waiting = len(self.sampler) + (0 if self._pass is None else len(self._pass.samples))
        return AuditReport(fields, audited, waiting, dropped, rows_read, time.monotonic() - began)

    def _keep(self, begun: _Pass | None) -> None:
        """A pass that was stopped goes on the next time, unless its snapshot has been left."""
        if begun is None or self._stop.is_set():
            return
        if self._view is not None and self._view() is begun.view:
            self._pass = begun
        else:
            self.sampler.put_back(begun.samples)

    def _judge(self, done: _Pass, truths: Sequence[Ranked]) -> None:
        record = self._records.setdefault(done.samples[0].field, _Record())
        known: list[int] = []
        for i, (sample, truth) in enumerate(zip(done.samples, truths, strict=True)):
            judged = _share(done, sample, truth)
            if judged is None:
                continue
            known.append(i)
            shares = record.shares.setdefault(sample.asked, deque(maxlen=KEPT_SHARES))
            shares.append(judged)
        if known and isinstance(done.index, CodedIndex):
            record.queries.extend(done.samples[i].query for i in known)
            while sum(query.nbytes for query in record.queries) > KEPT_QUERIES_BYTES:
                record.queries.popleft()
            queries = [done.samples[i].query for i in known]
            new = measured(done.index, queries, [truths[i] for i in known], done.selection)
            both = new if record.live is None else joined([record.live, new])
            record.live = both.last(KEPT_LIVE)

    def _verdicts(self, name: str, now: float) -> list[FieldAudit]:
        """Judge a field; its index heeds live queries if it falls short, did, or many are known."""
        record = self._records[name]
        verdicts = []
        for asked, shares in sorted(record.shares.items()):
            mean, low, high = mean_share_interval(
                [share for share, _ in shares], float(np.mean([n for _, n in shares]))
            )
            verdicts.append(FieldAudit(name, asked, len(shares), mean, low, high, now))
        short = any(not verdict.holds for verdict in verdicts)
        if record.live is not None and (
            record.heeded or len(record.live.gaps) >= (LEAST_LIVE if short else DECISIVE)
        ):
            record.heeded = True
            self._tell_index(name, record.live)
            if short:
                record.shares = {}  # they were answered before, and so were those that wait
                self.sampler.forget(name)
                verdicts = [v if v.holds else replace(v, looks_further=True) for v in verdicts]
        record.last.update((v.asked, v) for v in verdicts)
        return verdicts

    def _tell_index(self, name: str, live: LiveQueries | None) -> None:
        view = None if self._view is None else self._view()
        if view is not None and name in view.fields:
            index = view.fields[name].index
            if isinstance(index, CodedIndex):
                index.heed(live)


def _grouped(
    samples: Sequence[Sample],
) -> tuple[list[tuple[SnapshotView, list[Sample]]], int]:
    """Samples that share snapshot, field and filter together; how many have lost theirs."""
    groups: dict[tuple[object, ...], tuple[SnapshotView, list[Sample]]] = {}
    dropped = 0
    for sample in samples:
        view = sample.view()
        if view is None:
            dropped += 1
        else:
            key = (id(view), sample.field, sample.filter)
            groups.setdefault(key, (view, []))[1].append(sample)
    return [
        (view, some[start : start + TOGETHER])
        for view, some in groups.values()
        for start in range(0, len(some), TOGETHER)
    ], dropped


def _begin(view: SnapshotView, samples: list[Sample]) -> _Pass:
    index = view.fields[samples[0].field].index
    assert isinstance(index, CodedIndex | SparseIndex)
    chosen = samples[0].filter
    selection = None if chosen is None else view.select(chosen)
    n = max(NEIGHBOURS, *(sample.k for sample in samples))
    if len(view.long_starts):
        n *= UNITS_OF_LONG
    queries = [sample.query for sample in samples]
    steps = (
        index.exact_steps(queries, n, selection)
        if isinstance(index, CodedIndex)
        else _sparse_steps(index, queries, n, selection)
    )
    return _Pass(samples, view, index, selection, steps)


def _sparse_steps(
    index: SparseIndex, queries: Sequence[Any], n: int, selection: Selection | None
) -> Generator[int, None, list[Ranked]]:
    """The best of every query; all lists are looked at, so no row is left out."""
    found = []
    for i, query in enumerate(queries, 1):
        found += index.exact([query], n, selection)
        yield index.n_rows if i == len(queries) else 0
    return found


def _share(done: _Pass, sample: Sample, truth: Ranked) -> tuple[float, int] | None:
    """(share of the true best documents that were found, how many those are); None: none."""
    documents = done.view.documents_of(truth.units)
    _, first = np.unique(documents, return_index=True)
    first = np.sort(first)[: sample.k]
    if not len(first):
        return None
    if sample.documents is None or sample.scores is None:
        proposed = done.index.candidates([sample.query], sample.effort, done.selection)[0].units
        found = np.isin(documents[first], done.view.documents_of(proposed)).sum()
    else:
        ties = sample.scores >= truth.scores[first[-1]]  # as good as the last one
        found = (np.isin(sample.documents, documents[first]) | ties).sum()
    return min(int(found), len(first)) / len(first), len(first)
