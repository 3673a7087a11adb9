"""`Collection.learn`: what is learned from, each part judged on questions held out, one commit."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bigrain.codecs.adapter import QueryAdapter
from bigrain.codecs.dense import DenseCodec
from bigrain.config import DenseField, field_from_dict
from bigrain.errors import (
    ConfigError,
    InvalidInputError,
    MissingExtraError,
    ReadOnlyError,
    UnknownFieldError,
    shown,
)
from bigrain.families.dense import DenseFamily
from bigrain.families.learned import LEARNED
from bigrain.index.dense import DenseIndex
from bigrain.learning.asking import Asked, questions_for
from bigrain.learning.checkpoint import Checkpoint, key_of, one_at_a_time
from bigrain.learning.encoding import require_table
from bigrain.learning.light import has_torch
from bigrain.learning.report import LearnReport
from bigrain.learning.static_encoder import LearnedStatic
from bigrain.learning.task import Task
from bigrain.progress import ProgressLike, Reporter, reporting
from bigrain.search.fuse import Fusion

if TYPE_CHECKING:
    from bigrain.collection import Collection

__all__ = ["PARTS", "learn_collection", "unlearn_collection"]

PARTS = ("light", "adapter", "fusion", "encoder")
HELD_OUT = ("documents", "questions")
MOST_ROWS, LEAST_ROWS = 50_000, 2_000
COPIES = 6  # of a row, while codes are learned
LEAST_FIELD = 200
SWEEP = (8, 16, 24, 32, 48, 64)  # bytes


def learn_collection(
    col: Collection,
    *,
    queries: Any,
    judgments: Any,
    field: str | None,
    light_bytes: int | None,
    minutes: float,
    what: Sequence[str] | str,
    hold_out: str,
    force: bool,
    seed: int,
    sweep: bool | Sequence[int],
    encoder_folder: str | os.PathLike[str] | None,
    progress: ProgressLike,
) -> LearnReport:
    """What `Collection.learn` promises."""
    from bigrain import __version__

    view = col._require_open()
    family = _dense_field(col, field)
    parts = _parts(what)
    if isinstance(minutes, bool) or not isinstance(minutes, int | float) or not minutes > 0:
        raise InvalidInputError(f"minutes={shown(minutes)} must be a number above 0; 10 is usual")
    folder_of_encoder = _folder_for(parts, encoder_folder)
    base = None if folder_of_encoder is None else require_table(family)
    if hold_out not in HELD_OUT:
        raise InvalidInputError(f"hold_out={shown(hold_out)} must be {' or '.join(HELD_OUT)}")
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 1 << 62:
        raise InvalidInputError(f"seed={shown(seed)} must be a whole number from 0")
    target = family.spec
    if light_bytes is not None:
        target = replace(family.spec, light_bytes=light_bytes)
    swept = _swept(sweep, target)
    if col.read_only:
        raise ReadOnlyError(f"{col.path} was opened with read_only=True; open it without to learn")
    col._require_nothing_pending()
    index = view.fields[family.name].index
    assert isinstance(index, DenseIndex)
    if index.n_rows < LEAST_FIELD:
        raise InvalidInputError(
            f"field {family.name!r} holds {index.n_rows:,} vectors; at least {LEAST_FIELD} are "
            "needed to learn from them"
        )
    notes: list[str] = []
    if base is not None and not has_torch():
        raise MissingExtraError("learning an encoder", "learn")
    if "light" in parts and not has_torch():
        if parts == ("light",):
            raise MissingExtraError("learning codes", "learn")
        parts = tuple(part for part in parts if part != "light")
        notes.append("codes were not learned: that needs pip install 'bigrain[learn]'")
    began = _state(col, family.name)
    budget = col._opened.budget.build // (4 * COPIES * family.dim)
    with (
        reporting(progress) as reporter,
        tempfile.TemporaryDirectory(prefix="bigrain-learn-") as folder,
        one_at_a_time(col._folder.files, col._folder.path),
    ):
        reporter.stage("questions", None, "questions")
        questions = questions_for(view, family, index, queries, judgments, seed)
        asked = Asked.of(view, family, index, questions, hold_out, seed)
        most_rows = max(LEAST_ROWS, min(MOST_ROWS, budget))
        key = key_of(
            __version__, view.number, target.to_dict(), family.name, family.fingerprint(),
            parts, hold_out, force, minutes, seed, [one.light_bytes for one in swept],
            most_rows, asked.raw, asked.plain, asked.grades,
        )  # fmt: skip
        checkpoint = Checkpoint(col._folder.files, col._folder.path, key)
        if checkpoint:
            notes.append(f"taken up where a call had come to after {checkpoint.seconds:.0f} s")
        until = time.monotonic() + 60 * minutes - checkpoint.seconds
        task = Task(
            col, view, family, index, target, col._opened.fusion, seed, reporter, Path(folder),
            until, most_rows, asked, hold_out, checkpoint, notes=notes,
        )  # fmt: skip
        task.notes += task.asked.notes
        if task.asked.grades is None:
            if "light" not in parts:
                raise InvalidInputError(
                    f"{' and '.join(parts)} cannot be learned without judgments; give judgments, "
                    "or a function as queries that asks something of every document"
                )
            parts = tuple(part for part in parts if part == "light")
        adapter = task.learn_adapter(force) if "adapter" in parts else None
        codec = task.learn_light(adapter, force, swept) if "light" in parts else None
        fusion = task.learn_fusion(adapter, force) if "fusion" in parts else None
        snapshot = -1
        if base is not None and folder_of_encoder is not None:
            learned = task.learn_encoder(base, minutes, force)
            if learned is not None:
                snapshot = _publish_encoder(col, task, began, learned, folder_of_encoder, reporter)
        if adapter is not None or codec is not None or fusion is not None:
            snapshot = _publish(col, task, began, adapter, codec, fusion, reporter)
    checkpoint.remove()
    if task.stopped:
        task.notes.append(
            f"training of {' and '.join(task.stopped)} stopped as the {minutes:g} minutes ran out; "
            "with more there may be more to gain"
        )
    if not checkpoint.writable:
        task.notes.append("what was reached could not be kept on disk: stopped, it would be lost")
    return LearnReport(
        name=family.name,
        questions=len(task.asked.learned),
        held_out=len(task.asked.held),
        questions_from=task.asked.told,
        gains=tuple(task.gains),
        candidates=tuple(task.candidate_rows),
        light_bytes=(
            family.spec.light_bytes or 0,
            (target if codec is not None else family.spec).light_bytes or 0,
        ),
        adapter_bytes=0 if adapter is None else adapter.n_bytes,
        weights=None if fusion is None else dict(fusion.weights),
        weights_before=dict(task.fusion.weights),
        seconds=task.seconds,
        notes=tuple(task.notes),
        snapshot=snapshot,
    )


def unlearn_collection(col: Collection, progress: ProgressLike) -> int:
    """What `Collection.unlearn` promises."""
    col._require_open()
    if col.read_only:
        raise ReadOnlyError(
            f"{col.path} was opened with read_only=True; open it without to change it"
        )
    with col._changing, reporting(progress) as reporter:
        col._require_nothing_pending()
        col._writer()
        learned = col._opened.learned
        if not learned:
            col.rollback()
            raise InvalidInputError("nothing was learned, so there is nothing to take back")
        families = {}
        for name in dict.fromkeys((*learned.adapters, *learned.fields_before)):
            family = col._opened.families[name]
            assert isinstance(family, DenseFamily)
            if name in learned.fields_before:
                before = field_from_dict(dict(learned.fields_before[name]))
                assert isinstance(before, DenseField)
                if before.encoder != family.spec.encoder:
                    family = DenseFamily(name, before)
                else:
                    family = family.recoded(before).forgetting()
            families[name] = family.adapted(None)
        settings: dict[str, Any] = {LEARNED: None}
        if learned.fusion_before is not None:
            settings["fusion"] = dict(learned.fusion_before)
        col._redefine(families, reporter, settings)
        return col._require_open().number


def _state(col: Collection, name: str) -> tuple[Any, ...]:
    """What was chosen or learned for a field: what `add`, merging and compaction leave alone."""
    index = col._require_open().fields[name].index
    assert isinstance(index, DenseIndex)
    codecs = (view.segment.codec for view in index.views)
    return (
        col._opened.families[name].spec,
        col._opened.learned.adapters.get(name),
        col._opened.learned.fields_before.get(name),
        frozenset(codec.id for codec in codecs if codec.learned_from),
    )


def _require_the_same(
    col: Collection, name: str, began: tuple[Any, ...], fusion: Fusion | None
) -> None:
    """ConfigError if a field, or the fusion if that is replaced, is not as when `learn` began."""
    if _state(col, name) != began:
        changed = f"field {name!r} was tuned, taught or untaught"
    elif fusion is not None and col._opened.fusion != fusion:
        changed = "the weights of the fusion were changed"
    else:
        return
    col.rollback()
    raise ConfigError(f"{changed} while it was learned; nothing was published: call learn again")


def _publish(
    col: Collection,
    task: Task,
    began: tuple[Any, ...],
    adapter: QueryAdapter | None,
    codec: DenseCodec | None,
    fusion: Fusion | None,
    reporter: Reporter,
) -> int:
    """One commit with all that was learned; what was committed meanwhile is coded so as well."""
    name = task.family.name
    with col._changing:
        col._require_nothing_pending()
        col._writer()
        _require_the_same(col, name, began, None if fusion is None else task.fusion)
        family, learned = col._opened.families[name], col._opened.learned
        assert isinstance(family, DenseFamily)
        if codec is not None:
            learned = learned.with_codes(name, family.spec)
            family = family.recoded(task.target)
        if adapter is not None:
            learned = learned.with_adapter(name, adapter)
            family = family.adapted(adapter)
        if codec is not None:
            family = family.coding(codec)
        settings: dict[str, Any] = {}
        if fusion is not None:
            learned = learned.with_fusion(col._opened.fusion.to_dict())
            settings["fusion"] = fusion.to_dict()
        changed = {} if codec is None and adapter is None else {name: family}
        col._redefine(changed, reporter, {**settings, **learned.settings()})
        return col._require_open().number


def _publish_encoder(
    col: Collection, task: Task, began: tuple[Any, ...], learned: LearnedStatic, folder: Path,
    reporter: Reporter,
) -> int:  # fmt: skip
    """The encoder in its folder, then one commit with all texts encoded by it."""
    name = task.family.name
    with col._changing:
        col._require_nothing_pending()
        col._writer()
        _require_the_same(col, name, began, None)
        learned.save(folder)
        family = DenseFamily(name, replace(task.family.spec, encoder=str(folder)))
        settings = col._opened.learned.with_encoder(name, task.family.spec).settings()
        col._redefine({name: family}, reporter, settings)
        return col._require_open().number


def _folder_for(parts: tuple[str, ...], folder: str | os.PathLike[str] | None) -> Path | None:
    """Where an encoder is to be saved, an absolute path; None where none is learned."""
    if "encoder" not in parts:
        if folder is not None:
            raise InvalidInputError('encoder_folder goes with what="encoder"')
        return None
    if parts != ("encoder",):
        raise InvalidInputError(
            "an encoder is learned by itself: everything else is learned from its vectors, by "
            "another call"
        )
    if folder is None:
        raise InvalidInputError(
            'what="encoder" needs encoder_folder="my-encoder", a new folder that the encoder is '
            "kept in as long as the collection uses it"
        )
    path = Path(folder).absolute()
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InvalidInputError(
            f"encoder_folder={shown(str(folder))} is there already; give a new one"
        )
    return path


def _dense_field(col: Collection, field: str | None) -> DenseFamily:
    dense = {n: f for n, f in col._opened.families.items() if isinstance(f, DenseFamily)}
    if field is None and len(dense) == 1:
        return next(iter(dense.values()))
    if not dense:
        raise UnknownFieldError("no dense field in this collection; only dense fields are learned")
    if field is None:
        raise UnknownFieldError(f"several dense fields; name one with field=: {', '.join(dense)}")
    if not isinstance(field, str) or field not in dense:
        raise UnknownFieldError(
            f"no dense field {shown(field)}; only dense fields are learned: {', '.join(dense)}"
        )
    return dense[field]


def _parts(what: Sequence[str] | str) -> tuple[str, ...]:
    named = (what,) if isinstance(what, str) else tuple(what)
    if not named or any(part not in PARTS for part in named):
        raise InvalidInputError(f"what={shown(what)} must name some of {', '.join(PARTS)}")
    return tuple(part for part in PARTS if part in named)


def _swept(sweep: bool | Sequence[int], target: DenseField) -> list[DenseField]:
    """The field with codes of other sizes: those asked for, or the usual ones that it can have."""
    if not isinstance(sweep, bool):
        sizes = dict.fromkeys(sweep)
        return [replace(target, light_bytes=n) for n in sizes if n != target.light_bytes]
    found = []
    for size in SWEEP if sweep else ():
        with suppress(ConfigError):
            found.append(replace(target, light_bytes=size))
    return [one for one in found if one.light_bytes != target.light_bytes]
