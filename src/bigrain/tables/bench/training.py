"""Trains one table in one model, by its schedule, with early stopping, and measures the result."""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from bigrain import tables
from bigrain.errors import BudgetError, ConfigError
from bigrain.tables.bench.data import Data, Split, load_data
from bigrain.tables.bench.job import Job
from bigrain.tables.forms.base import Form
from bigrain.tables.models.bag import Bag
from bigrain.tables.models.cross import Cross
from bigrain.tables.models.deepfm import DeepFm
from bigrain.tables.models.dlrm import Dlrm
from bigrain.tables.models.wide_deep import WideDeep

__all__ = ["auc", "train", "warm_up"]

CLICK_MODELS: dict[str, Any] = {
    "cross": Cross, "deepfm": DeepFm, "dlrm": Dlrm, "wide_deep": WideDeep,
}  # fmt: skip
SLACK = 1.01  # a budget is a rate within 1 %, so that INT16 counts as 1/2
STOPPABLE = {"train", "retrain", "fine-tune", "settle"}
CHECKED = 20_000  # validation rows at most
TIMED, ROUNDS = 1024, 20


class Lookup(nn.Module):
    """An exported table in the place of the one that was trained."""

    def __init__(self, form: Form) -> None:
        super().__init__()
        self.form = form

    def forward(self, ids: Tensor) -> Tensor:
        return torch.from_numpy(self.form.lookup(ids.numpy()))


def train(job: Job, data: Data | None = None) -> dict[str, Any]:
    """The record of a job; its data is loaded where it is not given."""
    torch.set_num_threads(1)
    if data is None:
        data = load_data(job.data, Path(job.folder) if job.folder else None, job.data_options)
    full_bytes = 4 * data.num_ids * job.dim
    frequencies = data.frequencies
    warm_up()
    before = _peak_bytes()
    try:
        table = tables.create(
            job.method, data.num_ids, job.dim,
            budget_bytes=max(1, int(SLACK * job.rate * full_bytes)) + 4096 * (job.rate >= 1),
            frequencies=frequencies, fields=data.fields, seed=job.seed, **job.options,
        )  # fmt: skip
    except BudgetError as error:
        return {"job": job.told(), "impossible": str(error)}
    checked = _checked(data, job.seed)
    began = time.process_time()
    model, steps = _fit(job, data, table, checked)
    seconds = time.process_time() - began
    peak = _peak_bytes() - before
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.table"
        table.eval()
        size = table.export(path)
        form = tables.load(path)
        model.table = Lookup(form)
        quality = _quality(job, data, model, data.test)
        return {
            "job": job.told(),
            "bytes": size,
            "achieved_rate": size / full_bytes,
            **quality,
            "validation": _quality(job, data, model, checked)["score"],
            "steps": steps,
            "train_s": seconds,
            "peak_training_bytes": peak,
            **_lookup_times(data, table, form),
        }


def _checked(data: Data, seed: int) -> Split:
    """The validation rows, or as many of them as are looked at during training."""
    some = np.random.default_rng(seed).permutation(len(data.validation))[:CHECKED]
    return data.validation.take(np.sort(some))


