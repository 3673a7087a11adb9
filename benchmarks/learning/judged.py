"""Vectors and judgments of sets with a train split, encoded once and kept in a folder.

Documents are title and text as one. MiniLM is run as `training/teacher.py` runs it; its vectors
are float16 files that the benchmark of the bundled encoder shares. Where encoding all documents
takes long, some are kept (`KEPT`): those that test queries want, the others at random.
"""

from __future__ import annotations

import hashlib
import importlib
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from common import DATA

TRAINING = Path(__file__).parents[2] / "training"
ENCODERS = ("minilm", "static")
KEPT = {("arxiv", "minilm"): 10_000, ("jaquad", "minilm"): 4_000}


@dataclass(frozen=True)
class Judged:
    """Unit vectors of one encoder, and which rows of `vectors` each query is judged to want."""

    name: str
    vectors: np.ndarray  # (n, d) float32
    train: np.ndarray  # (q, d)
    train_positives: list[np.ndarray]
    test: np.ndarray
    test_positives: list[np.ndarray]
    grades: list[dict[int, int]]  # of the test queries


def judged(name: str, encoder: str, cache: Path) -> Judged:
    """A set by its name, with the vectors of 'minilm' or of the bundled encoder, 'static'."""
    sys.path.insert(0, str(TRAINING))
    data = importlib.import_module("data")
    parts = {split: data.read_set(DATA, name, split) for split in ("train", "test")}
    keys, texts = parts["train"].document_ids, parts["train"].documents
    chosen = np.arange(len(keys))
    if (name, encoder) in KEPT:
        asked_for = {d for right in parts["test"].judgments.values() for d in right}
        order = np.random.default_rng(0).permutation(len(keys))
        order = order[np.argsort([keys[i] not in asked_for for i in order], kind="stable")]
        chosen = np.sort(order[: KEPT[name, encoder]])
    row = {keys[i]: at for at, i in enumerate(chosen.tolist())}
    vectors = _encode([texts[i] for i in chosen.tolist()], encoder, cache, queries=False)
    out: dict[str, tuple[np.ndarray, list[np.ndarray]]] = {}
    for split, part in parts.items():
        # In sorted order, as training/data.py has them: the vectors may be there already.
        each = [[row[d] for d in part.judgments[q] if d in row] for q in part.query_ids]
        there = [i for i, wanted in enumerate(each) if wanted]
        asked = [part.queries[i] for i in there] if len(row) < len(keys) else part.queries
        if split == "train":
            asked = sorted(set(asked))
        place = {text: i for i, text in enumerate(asked)}
        encoded = _encode(asked, encoder, cache, queries=True)
        rows = np.array([place[part.queries[i]] for i in there])
        out[split] = encoded[rows], [np.array(each[i]) for i in there]
    told = (parts["test"].judgments[q] for q in parts["test"].query_ids)
    grades = [{row[d]: g for d, g in right.items() if d in row} for right in told]
    grades = [right for right in grades if right]
    return Judged(name, vectors, *out["train"], *out["test"], grades)


def _encode(texts: list[str], encoder: str, cache: Path, *, queries: bool) -> np.ndarray:
    if encoder == "minilm":
        teacher = importlib.import_module("teacher").Teacher(cache=cache, threads=1)
        return np.asarray(teacher.encode(texts), np.float32)
    digest = hashlib.sha256("\0".join(texts).encode()).hexdigest()[:20]
    path = cache / f"static-{digest}.npy"
    if not path.exists():
        from bigrain.encoders.static import StaticEncoder

        cache.mkdir(parents=True, exist_ok=True)
        model = StaticEncoder()
        found = model.encode_queries(texts) if queries else model.encode_documents(texts)
        np.save(path, np.asarray(found, np.float32))
    return np.load(path)
