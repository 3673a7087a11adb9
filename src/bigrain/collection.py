"""A collection: open it, add to it, commit, search, evaluate, verify. Read this file first.

Everything below is told in terms of parts that live elsewhere: `writing` takes changes in,
`storage` keeps them, `families` and `index` know the fields, `search` answers. A collection joins
them and owns what has a lifetime: the catalogue, the writer's lock, the snapshot in view; `opened`
holds what snapshots share.
"""

from __future__ import annotations

import contextlib
import os
import threading
import warnings
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from bigrain import config
from bigrain.budget import Budget
from bigrain.encoders.one_pass import source_of
from bigrain.errors import (
    ClosedError,
    CollectionExistsError,
    ConfigError,
    InvalidInputError,
    InvalidQueryError,
    InvalidVectorsError,
    PendingChangesError,
    ReadOnlyError,
    StorageError,
    UnknownFieldError,
    shown,
)
from bigrain.families import Family, make_family
from bigrain.families.base import CodedFamily
from bigrain.index.base import Segment, View
from bigrain.index.effort import DEFAULT_RECALL
from bigrain.index.sparse import SparseIndex
from bigrain.opened import Opened, with_families
from bigrain.progress import ProgressLike, Reporter, reporting
from bigrain.search.asked import batches, fields_of, one_by_one
from bigrain.search.audit import Auditor
from bigrain.search.audit_report import AuditReport
from bigrain.search.expansion import (
    Expansion,
    HyDE,
    MultiQuery,
    checked_expansion,
    joined,
    with_answers,
)
from bigrain.search.feedback import Feedback, checked, with_feedback
from bigrain.search.fuse import DEFAULT_FUSION, Fusion, usual_fusion
from bigrain.search.hits import make_arrays, make_hits
from bigrain.search.pipeline import Answers, answer
from bigrain.search.plan import Plan, check_k, make_plan
from bigrain.search.query import Query
from bigrain.search.sampling import LARGEST_K
from bigrain.search.view import FieldView, SnapshotView
from bigrain.storage.catalogue import Catalogue
from bigrain.storage.drafts import drafting
from bigrain.storage.files import DISK, Files, Lock
from bigrain.storage.folder import Folder
from bigrain.storage.segment import SegmentFile
from bigrain.text.chunk import Chunking
from bigrain.types import AddCounts, Document, Documents, Hit, Span, SparseMatrix
from bigrain.writing.backup import back_up
from bigrain.writing.checking import Report, check_collection
from bigrain.writing.intake import DEFAULT_CHUNKING, usual_chunking
from bigrain.writing.merging import merge_views, segments_to_merge
from bigrain.writing.reencoding import encode_anew
from bigrain.writing.session import Sealed, WriteSession

if TYPE_CHECKING:
    from bigrain.evaluation import Evaluation
    from bigrain.learning.report import LearnReport
    from bigrain.search.heat_map import HeatMap
    from bigrain.search.occurrences import Occurrences
    from bigrain.tuning import TuneReport
    from bigrain.writing.repair import RepairReport

__all__ = ["Collection", "create", "open", "repair"]

QUERY_BATCH = 1024
AUDIT_SHARE = 0.05
AUDITED = ("dense", "sparse", "multivector")  # families that may miss something


def create(
    path: str | os.PathLike[str],
    fields: Mapping[str, config.Field] | None = None,
    memory_budget_bytes: int | None = None,
    *,
    chunking: Chunking | Literal["auto"] | None = "auto",
    fusion: Fusion | None = None,
    files: Files | None = None,
) -> Collection:
    """Make a new collection folder and open it for writing.

    `fields` maps names to `LexicalField`, `DenseField`, `SparseField`, `MultiVectorField` or
    `SubstringField`; None means "lexical" (BM25) and "dense" (the bundled encoder). `chunking` says
    how long texts are cut into passages (None: never); "auto" is at sentence ends after 2,000
    characters, or fewer where an encoder reads fewer at once. `fusion` says how fields are joined;
    None is by `Fusion()`, with the weights that suit the encoders where these are known.
    `memory_budget_bytes` bounds the memory of the process, as far as it is bigrain's; None is a
    quarter of the machine's.

    Raises `CollectionExistsError` if there is something at `path`, `ConfigError` for settings.
    """
    target, files = _as_path(path), files or DISK
    budget = Budget.of(memory_budget_bytes)
    if fields is not None and not isinstance(fields, Mapping):
        raise ConfigError(
            f"fields is a {type(fields).__name__}; give each field a name: "
            '{"lexical": bigrain.LexicalField()}'
        )
    given = config.default_fields() if fields is None else dict(fields)
    if not given:
        raise ConfigError("a collection needs at least one field, such as LexicalField()")
    families = {}
    for name, field in given.items():
        if not isinstance(field, config.Field):
            raise ConfigError(
                f"field {config.check_field_name(name)!r} is a {type(field).__name__}; use "
                "LexicalField, DenseField, SparseField, MultiVectorField or SubstringField"
            )
        families[name] = make_family(config.check_field_name(name), field)
    if chunking == "auto":
        chunking = usual_chunking(families.values())
    elif not isinstance(chunking, Chunking | None):
        raise ConfigError(
            f"chunking={shown(chunking)} must be a bigrain.Chunking, None to leave texts whole, or "
            "'auto'"
        )
    if fusion is None:
        fusion = usual_fusion(_known_weights(families.values()))
    elif not isinstance(fusion, Fusion):
        raise ConfigError(f"fusion={shown(fusion)} must be a bigrain.Fusion, or None")
    budget = with_families(budget, families)
    if os.path.lexists(target) and (not target.is_dir() or any(target.iterdir())):
        raise CollectionExistsError(
            f"{target} is already there; bigrain.open(path) opens it, or choose another path"
        )
    if not target.parent.is_dir():
        raise ConfigError(f"{target.parent} is not a folder; make it first")
    # Made beside its final place and renamed, so that a crash leaves no half collection.
    with drafting(files, target) as draft:
        Folder(files, draft).make()
        Catalogue.create(
            files,
            draft,
            settings={
                "chunking": None if chunking is None else chunking.to_dict(),
                "fusion": fusion.to_dict(),
            },
            fields={n: (f.spec.to_dict(), f.fingerprint()) for n, f in families.items()},
            cache_bytes=budget.catalogue,
        )
        if target.exists():
            target.rmdir()
        files.rename(draft, target)
        files.sync_folder(target.parent)
    return Collection(target, files, budget, read_only=False)


