"""The bundled encoder: a vector a word piece, summed and normalised. No model runs.

    v(text) = normalise( sum over distinct pieces t of  count(t)^p * scale_t * row_t )

`row_t` are int8, `scale_t` folds row scale and learned importance, p dampens repetition. Prefixes
of the vector are Matryoshka widths. How it was trained: training/README.md.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain import kernels
from bigrain.encoders.wordpiece import BertTokeniser
from bigrain.errors import ConfigError, DamagedError

__all__ = ["StaticEncoder"]

FOLDER = Path(__file__).parent / "static_v1"
BATCH = 2048
FOREIGN_SHARE = 0.3
BYTES_PER_PIECE = 80  # measured


class StaticEncoder:
    """A static encoder from a folder with `config.json`, `vocab.txt`, `table.npy`, `scales.npy`."""

    family = "dense"

    def __init__(self, folder: Path = FOLDER) -> None:
        try:
            self._config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            for name, digest in self._config["sha256"].items():
                found = hashlib.sha256((folder / name).read_bytes()).hexdigest()
                if found != digest:
                    raise DamagedError(name, "the encoder's weights", digest[:12], found[:12])
            vocabulary = (folder / "vocab.txt").read_text(encoding="utf-8").rstrip("\n").split("\n")
            self._table = np.load(folder / "table.npy")
            self._scales = np.load(folder / "scales.npy").astype(np.float32)
            self._power = float(self._config["tf_power"])
            str(self._config["name"])
            _require("tf_power", 0 <= self._power <= 1, "0 to 1", self._power)
            shape = (len(vocabulary), *self._table.shape[1:2])
            good = self._table.dtype == np.int8 and self._table.shape == shape
            _require("table.npy", good, f"int8 ({shape[0]}, dim)", self._table.shape)
            good = self._scales.shape == shape[:1] and bool(np.isfinite(self._scales).all())
            _require("scales.npy", good, f"{shape[0]} finite numbers", self._scales.shape)
            self._tokeniser = BertTokeniser(vocabulary)
        except FileNotFoundError as error:
            raise ConfigError(
                f"{folder} holds no static encoder: {error.filename} is missing"
            ) from error
        except DamagedError:
            raise
        except Exception as error:  # NumPy and JSON answer damage with errors of many kinds
            raise DamagedError(folder.name, "the encoder", "settings and weights", error) from error
        self._latin = np.array([_is_covered(piece) for piece in vocabulary])

    @property
    def dim(self) -> int:
        return int(self._table.shape[1])

    @property
    def memory_bytes(self) -> int:
        """What it holds: weights, vocabulary, and what was in use while it was read."""
        return int(2 * self._table.nbytes + BYTES_PER_PIECE * len(self._table))

    def fingerprint(self) -> dict[str, Any]:
        return {
            "name": self._config["name"],
            "dim": self.dim,
            "tf_power": self._config["tf_power"],
            "weights": self._config["sha256"],
        }

    def encode_documents(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """(n, dim) unit vectors; a text without known pieces gives zeros."""
        out = np.empty((len(texts), self.dim), np.float32)
        for start in range(0, len(texts), BATCH):
            ids, offsets = self._tokeniser.encode(texts[start : start + BATCH])
            out[start : start + BATCH] = kernels.pool_tokens(
                ids, offsets, self._table, self._scales, self._power
            )
        return out

    def encode_queries(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        return self.encode_documents(texts)

    def notices(self, texts: Sequence[str]) -> tuple[str, ...]:
        """Says so when much of the text is in scripts this English encoder does not know."""
        ids, _ = self._tokeniser.encode(texts)
        if len(ids) == 0:
            return ()
        foreign = 1 - float(self._latin[ids].mean())
        if foreign < FOREIGN_SHARE:
            return ()
        return (
            f"{foreign:.0%} of the text is outside what {self._config['name']} knows (English); "
            "such documents are found by their words (the lexical field) rather than by meaning",
        )


def _require(name: str, good: bool, expected: str, found: object) -> None:
    if not good:
        raise DamagedError(name, "the encoder's weights", expected, found)


def _is_covered(piece: str) -> bool:
    """Whole words and pieces of two letters or more in Latin letters, digits, punctuation."""
    return piece.isascii() and piece != "[UNK]"
