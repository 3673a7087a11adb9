"""The parts of learned encoders against what their papers say."""

from itertools import combinations
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

import bigrain
from bigrain.encoders import corpus
from bigrain.encoders.corpus.bitcipher import bit_cipher_vectors, ciphers
from bigrain.encoders.corpus.dbow import Dbow, Noise, infer
from bigrain.encoders.corpus.factorise import singular
from bigrain.encoders.corpus.fastrp import projection
from bigrain.encoders.corpus.findable import most_findable
from bigrain.encoders.corpus.pmi import cooccurrences, pmi
from bigrain.encoders.corpus.sif import common_directions, sif_rows
from bigrain.encoders.corpus.squared_norm import squared_norm_loss, squared_norm_vectors
from bigrain.encoders.corpus.words import counted, read_corpus
from bigrain.progress import Reporter
from bigrain.text import Analyser
from tests.encoders.corpus_texts import purity, topical

SILENT = Reporter(None)


def test_singular_values() -> None:
    rng = np.random.default_rng(0)
    dense = (rng.normal(size=(60, 12)) @ rng.normal(size=(12, 40))).astype(np.float32)
    left, values, right = singular(sp.csr_matrix(dense), 12, 0)
    np.testing.assert_allclose(values, np.linalg.svd(dense)[1][:12], rtol=1e-4)
    np.testing.assert_allclose(left * values @ right, dense, atol=1e-3)
    few = singular(sp.csr_matrix(dense), 500, 0)
    assert few[0].shape == (60, 40) and few[2].shape == (40, 40)


@pytest.mark.parametrize("projected", [False, True])
@pytest.mark.parametrize("sampled", [False, True])
def test_gradients_of_paragraph_vectors(projected: bool, sampled: bool) -> None:
    """Real vectors, against finite differences of the loss."""
    rng = np.random.default_rng(1)
    words = rng.integers(0, 3, (5, 9)).astype(float)
    model = Dbow(rng.normal(size=(9, 4)), rng.normal(size=9))
    if projected:
        model.projection, model.threshold = rng.normal(size=(6, 4)), rng.normal(size=4)
    z = rng.normal(size=(5, 6 if projected else 4))
    shares = words.sum(axis=0) / words.sum()
    noise = Noise.drawn(shares, 5 if sampled else 100, rng)
    assert len(noise.words) == (5 if sampled else 9)

    def loss() -> float:
        said, mass = words @ model.output, words.sum(axis=1)
        return float(model.loss(z, said, mass, noise, 0.3)[0].sum())

    _, by_z, step = model.loss(z, words @ model.output, words.sum(axis=1), noise, 0.3)
    gradients = {"z": by_z, **model.by_shared(z, words, noise, step)}
    assert set(gradients) == {"z", "output"} | ({"projection", "threshold"} if projected else set())
    for name, gradient in gradients.items():
        values = z if name == "z" else getattr(model, name)
        for at in list(np.ndindex(values.shape))[::3]:
            before = values[at]
            values[at] = before + 1e-5
            above = loss()
            values[at] = before - 1e-5
            below = loss()
            values[at] = before
            assert gradient[at] == pytest.approx((above - below) / 2e-5, rel=1e-4, abs=1e-6)


def test_gradients_of_codes_take_sigmoids_for_steps() -> None:
    """By the output words exactly; by z as if x were 2 sigmoid(z) - 1 around the code."""
    rng = np.random.default_rng(2)
    words = rng.integers(0, 3, (4, 7)).astype(float)
    model = Dbow(rng.normal(size=(7, 3)), rng.normal(size=7), binary=True)
    z = rng.normal(size=(4, 3))
    noise = Noise.drawn(np.full(7, 1 / 7), 100, rng)
    _, by_z, step = model.loss(z, words @ model.output, words.sum(axis=1), noise, 0.0)
    assert set(np.unique(step.x)) <= {-1.0, 1.0}
    real = Dbow(model.output, model.bias)
    _, by_x, _ = real.loss(step.x, words @ model.output, words.sum(axis=1), noise, 0.0)
    sigmoid = 1 / (1 + np.exp(-z))
    np.testing.assert_allclose(by_z, by_x * 2 * sigmoid * (1 - sigmoid))


def test_sampled_sums_are_right_on_average() -> None:
    rng = np.random.default_rng(3)
    shares = rng.dirichlet(np.ones(200))
    scores = rng.normal(size=200)
    sums = []
    for _ in range(400):
        noise = Noise.drawn(shares, 50, rng)
        sums.append(np.exp(scores[noise.words] - noise.correction).sum())
    assert np.mean(sums) == pytest.approx(np.exp(scores).sum(), rel=0.05)


