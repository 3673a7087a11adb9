"""Statistics against scipy and against what they promise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bigrain.errors import InvalidInputError
from bigrain.evaluation import (
    bootstrap_interval,
    holm,
    paired_bootstrap_interval,
    paired_t_test,
    randomisation_test,
)

stats = pytest.importorskip("scipy.stats")


@given(
    pair=st.integers(2, 60).flatmap(
        lambda n: arrays(np.float64, (2, n), elements=st.integers(0, 1000).map(lambda i: i / 1000))
    )
)
def test_t_test_equals_scipy(pair):
    a, b = pair
    if np.ptp(a - b) < 1e-9:
        return  # scipy answers nan or warns
    assert paired_t_test(a, b) == pytest.approx(stats.ttest_rel(a, b).pvalue, rel=1e-9, abs=1e-14)


@pytest.mark.parametrize("n", [2, 3, 50, 1000, 100_000])
@pytest.mark.parametrize("shift", [0.0, 1e-3, 0.1, 2.0])
def test_t_test_equals_scipy_far_into_the_tail(n, shift):
    a, b = np.random.default_rng(n).normal(size=(2, n))
    expected = stats.ttest_rel(a + shift, b).pvalue
    assert paired_t_test(a + shift, b) == pytest.approx(expected, rel=1e-7, abs=1e-300)


def test_t_test_where_the_formula_has_no_answer():
    assert paired_t_test([1.0, 2.0], [1.0, 2.0]) == 1.0
    assert paired_t_test([1.0, 2.0], [0.5, 1.5]) == 0.0
    assert paired_t_test([1.0], [0.0]) == 1.0


def test_randomisation_is_exact_for_few_queries():
    a, b = np.array([0.9, 0.8, 0.7, 0.3, 0.5]), np.array([0.1, 0.3, 0.6, 0.4, 0.5])
    expected = stats.permutation_test(
        (a, b), lambda x, y, axis: np.mean(x - y, axis=axis),
        permutation_type="samples", n_resamples=np.inf,
    ).pvalue  # fmt: skip
    assert randomisation_test(a, b) == pytest.approx(expected)
    assert randomisation_test([1.0] * 8, [0.0] * 8) == 2 / 2**8
    assert randomisation_test([1.0, 2.0], [1.0, 2.0]) == 1.0


def test_randomisation_agrees_with_the_t_test_on_many_normal_queries():
    a, b = np.random.default_rng(3).normal(size=(2, 400))
    p = randomisation_test(a + 0.1, b, n_permutations=20_000)
    assert p == pytest.approx(paired_t_test(a + 0.1, b), abs=0.015)
    assert randomisation_test(a + 9, b) == 1 / 10_001


def test_thousands_of_queries_do_not_overflow():
    a, b = np.random.default_rng(4).random((2, 3000))
    assert 0.0 < randomisation_test(a, b, n_permutations=2000) <= 1.0
    assert randomisation_test(a + 0.5, b, n_permutations=2000) == 1 / 2001


def test_randomisation_p_values_are_uniform_when_nothing_differs():
    rng = np.random.default_rng(17)
    base = rng.beta(0.6, 0.8, size=(2, 40))
    p_values = []
    for trial in range(400):
        swap = rng.random(40) < 0.5
        a, b = np.where(swap, base[0], base[1]), np.where(swap, base[1], base[0])
        p_values.append(randomisation_test(a, b, n_permutations=999, seed=trial))
    assert stats.kstest(p_values, "uniform").pvalue > 0.01


def test_same_seed_same_answer():
    a, b = np.random.default_rng(0).random((2, 30))
    assert randomisation_test(a, b, seed=1) == randomisation_test(a, b, seed=1)
    assert randomisation_test(a, b, seed=1) != randomisation_test(a, b, seed=2)
    assert bootstrap_interval(a, seed=1) == bootstrap_interval(a, seed=1)


def test_bootstrap_intervals_cover_as_often_as_they_say():
    rng = np.random.default_rng(5)
    n_trials, covered = 500, 0
    for trial in range(n_trials):
        low, high = bootstrap_interval(rng.exponential(2.0, 120), n_resamples=1000, seed=trial)
        covered += low <= 2.0 <= high
    assert 0.915 <= covered / n_trials <= 0.975


def test_bootstrap_equals_the_normal_interval_for_many_queries():
    a, b = np.random.default_rng(2).normal(size=(2, 5000))
    low, high = paired_bootstrap_interval(a + 0.2, b, n_resamples=4000)
    mean, half = np.mean(a + 0.2 - b), 1.96 * np.std(a - b) / np.sqrt(5000)
    assert (low, high) == pytest.approx((mean - half, mean + half), abs=0.003)


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_properties(p_values):
    adjusted = holm(p_values)
    assert all(p <= q <= 1.0 for p, q in zip(p_values, adjusted, strict=True))
    assert all(q <= min(1.0, p * len(p_values)) for p, q in zip(p_values, adjusted, strict=True))
    order = np.argsort(p_values, kind="stable")
    assert (np.diff(np.array(adjusted)[order]) >= 0).all()


def test_wrong_input_is_refused():
    with pytest.raises(InvalidInputError, match="same queries"):
        paired_t_test([1.0], [1.0, 2.0])
    with pytest.raises(InvalidInputError, match="number 1 is nan"):
        bootstrap_interval([1.0, float("nan")])
    with pytest.raises(InvalidInputError):
        bootstrap_interval([])
    with pytest.raises(InvalidInputError):
        bootstrap_interval([1.0], confidence=95)
    with pytest.raises(InvalidInputError):
        randomisation_test([1.0], [0.0], n_permutations=0)