def open(  # noqa: A001 - bigrain.open reads like the builtin it resembles
    path: str | os.PathLike[str],
    read_only: bool = False,
    memory_budget_bytes: int | None = None,
    *,
    audit: bool | float = False,
    files: Files | None = None,
) -> Collection:
    """Open a collection.

    Any number of handles may read. The first change takes the writer's lock, which is held until
    `close`; a second writer gets a `LockedError` naming the first. `audit` lets a thread answer a
    sample of the searches again, exactly (`Collection.audit`); the number is the share of one core
    that it may take, True is 0.05. Raises `NotACollectionError`, `FormatError` (written by a newer
    bigrain), `EncoderMismatchError`, `BudgetError`, `ConfigError` or `DamagedError`.
    """
    if not isinstance(read_only, bool):
        raise ConfigError(
            f"read_only={shown(read_only)}: read_only must be True or False; the budget is "
            "memory_budget_bytes=..., in bytes"
        )
    share = AUDIT_SHARE if audit is True else audit
    if not isinstance(share, int | float) or not 0 <= share <= 1:
        raise ConfigError(
            f"audit={shown(audit)} must be True, False, or the share of one core that it may take, "
            f"above 0 and at most 1, such as {AUDIT_SHARE}"
        )
    col = Collection(
        _as_path(path), files or DISK, Budget.of(memory_budget_bytes), read_only=read_only
    )
    if share:
        col._auditor.start(float(share))
    return col


def repair(
    path: str | os.PathLike[str],
    *,
    memory_budget_bytes: int | None = None,
    progress: ProgressLike = None,
    dry_run: bool = False,
    fields: Mapping[str, config.Field] | None = None,
    files: Files | None = None,
) -> RepairReport:
    """Mend a damaged collection, also one that cannot be opened any more.

    Everything is read through. What is sound is kept; codes are made again from vectors, what
    fields read from texts is made again from the texts, the catalogue from its readable pages. The
    report says what could not be brought back. It is published like a commit: if repair fails or
    is killed, nothing has changed, and readers go on. Damaged files are set aside in `damaged/`.

    `dry_run` changes nothing and reports what would be done. `fields`, as given to `create`, is
    needed where the definition of the fields itself is damaged. Raises `NotACollectionError`,
    `LockedError`, `FormatError`, `DamagedError` where nothing is left to work with, and
    `ConfigError` or `EncoderMismatchError` where texts must be encoded and the encoder is missing.
    """
    from bigrain.writing.repair import repair_collection

    folder = Folder(files or DISK, _as_path(path))
    with reporting(progress) as reporter:
        return repair_collection(
            folder, Budget.of(memory_budget_bytes), reporter,
            default_settings=_default_settings(), dry_run=dry_run, fields=fields,
        )  # fmt: skip


def rebind(
    path: str | os.PathLike[str],
    encoder: str,
    fields: Sequence[str] | None = None,
    *,
    files: Files | None = None,
) -> tuple[str, ...]:
    """Let a collection find its encoder elsewhere: a folder that was moved, or another name.

    `encoder` is a registered name, a folder, or a name on the model hub, and must be the encoder
    that made the vectors, by its fingerprint. `fields` None means all that it made. Returns the
    names of these fields. Handles that are open keep the encoder they have. Raises
    `EncoderMismatchError` for another encoder, `UnknownFieldError`, `ConfigError`, `LockedError`,
    `NotACollectionError`; nothing is changed then.
    """
    from bigrain.writing.rebinding import rebind_fields

    if isinstance(fields, str):
        fields = [fields]
    if not isinstance(encoder, str) or not encoder.strip():
        raise ConfigError(f"encoder={shown(encoder)} must be a name or a folder, as text")
    return rebind_fields(Folder(files or DISK, _as_path(path)), encoder, fields)