@pytest.mark.parametrize(("rule", "steps"), [("adam", 300), ("gradient", 3000)])
def test_inference_finds_the_best_vector(rule: str, steps: int) -> None:
    texts, _ = topical(60)
    encoder = corpus.learn("pv", texts, dim=8, epochs=10)
    model = Dbow(encoder.arrays["output"], encoder.arrays["bias"])
    bags = encoder.words.bags(texts[:3])
    noise = Noise(encoder.arrays["noise"], encoder.arrays["correction"])
    z = infer(model, bags, noise, dim=8, ridge=1.0, rule=rule, steps=steps)
    said = bags.pooled(model.output)
    mass = np.add.reduceat(bags.weights, bags.offsets[:-1])
    best, gradient, _ = model.loss(z, said, mass, noise, 1.0)
    assert np.abs(gradient).max() < 0.05 * mass.max()
    worse, _, _ = model.loss(z * 1.3, said, mass, noise, 1.0)
    assert (worse > best).all()


def test_cooccurrences_by_counting() -> None:
    sequences = [np.array([0, 1, 2, 1], np.int32), np.array([2], np.int32), np.array([0, 0])]
    window = 3
    expected = np.zeros((3, 3))
    for sequence in sequences:
        for i, j in combinations(range(len(sequence)), 2):
            if j - i <= window:
                weight = (window + 1 - (j - i)) / window
                expected[sequence[i], sequence[j]] += weight
                expected[sequence[j], sequence[i]] += weight
    found = cooccurrences([s.astype(np.int32) for s in sequences], 3, window).toarray()
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_pmi_is_that_of_the_counts() -> None:
    counts = np.array([[0, 6, 1], [6, 0, 2], [1, 2, 8]], np.float32)
    found = pmi(sp.csr_matrix(counts), smoothing=1.0).toarray()
    p = counts / counts.sum()
    with np.errstate(divide="ignore"):
        plain = np.log(p / np.outer(p.sum(axis=0), p.sum(axis=0)))
    np.testing.assert_allclose(found, np.maximum(plain, 0), atol=1e-6)
    shifted = pmi(sp.csr_matrix(counts), smoothing=1.0, shift=np.log(2)).toarray()
    np.testing.assert_allclose(shifted, np.maximum(plain - np.log(2), 0), atol=1e-6)


def random_walk_counts(seed: int = 5) -> Any:
    """Co-occurrences with PMI(w, w') = 2 <v_w, v_w'> and ln p(w) = |v_w|^2 + const, exactly."""
    v = np.random.default_rng(seed).normal(size=(60, 5)) * 0.35
    both = v[:, None] + v[None]
    counts = np.exp((both**2).sum(axis=2) + 4)
    return v, sp.csr_matrix(counts.astype(np.float32))


def test_squared_norm_vectors_of_a_random_walk() -> None:
    v, counts = random_walk_counts()
    found = squared_norm_vectors(counts, 5, epochs=800, seed=0, reporter=SILENT)
    upper = np.triu_indices(60, 1)
    true = (v @ v.T)[upper]
    assert np.corrcoef((found @ found.T)[upper], true)[0, 1] > 0.92
    log_frequency = np.log(np.asarray(counts.sum(axis=1)).ravel())
    assert np.corrcoef(log_frequency, (found**2).sum(axis=1))[0, 1] > 0.9


def test_gradient_of_the_squared_norm() -> None:
    rng = np.random.default_rng(6)
    v, counts = rng.normal(size=(6, 3)), rng.uniform(1, 300, 4)
    left, right = np.array([0, 1, 2, 5]), np.array([3, 4, 4, 0])
    _, by_both, by_constant = squared_norm_loss(v, 0.7, left, right, counts)
    for at in np.ndindex(v.shape):
        moved = [v.copy(), v.copy()]
        moved[0][at] += 1e-6
        moved[1][at] -= 1e-6
        losses = [squared_norm_loss(m, 0.7, left, right, counts)[0].sum() for m in moved]
        mine = by_both[left == at[0], at[1]].sum() + by_both[right == at[0], at[1]].sum()
        assert mine == pytest.approx((losses[0] - losses[1]) / 2e-6, rel=1e-4, abs=1e-5)
    losses = [squared_norm_loss(v, 0.7 + e, left, right, counts)[0].sum() for e in (1e-6, -1e-6)]
    assert by_constant.sum() == pytest.approx((losses[0] - losses[1]) / 2e-6, rel=1e-4)


def test_inverse_frequencies_and_the_common_direction() -> None:
    texts = ["a b", "a c c", "a d", "b a"]
    words, sequences = read_corpus(texts, Analyser(None), min_documents=1, max_words=9)
    assert words.terms[0] == "a" and words.documents[0] == 4
    vectors = np.random.default_rng(0).normal(size=(len(words), 3)).astype(np.float32)
    rows = sif_rows(words, vectors)
    p = words.documents / words.documents.sum()
    np.testing.assert_allclose(rows, vectors * (1e-3 / (1e-3 + p))[:, None], rtol=1e-5)
    bags = counted(sequences)
    means = bags.pooled(rows) / np.diff(bags.offsets)[:, None]
    first = np.linalg.svd(means)[2][0]
    found = common_directions(rows, bags, 0)[0]
    assert abs(first @ found) == pytest.approx(1, abs=1e-4)


