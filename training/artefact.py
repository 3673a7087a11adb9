"""The shipped form of the encoder: int8 rows, one scale per token, a small configuration.

vector(text) = normalise( sum over distinct tokens t of  scale[t] * count(t)^p * row[t] )
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix
from wordpiece import Bags, WordPiece, is_special

NAME = "bigrain/static-v1"


def quantise(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """int8 rows and the float32 scale that brings each back."""
    largest = np.abs(rows).max(axis=1)
    scales = (largest / 127.0).astype(np.float32)
    safe = np.where(scales > 0, scales, 1.0)
    return np.rint(rows / safe[:, None]).astype(np.int8), scales


def sha256(path: Path) -> str:
    """Checksum of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write(
    folder: Path,
    rows: np.ndarray,
    vocabulary: Sequence[str],
    tf_power: float,
    training: dict[str, object],
    query_weights: np.ndarray | None = None,
) -> None:
    """Quantise the float rows (weights folded in) and write the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = rows.astype(np.float32).copy()
    rows[[is_special(token) for token in vocabulary]] = 0.0
    table, scales = quantise(rows)
    scales *= np.float32(1.0 / scales[scales > 0].mean())
    np.save(folder / "table.npy", table)
    np.save(folder / "scales.npy", scales)
    files = ["vocab.txt", "table.npy", "scales.npy"]
    if query_weights is not None:
        np.save(folder / "query_scales.npy", (scales * query_weights).astype(np.float32))
        files.append("query_scales.npy")
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    config = {
        "name": NAME,
        "format": 1,
        "dim": int(table.shape[1]),
        "vocabulary_size": len(vocabulary),
        "prefixes": [32, 64, 128, 256],
        "lowercase": True,
        "strip_accents": True,
        "split_chinese_characters": True,
        "max_word_characters": 100,
        "continuation_prefix": "##",
        "unknown_token": "[UNK]",
        "tf_power": tf_power,
        "normalise": True,
        "query_scales": query_weights is not None,
        "licence": "Apache-2.0",
        "source_model": "sentence-transformers/all-MiniLM-L6-v2",
        "training": training,
        "sha256": {name: sha256(folder / name) for name in files},
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def pool(rows: np.ndarray, bags: Bags, tf_power: float, dim: int | None = None) -> np.ndarray:
    """Unit vectors of bags of tokens from float rows; a text without tokens gives zeros."""
    weights = bags.counts**tf_power
    matrix = csr_matrix((weights, bags.tokens, bags.starts), shape=(len(bags), len(rows)))
    vectors = matrix @ rows[:, :dim]
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.maximum(norms, 1e-12)).astype(np.float32)


class StaticEncoder:
    """Reads the artefact and encodes texts; the reference for other implementations."""

    def __init__(self, folder: Path, teacher_folder: Path, cache: Path | None = None) -> None:
        self.config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        table = np.load(folder / "table.npy").astype(np.float32)
        self.rows = table * np.load(folder / "scales.npy").astype(np.float32)[:, None]
        self.query_rows = self.rows
        if self.config["query_scales"]:
            self.query_rows = table * np.load(folder / "query_scales.npy")[:, None]
        self._wordpiece = WordPiece(teacher_folder, cache)

    def encode(
        self, texts: Sequence[str], query: bool = False, dim: int | None = None
    ) -> np.ndarray:
        """Unit vectors (n, dim)."""
        rows = self.query_rows if query else self.rows
        return pool(rows, self._wordpiece.bags(texts), self.config["tf_power"], dim)
