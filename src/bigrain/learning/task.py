"""One call of `learn`: each part is learned, and judged on the questions held out."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bigrain.codecs.adapter import QueryAdapter, fingerprint_digest
from bigrain.codecs.dense import DenseCodec
from bigrain.config import DenseField
from bigrain.encoders.static import StaticEncoder
from bigrain.errors import InvalidInputError
from bigrain.families.dense import DenseFamily
from bigrain.index.base import Floats, Units
from bigrain.index.dense import DenseIndex
from bigrain.index.effort import Effort
from bigrain.learning import light
from bigrain.learning.adapter import train_adapter
from bigrain.learning.asking import Asked
from bigrain.learning.checkpoint import Checkpoint, State
from bigrain.learning.encoding import Passages, taught, values_of
from bigrain.learning.fusion import Scored, learn_fusion
from bigrain.learning.measuring import gain_of, ndcg, recall_at
from bigrain.learning.report import CandidateRow, Gain
from bigrain.learning.rows import sampled_views, units_of, vectors_of
from bigrain.learning.sampling import ProximityGraph
from bigrain.learning.static_encoder import LearnedStatic
from bigrain.learning.supervision import Supervision
from bigrain.progress import Reporter
from bigrain.search.asked import fields_of
from bigrain.search.candidates import propose
from bigrain.search.fuse import Fusion
from bigrain.search.pipeline import answer
from bigrain.search.plan import Plan, make_plan
from bigrain.search.verify import verify
from bigrain.search.view import FieldView, SnapshotView
from bigrain.tuning.trials import write_trial

if TYPE_CHECKING:
    from bigrain.collection import Collection

__all__ = ["Task"]

Numbers = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]
CUTS = (10, 100)
VERIFIED = 100  # candidates of a question, before and after
NEGATIVES = 200  # candidates of a training question
ALIKE = 10  # true best of a question without judgments
TOGETHER = 64
STEPS = 600  # of the training of codes
ADAPTER_SHARE = 0.4  # of the minutes
WEIGHTS = 0.1, 10.0  # of a question, beside the median


@dataclass(frozen=True)
class _Ground:
    """Rows that codes are learned and judged on, from what, and what each held question wants."""

    sampled: DenseIndex
    units: Units
    supervision: Supervision
    wanted: Sequence[Numbers]


@dataclass
class Task:
    """One call of `learn`: what is known, and what was found so far."""

    col: Collection
    view: SnapshotView
    family: DenseFamily
    index: DenseIndex
    target: DenseField
    fusion: Fusion
    seed: int
    reporter: Reporter
    folder: Path
    until: float
    most_rows: int
    asked: Asked
    hold_out: str
    checkpoint: Checkpoint
    gains: list[Gain] = field(default_factory=list)
    candidate_rows: list[CandidateRow] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)  # parts that time ran out on

    # -- the adapter ------------------------------------------------------------------------

    def learn_adapter(self, force: bool) -> QueryAdapter | None:
        """An adapter trained on what the light grain returns, if it is better (or forced)."""
        began, asked = time.monotonic(), self.asked
        assert asked.grades is not None
        kept = self.checkpoint.state("adapter") or self._trained_adapter(began)
        if kept.get("stopped"):
            self.stopped.append("the adapter")
        adapter = None
        if "down" in kept:
            digest = fingerprint_digest(self.family.fingerprint())
            adapter = QueryAdapter(kept["down"], kept["up"], digest)
        if adapter is None:
            epochs = kept["epochs"]
            self.notes.append(f"no adapter ranks what is right better than none ({epochs} epochs)")
        else:
            grades = _taken(asked.grades, asked.held)
            before, after = (
                ndcg(self._ranking(family, asked.plain[asked.held]), grades)
                for family in (self.family, self.family.adapted(adapter))
            )
            gain = gain_of("adapter", f"nDCG@10 of {VERIFIED} verified", before, after, self.seed)
            if not self._decide(gain, force):
                adapter = None
        self.seconds["adapter"] = time.monotonic() - began
        return adapter

    def _trained_adapter(self, began: float) -> State:
        """`down` and `up`, if any is better than none, and `epochs`."""
        asked = self.asked
        assert asked.grades is not None
        plain = asked.plain[asked.learned]
        units, graph = self._graph(plain)
        seconds = ADAPTER_SHARE * (self.until - began)
        adapter, told = train_adapter(
            plain,
            vectors_of(self.index, units),
            graph,
            _weights(_taken(asked.grades, asked.learned)),
            asked.groups[asked.learned],
            metric=self.family.spec.metric,
            fingerprint=fingerprint_digest(self.family.fingerprint()),
            seconds=seconds,
            seed=self.seed,
            reporter=self.reporter,
        )
        state: dict[str, Any] = {"epochs": told.epochs, "stopped": told.seconds > seconds}
        if adapter is not None:
            state |= {"down": adapter.down, "up": adapter.up}
        self.checkpoint.keep("adapter", state)
        return state

    def _graph(self, plain: Floats) -> tuple[Units, ProximityGraph]:
        """Training questions and the candidates of the codes as they are, as (units, graph).

        Where what is held out is about other documents, negatives are such as are right for some
        question: else the adapter would learn which documents were judged at all.
        """
        asked = self.asked
        assert asked.grades is not None
        ways = self.family.asked(plain)
        self.reporter.stage("candidates", len(ways), "questions")
        found = np.full((len(ways), NEGATIVES), -1, np.int64)
        for start in range(0, len(ways), TOGETHER):
            part = list(ways[start : start + TOGETHER])
            for at, one in enumerate(self.index.candidates(part, Effort(NEGATIVES), None), start):
                found[at, : len(one.units)] = one.units[:NEGATIVES]
            self.reporter.advance(len(part))
        positives, right = self._right(ways, _taken(asked.grades, asked.learned))
        depth = NEGATIVES
        units = np.unique(np.concatenate([found.ravel(), *right]))
        while len(units) > self.most_rows and depth > 10:
            depth //= 2
            units = np.unique(np.concatenate([found[:, :depth].ravel(), *right]))
        units = units[units >= 0]
        found = found[:, :depth]
        candidates = np.where(found >= 0, np.searchsorted(units, found), -1)
        right = [np.searchsorted(units, r) for r in right]
        allowed = np.ones(len(units), bool)
        if self.hold_out == "documents":
            allowed[:] = False
            allowed[np.concatenate(right)] = True
        return units, ProximityGraph(
            candidates,
            [np.searchsorted(units, p) for p in positives],
            right,
            len(units),
            allowed=allowed,
        )

    def _right(
        self, ways: Floats, grades: Sequence[Mapping[int, float]]
    ) -> tuple[list[Units], list[Units]]:
        """By question: the best passage of each right document, and all of their passages."""
        positives, right = [], []
        for query, told in zip(ways, grades, strict=True):
            documents = np.array(sorted(told), np.int64)
            units, owner = self.view.passages_of(documents)
            scores = np.full(len(units), np.nan, np.float32)
            scores[:] = 0.0 if len(units) == len(documents) else self.index.score(query, units)
            live = np.zeros(len(units), bool)
            for view in self.index.views:
                live[view.locate(units)[0]] = True
            units, owner, scores = units[live], owner[live], scores[live]
            order = np.lexsort((units, -scores, owner))
            first = np.flatnonzero(np.diff(owner[order], prepend=-1))
            positives.append(np.sort(units[order][first]))
            right.append(np.sort(units))
        return positives, right

    # -- the encoder ------------------------------------------------------------------------

    def learn_encoder(
        self, base: StaticEncoder, minutes: float, force: bool
    ) -> LearnedStatic | None:
        """The field's encoder taught by the questions, if it ranks better (or forced)."""
        began, asked = time.monotonic(), self.asked
        assert asked.grades is not None
        questions = [self._text(i) for i in range(len(asked.raw))]
        right = self._right(asked.plain, asked.grades)
        views = sampled_views(
            self.index, np.unique(np.concatenate(right[1])), self.most_rows, self.seed
        )
        passages = Passages.of(self.view, self.family, units_of(views))
        learned: LearnedStatic | None = taught(
            base, passages, [questions[i] for i in asked.learned],
            [right[0][i] for i in asked.learned], minutes, self.seed, self.reporter,
            self.checkpoint,
        )  # fmt: skip
        assert learned is not None
        self.reporter.stage("judging", 2, "encoders")
        before, after = values_of(
            learned, passages, [questions[i] for i in asked.held], _taken(asked.grades, asked.held)
        )
        if not learned.steps:
            self.notes.append("the table that was learned ranks worse than the one that is there")
            learned = None
        elif not self._decide(
            gain_of("encoder", "nDCG@10 of an exact search", before, after, self.seed), force
        ):
            learned = None
        self.seconds["encoder"] = time.monotonic() - began
        return learned

    def _text(self, number: int) -> str:
        """A question as text for the dense field."""
        raw = self.asked.raw[number]
        text = raw[self.family.name] if fields_of(raw) else raw
        if not isinstance(text, str):
            raise InvalidInputError(
                f"an encoder is learned from texts, and query {number + 1} is a vector; give the "
                "texts of the queries"
            )
        return text

    # -- the light grain --------------------------------------------------------------------

    def learn_light(
        self, adapter: QueryAdapter | None, force: bool, sweep: Sequence[DenseField]
    ) -> DenseCodec | None:
        """Codes learned for questions as they will be asked, if they find more (or forced).

        Those of `sweep` are learned for the report alone.
        """
        began = time.monotonic()
        family = self.family if adapter is None else self.family.adapted(adapter)
        ground = self._ground(family)
        present = self._told("present", family, ground.sampled, ground)
        codec, fitted, learned = self._trained_codes(
            family, self.target, ground, "light", self.until
        )
        lasting = any(view.segment.codec.learned_from for view in self.index.views)
        before = present if lasting and self.target == self.family.spec else fitted
        if codec is None:
            self.notes.append("no codes were learned that find more than fitted ones")
        elif not self._better(before, learned, present, force):
            codec = None
        if codec is None:
            self._say_what_stays()
        for at, spec in enumerate(sweep):
            left = max(0.0, self.until - time.monotonic()) / (len(sweep) - at)
            until = time.monotonic() + left
            self._trained_codes(family, spec, ground, f"sweep {spec.light_bytes}", until)
        self.seconds["light"] = time.monotonic() - began
        return codec

    def _ground(self, family: DenseFamily) -> _Ground:
        asked, right = self.asked, []
        ways = family.asked(asked.plain)
        looked_at = np.empty(0, np.int64)
        weights = None
        if asked.grades is not None:
            right = self._right(ways[asked.learned], _taken(asked.grades, asked.learned))[0]
            held = self._right(ways[asked.held], _taken(asked.grades, asked.held))[1]
            looked_at = np.unique(np.concatenate(right + held))
            weights = _weights(_taken(asked.grades, asked.learned)).astype(np.float32)
        views = sampled_views(self.index, looked_at, self.most_rows, self.seed)
        sampled = DenseIndex(self.index.spec, views)
        units = units_of(views)
        places = [np.searchsorted(units, one) for one in right]
        return _Ground(
            sampled, units, Supervision(ways[asked.learned], places, weights),
            self._wanted(sampled, ways),
        )  # fmt: skip

    def _trained_codes(
        self, family: DenseFamily, spec: DenseField, ground: _Ground, part: str, until: float
    ) -> tuple[DenseCodec | None, list[Values], list[Values]]:
        """Codes of a size, fitted and then trained; None if no better. What both find is noted."""
        recoded = family.recoded(spec)
        with self._trial(recoded.forgetting(), ground.sampled) as fitted:
            shares = self._told("fitted", recoded, fitted, ground)
            codec, partition = fitted.views[0].segment.codec, fitted.views[0].segment.partition
        centroids = None
        if partition.n_lists > 1:
            centroids = partition.centroids(np.arange(partition.n_lists, dtype=np.int32))
        learned, told = light.learn_codec(
            recoded.code_settings,
            spec.metric,
            vectors_of(ground.sampled, ground.units),
            ground.supervision,
            initial=codec,
            centroids=centroids,
            seed=self.seed,
            steps=STEPS,
            minutes=max(0.0, until - time.monotonic()) / 60,
            progress=self.reporter,
            begun=self.checkpoint.state(part),
            keep=partial(self.checkpoint.keep, part),
        )
        if part == "light" and told["steps"] < STEPS:
            self.stopped.append("codes")
        if told["improved"]:
            with self._trial(recoded.coding(learned), ground.sampled) as trial:
                after = self._told("learned", recoded, trial, ground)
        else:
            after = shares
            self._add_rows("learned", spec, after)
        return learned if told["improved"] else None, shares, after

    def _better(
        self, before: Sequence[Values], after: Sequence[Values], present: Sequence[Values],
        force: bool,
    ) -> bool:  # fmt: skip
        """Whether learned codes are published; their gains are noted.

        Codes of another size than those that are there must be better than fitted ones of that
        size, and what they find beside those that are there is told.
        """
        for k, old, new in zip(CUTS, before, after, strict=True):
            measure = f"recall@{k} of candidates"
            self.gains.append(gain_of("light", measure, old, new, self.seed))
        measure = f"mean of recall@{CUTS[0]} and @{CUTS[1]} of candidates"
        means = np.mean(before, axis=0), np.mean(after, axis=0)
        size, other = self.family.spec.light_bytes, self.target.light_bytes
        if size == other:
            return self._decide(gain_of("light", measure, *means, self.seed), force)
        published = self._decide(
            gain_of("light", f"{measure}, fitted codes of {other} bytes before", *means, self.seed),
            force,
        )
        measure = f"{measure}, the {size}-byte codes that are there before"
        gain = gain_of("light", measure, np.mean(present, axis=0), means[1], self.seed)
        self.gains.append(gain)
        than = "less than" if gain.high < 0 else "more than" if gain.low > 0 else "about as much as"
        self.notes.append(
            f"learned codes of {other} bytes find {than} the {size}-byte codes that are there: "
            f"{gain.before:.4f} -> {gain.after:.4f}"
        )
        return published

    def _say_what_stays(self) -> None:
        old, new = self.family.spec.light_bytes, self.target.light_bytes
        if old != new:
            self.notes.append(
                f"codes stay at {old} bytes; {new} without learning are chosen by tune, or made "
                "when a collection is"
            )

    def _told(
        self, codes: str, family: DenseFamily, index: DenseIndex, ground: _Ground
    ) -> list[Values]:
        """Which share of what is wanted is among the candidates, for each of CUTS; noted."""
        documents = self._candidates(family, index, self.asked.plain[self.asked.held])
        shares = [recall_at(documents, ground.wanted, k) for k in CUTS]
        self._add_rows(codes, family.spec, shares)
        return shares

    def _add_rows(self, codes: str, spec: DenseField, shares: Sequence[Values]) -> None:
        for k, share in zip(CUTS, shares, strict=True):
            row = CandidateRow(codes, spec.light_bytes or 0, k, float(share.mean()))
            self.candidate_rows.append(row)

    def _wanted(self, sampled: DenseIndex, ways: Floats) -> list[Numbers]:
        """By question held out: the documents that are judged right, or the true best ones."""
        asked = self.asked
        if asked.grades is not None:
            return [np.array(sorted(g), np.int64) for g in _taken(asked.grades, asked.held)]
        self.reporter.stage("true neighbours", len(asked.held), "questions")
        found = []
        for start in range(0, len(asked.held), TOGETHER):
            part = list(ways[asked.held[start : start + TOGETHER]])
            for one in sampled.exact(part, ALIKE, None):
                found.append(np.unique(self.view.documents_of(one.units)))
            self.reporter.advance(len(part))
        return found

    @contextmanager
    def _trial(self, family: DenseFamily, sampled: DenseIndex) -> Iterator[DenseIndex]:
        """The sampled rows as a family codes them, in a temporary segment."""
        self.reporter.stage("coding", sampled.n_rows, "vectors")
        files, memory = self.col._folder.files, self.col._opened.budget.build
        trial = write_trial(family, sampled, sampled.views, files, self.folder, memory)
        assert trial.file is not None
        self.reporter.advance(sampled.n_rows)
        assert isinstance(trial.index, DenseIndex)
        try:
            yield trial.index
        finally:
            trial.file.close()
            files.remove(self.folder / trial.file.name)

    # -- the fusion -------------------------------------------------------------------------

    def learn_fusion(self, adapter: QueryAdapter | None, force: bool) -> Fusion | None:
        """Weights of the families, if they rank better (or forced)."""
        began, asked = time.monotonic(), self.asked
        assert asked.grades is not None
        family = self.family if adapter is None else self.family.adapted(adapter)
        view = self._view(family, self.index, others=True)
        held = self._scored(view, asked.held)
        if len(set(held.families)) < 2:
            self.notes.append("no weights were learned: one family of fields answers the queries")
            return None
        kept = self.checkpoint.state("fusion")
        if kept is None:
            scored = self._scored(view, asked.learned)
            found = learn_fusion(scored, _taken(asked.grades, asked.learned), self.fusion)
            self.checkpoint.keep("fusion", {"weights": dict(found.weights)})
        else:
            found = replace(self.fusion, weights=kept["weights"])
        fusion: Fusion | None = found
        grades = _taken(asked.grades, asked.held)
        before, after = (held.ndcg(one, grades) for one in (self.fusion, found))
        if found == self.fusion or np.array_equal(before, after):
            self.notes.append("the weights of the fusion are the best already")
            fusion = None
        elif not self._decide(gain_of("fusion", "nDCG@10 of fields fused", before, after,
                                      self.seed), force):  # fmt: skip
            fusion = None
        self.seconds["fusion"] = time.monotonic() - began
        return fusion

    def _scored(self, view: SnapshotView, which: Numbers) -> Scored:
        """Exact scores of the candidates of some questions, in every field that answers them."""
        self.reporter.stage("scores of all fields", len(which), "questions")
        parts, families = [], []
        for start in range(0, len(which), TOGETHER):
            some = [self._by_field(view, i) for i in which[start : start + TOGETHER].tolist()]
            plan = self._plan(view, some, 10, None)
            families = [one.field.family.spec.family for one in plan.fields]
            parts.append(verify(view, plan, propose(view, plan)))
            self.reporter.advance(len(some))
        return Scored(parts, families)

    def _by_field(self, view: SnapshotView, number: int) -> dict[str, Any]:
        """A question for every field that takes it, the dense field's as a plain vector."""
        raw = self.asked.raw[number]
        asked = dict(raw) if fields_of(raw) else {
            name: raw for name, one in view.fields.items() if one.family.accepts(raw)
        }  # fmt: skip
        return {**asked, self.family.name: self.asked.plain[number]}

    # -- asking -----------------------------------------------------------------------------

    def _view(
        self, family: DenseFamily, index: DenseIndex, *, others: bool = False
    ) -> SnapshotView:
        """The snapshot as if the field were so."""
        fields = dict(self.view.fields) if others else {}
        return replace(self.view, fields={**fields, family.name: FieldView(family, index)})

    def _plan(
        self, view: SnapshotView, queries: Sequence[Any], k: int, n_candidates: int | None
    ) -> Plan:
        return make_plan(
            view, queries, k=k, fields=None, filter=None, recall=None,
            n_candidates=n_candidates, fusion=self.fusion,
        )  # fmt: skip

    def _ranking(self, family: DenseFamily, queries: Floats) -> Numbers:
        """(Q, 10) documents, best first, of VERIFIED candidates each."""
        view, found = self._view(family, self.index), []
        self.reporter.stage("judging", len(queries), "questions")
        for start in range(0, len(queries), TOGETHER):
            part = list(queries[start : start + TOGETHER])
            documents = answer(view, self._plan(view, part, 10, VERIFIED)).documents
            found.append(_padded(documents, 10))
            self.reporter.advance(len(part))
        return np.concatenate(found)

    def _candidates(self, family: DenseFamily, index: DenseIndex, queries: Floats) -> Numbers:
        """(Q, 100) documents in the order of their codes' estimates."""
        view, found = self._view(family, index), []
        self.reporter.stage("judging", len(queries), "questions")
        for start in range(0, len(queries), TOGETHER):
            part = list(queries[start : start + TOGETHER])
            (one,) = propose(view, self._plan(view, part, CUTS[1], CUTS[1]))
            found.append(_padded(one.documents, CUTS[1]))
            self.reporter.advance(len(part))
        return np.concatenate(found)

    def _decide(self, gain: Gain, force: bool) -> bool:
        published = force or gain.better
        self.gains.append(replace(gain, decides=True, published=published))
        return published


def _padded(documents: Numbers, k: int) -> Numbers:
    """(Q, k), short rows ending in -1."""
    found = np.full((len(documents), k), -1, np.int64)
    found[:, : documents.shape[1]] = documents[:, :k]
    return found


def _taken(grades: Sequence[Mapping[int, float]], some: Numbers) -> list[Mapping[int, float]]:
    return [grades[i] for i in some.tolist()]


def _weights(grades: Sequence[Mapping[int, float]]) -> Values:
    """(n,) how much questions count: their largest grade, within bounds around the median."""
    largest = np.array([max(told.values()) for told in grades])
    return np.asarray(np.clip(largest / np.median(largest), *WEIGHTS), np.float64)
