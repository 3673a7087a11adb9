"""Learning an encoder: from texts to words, from words to what the kind asks for."""

from __future__ import annotations

from collections.abc import Iterable, Sized
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain.encoders.corpus import dbow
from bigrain.encoders.corpus.bitcipher import bit_cipher_vectors
from bigrain.encoders.corpus.factorise import sparse
from bigrain.encoders.corpus.fastrp import fastrp
from bigrain.encoders.corpus.findable import most_findable
from bigrain.encoders.corpus.learned import LearnedEncoder
from bigrain.encoders.corpus.load import FORMS
from bigrain.encoders.corpus.lsa import lsa
from bigrain.encoders.corpus.paragraph import ParagraphEncoder, weighted
from bigrain.encoders.corpus.pmi import cooccurrences, pmi_vectors
from bigrain.encoders.corpus.sif import common_directions, sif_rows
from bigrain.encoders.corpus.squared_norm import squared_norm_vectors
from bigrain.encoders.corpus.table import TableEncoder
from bigrain.encoders.corpus.words import Bags, Words, counted, read_corpus
from bigrain.errors import ConfigError, shown
from bigrain.progress import ProgressLike, Reporter, reporting
from bigrain.text import Analyser

__all__ = ["KINDS", "learn"]

KINDS = tuple(FORMS)
MAX_DIM = 4096
LEARNED_FROM, LEAST_EPOCHS, MOST_EPOCHS = 60_000, 12, 40
MASS = 100.0  # the weights of a text's words sum to this
CODES_INFERENCE = {"rule": "adam", "steps": 30}
INFERENCES = (
    {"rule": "gradient", "steps": 1},
    {"rule": "gradient", "steps": 3},
    {"rule": "gradient", "steps": 10},
    {"rule": "gradient", "steps": 30},
    {"rule": "adam", "steps": 20},
)

Floats = npt.NDArray[np.float32]


def learn(
    kind: str,
    texts: Iterable[str],
    *,
    dim: int | None = None,
    bits: int | None = None,
    language: str | None = None,
    window: int = 5,
    epochs: int | None = None,
    min_documents: int = 2,
    max_words: int = 50_000,
    seed: int = 0,
    progress: ProgressLike = None,
) -> LearnedEncoder:
    """Learn an encoder from texts alone.

    `kind`: one of `KINDS` (`bigrain.encoders.corpus` says what they are). `dim`: width of the
    vectors (None: 300, or `bits` for "binary-pv"); small corpora may give fewer for "lsa" and
    "pmi". `bits`: of the code of "binary-pv" and "rb-pv" (None: 128). `language`: chooses stemmer
    and stop words (None: plain words, in scripts without blanks pairs of characters). `window`:
    words on each side that count as near, for kinds made of words. `epochs`: passes of kinds that
    are trained (None: 12 to 40, the fewer the more there is to learn from). Known words occur in
    `min_documents` texts, and are the `max_words` most frequent.

    Same texts, settings and seed: same encoder. Raises `ConfigError`, `InvalidDocumentError` or
    `MissingExtraError` (extra `corpus`).
    """
    dim, bits = _widths(kind, dim, bits)
    for name, value, low, high in (
        ("window", window, 1, 100),
        ("epochs", 1 if epochs is None else epochs, 1, 10_000),
        ("min_documents", min_documents, 1, 1_000_000),
        ("max_words", max_words, 2, 10_000_000),
        ("seed", seed, 0, 2**63),
    ):
        _whole(name, value, low, high)
    if isinstance(texts, str):
        raise ConfigError("texts are several, got one str: use [text]")
    analyser = Analyser(language)
    sparse()
    with reporting(progress) as reporter:
        reporter.stage("reading", _length(texts))
        words, sequences = read_corpus(
            texts, analyser, min_documents=min_documents, max_words=max_words,
            advance=reporter.advance,
        )  # fmt: skip
        if kind == "bit-cipher" and dim < 63 and len(words) >= 1 << dim:
            raise ConfigError(f"dim={dim} has fewer codes than there are words; 300 is usual")
        bags = counted(sequences)
        if kind in ("pv", "binary-pv", "rb-pv"):
            passes = _passes(epochs, words.n_documents)
            return _paragraphs(kind, words, bags, dim, bits, passes, seed, reporter)
        if kind == "lsa":
            reporter.stage("factorising")
            return _table(kind, words, "log", lsa(words, bags, dim, seed))
        reporter.stage("counting neighbours")
        pairs = cooccurrences(sequences, len(words), window)
        vectors = _word_vectors(kind, pairs, dim, epochs, seed, reporter)
        rows = sif_rows(words, vectors)
        return _table(kind, words, "plain", rows, common_directions(rows, bags, seed))


