"""What every surrogate of MaxSim offers: one vector a document, one a query.

For query tokens q_i and document tokens d_j (Khattab and Zaharia, ColBERT, SIGIR 2020)

    MaxSim = sum_i max_j <q_i, d_j>  ~  <queries(q), documents(d)>  + a constant of the query,

so the dense engine's codes and lists find candidates for token vectors, too.
"""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

__all__ = ["Floats", "Ints", "Shapes", "Surrogate"]

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Shapes = dict[str, tuple[int, ...]]  # of float32 arrays


class Surrogate(Protocol):
    """A fitted surrogate for tokens (T, `dim`)."""

    name: ClassVar[str]

    @property
    def dim(self) -> int: ...

    @property
    def fitted_on(self) -> int:
        """Tokens it has learned from; 0 where nothing is learned."""
        ...

    @property
    def width(self) -> int:
        """Dimensions of the vectors it gives."""
        ...

    @classmethod
    def fit(
        cls, values: Floats, offsets: Ints, *, queries: Floats | None = None, seed: int = 0
    ) -> Surrogate:
        """Fit to a sample of documents: tokens (T, d) and offsets (n + 1,).

        `queries` are tokens (m, d) like those of queries, those of one after another. A sample too
        small to learn from gives a surrogate that learns nothing: see `name` and `fitted_on`.
        """
        ...

    def documents(self, values: npt.NDArray[Any], offsets: npt.NDArray[Any]) -> Floats:
        """(n, width) of tokens (T, d) and offsets (n + 1,); zeros where a document has none.

        InvalidVectorsError where offsets and values do not fit.
        """
        ...

    def queries(self, values: npt.NDArray[Any], offsets: npt.NDArray[Any]) -> Floats:
        """(Q, width); zeros where a query has no tokens. Errors as above."""
        ...

    def arrays(self) -> dict[str, Floats]:
        """What was learned, by name."""
        ...

    def numbers(self) -> dict[str, Any]:
        """The name, and what tells the shapes of the arrays."""
        ...

    @staticmethod
    def shapes(numbers: dict[str, Any]) -> Shapes:
        """Of the arrays to be read; ValueError for numbers that no surrogate has."""
        ...

    @classmethod
    def read(cls, numbers: dict[str, Any], arrays: dict[str, Floats]) -> Surrogate:
        """What `numbers` and `arrays` describe; ValueError where they do not fit."""
        ...
