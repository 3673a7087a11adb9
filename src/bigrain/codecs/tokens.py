"""Heavy grain of multi-vector fields: the tokens of a document as one record of bytes.

`kernels.token_records` tells how a record is laid out. A kind is a trade of bytes for fidelity:

    float32, float16     the vectors as they are
    int8                 whole numbers with a scale for every token
    residual4, 2, 1      the nearest of K centroids, and what is left of the token in buckets of
                         4, 2 or 1 bits a number (ColBERTv2; papers/B-3a 3.1)
    sign                 one bit a number after a random rotation, and no centroids

Residual and sign codes are taken of the token's direction and have a factor of their own, so
tokens of any length are welcome.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain import kernels
from bigrain.codecs.codebooks import to_directions
from bigrain.codecs.partition import Partition
from bigrain.codecs.quantiser import unbiased
from bigrain.codecs.rotation import rotation_signs
from bigrain.codecs.token_fitting import fit_tables, nearest_weights
from bigrain.kernels import TokenTables
from bigrain.kernels.numbers import write_numbers
from bigrain.kernels.token_records import (
    CODE_BITS,
    KINDS,
    MOST_CENTROIDS,
    MOST_DIM,
    Parts,
    pack_buckets,
    parts_of,
    read_tokens,
)

__all__ = ["KINDS", "TokenCodec"]

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]
Shapes = dict[str, tuple[str, tuple[int, ...]]]

AT_ONCE = 1 << 20  # numbers that are encoded together
SIGNS = TokenTables(None, None, np.array([-1, 1], np.int8), 1.0)


@dataclass(frozen=True)
class TokenCodec:
    """Records of tokens of `dim` numbers."""

    kind: str
    dim: int
    tables: TokenTables | None = None
    seed: int = 0  # of the rotation of `sign`

    @staticmethod
    def needs_sample(kind: str) -> bool:
        """Whether `fit` looks at tokens."""
        return kind.startswith("residual")

    @classmethod
    def fit(
        cls,
        kind: str,
        dim: int,
        sample: Floats | None = None,
        *,
        n_tokens: int | None = None,
        seed: int = 0,
    ) -> TokenCodec:
        """A codec fitted to a `sample` (T, dim) of tokens, which only residual kinds look at.

        There are as many centroids as suit `n_tokens`, the tokens of the whole collection;
        `token_fitting.sample_size` tells how many are enough to look at. A kind that is not known
        is refused with ValueError.
        """
        if kind not in KINDS:
            raise ValueError(f"kind: expected one of {', '.join(KINDS)}, got {kind!r}")
        if kind == "sign":
            return cls(kind, dim, SIGNS, seed)
        if not cls.needs_sample(kind):
            return cls(kind, dim)
        if sample is None or not len(sample):
            raise ValueError(f"sample: {kind} needs at least one token")
        bits = CODE_BITS[kind]
        return cls(kind, dim, fit_tables(sample, bits, n_tokens or len(sample), seed))

    @property
    def token_bytes(self) -> int:
        """Bytes of a token; a record of t tokens has t times as many."""
        return self._parts.total

    @property
    def memory_bytes(self) -> int:
        """What the tables take in memory."""
        return sum(array.nbytes for array in self.arrays().values())

    def encode(self, values: Floats, offsets: Ints) -> tuple[Bytes, Ints]:
        """(bytes of all records, where each begins and the last ends (n + 1,)).

        Document i has the tokens values[offsets[i]:offsets[i + 1]] of `values` (T, dim) float32,
        which are finite. A token too long for half precision is refused with its number.
        """
        at_once = max(1, AT_ONCE // self.dim)
        planes: list[list[Bytes]] = [[], [], []]
        for start in range(0, max(len(values), 1), at_once):
            some = np.ascontiguousarray(values[start : start + at_once], np.float32)
            for plane, part in zip(planes, self._encoded(some, start), strict=True):
                plane.append(part.reshape(-1))
        whole = [np.concatenate(plane) for plane in planes]
        return _by_document(whole, np.diff(offsets), self._parts), offsets * self.token_bytes

    def decode(self, payload: Bytes, counts: Ints) -> Floats:
        """The tokens (T, dim) float32 of records that follow each other, of `counts` tokens."""
        tokens = read_tokens(
            _by_part(payload, np.asarray(counts, np.int64), self._parts),
            self.dim,
            self.kind,
            self.tables,
        )
        return tokens @ self._rotation.T if self.kind == "sign" else tokens

    def maxsim(
        self,
        records: Bytes,
        starts: Ints,
        counts: npt.NDArray[np.int32],
        query_of: npt.NDArray[np.int32],
        queries: Floats,
        offsets: Ints,
    ) -> Floats:
        """MaxSim (P,) of pairs of a record and a query; see `kernels.maxsim_pairs`."""
        return kernels.maxsim_pairs(
            records,
            starts,
            counts,
            query_of,
            self._turned(queries),
            offsets,
            self.kind,
            self.tables,
        )

    def token_scores(self, record: Bytes, query: Floats) -> Floats:
        """(t, m) inner products of a record's tokens with those of a query (m, dim)."""
        return kernels.token_scores(record, self._turned(query), self.kind, self.tables)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """What was learned, by name; little-endian files hold them with the types of `shapes`."""
        if self.tables is None or self.tables.centroids is None:
            return {}
        assert self.tables.centroid_scale is not None
        return {
            "centroids": self.tables.centroids,
            "centroid_scale": self.tables.centroid_scale,
            "weights": self.tables.weights,
        }

    def numbers(self) -> dict[str, Any]:
        """What tells the shapes of the arrays, and what is no array."""
        found: dict[str, Any] = {"kind": self.kind, "dim": self.dim}
        if self.kind == "sign":
            found["seed"] = self.seed
        elif self.tables is not None:
            found["n_centroids"] = self._n_centroids
            found["weight_scale"] = float(self.tables.weight_scale)
        return found

    @staticmethod
    def shapes(numbers: dict[str, Any]) -> Shapes:
        """dtype and shape of each array that belongs to `numbers`, which may have been forged.

        Raises ValueError where a number is not one that `numbers()` gives.
        """
        kind = numbers.get("kind")
        if kind not in KINDS:
            raise ValueError(f"kind: expected one of {', '.join(KINDS)}, got {kind!r}")
        dim = _whole("dim", numbers, 1, MOST_DIM)
        if kind == "sign":
            _whole("seed", numbers, 0, 2**63 - 1)
        if not TokenCodec.needs_sample(kind):
            return {}
        k = _whole("n_centroids", numbers, 1, MOST_CENTROIDS)
        scale = numbers.get("weight_scale")
        if not isinstance(scale, float) or not 0 <= scale < float(np.finfo(np.float32).max):
            raise ValueError(f"weight_scale: expected a finite number from 0 on, got {scale!r}")
        return {
            "centroids": ("|i1", (k, dim)),
            "centroid_scale": ("<f4", (k,)),
            "weights": ("|i1", (1 << CODE_BITS[kind],)),
        }

    @classmethod
    def read(cls, numbers: dict[str, Any], arrays: dict[str, npt.NDArray[Any]]) -> TokenCodec:
        """From what `numbers` and `arrays` gave; ValueError if they are not that."""
        for name, (dtype, shape) in cls.shapes(numbers).items():
            got = arrays[name]
            if got.dtype != np.dtype(dtype) or got.shape != shape:
                raise ValueError(f"{name}: expected {dtype} {shape}, got {got.dtype} {got.shape}")
            if not np.isfinite(got).all():
                raise ValueError(f"{name}: every number must be finite")
        kind, dim = numbers["kind"], numbers["dim"]
        if not cls.needs_sample(kind):
            return cls.fit(kind, dim, seed=numbers.get("seed", 0))
        return cls(
            kind,
            dim,
            TokenTables(
                np.ascontiguousarray(arrays["centroids"]),
                np.ascontiguousarray(arrays["centroid_scale"], np.float32),
                np.ascontiguousarray(arrays["weights"]),
                numbers["weight_scale"],
            ),
        )

    @cached_property
    def _lists(self) -> Partition:
        assert self.tables is not None and self.tables.centroids is not None
        assert self.tables.centroid_scale is not None
        return Partition.of(self.tables.centroids, self.tables.centroid_scale)

    @property
    def _weights(self) -> Floats:
        assert self.tables is not None
        return np.asarray(self.tables.weights * np.float32(self.tables.weight_scale), np.float32)

    @property
    def _n_centroids(self) -> int:
        return (
            0
            if self.tables is None or self.tables.centroids is None
            else len(self.tables.centroids)
        )

    @property
    def _parts(self) -> Parts:
        return parts_of(self.kind, self.dim, self._n_centroids)

    @property
    def _rotation(self) -> Floats:
        """The matrix R with rotated = tokens @ R."""
        return self._turned(np.eye(self.dim, dtype=np.float32))

    def _turned(self, vectors: Floats) -> Floats:
        if self.kind != "sign":
            return vectors
        return kernels.rotate(vectors, rotation_signs(self.dim, self.seed))

    def _encoded(self, tokens: Floats, first: int) -> tuple[Bytes, Bytes, Bytes]:
        """Bytes of factors, centroid numbers and codes."""
        none = np.empty(0, np.uint8)
        if self.kind == "float32":
            return none, none, tokens.astype("<f4").view(np.uint8)
        if self.kind == "float16":
            return none, none, _half(tokens, first)
        if self.kind == "int8":
            rows = write_numbers(tokens, "int8")
            return np.ascontiguousarray(rows[:, :4]), none, np.ascontiguousarray(rows[:, 4:])
        if self.kind == "sign":
            turned = self._turned(tokens)
            signs = np.where(turned > 0, np.float32(1), np.float32(-1))
            factors = unbiased(turned, signs)
            return _half(factors[:, None], first), none, pack_buckets(turned > 0, 1)
        return self._residual_codes(tokens, first)

    def _residual_codes(self, tokens: Floats, first: int) -> tuple[Bytes, Bytes, Bytes]:
        directions, lists = to_directions(tokens), self._lists
        numbers = lists.assign(directions)
        centroids = lists.centroids(numbers)
        buckets = nearest_weights(directions - centroids, self._weights)
        decoded = centroids + self._weights[buckets]
        length, size = _lengths(tokens), _lengths(decoded)
        factors = np.divide(length, size, out=np.zeros_like(length), where=size > 0)
        width = f"<u{self._parts.number}"
        return (
            _half(factors[:, None], first),
            numbers.astype(width).view(np.uint8),
            pack_buckets(buckets, CODE_BITS[self.kind]),
        )


