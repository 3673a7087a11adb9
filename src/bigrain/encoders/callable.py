"""An encoder out of a plain function."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from bigrain.encoders.base import FAMILIES
from bigrain.errors import ConfigError, InvalidVectorsError, shown
from bigrain.types import SparseMatrix

__all__ = ["CallableEncoder"]


class CallableEncoder:
    """An encoder out of a function from a list of n texts to their representations.

    `family` says what the function gives:

        "dense"        an array (n, dim)
        "sparse"       a SciPy CSR matrix (n, dim), or n mappings column -> weight
        "multivector"  (values (T, dim), offsets (n + 1,)), or n arrays (t, dim)

    `dim` is the width; for "sparse", where it may be None, the size of the vocabulary. `name` and
    `version` are the fingerprint, so give another version when the function changes.
    `encode_queries` is another function for queries. A text need not be one: it may name an image
    that the function opens. Raises `ConfigError`; encoding raises `InvalidVectorsError` naming the
    text.

    >>> import bigrain, numpy as np
    >>> lengths = lambda texts: np.array([[len(t), 1.0] for t in texts])
    >>> bigrain.register_encoder("lengths", lambda: bigrain.CallableEncoder("lengths", lengths, 2))
    """

    def __init__(
        self,
        name: str,
        encode: Callable[[list[str]], Any],
        dim: int | None = None,
        *,
        family: str = "dense",
        encode_queries: Callable[[list[str]], Any] | None = None,
        version: str = "1",
    ) -> None:
        if family not in FAMILIES:
            raise ConfigError(f"family={shown(family)} is not one of {', '.join(FAMILIES)}")
        whole = isinstance(dim, int | np.integer) and not isinstance(dim, bool) and dim > 0
        if not whole and not (dim is None and family == "sparse"):
            raise ConfigError(
                f"encoder {name!r}: dim={shown(dim)} must be a whole number from 1, the width of "
                "the vectors"
            )
        if not callable(encode) or not (encode_queries is None or callable(encode_queries)):
            raise ConfigError(f"encoder {name!r}: encode must be a function of a list of texts")
        self.name, self.version, self.family = name, version, family
        self.dim = None if dim is None else int(dim)
        self._documents, self._queries = encode, encode_queries or encode

    def fingerprint(self) -> dict[str, Any]:
        told = {"name": self.name, "version": self.version, "dim": self.dim}
        return told if self.family == "dense" else {**told, "family": self.family}

    def encode_documents(self, texts: Sequence[str]) -> Any:
        return self._taken(self._documents(list(texts)), texts)

    def encode_queries(self, texts: Sequence[str]) -> Any:
        return self._taken(self._queries(list(texts)), texts)

    def notices(self, texts: Sequence[str]) -> tuple[str, ...]:
        return ()

    def _taken(self, given: Any, texts: Sequence[str]) -> Any:
        """What the function gave in the form of the family, a row for each text."""
        if self.family == "dense":
            found = self._array(given)
            n = len(found) if found.ndim else -1
        elif self.family == "sparse":
            found, n = self._sparse(given, texts)
        else:
            found, n = self._ragged(given, texts)
        if n != len(texts):
            raise InvalidVectorsError(
                f"encoder {self.name!r} gave {max(n, 0)} rows for {len(texts)} texts; one for each "
                "is needed, in their order"
            )
        return found

    def _array(self, given: Any, where: str = "") -> Any:
        """Finite or not is the field's question, which knows the document's name."""
        try:
            return np.asarray(given, np.float32)
        except (OverflowError, TypeError, ValueError) as error:
            raise InvalidVectorsError(
                f"encoder {self.name!r}{where}: no array of numbers ({error})"
            ) from None

    def _sparse(self, given: Any, texts: Sequence[str]) -> tuple[Any, int]:
        if hasattr(given, "tocsr") or hasattr(given, "indptr"):
            n, width = given.shape
            if self.dim is not None and width > self.dim:
                raise InvalidVectorsError(
                    f"encoder {self.name!r} gave {width:,} columns; its vocabulary is {self.dim:,}"
                )
            return given, int(n)
        if not isinstance(given, Sequence):
            raise InvalidVectorsError(
                f"encoder {self.name!r} gave a {type(given).__name__}; a sparse one gives a SciPy "
                "CSR matrix, or a list of mappings column -> weight"
            )
        data: list[float] = []
        indices: list[int] = []
        ends = [0]
        for row, (text, weights) in enumerate(zip(texts, given, strict=False)):
            where = f"encoder {self.name!r}, text {row} ({shown(text)})"
            if not isinstance(weights, Mapping):
                raise InvalidVectorsError(
                    f"{where}: {shown(weights)} is no mapping column -> weight"
                )
            for column, weight in weights.items():
                inside = isinstance(column, int | np.integer) and 0 <= column < (self.dim or 2**32)
                if not inside or isinstance(column, bool):
                    raise InvalidVectorsError(
                        f"{where}: {shown(column)} is no column; they are whole numbers below "
                        f"{self.dim or 2**32:,}"
                    )
                indices.append(int(column))
                data.append(weight)
            ends.append(len(data))
        values = self._array(data)
        if values.ndim != 1:
            raise InvalidVectorsError(f"encoder {self.name!r}: weights must be numbers")
        columns = np.array(indices, np.int64)
        width = self.dim or int(columns.max(initial=-1)) + 1
        matrix = SparseMatrix(values, columns, np.array(ends, np.int64), (len(given), width))
        return matrix, len(given)

    def _ragged(self, given: Any, texts: Sequence[str]) -> tuple[Any, int]:
        if isinstance(given, tuple) and len(given) == 2 and np.ndim(given[1]) == 1:
            return (self._array(given[0]), np.asarray(given[1])), len(given[1]) - 1
        if not isinstance(given, Sequence):
            raise InvalidVectorsError(
                f"encoder {self.name!r} gave a {type(given).__name__}; a multi-vector one gives "
                "(values (T, dim), offsets (n + 1,)), or a list of arrays (t, dim)"
            )
        rows = []
        for row, (text, vectors) in enumerate(zip(texts, given, strict=False)):
            rows.append(self._array(vectors, f", text {row} ({shown(text)})"))
            if rows[-1].ndim != 2 or not len(rows[-1]) or rows[-1].shape[1] != self.dim:
                raise InvalidVectorsError(
                    f"encoder {self.name!r}, text {row} ({shown(text)}): an array of shape "
                    f"{rows[-1].shape}; token vectors are (t, {self.dim}), at least one a text"
                )
        values = np.concatenate([np.empty((0, self.dim or 0), np.float32), *rows])
        return (values, np.cumsum([0, *map(len, rows)])), len(given)