class Collection:
    """An open collection; made by `bigrain.create` and `bigrain.open`.

    Searching is safe from many threads; changes come from one thread at a time.
    """

    def __init__(self, path: Path, files: Files, budget: Budget, *, read_only: bool) -> None:
        self._folder, self.read_only = Folder(files, path), read_only
        self._folder.require()
        self._catalogue = Catalogue(files, path, cache_bytes=budget.catalogue)
        self._session: WriteSession | None = None
        self._held = _Held(self._catalogue)
        self._finalizer = weakref.finalize(self, self._held.let_go)
        self._auditor = self._held.auditor
        self._view: SnapshotView | None = None  # None too while one makes room for the next
        self._changing = threading.RLock()
        self._closed = False
        try:
            self._catalogue.check_format()
            self._opened = Opened(self._folder, self._catalogue, budget, self._auditor.forget)
            self._renew()
        except BaseException:
            self._finalizer()
            raise

    # -- changing ---------------------------------------------------------------------------

    def add(self, documents: Documents, progress: ProgressLike = None) -> AddCounts:
        """Add documents, or replace those whose id is there already; all or none.

        `documents` is an iterable, of any length, of text, mappings with `id`, `text`, `title`,
        `metadata`, or `Document`s; ids that are left out are made up. Nothing is visible or durable
        before `commit`. Raises `InvalidDocumentError` or `DuplicateIdError` naming the row.
        """
        with self._changing:
            counts = self._writer().add(documents, progress)
        for message in counts.warnings:
            warnings.warn(message, stacklevel=2)
        return counts

    def add_vectors(self, field: str, ids: Sequence[str], vectors: Any) -> AddCounts:
        """Give documents their vectors in a field without an encoder.

        `vectors`: dense (n, dim) array; sparse (n, vocabulary) scipy CSR matrix, which may have
        another width where its columns fit; multi-vector (values (T, dim), offsets (n + 1,)), a
        list of arrays (tokens, dim), an array (n, tokens, dim), or that and how many tokens of each
        row count (n,). The ids must be in the collection, unless no field
        reads text: then new documents are made. Raises `InvalidVectorsError` naming the row,
        `UnknownFieldError`, `UnknownDocumentError` or `DuplicateIdError`; nothing is changed then.
        """
        if not isinstance(field, str) or field not in self._opened.families:
            raise UnknownFieldError(
                f"no field {shown(field)} in this collection; it has "
                f"{', '.join(self._opened.families)}"
            )
        if isinstance(ids, str | set | frozenset | Mapping):
            raise InvalidVectorsError(
                f"ids is a {type(ids).__name__}; pass a list of ids in the order of the vectors"
            )
        with self._changing:
            return self._writer().add_vectors(field, _listed("ids", ids), vectors)

    def delete(self, ids: str | Iterable[str], *, missing: str = "raise") -> int:
        """Delete documents by id; returns how many. `missing="ignore"` passes over unknown ids."""
        wanted = [ids] if isinstance(ids, str) else _listed("ids", ids)
        with self._changing:
            return self._writer().delete(wanted, missing=missing)

    def commit(self, progress: ProgressLike = None) -> int:
        """Make all pending changes durable and visible at once; returns the snapshot's number.

        If it fails, nothing is published and the changes are still pending; unless the disk refused
        the transaction itself, then `rollback` and make them again. What goes wrong afterwards, in
        showing the snapshot or merging small segments, is a warning.
        """
        with self._changing:
            self._require_open()
            session = self._session
            if session is None or not session.changed:
                self.rollback()
                return self._require_open().number
            sealed: list[Sealed] = []
            try:
                with reporting(progress) as reporter:
                    sealed = session.seal(reporter)
                sealed_files = [(one.field, one.file) for one in sealed]
                self._opened.require_budget(self._open_files() + sealed_files)
                snapshot, _ = session.publish(sealed, self._open_segments())
            except BaseException:
                session.abandon(sealed)
                raise
            self._session = None
            session.discard()
            _close(sealed)
            try:
                self._renew()
                with reporting(progress) as reporter:
                    self._tidy(reporter)
            except Exception as error:
                warnings.warn(
                    f"snapshot {snapshot} is durable, but tidying up after it failed: {error}",
                    stacklevel=2,
                )
            return snapshot

    def rollback(self) -> None:
        """Forget all pending changes."""
        with self._changing:
            session, self._session = self._session, None
            if session is not None:
                session.discard()

    def compact(self, progress: ProgressLike = None) -> int:
        """Merge each field's segments into one, drop what is deleted; returns the snapshot.

        Memory stays within the budget. Snapshots that other handles still read keep their files
        until a later compaction.
        """
        with self._changing, reporting(progress) as reporter:
            self._require_open()
            self._require_nothing_pending()
            self._writer()  # takes the lock and sees what others have committed
            groups = {
                name: list(field.index.views)
                for name, field in self._require_open().fields.items()
                if _worth_merging(field)
            }
            self._merge(groups, reporter)
            self._purge(documents=True)
            return self._require_open().number

    def close(self) -> None:
        """Let go of files and locks; pending changes are forgotten."""
        with self._changing:
            if not self._closed:
                self.rollback()
                self._closed = True
                self._opened.forget()
                self._view = None
                self._auditor.stop()
                self._finalizer()

    def __enter__(self) -> Collection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- searching --------------------------------------------------------------------------

    def search(
        self,
        query: Any,
        k: int = 10,
        fields: Sequence[str] | str | Mapping[str, float] | None = None,
        filter: object = None,
        recall: float | None = None,
        explain: bool = False,
        *,
        n_candidates: int | None = None,
        fusion: Fusion | None = None,
        feedback: Feedback | str | None = None,
        expand: Expansion | None = None,
    ) -> list[Hit]:
        """The best k documents, best first.

        `query`: text, a `bigrain.Query` if signs in it are operators, or a representation (a
        vector, a mapping column -> weight or one row of a sparse matrix, token vectors); or a
        mapping from names of fields to a query for each, which are fused.
        `fields`: which fields to ask, or a mapping to their weights; None asks all that can answer.
        `filter`: a condition on metadata, as text or dictionary (`bigrain.search.filter`).
        `recall`: the share of the true top k wanted from dense codes, 1.0 looks at everything;
        `n_candidates` sets the number of verified candidates directly, at least k.
        `explain` fills `Hit.explanation`. `feedback` (`bigrain.Feedback`, or "rm3", "rocchio",
        "average") lets the best documents of a first search add to the query; `expand`
        (`bigrain.HyDE` or `bigrain.MultiQuery`) a function of yours. Scores come from the originals
        on disk, not from codes.
        """
        view = self._require_open()
        plan, answers = self._answer(
            view, [query], k=k, fields=fields, filter=filter, recall=recall,
            n_candidates=n_candidates, fusion=fusion or self._opened.fusion, explain=explain,
            feedback=checked(feedback), expand=checked_expansion(expand),
        )  # fmt: skip
        _tell([query])
        return make_hits(view, plan, 0, answers[0])

    def _answer(
        self,
        view: SnapshotView,
        queries: Sequence[Any],
        *,
        k: int,
        recall: float | None,
        n_candidates: int | None,
        feedback: Feedback | None,
        expand: Expansion | None,
        **options: Any,
    ) -> tuple[Plan, Answers]:
        """Plan and answer, twice where the first answers have a say in the second."""
        check_k(k)
        said = [[query] for query in queries]
        wanted = k
        if isinstance(expand, MultiQuery):
            said, wanted = expand.wordings(queries), max(k, expand.depth)
        asked = [text for texts in said for text in texts]
        deep = wanted if feedback is None else max(wanted, feedback.documents)
        plan = make_plan(view, asked, k=deep, recall=recall, n_candidates=n_candidates, **options)
        if isinstance(expand, HyDE):
            plan = with_answers(plan, queries, expand)
        if feedback is not None:
            plan = with_feedback(view, plan, feedback, wanted)
        answers = answer(view, plan)
        self._auditor.sampler.notice(view, plan, answers, recall, n_candidates)
        if isinstance(expand, MultiQuery):
            return joined(plan, answers, [len(texts) for texts in said], k)
        return plan, answers

    def search_many(
        self,
        queries: Any,
        k: int = 10,
        fields: Sequence[str] | str | Mapping[str, float] | None = None,
        recall: float | None = None,
        threads: int = 1,
        arrays: bool = False,
        *,
        filter: object = None,
        n_candidates: int | None = None,
        fusion: Fusion | None = None,
        feedback: Feedback | str | None = None,
        expand: Expansion | None = None,
    ) -> Any:
        """`search` for many queries, sharing the work on codes.

        `queries`: a list of them, an array (n, dim), a sparse matrix of n rows, or a mapping from
        names of fields to n queries each.
        Returns a list of lists of `Hit`, or with `arrays=True` (ids (n, k) object array, scores
        (n, k) float32), rows shorter than k ending in None and -inf.
        """
        view = self._require_open()
        if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
            raise InvalidQueryError(f"threads={shown(threads)} must be a whole number from 1")
        asked, believed = one_by_one(queries), checked(feedback)
        expansion = checked_expansion(expand)
        if not asked:
            make_plan(view, [], k=k, fields=fields, filter=filter, recall=recall,
                      n_candidates=n_candidates, fusion=fusion or self._opened.fusion)  # fmt: skip

        def run(part: slice) -> tuple[Plan, Answers]:
            try:
                return self._answer(
                    view, asked[part], k=k, fields=fields, filter=filter, recall=recall,
                    n_candidates=n_candidates, fusion=fusion or self._opened.fusion,
                    feedback=believed, expand=expansion,
                )  # fmt: skip
            except InvalidQueryError as error:
                if not part.start:
                    raise
                raise InvalidQueryError(f"{error} (counted from query {part.start} on)") from None

        def run_arrays(part: slice) -> tuple[npt.NDArray[Any], npt.NDArray[np.float32]]:
            return make_arrays(view, *run(part))

        _tell(asked)
        parts = list(batches(asked, min(QUERY_BATCH, max(1, -(-len(asked) // threads)))))
        done: list[Any]
        if threads == 1 or len(parts) < 2:
            done = list(map(run_arrays if arrays else run, parts))
        else:
            from concurrent.futures import ThreadPoolExecutor

            with ThreadPoolExecutor(threads) as pool:
                done = list(pool.map(run_arrays if arrays else run, parts))
        if not arrays:  # hits not by the threads: they would wait for each other at every row
            return [
                make_hits(view, plan, i, found)
                for plan, answers in done
                for i, found in enumerate(answers)
            ]
        if not done:
            return np.empty((0, k), object), np.empty((0, k), np.float32)
        ids, scores = zip(*done, strict=True)
        return np.concatenate(ids), np.concatenate(scores)

    def occurrences(
        self,
        pattern: str,
        limit: int = 10,
        *,
        places: int = 100,
        field: str | None = None,
        filter: object = None,
    ) -> Occurrences:
        """Count a string in all titles and texts, exactly; needs a `SubstringField`.

        Case and the length of white space count as the field says; overlapping occurrences count
        each, and none reaches from a title into the text. Told are how many there are, in how many
        documents, and of the `limit` documents with the most (ties: the older) the count and the
        first `places` places. `filter` as in `search`. `field` may be left out where there is one
        substring field. Raises `InvalidQueryError` or `UnknownFieldError`.
        """
        from bigrain.search.occurrences import find_occurrences

        return find_occurrences(
            self._require_open(), pattern, limit=limit, places=places, field=field, filter=filter
        )

    def evaluate(
        self,
        queries: Mapping[str, Any] | str | os.PathLike[str],
        judgments: Mapping[str, Mapping[str, int]] | str | os.PathLike[str],
        *,
        k: int = 100,
        measures: Sequence[str] | None = None,
        systems: Mapping[str, Mapping[str, Any]] | None = None,
        ignore_identical_ids: bool = False,
        keep_runs: bool = False,
        progress: ProgressLike = None,
    ) -> Evaluation:
        """nDCG@10, recall, MRR, MAP and latency for each field that reads text and for all fused.

        `queries` and `judgments` are dictionaries or files (BEIR, TREC). Queries that name fields,
        as in `search`, evaluate those. `systems` maps names to arguments of `search` to compare
        other settings. Needs the extra `eval`.
        """
        from bigrain.judging import evaluate

        return evaluate(
            self, queries, judgments, k=k, measures=measures, systems=systems,
            ignore_identical_ids=ignore_identical_ids, keep_runs=keep_runs, progress=progress,
        )  # fmt: skip

    def audit(
        self,
        max_seconds: float | None = None,
        progress: ProgressLike = None,
        *,
        queries: Any = None,
        recall: float | None = None,
        k: int = 10,
    ) -> AuditReport:
        """Answer a sample of this handle's searches again, exactly: is the asked recall reached?

        Searches that ask dense and multi-vector fields for a recall (given or default;
        `n_candidates` asks for none), or sparse ones for a given one, of the best k, up to 100, are
        sampled as they are answered, the newest most likely. Here all rows of such a field are read
        once for 64 of them. Those of a snapshot that is gone are dropped. `max_seconds`: stop then,
        and go on from there the next time. Where less was reached than asked, by more than chance,
        later searches of this handle look further in fields with codes.

        `queries`: texts or vectors, all of which are first put to every such field that takes them
        (or by name, as `search_many` takes them), with this `recall` (None: the default, 0.95) of
        the top `k`. Raises `InvalidInputError`, `InvalidQueryError`, `UnknownFieldError` or
        `DamagedError`.
        """
        self._require_open()
        if max_seconds is not None and (
            isinstance(max_seconds, bool)
            or not isinstance(max_seconds, int | float)
            or not max_seconds > 0
        ):
            raise InvalidInputError(
                f"max_seconds={shown(max_seconds)} must be a number above 0, such as 10, or None "
                "for as long as it takes"
            )
        if queries is not None:
            asked = one_by_one(queries)
            if not asked:
                raise InvalidInputError(
                    "queries is empty; leave it out to audit what was asked before"
                )
            self._ask_all(asked, recall, k)
        with reporting(progress) as reporter:
            return self._auditor.run(reporter, max_seconds)

    def _ask_all(self, queries: list[Any], recall: float | None, k: int) -> None:
        """Put queries to dense and sparse fields, all of them to be audited."""
        asked = DEFAULT_RECALL if recall is None else recall
        if asked == 1 or (isinstance(k, int) and k > LARGEST_K):
            raise InvalidInputError(
                f"recall={shown(recall)}, k={shown(k)}: audited is a recall below 1 of at most the "
                f"best {LARGEST_K}"
            )
        audited = [name for name, f in self._opened.families.items() if f.spec.family in AUDITED]
        if not audited:
            raise UnknownFieldError(
                "no dense, sparse or multi-vector field in this collection; the others are exact"
            )
        named = fields_of(queries[0]) if queries else ()
        able = [
            name
            for name in (named or audited)
            if name in audited and (named or all(map(self._opened.families[name].accepts, queries)))
        ]
        with self._auditor.sampler.every_query():
            for name in able or audited:
                own = [query[name] for query in queries] if named else queries
                self.search_many(own, k=k, fields=name, recall=asked, arrays=True)

    def tune(
        self,
        recall: float | None = None,
        memory_budget_bytes: int | None = None,
        queries: Any = None,
        *,
        field: str | None = None,
        k: int = 10,
        apply: bool = False,
        trial_rows: int = 50_000,
        seed: int = 0,
        progress: ProgressLike = None,
    ) -> TuneReport:
        """Measure what recall costs a dense or multi-vector field, and choose its codes.

        Codes of several kinds are made of a sample of at most `trial_rows` rows, in a temporary
        folder, and searched at several recalls; the quickest that reaches `recall` (None: the
        default, 0.95) of the true top `k` within the budget is chosen. `memory_budget_bytes` is the
        number that the collection shall be opened with (None: this handle's). `queries`: texts or
        vectors, better hundreds; without, audited ones of this handle or stored vectors and their
        means. One half of them chooses, the other states what is reached. `field` may be left out
        where there is one such field.

        `apply=True` makes the field's codes anew so, from the originals on disk, in one commit;
        `BudgetError` if nothing chosen fits, and then nothing is changed. Raises
        `InvalidQueryError`, `UnknownFieldError`, `ConfigError`, `PendingChangesError` and
        `ReadOnlyError` besides.
        """
        from bigrain import tuning

        return tuning.tune_collection(
            self, recall=recall, memory_budget_bytes=memory_budget_bytes, queries=queries,
            field=field, k=k, apply=apply, trial_rows=trial_rows, seed=seed, progress=progress,
        )  # fmt: skip

    def learn(
        self,
        queries: Any = None,
        judgments: Any = None,
        *,
        field: str | None = None,
        light_bytes: int | None = None,
        minutes: float = 10,
        what: Sequence[str] | str = ("light", "adapter", "fusion"),
        hold_out: str = "documents",
        force: bool = False,
        seed: int = 0,
        sweep: bool | Sequence[int] = False,
        encoder_folder: str | os.PathLike[str] | None = None,
        progress: ProgressLike = None,
    ) -> LearnReport:
        """Learn from questions what the search of a dense field, and the fusion, should be.

        `what` names the parts: "light", codes in memory that put what is wanted among the
        candidates (needs the extra `learn`); "adapter", a low-rank map of queries trained on what
        the codes return, so that verification ranks it better; "fusion", the weights of families.
        "encoder", by itself, teaches the bundled encoder the texts (extra `learn`): it is saved in
        `encoder_folder`, a new folder that must stay where it is, and all texts of the field are
        encoded by it. An adapter and codes that were learned for the former encoder are gone then.

        `queries` maps ids to texts or vectors (to mappings of these by field, too), or is a file;
        `judgments` map the same ids to documents and grades or numbers of clicks, or are a file, as
        `evaluate` takes them. Queries without judgments, or none at all, teach codes alone: exact
        scores are their teacher, and titles or beginnings of documents stand in for queries. A
        function as `queries` gets documents and gives a question for each, or None.

        A quarter of the questions, up to 1,000, is held out. A part is published only if the 95 %
        interval of its gain on these lies above zero, or with `force`; all parts in one commit.
        With `hold_out="documents"` these questions are about documents that no other question is
        about; with "questions" they may be about the same ones, as in a log of what users ask.
        `light_bytes` makes codes of that size (None: as they are). Training stops after `minutes`;
        unless it does, the same `seed` gives the same. What fails, is cancelled or killed changes
        nothing, and the next call with the same arguments goes on from the adapter, or the quarter
        of the training of codes, that it had come to, unless something was committed meanwhile.
        `unlearn` takes everything back.

        With `sweep=True`, or sizes in bytes, the report also tells what codes of other sizes would
        find, fitted and learned, for `LearnReport.plot`; what is published stays the same. The
        minutes that are left are shared among the sizes.

        Raises `InvalidInputError`, `InvalidQueryError`, `UnknownFieldError`, `ConfigError` (also
        if the field was tuned or taught otherwise meanwhile), `LockedError` while another call
        learns, `PendingChangesError`, `ReadOnlyError` and `MissingExtraError`.
        """
        from bigrain.learning.of_collection import learn_collection

        return learn_collection(
            self, queries=queries, judgments=judgments, field=field, light_bytes=light_bytes,
            minutes=minutes, what=what, hold_out=hold_out, force=force, seed=seed,
            sweep=sweep, encoder_folder=encoder_folder, progress=progress,
        )  # fmt: skip

    def unlearn(self, progress: ProgressLike = None) -> int:
        """Take back what was learned, in one commit; returns the snapshot.

        Fields have the codes again, fitted anew, that they had before the first `learn`, no
        adapters, and the fusion its former weights. Raises `InvalidInputError` if nothing was
        learned, `PendingChangesError` and `ReadOnlyError`.
        """
        from bigrain.learning.of_collection import unlearn_collection

        return unlearn_collection(self, progress)

    # -- looking ----------------------------------------------------------------------------

    @property
    def path(self) -> Path:
        return self._folder.path

    @property
    def snapshot(self) -> int:
        """The snapshot this handle sees."""
        return self._require_open().number

    def refresh(self) -> int:
        """See what has been committed since; returns the snapshot now in view."""
        with self._changing:
            view = self._require_open()
            if self._catalogue.snapshot()[0] != view.number:
                self._renew()
            return self._require_open().number

    def __repr__(self) -> str:
        view = self._view
        state = "closed" if self._closed or view is None else f"snapshot {view.number}"
        return f"<bigrain.Collection {str(self._folder.path)!r}, {state}>"

    def __len__(self) -> int:
        return self._require_open().n_documents

    def __contains__(self, identifier: object) -> bool:
        return isinstance(identifier, str) and self.get([identifier]) != [None]

    def get(self, ids: Sequence[str]) -> list[Document | None]:
        """Documents by id, as stored; None for ids that are not there."""
        view = self._require_open()
        found = view.catalogue.documents_by_id(_listed("ids", ids), view.number)
        return [
            None
            if identifier not in found
            else Document(
                found[identifier].text,
                identifier,
                found[identifier].title,
                found[identifier].metadata,
            )
            for identifier in ids
        ]

    def documents(self) -> Iterator[Document]:
        """Every document of the snapshot in view, in the order they were added."""
        view = self._require_open()
        for stored in view.catalogue.live_documents(view.number):
            yield Document(stored.text, stored.id, stored.title, stored.metadata)

    def sparse_vectors(self, field: str) -> tuple[list[str], SparseMatrix]:
        """(ids, CSR arrays) of a sparse field of the snapshot in view, in the order of documents.

        For documents of several passages the first one's. `bigrain.text.write_sparse_vectors`
        writes them to a file, `scipy.sparse.csr_matrix(matrix[:3], matrix.shape)` makes a matrix.
        """
        view = self._require_open()
        found = view.fields.get(field) if isinstance(field, str) else None
        if found is None or not isinstance(found.index, SparseIndex):
            sparse = [name for name, f in view.fields.items() if isinstance(f.index, SparseIndex)]
            raise UnknownFieldError(
                f"{shown(field)} is no sparse field of this collection; it has "
                f"{', '.join(sparse) or 'none'}"
            )
        units, matrix = found.index.matrix()
        ids = view.catalogue.ids(units.tolist())
        first = np.array([unit in ids for unit in units.tolist()], bool)
        counts = np.diff(matrix.indptr)[first]
        kept = np.repeat(first, np.diff(matrix.indptr))
        width = found.family.spec.to_dict()["vocabulary_size"] or matrix.shape[1]
        return [ids[unit] for unit in units[first].tolist()], SparseMatrix(
            matrix.data[kept],
            matrix.indices[kept],
            np.concatenate(([0], np.cumsum(counts))),
            (len(counts), int(width)),
        )

    def token_scores(
        self, query: Any, id: str, field: str | None = None
    ) -> npt.NDArray[np.float32]:
        """(t, m) products of a document's t tokens with the m tokens of a query: a heat map.

        `query` is one that the multi-vector `field` takes (None: the only one there is). The
        maxima of the columns add up to the score. Of a document of several passages the first.
        Raises `UnknownFieldError`, `UnknownDocumentError`, and `InvalidQueryError` for a document
        without tokens.
        """
        from bigrain.search.tokens import scores_of_tokens

        return scores_of_tokens(self._require_open(), query, id, field)

    def span_scores(
        self, query: Any, id: str, spans: Sequence[tuple[int, int]], field: str | None = None
    ) -> npt.NDArray[np.float32]:
        """(S,) the score that each stretch of a document's tokens would have alone.

        `spans`: pairs (begin, end) of tokens; an empty one scores -inf. Sentences are ranked so
        with the vectors of the whole document (AGRaME: Reddy et al., 2024). Otherwise like
        `token_scores`.
        """
        from bigrain.search.tokens import scores_of_spans

        return scores_of_spans(self._require_open(), query, id, spans, field)

    def best_spans(
        self,
        query: Any,
        id: str,
        k: int = 3,
        *,
        by: str = "sentence",
        spans: Iterable[Sequence[int]] | None = None,
        field: str | None = None,
    ) -> list[Span]:
        """The k sentences of a document that score best with the vectors of the whole, best first.

        `by`: "sentence" or "paragraph"; `spans` are ranked instead where they are given, pairs
        (start, end) of characters of the text. The score of a span is MaxSim over its tokens alone
        (AGRaME: Reddy et al., 2024), of the passage that gives the most where there are several.
        Spans without a token are left out. `query` and `field` are as in `token_scores`.

        The encoder of the field has to tell where tokens stand, as the bundled one and transformers
        do. Raises `UnknownFieldError`, and `InvalidQueryError` where nobody knows the places of the
        stored vectors (they were brought, or pooled), for a document without tokens and for spans
        outside of the text.
        """
        from bigrain.search.spans import best_spans

        return best_spans(self._require_open(), query, id, k, by, spans, field)

    def heat_map(self, query: Any, id: str, field: str | None = None) -> HeatMap:
        """How each token of a document meets each of a query, with their words, to be drawn.

        Of a document of several passages the one that scores best. Otherwise like `token_scores`.

        >>> col.heat_map("where is wheat kept?", "3").plot("heat.png")  # doctest: +SKIP
        """
        from bigrain.search.heat_map import heat_map

        return heat_map(self._require_open(), query, id, field)

    @property
    def fields(self) -> dict[str, config.Field]:
        """The fields and their configuration."""
        return {name: family.spec for name, family in self._opened.families.items()}

    def stats(self) -> dict[str, Any]:
        """Documents, segments, bytes by field and grain, memory, encoders. All sizes in bytes.

        For fields with codes `recall` tells how far a search looks, and what the audit found;
        `learned` what `learn` has given a field. `fusion`: its method, and the weights of families.
        """
        from bigrain.statistics import stats_of

        return stats_of(self)

    def verify(self, progress: ProgressLike = None) -> Report:
        """Read everything through: checksums, counts, and that every code has its original."""
        self._require_open()
        with reporting(progress) as reporter:
            return check_collection(self._folder, reporter)

    def repair(self, progress: ProgressLike = None, *, dry_run: bool = False) -> RepairReport:
        """`bigrain.repair` on this collection; afterwards the result is in view.

        Raises `PendingChangesError` and `ReadOnlyError` besides what `bigrain.repair` raises.
        """
        from bigrain.writing.repair import repair_collection

        with self._changing, reporting(progress) as reporter:
            self._require_open()
            if self.read_only and not dry_run:
                raise ReadOnlyError(
                    f"{self._folder.path} was opened with read_only=True; open it without to "
                    "repair it"
                )
            self._require_nothing_pending()
            self.rollback()
            if self._held.lock is None and not self.read_only:
                self._held.lock = self._folder.lock_for_writing()
            report = repair_collection(
                self._folder, self._opened.budget, reporter,
                default_settings=_default_settings(), dry_run=dry_run, lock=self._held.lock,
            )  # fmt: skip
            if report.snapshot >= 0:
                self.refresh()
            return report

    def backup(
        self, target: str | os.PathLike[str], progress: ProgressLike = None, *, link: bool = False
    ) -> int:
        """Make a second collection at `target` out of the newest snapshot; returns its number.

        Others may write meanwhile; pending changes are not in it. Everything is checked on the way:
        a damaged collection raises `DamagedError` naming the file, and nothing is left at `target`.
        `link=True` gives the segment files a second name instead of reading and copying them, on
        the same file system only; damage to such a file is damage to both collections. Raises
        `CollectionExistsError`, `ConfigError` or `StorageError`.
        """
        self._require_open()
        with reporting(progress) as reporter:
            return back_up(self._folder, _as_path(target), reporter, link=link)

    # -- inside -----------------------------------------------------------------------------

    def _require_open(self) -> SnapshotView:
        view = self._view
        if view is None and not self._closed:
            with self._changing:  # whoever exchanges the view, or failed to, is done
                if self._view is None:
                    self._renew()
                view = self._view
        if self._closed or view is None:
            raise ClosedError(f"{self._folder.path} was closed; open it again")
        return view

    def _writer(self) -> WriteSession:
        """The session of pending changes, begun now if there is none."""
        self._require_open()
        if self.read_only:
            raise ReadOnlyError(
                f"{self._folder.path} was opened with read_only=True; open it without to change it"
            )
        if self._session is None:
            if self._held.lock is None:
                self._held.lock = self._folder.lock_for_writing()
            self.refresh()
            opened = self._opened
            self._session = WriteSession.begin(
                self._folder, self._catalogue, opened.families, opened.budget, opened.chunking,
                self._require_open().number, self._open_segments(), opened.light_bytes,
            )  # fmt: skip
        return self._session

    def _open_segments(self) -> dict[str, list[Segment]]:
        return {
            name: [v.segment for v in field.index.views]
            for name, field in self._require_open().fields.items()
        }

    def _open_files(self) -> list[tuple[str, SegmentFile]]:
        """(field, file) of every segment in view."""
        return [
            (name, segment.file)
            for name, segments in self._open_segments().items()
            for segment in segments
        ]

    def _renew(self) -> None:
        """Show the newest snapshot; searches wait for it if there is no room for both."""
        view = self._opened.newest(self._leave_view)
        self._view = view
        self._auditor.shown(view)

    def _leave_view(self) -> None:
        self._view = None

    def _tidy(self, reporter: Reporter) -> None:
        """After a commit, merge small segments that have piled up."""
        while True:
            groups = {
                name: views
                for name, field in self._require_open().fields.items()
                if (views := segments_to_merge(field.index.views))
            }
            if not groups:
                return
            self._merge(groups, reporter)
            self._purge(documents=False)

    def _redefine(
        self,
        families: Mapping[str, CodedFamily],
        reporter: Reporter,
        settings: Mapping[str, Any],
    ) -> None:
        """Publish a snapshot in which fields have other codes or adapters, and settings changed.

        The definition of the collection says so from then on.
        """
        self._require_open()
        self._require_nothing_pending()
        self._writer()  # takes the lock and sees what others have committed
        opened, before = self._opened, self._opened.budget
        opened.budget = with_families(opened.whole_budget, {**opened.families, **families})
        fields = self._require_open().fields
        views = {name: list(fields[name].index.views) for name in families}
        try:
            self._merge(views, reporter, families, settings)
        except BaseException:
            opened.budget = before
            raise
        self._purge(documents=False)

    def _recode(self, family: CodedFamily, reporter: Reporter) -> None:
        """Publish a snapshot in which a field has other codes; learned ones are forgotten."""
        self._require_nothing_pending()
        self._writer()
        learned = self._opened.learned.without_codes(family.name, family.spec)
        settings = learned.settings() if learned != self._opened.learned else {}
        self._redefine({family.name: family}, reporter, settings)

    def _require_nothing_pending(self) -> None:
        if self._session is not None and self._session.changed:
            raise PendingChangesError("there are pending changes; commit() or rollback() first")

    def _merge(
        self,
        groups: dict[str, list[View[Any]]],
        reporter: Reporter,
        recoded: Mapping[str, CodedFamily] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        """Publish a snapshot in which each group of segments has become one; empties `groups`.

        `recoded`: fields that are to be defined so from then on; `settings` that change with them.
        """
        if not groups and not settings:
            return
        session = self._writer()
        self._opened.cache.forget()
        sealed: list[Sealed] = []
        after = dict((file.name, (field, file)) for field, file in self._open_files())
        reporter.stage("merging", len(groups), "fields")
        try:
            if settings:
                self._catalogue.redefine_settings(settings)
            while groups:
                name, views = groups.popitem()
                present = family = self._opened.families[name]
                if recoded and name in recoded:
                    family = recoded[name]
                    self._catalogue.redefine_field(
                        name, family.spec.to_dict(), family.fingerprint()
                    )
                if family is present or family.fingerprint() == present.fingerprint():
                    merged = merge_views(self._folder, family, views, self._opened.budget.build)
                else:
                    merged = encode_anew(
                        self._folder, self._catalogue, family, session.snapshot - 1,
                        self._opened.budget.build, reporter,
                    )  # fmt: skip
                if merged is not None:
                    sealed.append(merged)
                    after[merged.file.name] = (name, merged.file)
                retired = [view.segment.file.name for view in views]
                del views  # the old segments go before the new ones come
                self._catalogue.retire_segments(retired, died=session.snapshot)
                for file in retired:
                    del after[file]
                reporter.advance()
            self._opened.require_budget(list(after.values()))
            after.clear()
            # Their rows are in ascending order of unit and replace nothing but the retired ones.
            session.publish(sealed, {})
        except BaseException:
            session.abandon(sealed)
            self.rollback()
            raise
        _close(sealed)
        session.discard()
        self._session = None
        self._renew()

    def _purge(self, *, documents: bool) -> None:
        """Drop files, and deleted documents, that no open handle can see."""
        session = self._writer()
        oldest = self._folder.oldest_pinned(self._require_open().number)
        try:
            files = self._catalogue.purge(oldest, documents=documents)
        finally:
            session.discard()
            self._session = None
        for name in files:
            self._folder.files.remove(self._folder.segments / name)
        self._renew()


def _known_weights(families: Iterable[Family]) -> list[Mapping[str, float]]:
    """What each encoder says of its families' weights, given those that it is used for."""
    used: dict[int, tuple[Any, set[str]]] = {}
    for family in families:
        source = source_of(family.encoder)
        used.setdefault(id(source), (source, set()))[1].add(family.spec.family)
    return [
        source.fusion_weights(some)
        for source, some in used.values()
        if hasattr(source, "fusion_weights")
    ]


def _default_settings() -> dict[str, Any]:
    """What a collection is created with unless it is told otherwise."""
    return {"chunking": DEFAULT_CHUNKING.to_dict(), "fusion": DEFAULT_FUSION.to_dict()}


def _as_path(path: object) -> Path:
    if not isinstance(path, str | os.PathLike) or not os.fspath(path):
        raise ConfigError(f"path={shown(path)} is not a path; for example 'docs.grain'")
    try:
        given = Path(os.fsdecode(path))
        given.exists()
        if b"\0" in os.fsencode(given):
            raise ValueError
    except PermissionError as error:
        raise StorageError(f"{given} cannot be reached: {error.strerror}") from None
    except (OSError, ValueError):
        raise ConfigError(
            f"path={shown(path)} cannot be a path: too long, a loop of links, or with characters "
            "that file names do not have"
        ) from None
    return given


def _listed(name: str, values: object) -> list[Any]:
    if not isinstance(values, Iterable):
        raise InvalidInputError(f"{name} takes a list, not {shown(values)}")
    return list(values)


def _tell(queries: Sequence[Any]) -> None:
    """Warn the caller of a method of signs in queries that are no operators."""
    for query in queries:
        said = query.values() if isinstance(query, Mapping) else [query]
        for one in {q for q in said if isinstance(q, Query)}:
            for message in one.notices:
                warnings.warn(message, stacklevel=3)


class _Held:
    """What a handle must let go of, by `close` or when it is forgotten."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.auditor = Auditor()
        self.lock: Lock | None = None

    def let_go(self) -> None:
        try:
            self.auditor.stop()
            self.catalogue.close()
        finally:
            lock, self.lock = self.lock, None
            if lock is not None:
                lock.release()


def _worth_merging(field: FieldView) -> bool:
    views = field.index.views
    return len(views) > 1 or any(view.live is not None for view in views)


def _close(sealed: Sequence[Sealed]) -> None:
    """They are published now: the next view opens them."""
    for one in sealed:
        with contextlib.suppress(StorageError):
            one.file.close()