def test_ciphers_are_in_the_order_of_ranks() -> None:
    codes = ciphers(200, 16)
    active = codes.sum(axis=1)
    assert (active[:16] == 1).all() and (active[16:136] == 2).all() and (active[136:] == 3).all()
    assert len(np.unique(codes, axis=0)) == 200
    assert ciphers(15, 4).all(axis=1).sum() == 1
    with pytest.raises(ValueError, match="15 codes, fewer than 16"):
        ciphers(16, 4)


def test_bit_ciphers_no_worse_than_random_indexing() -> None:
    texts, topics = topical(160, seed=3)
    words, sequences = read_corpus(texts, Analyser(None), min_documents=2, max_words=999)
    pairs = cooccurrences(sequences, len(words), 5)
    bags = counted(sequences)

    def judged(rows: np.ndarray) -> float:
        vectors = bags.pooled(sif_rows(words, rows.astype(np.float32)))
        return purity(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), topics)

    rng = np.random.default_rng(0)
    near = np.asarray(pairs.sum(axis=1))
    by_chance = [judged(pairs @ rng.choice([-1, 0, 1], (len(words), 64)) / near) for _ in range(5)]
    assert judged(bit_cipher_vectors(pairs, 64)) >= np.mean(by_chance) - 0.05


def planted(n: int = 120, groups: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    of = np.arange(n) % groups
    p = np.where(of[:, None] == of[None], 0.3, 0.02)
    links = np.triu(rng.random((n, n)) < p, 1)
    return (links + links.T).astype(float), of


def test_fastrp_is_its_formula() -> None:
    links, _ = planted(50)
    links[7] = links[:, 7] = 0
    weights, alpha = (0.0, 1.0, 2.0), -0.5
    degree = links.sum(axis=1)
    p = np.divide(links, degree[:, None], where=degree[:, None] > 0, out=np.zeros_like(links))
    u = projection(50, 16, 3) * np.where(degree > 0, np.maximum(degree, 1) ** alpha, 0)[:, None]
    total = np.zeros((50, 16))
    for weight in weights:
        u = p @ u
        lengths = np.linalg.norm(u, axis=1, keepdims=True)
        total += weight * u / np.where(lengths > 0, lengths, 1)
    total = (total - total.mean(axis=0)) / total.std(axis=0)
    found = corpus.fastrp(sp.csr_matrix(links), 16, weights=weights, alpha=alpha, seed=3)
    np.testing.assert_allclose(found, total, atol=1e-4)


def test_fastrp_finds_planted_groups() -> None:
    links, of = planted()
    vectors = corpus.fastrp(links, 64)
    assert purity(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), of) > 0.95
    assert (corpus.fastrp(links, 64) == vectors).all()


@pytest.mark.parametrize(
    ("links", "options", "message"),
    [
        (np.ones((2, 3)), {}, "is square"),
        (np.full((2, 2), np.nan), {}, "finite weights"),
        (-np.ones((2, 2)), {}, "finite weights"),
        (np.ones((2, 2)), {"dim": 0}, "dim=0"),
        (np.ones((2, 2)), {"weights": ()}, "one finite number"),
    ],
)
def test_graphs_are_checked(links: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(bigrain.InvalidInputError, match=message):
        corpus.fastrp(links, **options)


def test_the_way_that_finds_texts_is_chosen() -> None:
    texts, _ = topical(80)
    words, sequences = read_corpus(texts, Analyser(None), min_documents=1, max_words=999)
    good = np.random.default_rng(0).normal(size=(len(words), 32)).astype(np.float32)

    bags = counted(sequences)
    ways = [lambda some: some.pooled(good[:, :1]), lambda some: some.pooled(good)]
    assert most_findable([*ways, lambda some: some.pooled(good[:, :2])], bags, 0) == 1


def test_the_first_gradient_step_sums_the_words() -> None:
    texts, _ = topical(40)
    encoder = corpus.learn("pv", texts, dim=8, epochs=5)
    model = Dbow(encoder.arrays["output"], encoder.arrays["bias"])
    noise = Noise(encoder.arrays["noise"], encoder.arrays["correction"])
    bags = encoder.words.bags(texts[:4])
    z = infer(model, bags, noise, dim=8, ridge=10.0, rule="gradient", steps=1)
    expected = np.exp(model.bias) @ model.output / np.exp(model.bias).sum()
    sums = bags.pooled(model.output)
    sums -= np.add.reduceat(bags.weights, bags.offsets[:-1])[:, None] * expected
    cosines = (z * sums).sum(axis=1) / np.linalg.norm(z, axis=1) / np.linalg.norm(sums, axis=1)
    np.testing.assert_allclose(cosines, 1, atol=1e-4)