def _lengths(vectors: Floats) -> Floats:
    return np.asarray(np.sqrt(np.einsum("ij,ij->i", vectors, vectors)), np.float32)


def _half(numbers: Floats, first: int) -> Bytes:
    with np.errstate(over="ignore"):
        half = numbers.astype("<f2")
    wrong = np.flatnonzero(~np.isfinite(half).all(axis=1))
    if len(wrong):
        raise ValueError(
            f"token {first + wrong[0]}: too long for half precision (65,504); "
            "keep them as int8 or float32, or normalise them"
        )
    return half.view(np.uint8)


def _by_document(planes: list[Bytes], counts: Ints, parts: Parts) -> Bytes:
    """Records from the parts of all tokens."""
    used = [(plane, width) for plane, width in zip(planes, parts, strict=True) if width]
    if len(used) == 1:
        return used[0][0]
    stretches: list[Bytes] = []
    at = 0
    for count in counts.tolist():
        stretches += [plane[at * width : (at + count) * width] for plane, width in used]
        at += count
    return np.concatenate(stretches) if stretches else np.empty(0, np.uint8)


def _by_part(payload: Bytes, counts: Ints, parts: Parts) -> Bytes:
    """The other way round: records as one record of all their tokens."""
    used = [width for width in parts if width]
    if len(payload) != int(counts.sum()) * parts.total:
        raise ValueError(
            f"payload: expected {int(counts.sum()) * parts.total} bytes, got {len(payload)}"
        )
    if len(used) == 1 or len(counts) == 1:
        return payload
    stretches: list[list[Bytes]] = [[] for _ in used]
    at = 0
    for count in counts.tolist():
        for stretch, width in zip(stretches, used, strict=True):
            stretch.append(payload[at : at + count * width])
            at += count * width
    flat = [part for stretch in stretches for part in stretch]
    return np.concatenate(flat) if flat else payload


def _whole(name: str, numbers: dict[str, Any], least: int, most: int) -> int:
    value = numbers.get(name)
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"{name}: expected a whole number from {least} to {most}, got {value!r}")
    return value