def _passes(epochs: int | None, n: int) -> int:
    """How often to pass over `n` texts or words."""
    return epochs or min(max(round(LEARNED_FROM / n), LEAST_EPOCHS), MOST_EPOCHS)


def _word_vectors(
    kind: str, pairs: Any, dim: int, epochs: int | None, seed: int, reporter: Reporter
) -> Floats:
    """(V, d)"""
    passes = _passes(epochs, pairs.shape[0])
    if kind == "rand-walk":
        return squared_norm_vectors(pairs, dim, epochs=passes, seed=seed, reporter=reporter)
    if kind == "skip-gram":
        return _skip_gram(pairs, dim, passes, seed, reporter)
    reporter.stage("factorising")
    if kind == "pmi":
        return pmi_vectors(pairs, dim, seed)
    if kind == "fastrp":
        return fastrp(pairs, dim, seed=seed)
    return bit_cipher_vectors(pairs, dim)


def _skip_gram(pairs: Any, dim: int, epochs: int, seed: int, reporter: Reporter) -> Floats:
    """(V, dim): each word predicts its neighbours (Mikolov et al. 2013), by sampled softmax.

    It is a paragraph vector of a text that holds whatever is near the word.
    """
    near = np.asarray(pairs.sum(axis=1)).ravel()
    scale = (MASS / np.where(near > 0, near, 1)).astype(np.float32)
    return dbow.train(
        (sparse().diags(scale) @ pairs).tocsr(), dim, 0, binary=False, epochs=epochs, seed=seed,
        reporter=reporter,
    ).z  # fmt: skip


def _paragraphs(
    kind: str,
    words: Words,
    bags: Bags,
    dim: int,
    bits: int,
    epochs: int,
    seed: int,
    reporter: Reporter,
) -> ParagraphEncoder:
    matrix = weighted(bags, words.idf, MASS).matrix(len(words))
    trained = dbow.train(
        matrix, dim, bits, binary=kind == "binary-pv", epochs=epochs, seed=seed, reporter=reporter
    )
    model, projection, threshold = trained.real or trained.code, None, None
    assert model is not None
    if trained.code is not None:
        projection, threshold = trained.code.projection, trained.code.threshold
    noise = dbow.Noise.drawn(words.shares, dbow.NOISE_WORDS, np.random.default_rng(seed))
    nothing = np.empty(0, np.float32)
    arrays = {
        "output": model.output,
        "bias": model.bias,
        "idf": words.idf,
        "noise": noise.words.astype(np.int64),
        "correction": noise.correction,
        "projection": nothing if projection is None else projection,
        "threshold": nothing if threshold is None else threshold,
    }
    settings = {"bits": bits, "mass": MASS, "ridge": trained.ridge}
    if trained.real is None:
        return ParagraphEncoder(kind, words, settings | CODES_INFERENCE, arrays)
    reporter.stage("choosing the inference")
    able = [ParagraphEncoder(kind, words, settings | one, arrays) for one in INFERENCES]
    return able[most_findable([one.of_bags for one in able], bags, seed)]


def _table(
    kind: str, words: Words, counts: str, rows: Floats, common: Floats | None = None
) -> TableEncoder:
    if common is None:
        common = np.empty((0, rows.shape[1]), np.float32)
    return TableEncoder(kind, words, {"counts": counts}, {"table": rows, "common": common})


def _widths(kind: str, dim: int | None, bits: int | None) -> tuple[int, int]:
    """The width of vectors and of the code, 0 for none."""
    if not isinstance(kind, str) or kind not in FORMS:
        raise ConfigError(f"kind={shown(kind)} is not one of {', '.join(KINDS)}")
    coded = kind in ("binary-pv", "rb-pv")
    if bits is None:
        bits = 128 if coded else 0
    elif not coded:
        raise ConfigError(f"bits={shown(bits)}: {kind} has no code of its own; leave bits out")
    if coded:
        _whole("bits", bits, 8, MAX_DIM)
        if bits % 8:
            raise ConfigError(f"bits={bits} must be a multiple of 8; 128 is usual")
    if kind == "binary-pv" and dim not in (None, bits):
        raise ConfigError(f"dim={shown(dim)}: the vectors of binary-pv have {bits}, as its bits")
    if dim is None:
        dim = bits if kind == "binary-pv" else 300
    _whole("dim", dim, 2, MAX_DIM)
    return dim, bits


def _whole(name: str, value: object, low: int, high: int) -> None:
    if type(value) is not int or not low <= value <= high:
        raise ConfigError(f"{name}={shown(value)} must be a whole number from {low} to {high:,}")


def _length(texts: Iterable[str]) -> int | None:
    return len(texts) if isinstance(texts, Sized) else None
