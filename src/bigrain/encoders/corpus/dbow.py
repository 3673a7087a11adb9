"""Paragraph Vectors (DBOW): a document's vector, or the bits of it, predicts its words.

Of document d with vector z_d (dim numbers), word weights a_dw >= 0 and n_d = sum_w a_dw,

    L_d = - sum_w a_dw (u_w . x_d + b_w)  +  n_d log sum_{s in S} exp(u_s . x_d + b_s - c_s)
          + ridge_z / 2 |z_d|^2

    x_d = z_d                                        paragraph vectors     (Le and Mikolov 2014)
    x_d = 2 round(sigmoid(z_d)) - 1                  binary                (Grzegorczyk and
    x_d = 2 round(sigmoid(z_d W + w_0)) - 1          real and binary        Kurdziel 2017)

Real and binary: here z_d itself predicts the words, too, and the losses are added. As it was
published only the code predicts them, so that z moves by multiples of the rows of W alone and tells
no more than the code's logits.

The gradient passes through rounding as if it were not there. S are all words, c = 0; or words
drawn anew for each batch with probabilities q ~ share^0.75 and c_s = log(|S| q_s): sampled softmax
(Jean et al. 2015). Without its ridge on u the model learns the documents of a small corpus by heart
and its vectors are worth little for searching: measured in benchmarks/quality/corpus_encoders.json.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bigrain.encoders.corpus.words import Bags
from bigrain.progress import Reporter

__all__ = ["Dbow", "Noise", "Step", "Trained", "infer", "train"]

Floats = npt.NDArray[Any]
LARGEST_LOGIT = 6.0  # beyond it a sigmoid hardly lets a gradient pass
NOISE_POWER = 0.75
START = 0.01
RATE, INFERENCE_RATE = 0.05, 0.2
PROJECTION_SLOWER = 0.02
BATCH, NOISE_WORDS = 128, 1024
# Of weights that sum to 100 a document. Those of words are shared out among the documents.
RIDGE, RIDGE_OF_WORDS = 10.0, 28.0
RIDGE_OF_CODES, RIDGE_OF_CODE_WORDS = 0.1, 420.0


@dataclass(frozen=True)
class Noise:
    """The words S that the normalising sum is over, and what corrects their drawing."""

    words: npt.NDArray[np.int64]
    correction: Floats  # c (|S|,)

    @classmethod
    def drawn(cls, shares: Floats, n: int, rng: np.random.Generator) -> Noise:
        """All words where there are no more than `n`, or n of them."""
        if len(shares) <= n:
            return cls(np.arange(len(shares)), np.zeros(len(shares), np.float32))
        q = shares.astype(np.float64) ** NOISE_POWER
        q /= q.sum()
        words = rng.choice(len(shares), n, p=q)
        return cls(words, np.log(n * q[words]).astype(np.float32))


@dataclass
class Dbow:
    """The parameters that all documents share, and their losses.

    `output` u (V, b), `bias` (V,); `projection` W (dim, b) and `threshold` w_0 (b,) where a code of
    b bits is made of a vector of another width.
    """

    output: Floats
    bias: Floats
    binary: bool = False
    projection: Floats | None = None
    threshold: Floats | None = None

    @cached_property
    def curvature(self) -> float:
        """The largest second derivative of ln sum exp by x, at x = 0."""
        shares = np.exp(self.bias - self.bias.max())
        shares /= shares.sum()
        centred = self.output - shares @ self.output
        return float(np.linalg.eigvalsh((centred * shares[:, None]).T @ centred)[-1])

    def logits(self, z: Floats) -> Floats:
        """(n, b): what bits are made of; z itself where nothing is projected."""
        if self.projection is None:
            return z
        return z @ self.projection + self.threshold

    def code(self, z: Floats) -> Floats:
        """x (n, b), of z (n, dim)."""
        y = self.logits(z)
        return np.where(y > 0, 1, -1).astype(z.dtype) if self.binary else y

    def loss(
        self, z: Floats, said: Floats, mass: Floats, noise: Noise, ridge: float
    ) -> tuple[Floats, Floats, Step]:
        """L (n,) less what no parameter changes (a . b), its gradient by z (n, dim), and what the
        gradients by the shared parameters are made of.

        `said` (n, b): sum_w a_dw u_w; `mass` (n,): n_d. Gradients by binary x take sigmoids for
        steps.
        """
        x = self.code(z)
        expected = x @ self.output[noise.words].T
        expected += self.bias[noise.words] - noise.correction
        top = expected.max(axis=1, keepdims=True)
        expected -= top
        np.exp(expected, out=expected)
        whole = expected.sum(axis=1, keepdims=True)
        loss = mass * (np.log(whole) + top)[:, 0] - (said * x).sum(axis=1)
        loss += ridge / 2 * (z * z).sum(axis=1)
        expected *= mass[:, None] / whole
        by_y = expected @ self.output[noise.words] - said
        if self.binary:
            y = np.clip(self.logits(z), -LARGEST_LOGIT, LARGEST_LOGIT)
            sigmoid = 1 / (1 + np.exp(-y))
            by_y *= 2 * sigmoid * (1 - sigmoid)
        by_z = by_y if self.projection is None else by_y @ self.projection.T
        return loss, np.asarray(by_z + ridge * z, z.dtype), Step(x, expected, by_y)

    def by_shared(self, z: Floats, words: Any, noise: Noise, step: Step) -> dict[str, Floats]:
        """The gradients of the sum of losses by every shared parameter that is learned.

        `words` (n, V): a, SciPy CSR or dense.
        """
        by_output = -np.asarray(words.T @ step.x)
        np.add.at(by_output, noise.words, step.expected.T @ step.x)
        found = {"output": by_output}
        if self.projection is not None:
            found["projection"] = z.T @ step.by_y
            found["threshold"] = step.by_y.sum(axis=0)
        return found


class Step(NamedTuple):
    """x (n, b), expected weights of the noise words (n, |S|), gradient by what x is made of."""

    x: Floats
    expected: Floats
    by_y: Floats


def infer(
    model: Dbow, bags: Bags, noise: Noise, *, dim: int, ridge: float, rule: str, steps: int
) -> Floats:
    """z (n, dim) of texts, their weights as in training, with all words held fixed.

    From zero, deterministic. `rule` "gradient" takes steps that cannot overshoot: the first is the
    sum of the words' output vectors, less what is expected of any text. "adam" makes all numbers of
    z move alike, with a falling rate.
    """
    said = bags.pooled(model.output)
    n = len(bags.offsets) - 1
    text_of = np.repeat(np.arange(n), np.diff(bags.offsets))
    mass = np.bincount(text_of, bags.weights, minlength=n).astype(np.float32)
    z = np.zeros((n, dim), np.float32)
    own = _Adam(z)
    rate = 1 / (ridge + mass.max(initial=0) * model.curvature)
    for step in range(steps):
        _, by_z, _ = model.loss(z, said, mass, noise, ridge)
        if rule == "gradient":
            z -= np.float32(rate) * by_z
        else:
            own.n += 1
            own.step(by_z, INFERENCE_RATE * (1 - step / steps))
    return z


@dataclass
class _Adam:
    """Adam (Kingma and Ba 2015) on one array, in place."""

    values: Floats
    first: Floats = field(init=False)
    second: Floats = field(init=False)
    n: int = 0

    def __post_init__(self) -> None:
        self.first, self.second = np.zeros_like(self.values), np.zeros_like(self.values)

    def step(self, gradient: Floats, rate: float, rows: Any = slice(None)) -> None:
        self.first[rows] = m = 0.9 * self.first[rows] + 0.1 * gradient
        self.second[rows] = v = 0.99 * self.second[rows] + 0.01 * gradient * gradient
        m_scale, v_scale = 1 - 0.9**self.n, 1 - 0.99**self.n
        self.values[rows] -= rate * (m / m_scale) / (np.sqrt(v / v_scale) + 1e-8)


class Trained(NamedTuple):
    """What predicts words from vectors, and from codes; z (n, dim), and the weight of |z|^2 / 2."""

    real: Dbow | None
    code: Dbow | None
    z: Floats
    ridge: float


def train(
    words: Any,
    dim: int,
    bits: int,
    *,
    binary: bool,
    epochs: int,
    seed: int,
    reporter: Reporter,
) -> Trained:
    """The models of documents `words` (n, V; SciPy CSR). Same seed, same result, bit for bit, on
    one machine.

    `bits` 0: paragraph vectors. `binary`: codes whose logits are the vectors. Else both at once:
    the losses of z and of its code are added, and each has output words of its own.
    """
    rng = np.random.default_rng(seed)
    n, n_words = words.shape
    shares = np.asarray(words.sum(axis=0), np.float64).ravel() + 1e-6
    bias = np.log(shares / shares.sum()).astype(np.float32)
    shares = np.exp(bias)

    def output(width: int) -> Floats:
        return rng.normal(0, START, (n_words, width)).astype(np.float32)

    real = None if binary else Dbow(output(dim), bias)
    code = None
    if bits:
        code = Dbow(output(bits), bias, binary=True)
        if not binary:
            longer, shorter = max(dim, bits), min(dim, bits)
            turned = np.linalg.qr(rng.normal(size=(longer, shorter)))[0].astype(np.float32)
            code.projection = turned if dim >= bits else np.ascontiguousarray(turned.T)
            code.threshold = np.zeros(bits, np.float32)
    ridge = RIDGE_OF_CODES if real is None else RIDGE
    learners = [_Learner(real, RIDGE_OF_WORDS / n)] if real is not None else []
    if code is not None:
        learners.append(_Learner(code, RIDGE_OF_CODE_WORDS / n))
    z = rng.normal(0, START, (n, dim)).astype(np.float32)
    own = _Adam(z)
    n_batches = -(-n // BATCH)
    step, steps = 0, n_batches * epochs
    reporter.stage("learning paragraph vectors", n * epochs, "documents")
    for _ in range(epochs):
        own.n += 1
        for rows in np.array_split(rng.permutation(n), n_batches):
            rate = RATE * (1 - step / steps)
            step += 1
            noise = Noise.drawn(shares, NOISE_WORDS, rng)
            some = words[rows]
            by_z = ridge * z[rows]
            for learner in learners:
                by_z += learner.step(z[rows], some, noise, rate)
            own.step(by_z, rate, rows)
            reporter.advance(len(rows))
    return Trained(real, code, z, ridge)


class _Learner:
    """A model and the optimisers of its parameters."""

    def __init__(self, model: Dbow, ridge: float) -> None:
        self.model, self._ridge = model, ridge
        self._shared = {"output": _Adam(model.output)}
        if model.projection is not None and model.threshold is not None:
            self._shared["projection"] = _Adam(model.projection)
            self._shared["threshold"] = _Adam(model.threshold)

    def step(self, z: Floats, words: Any, noise: Noise, rate: float) -> Floats:
        """Learn from some documents; returns the gradient by their z."""
        model = self.model
        said, mass = np.asarray(words @ model.output), np.asarray(words.sum(axis=1)).ravel()
        _, by_z, made = model.loss(z, said, mass, noise, 0.0)
        for name, gradient in model.by_shared(z, words, noise, made).items():
            gradient /= len(z)
            if name == "output":
                gradient += self._ridge * model.output
            adam = self._shared[name]
            adam.n += 1
            adam.step(gradient, rate if name == "output" else rate * PROJECTION_SLOWER)
        return by_z