def _fit(job: Job, data: Data, table: Any, checked: Split) -> tuple[nn.Module, int]:
    """Train; returns the model with its best state of the last phase, and the steps taken."""
    torch.manual_seed(job.seed)
    feeds = {
        "train": _endless(data.train, job.batch, job.seed),
        "validate": _endless(data.validation, job.batch, job.seed + 1),
    }
    epoch = max(1, -(-len(data.train) // job.batch))
    steps = max(1, int(job.epochs * epoch))
    every = max(1, epoch // job.checks)
    schedule = table.schedule(steps, search_steps=max(1, steps // 2))
    model = _model(job, data, table)
    best, best_state, behind, taken, phase = -np.inf, None, 0, 0, ""
    for step in schedule:
        if step.phase != phase:
            phase, best, best_state, behind = step.phase, -np.inf, None, 0
        if step.fresh:
            torch.manual_seed(job.seed)
            model = _model(job, data, table)
        if step.renewed:
            optimiser = _adam(model, job.learning_rate)
        if step.kind == "score":
            step.report(_quality(job, data, model, checked)["score"])
            continue
        model.train()
        step.update(_loss(model, next(feeds[step.kind])), optimiser)
        taken += 1
        if phase in STOPPABLE and (step.number + 1) % every == 0 and schedule.phase is not None:
            score = _quality(job, data, model, checked)["score"]
            last = schedule.phase is schedule.phases[-1]
            if score > best:
                best, behind = score, 0
                best_state = _copied(model) if last or phase == "train" else None
            else:
                behind += 1
                if behind >= job.patience and schedule.phase.name == phase:
                    schedule.skip()
        now = schedule.phase
        if phase == "train" and now is not None and now.name != phase and best_state is not None:
            model.load_state_dict(best_state)  # the next phase goes on from there
    if best_state is not None:
        model.load_state_dict(best_state)
    return model, taken


def warm_up() -> None:
    """Let torch load what it loads at the first step of an optimiser."""
    model = nn.Linear(2, 1)
    optimiser = _adam(model, 1e-3)
    model(torch.ones(1, 2)).sum().backward()
    optimiser.step()


def _adam(model: nn.Module, learning_rate: float) -> torch.optim.Optimizer:
    """One pass over each array instead of ten, where torch (2.4 and later) has it."""
    fused = tuple(map(int, torch.__version__.split(".")[:2])) >= (2, 4) or None
    return torch.optim.Adam(model.parameters(), lr=learning_rate, fused=fused)


def _model(job: Job, data: Data, table: nn.Module) -> nn.Module:
    if job.model == "bag":
        return Bag(table, job.dim, data.classes)
    if data.fields is None:
        raise ConfigError(f"{data.name} has no fields for the model {job.model}")
    return CLICK_MODELS[job.model](table, len(data.fields), job.dim)


def _copied(model: nn.Module) -> dict[str, Any]:
    return {
        key: value.clone() if isinstance(value, Tensor) else value
        for key, value in model.state_dict().items()
    }


def _endless(split: Split, size: int, seed: int) -> Iterator[Split]:
    rng = np.random.default_rng(seed)
    while True:
        yield from split.batches(size, rng)


def _logits(model: nn.Module, batch: Split) -> Tensor:
    if batch.offsets is None:
        return model(torch.from_numpy(batch.ids))
    return model(torch.from_numpy(batch.ids), torch.from_numpy(batch.offsets))


def _loss(model: nn.Module, batch: Split) -> Tensor:
    logits, labels = _logits(model, batch), torch.from_numpy(batch.labels)
    if logits.ndim == 2:
        return cross_entropy(logits, labels)
    return binary_cross_entropy_with_logits(logits, labels.float())


@torch.no_grad()
def _quality(job: Job, data: Data, model: nn.Module, split: Split) -> dict[str, float]:
    """`score` (AUC of clicks, accuracy of classes; higher is better) and `log_loss`."""
    model.eval()
    logits = torch.cat([_logits(model, batch) for batch in split.batches(4096)])
    labels = torch.from_numpy(split.labels)
    if data.classes > 1:
        score = float((logits.argmax(dim=1) == labels).float().mean())
        loss = float(cross_entropy(logits, labels))
    else:
        score = auc(logits.numpy(), split.labels)
        loss = float(binary_cross_entropy_with_logits(logits, labels.float()))
    return {"score": score, "log_loss": loss}


def auc(scores: npt.NDArray[Any], labels: npt.NDArray[Any]) -> float:
    """The chance that a positive scores above a negative; ties count a half."""
    _, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]
    positive = int(labels.sum())
    negative = len(labels) - positive
    if not positive or not negative:
        return 0.5
    return float((ranks[labels == 1].sum() - positive * (positive + 1) / 2) / positive / negative)


@torch.no_grad()
def _lookup_times(data: Data, table: Any, form: Form) -> dict[str, float]:
    """Nanoseconds of processor time a row: NumPy, torch, and torch.nn.Embedding beside them."""
    ids = np.random.default_rng(0).choice(data.train.ids.reshape(-1), (ROUNDS, TIMED))
    plain = nn.Embedding(data.num_ids, table.embedding_dim)
    tensors = torch.from_numpy(ids)
    return {
        "lookup_ns": _time(form.lookup, ids),
        "torch_lookup_ns": _time(table.eval(), tensors),
        "embedding_ns": _time(plain, tensors),
    }


def _time(lookup: Any, batches: Any) -> float:
    """The median over batches."""
    lookup(batches[0])
    taken = []
    for batch in batches:
        began = time.process_time_ns()
        lookup(batch)
        taken.append(time.process_time_ns() - began)
    return float(np.median(taken)) / len(batches[0])


def _peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak) * (1 if sys.platform == "darwin" else 1024)
