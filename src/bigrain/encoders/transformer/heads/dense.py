"""One vector a text: the pooled last layer, through the model's own layers, cut, of unit length.

The first `dim` numbers of a model trained so are a vector of their own (Matryoshka representation
learning: Kusupati et al., 2022).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import sqrt

import numpy as np
import numpy.typing as npt

from bigrain.encoders.transformer.folder import DenseLayer
from bigrain.encoders.transformer.network import load_linear

__all__ = ["DenseHead", "pooled", "unit"]

Floats = npt.NDArray[np.float32]


class DenseHead:
    """`hidden` is the width of the last layer, `dim` that of the vectors."""

    def __init__(
        self,
        pooling: str,
        layers: Sequence[DenseLayer],
        hidden: int,
        dim: int,
        normalise: bool,
    ) -> None:
        self.pooling, self.dim, self.normalise = pooling, dim, normalise
        self._layers = []
        for layer in layers:
            arrays = load_linear(layer.folder, hidden, "model.safetensors", "pytorch_model.bin")
            self._layers.append((*arrays, _ACTIVATIONS[layer.activation]))
            hidden = len(arrays[0])

    def rows(self, hidden: Floats, kept: npt.NDArray[np.bool_]) -> Floats:
        """(B, dim) of (B, L, d); `kept` (B, L) are the tokens that count."""
        found = pooled(hidden, kept, self.pooling)
        for weight, bias, activation in self._layers:
            found = activation(found @ weight.T + bias)
        return self.finished(found[:, : self.dim])

    def finished(self, vectors: Floats) -> Floats:
        return unit(vectors) if self.normalise else vectors

    def joined(self, windows: Floats) -> Floats:
        """One vector (dim,) for the windows (w, dim) of a long text: their mean."""
        mean: Floats = self.finished(windows.mean(axis=0, keepdims=True))[0]
        return mean


def pooled(hidden: Floats, kept: npt.NDArray[np.bool_], pooling: str) -> Floats:
    """(B, d) of (B, L, d) over the tokens kept."""
    if pooling == "cls":
        return hidden[:, 0]
    if pooling == "last":
        last = kept.shape[1] - 1 - kept[:, ::-1].argmax(axis=1)
        return np.asarray(hidden[np.arange(len(hidden)), last], np.float32)
    if pooling == "max":
        return np.asarray(np.where(kept[:, :, None], hidden, -np.inf).max(axis=1), np.float32)
    weights = kept.astype(np.float32)
    sums = np.matmul(weights[:, None, :], hidden)[:, 0]
    return np.asarray(sums / np.maximum(weights.sum(axis=1, keepdims=True), 1e-9), np.float32)


def unit(vectors: Floats) -> Floats:
    """Rows of unit length; zero rows as they are."""
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    return np.asarray(vectors / np.maximum(lengths, 1e-12)[:, None], np.float32)


def _gelu(x: Floats) -> Floats:
    from math import erf

    return np.asarray(x * 0.5 * (1 + np.vectorize(erf)(x / sqrt(2))), np.float32)


_ACTIVATIONS: dict[str, Callable[[Floats], Floats]] = {
    "Identity": lambda x: x,
    "Tanh": np.tanh,
    "ReLU": lambda x: np.maximum(x, 0),
    "GELU": _gelu,
}
