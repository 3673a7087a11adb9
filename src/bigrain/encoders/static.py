"""The bundled encoder: a vector a word piece. No model runs, and one table gives all families.

    dense        normalise( sum over distinct pieces t of  count(t)^p * scale_t * row_t )
    sparse       `static_sparse`: words, and for documents the words nearest to the dense vector
    multivector  `static_tokens`: the distinct pieces

`row_t` are int8, `scale_t` folds row scale and learned importance, p dampens repetition. Prefixes
of the dense vector are Matryoshka widths. How it was trained: training/README.md.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain import kernels
from bigrain.encoders.base import FAMILIES, Head
from bigrain.encoders.static_sparse import TermWeights
from bigrain.encoders.static_tokens import TokenVectors
from bigrain.encoders.wordpiece import BertTokeniser
from bigrain.errors import ConfigError, DamagedError
from bigrain.types import SparseMatrix

__all__ = ["FOLDER", "StaticEncoder"]

FOLDER = Path(__file__).parent / "static_v1"
BATCH = 2048
FOREIGN_SHARE = 0.3
BYTES_PER_PIECE = 80  # vocabulary, columns and tokeniser: measured 72
TOKEN_DIM, CONTEXT = 128, 1.0  # of tokens, and how much of the text is in each


class StaticEncoder:
    """A static model from a folder: `config.json`, `vocab.txt`, and arrays

    `table.npy` int8 (V, dim), `scales.npy` (V,) the length of a row's unit, `columns.npy` int32
    (V,) the sparse column of each piece or -1. Raises ConfigError where a file is missing and
    DamagedError where one is not what `config.json` says.
    """

    families = FAMILIES

    def __init__(self, folder: Path = FOLDER) -> None:
        try:
            self._config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            for name, digest in self._config["sha256"].items():
                with (folder / name).open("rb") as file:
                    found = hashlib.file_digest(file, "sha256").hexdigest()
                if found != digest:
                    raise DamagedError(name, "the encoder's weights", digest[:12], found[:12])
            self._words = (folder / "vocab.txt").read_text(encoding="utf-8").rstrip("\n")
            vocabulary = self.vocabulary
            self._table = np.load(folder / "table.npy")
            self._scales = np.load(folder / "scales.npy").astype(np.float32)
            self.columns = np.load(folder / "columns.npy")
            self._power = float(self._config["tf_power"])
            str(self._config["name"])
            _require("tf_power", 0 <= self._power <= 1, "0 to 1", self._power)
            size = len(vocabulary)
            shape = (size, *self._table.shape[1:2])
            good = self._table.dtype == np.int8 and self._table.shape == shape
            _require("table.npy", good, f"int8 ({size}, dim)", self._table.shape)
            good = self._scales.shape == shape[:1] and bool(np.isfinite(self._scales).all())
            _require("scales.npy", good, f"{size} finite numbers", self._scales.shape)
            good = self.columns.dtype == np.int32 and self.columns.shape == shape[:1]
            good = good and bool(((self.columns >= -1) & (self.columns < size)).all())
            _require("columns.npy", good, f"int32 ({size},) from -1", self.columns.shape)
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
    def name(self) -> str:
        return str(self._config["name"])

    @property
    def vocabulary(self) -> list[str]:
        """The pieces, by number."""
        return self._words.split("\n")

    @property
    def dim(self) -> int:
        return int(self._table.shape[1])

    @property
    def power(self) -> float:
        """The power of counts in the dense form."""
        return self._power

    @property
    def memory_bytes(self) -> int:
        """What it holds: weights, vocabulary, and what was in use while it was read."""
        return int(2 * self._table.nbytes + BYTES_PER_PIECE * len(self._table))

    def rows(self) -> npt.NDArray[np.float32]:
        """(V, dim): what each piece adds to a text's sum."""
        return np.asarray(self._table.astype(np.float32) * self._scales[:, None])

    @cached_property
    def _sparse(self) -> TermWeights:
        return TermWeights(self.vocabulary, self.columns, self._table)

    @cached_property
    def _tokens(self) -> TokenVectors:
        return TokenVectors(self._table, self._scales, self.columns >= 0, TOKEN_DIM, CONTEXT)

    # -- heads --------------------------------------------------------------------------------

    def head(self, family: str) -> Head:
        """The encoder of one of `families`."""
        if family not in FAMILIES:
            raise ConfigError(f"family {family!r} is not one of {', '.join(FAMILIES)}")
        sums = dict(self._config["sha256"])
        columns = sums.pop("columns.npy", None)
        identity = {
            "name": self.name,
            "dim": self.dim,
            "tf_power": self._config["tf_power"],
            "weights": sums,
        }
        if family == "dense":
            return Head(self, family, self.dim, identity, self.notices)
        identity |= {"family": family, "columns": columns}
        if family == "sparse":
            return Head(self, family, None, identity, self.notices, weighs_by_idf=True)
        return Head(self, family, min(self.dim, TOKEN_DIM), identity, self.notices)

    # -- encoding -----------------------------------------------------------------------------

    def tokenise(self, texts: Sequence[str]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
        """(numbers of pieces (T,), offsets (n + 1,))."""
        return self._tokeniser.encode(texts)

    def encode_documents(
        self, texts: Sequence[str], families: Sequence[str] = FAMILIES
    ) -> dict[str, Any]:
        """Each of `families`; a text without known pieces gives zeros, or nothing."""
        return self._encode(texts, families, "documents")

    def encode_queries(
        self, texts: Sequence[str], families: Sequence[str] = FAMILIES
    ) -> dict[str, Any]:
        """As `encode_documents`: the dense form is the same, the others are not."""
        return self._encode(texts, families, "queries")

    def _encode(self, texts: Sequence[str], families: Sequence[str], of: str) -> dict[str, Any]:
        parts: dict[str, list[Any]] = {family: [] for family in families}
        for start in range(0, max(len(texts), 1), BATCH):
            ids, offsets = self.tokenise(texts[start : start + BATCH])
            dense = kernels.pool_tokens(ids, offsets, self._table, self._scales, self._power)
            if "dense" in parts:
                parts["dense"].append(dense)
            if "sparse" in parts:
                terms = self._sparse
                parts["sparse"].append(
                    terms.queries(ids, offsets)
                    if of == "queries"
                    else terms.documents(ids, offsets, dense)
                )
            if "multivector" in parts:
                parts["multivector"].append(getattr(self._tokens, of)(ids, offsets, dense))
        return {family: _JOIN[family](some) for family, some in parts.items()}

    def token_places(
        self, texts: Sequence[str], *, query: bool = False
    ) -> list[npt.NDArray[np.int64]]:
        """Where the pieces that token vectors stand for are; queries' are the same."""
        return [self._tokens.places(*self._tokeniser.places(text)) for text in texts]

    def covers(self, texts: Sequence[str]) -> npt.NDArray[np.bool_]:
        """(n,) whether at least half of the pieces of each text are ones it knows."""
        ids, ends = self.tokenise(texts)
        known = np.concatenate(([0], np.cumsum(self._latin[ids])))
        return np.asarray(2 * np.diff(known[ends]) >= np.diff(ends))

    def notices(self, texts: Sequence[str]) -> tuple[str, ...]:
        """Says so when much of the text is in scripts this English encoder does not know."""
        ids, _ = self.tokenise(texts)
        if len(ids) == 0:
            return ()
        foreign = 1 - float(self._latin[ids].mean())
        if foreign < FOREIGN_SHARE:
            return ()
        return (
            f"{foreign:.0%} of the text is outside what {self.name} knows (English); "
            "such documents are found by their words (the lexical field) rather than by meaning",
        )


def _joined_ends(parts: Sequence[npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
    sizes = [np.diff(ends) for ends in parts]
    return np.concatenate([[0], np.cumsum(np.concatenate(sizes))]).astype(np.int64)


def _joined_sparse(parts: Sequence[SparseMatrix]) -> SparseMatrix:
    ends = _joined_ends([part.indptr for part in parts])
    return SparseMatrix(
        np.concatenate([part.data for part in parts]),
        np.concatenate([part.indices for part in parts]),
        ends,
        (len(ends) - 1, parts[0].shape[1]),
    )


def _joined_tokens(parts: Sequence[Any]) -> tuple[Any, Any]:
    return np.concatenate([values for values, _ in parts]), _joined_ends([e for _, e in parts])


_JOIN: dict[str, Any] = {
    "dense": np.concatenate,
    "sparse": _joined_sparse,
    "multivector": _joined_tokens,
}


def _require(name: str, good: bool, expected: str, found: object) -> None:
    if not good:
        raise DamagedError(name, "the encoder's weights", expected, found)


def _is_covered(piece: str) -> bool:
    """Whole words and pieces of two letters or more in Latin letters, digits, punctuation."""
    return piece.isascii() and piece != "[UNK]"
