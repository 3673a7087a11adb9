"""What each method's paper says of it, on small tables."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from bigrain import tables  # noqa: E402
from bigrain.errors import BudgetError, ConfigError, InvalidInputError  # noqa: E402
from bigrain.tables.forms.tensor_train import SMALL  # noqa: E402
from bigrain.tables.methods.dedup import alike_blocks  # noqa: E402
from bigrain.tables.methods.optembed import _Step  # noqa: E402
from bigrain.tables.methods.tt_rec import dim_factors, row_factors  # noqa: E402
from tests.tables.making import DIM, FIELDS, FULL_BYTES, ROWS, make  # noqa: E402
from tests.tables.training import Model, Run, Task, train  # noqa: E402

torch.set_num_threads(1)
ALL = torch.arange(ROWS)


def rows(table: Any) -> Any:
    with torch.no_grad():
        return table.eval()(ALL).numpy()


def test_an_unknown_option_is_told_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"hash\.v1 has no option 'hashes'; it has none"):
        make("hash.v1", hashes=3)
    with pytest.raises(ConfigError, match="its options are head, shorter, parts, bits, variant"):
        make("mgqe.v1", heads=0.1)


def test_ids_that_are_no_tensor_and_other_floats_are_refused() -> None:
    table = make("hash.v1")
    for ids in ([1, 2], np.array([1, 2])):
        with pytest.raises(InvalidInputError, match="must be a torch tensor of whole numbers"):
            table(ids)
    with pytest.raises(InvalidInputError, match=r"not torch\.float64: call table\.float\(\)"):
        table.double().form()


@pytest.mark.parametrize("name", tables.names())
def test_no_ids_have_no_rows(name: str) -> None:
    if name in ("autodim.v1", "autosrh.v1", "optembed.v1", "pep.v1", "dedup.v1", "pq.v1"):
        table = make(name)
        train(table, 3)
    else:
        table = make(name)
    form = table.eval().form()
    for ids in ([], [[]], np.zeros((0, 3), np.int64)):
        assert form.lookup(ids).shape == (*np.shape(ids), DIM)
    with pytest.raises(InvalidInputError, match="equal length"):
        form.lookup([[1], [2, 3]])


# -- static sharing -------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 3, 10, 99, 100, 1000, 1021])
def test_compositional_rows_are_all_different(n: int) -> None:
    with pytest.raises(BudgetError) as caught:
        tables.create("compositional.v1", n, 8, budget_bytes=1)
    smallest = int(str(caught.value).split("takes ")[1].split()[0].replace(",", ""))
    table = tables.create("compositional.v1", n, 8, budget_bytes=smallest)
    assert len(table.quotients) + len(table.remainders) <= 2 * math.isqrt(n) + 3
    found = table(torch.arange(n)).detach().numpy()
    assert len(np.unique(found, axis=0)) == n


def test_remainders_start_as_wide_as_asked() -> None:
    for std in (1.0, 0.1):
        table = make("compositional.v1", remainder_std=std)
        assert float(table.remainders.detach().std()) == pytest.approx(std, rel=0.2)
    with pytest.raises(ConfigError, match="remainder_std must be above 0"):
        make("compositional.v1", remainder_std=0)


def test_a_larger_budget_gives_more_quotients() -> None:
    sizes = [make("compositional.v1", budget_bytes=b) for b in (8000, 20_000, FULL_BYTES + 5000)]
    assert [len(t.quotients) for t in sizes] == sorted(len(t.quotients) for t in sizes)
    assert len(sizes[-1].quotients) == ROWS


def test_robe_uses_each_number_about_nd_over_m_times() -> None:
    rate = 0.1
    table = tables.create("robe.v1", 5000, 16, budget_bytes=int(rate * 4 * 5000 * 16))
    place = []
    weight = table.weight
    with torch.no_grad():
        weight[:, 0] = torch.arange(len(weight)) + 1
        found = table(torch.arange(5000))
    place = found.abs().long() - 1
    uses = np.bincount(place.reshape(-1).numpy(), minlength=len(weight))
    assert uses.mean() == pytest.approx(5000 * 16 / len(weight))
    assert uses.var() == pytest.approx(uses.mean(), rel=0.15)  # as of independent places
    assert abs((found > 0).float().mean() - 0.5) < 0.01
    assert len(torch.unique(found, dim=0)) == 5000


def test_robe_takes_chunks_of_neighbours() -> None:
    table = make("robe.v1", chunk=4)
    with torch.no_grad():
        table.weight[:, 0] = torch.arange(len(table.weight)) + 1
    place = table(ALL).detach().abs().reshape(ROWS, 4, 4) - 1
    steps = (place[:, :, 1:] - place[:, :, :-1]) % len(table.weight)
    assert (steps == 1).all()


@pytest.mark.parametrize("budget_bytes", [3500, 80_000])
def test_a_tensor_train_is_the_contraction_of_its_cores(budget_bytes: int) -> None:
    table = tables.create("tt_rec.v1", 60, 12, budget_bytes=budget_bytes)
    assert (table.rank > SMALL) == (budget_bytes > 3500)
    form = table.form()
    first, second, third = (form.arrays[k] for k in ("first", "second", "third"))
    rank = table.rank
    (n1, n2, n3), (d1, d2, d3) = table.row_factors, table.dim_factors
    whole = np.einsum(
        "aip,bpjq,cqk->abcijk", first, second.reshape(n2, rank, d2, rank), third
    ).reshape(n1 * n2 * n3, d1 * d2 * d3)
    np.testing.assert_allclose(form.lookup(np.arange(60)), whole[:60], rtol=1e-4, atol=1e-7)
    shuffled = np.random.default_rng(0).permutation(60)
    found = table(torch.from_numpy(shuffled)).detach().numpy()
    np.testing.assert_allclose(found, whole[shuffled], rtol=1e-4, atol=1e-7)
    numbers = sum(p.numel() for p in table.parameters())
    assert numbers == rank * (n1 * d1 + n2 * rank * d2 + n3 * d3)
    assert np.std(form.lookup(np.arange(60))) == pytest.approx(0.01, rel=0.5)


def test_factors() -> None:
    for n in (1, 7, 27, 28, 1000, 265_694):
        assert n <= math.prod(row_factors(n)) <= 1.3 * n + 20
    assert dim_factors(16) == [2, 2, 4] and dim_factors(13) == [1, 1, 13]


def test_dhe_has_no_rows() -> None:
    small, large = (
        tables.create("dhe.v1", n, 16, budget_bytes=60_000) for n in (1000, 1_000_000_000)
    )
    assert abs(small.bytes() - large.bytes()) < 20
    far = torch.tensor([0, 999_999_999])
    assert not torch.equal(*large.eval()(far))
    k, w, d = small.hashes, small.width, 16
    numbers = (k + 1) * w + 4 * (w + 1) * w + (w + 1) * d
    assert small.bytes() == pytest.approx(4 * numbers, rel=0.03)


def test_unified_gives_fields_as_many_hashes_as_asked() -> None:
    table = make("unified.v1", fields=FIELDS, hashes=[1, 2, 4])
    found = rows(table)
    assert table.weight.shape[1] == DIM // 4
    assert not found[:10, 4:].any() and found[:10, :4].any(axis=1).all()
    assert not found[10:100, 8:].any() and found[10:100, 4:8].any(axis=1).all()
    assert found[100:, 12:].any(axis=1).all()
    np.testing.assert_array_equal(table.form().lookup(ALL.numpy()), found)
    with pytest.raises(ConfigError, match="do not divide"):
        make("unified.v1", hashes=3)
    with pytest.raises(ConfigError, match="3 numbers"):
        make("unified.v1", fields=FIELDS, hashes=[1, 2])


# -- sharing that adapts --------------------------------------------------------------------------


def test_adapt_gives_frequent_ids_rows_of_their_own() -> None:
    frequencies = np.random.default_rng(0).permutation(ROWS).astype(float)
    table = make("adapt.v1", frequencies=frequencies, budget_bytes=FULL_BYTES // 4)
    found = rows(table)
    by_rank = found[np.argsort(-frequencies)]
    assert len(np.unique(by_rank[: table.own], axis=0)) == table.own
    assert table.own == pytest.approx(table.shared, abs=1)
    assert make("adapt.v1", share=0.02).own == 20
    assert len(np.unique(by_rank[table.own :], axis=0)) == table.shared
    assert (by_rank[table.own] == by_rank[table.own + table.shared]).all()


def test_mgqe_with_equal_books_is_dpq() -> None:
    dpq = make("dpq.v1", parts=4, bits=6)
    mgqe = make("mgqe.v1", parts=4, bits=6, shorter=0)
    for table in (dpq, mgqe):
        train(table, steps=30)
    np.testing.assert_array_equal(dpq.codes(), mgqe.codes())
    np.testing.assert_array_equal(rows(dpq), rows(mgqe))


def test_mgqe_gives_rare_ids_short_codes() -> None:
    table = make("mgqe.v1", parts=4, bits=6)
    train(table, steps=30)
    codes = table.codes()
    assert codes[:100].max() >= 16 and codes[100:].max() < 16
    dpq = make("dpq.v1", parts=4, bits=6)
    assert dpq.bytes() - table.bytes() == pytest.approx(900 * 4 * 2 / 8, abs=250)


@pytest.mark.parametrize("name", ["dpq.v1", "mgqe.v1"])
def test_codewords_are_used(name: str) -> None:
    table = make(name, parts=4, bits=5)
    train(table, steps=150)
    share, perplexity = table.usage()
    assert share >= 0.95 and perplexity >= (0.7 if name == "dpq.v1" else 0.3)


def test_dpq_goes_straight_through() -> None:
    table = make("dpq.v1", parts=4, bits=4)
    found = table(ALL[:20])
    found.backward(torch.ones_like(found))
    torch.testing.assert_close(table.weight.grad[:20], torch.ones(20, DIM), atol=1e-3, rtol=0)
    codes = table.books.grad
    assert codes.abs().sum() > 0  # from the loss of its own
    assert len(torch.unique(found.detach().view(20, 4, 4)[:, 0], dim=0)) <= 16


def test_dpq_restarts_codewords_that_nobody_uses() -> None:
    table = make("dpq.v1", parts=2, bits=3)
    with torch.no_grad():
        table.books[:, 1:] = 50.0
    for _ in range(200):
        table(ALL[:50])
    assert int(table.restarts) > 0
    assert table.books.detach().abs().max() < 50


def test_dpq_with_keys_and_values() -> None:
    table = make("dpq.v1", variant="sx", parts=4, bits=4)
    losses = train(table, steps=60)
    assert losses[-1] < losses[0]
    assert table.eval()(ALL).shape == (ROWS, DIM)
    np.testing.assert_allclose(table.form().lookup(ALL.numpy()), rows(table), rtol=1e-6)


def test_dedup_keeps_alike_blocks_once() -> None:
    rng = np.random.default_rng(0)
    kinds = rng.standard_normal((10, 64)).astype(np.float32)
    kind = rng.integers(0, 10, 100)
    blocks = kinds[kind] + rng.normal(0, 0.001, (100, 64)).astype(np.float32)
    of = alike_blocks(blocks, 10, 0.01, 0.7, 0)
    assert len(np.unique(of)) == 10
    assert (kind[of] == kind).all()
    tighter = alike_blocks(blocks, 4, 0.01, 0.7, 0)
    assert len(np.unique(tighter)) <= 4


def test_pq_keeps_the_codes_and_trains_the_codewords() -> None:
    table = make("pq.v1", parts=4, bits=5)
    run = Run(table, steps=40)
    with pytest.raises(ConfigError, match="not ready to be exported"):
        table.form()
    run.go(lambda taken: taken == 41)
    codes, books = table.codes(), table.books.detach().clone()
    assert not table.weight.numel() and codes.max() < 32
    run.go()
    np.testing.assert_array_equal(table.codes(), codes)
    assert not torch.equal(table.books, books)
    found = rows(table).reshape(ROWS, 4, DIM // 4)
    words = table.books.detach().numpy()
    np.testing.assert_array_equal(found, words[np.arange(4), codes])


def test_pq_finds_books_that_are_near_the_rows() -> None:
    table = make("pq.v1", parts=8, bits=8)
    with torch.no_grad():
        table.weight.copy_(torch.randn(ROWS, 16, generator=torch.Generator().manual_seed(0)))
    before = table.weight.detach().numpy().copy()
    table.begin_phase("fine-tune")
    assert np.square(rows(table) - before).mean() < 0.03  # of a variance of 1


# -- integers -------------------------------------------------------------------------------------


def test_int8_keeps_directions() -> None:
    vectors = torch.randn(300, 768, generator=torch.Generator().manual_seed(0))
    vectors /= vectors.norm(dim=1, keepdim=True)
    for name, at_least in (("int8.v1", 0.9999), ("int16.v1", 0.99999)):
        table = tables.create(name, 300, 768)
        with torch.no_grad():
            table.weight.copy_(vectors)
        found = torch.from_numpy(table.form().lookup(np.arange(300)))
        cosine = (found * vectors).sum(dim=1) / found.norm(dim=1)
        assert cosine.min() >= at_least


def test_stochastic_rounding_is_right_on_average() -> None:
    table = tables.create("int8.v1", 4000, 4, stochastic=True)
    with torch.no_grad():
        table.weight[:] = torch.tensor([1.0, 0.1234, -0.4567, 0.003])
    found = table.form().lookup(np.arange(4000))
    np.testing.assert_allclose(found.mean(axis=0), [1.0, 0.1234, -0.4567, 0.003], atol=5e-4)
    np.testing.assert_array_equal(found, table.form().lookup(np.arange(4000)))


def test_alpt_has_integers_alone() -> None:
    table = make("alpt.v1")
    assert not list(table.parameters())
    assert {str(b.dtype) for b in table.buffers() if b.ndim == 2} == {"torch.int8"}
    train(table, steps=40)
    assert table.cells.abs().max() <= 127


def test_alpt_moves_scales_by_its_formula() -> None:
    table = tables.create("alpt.v1", 3, 4, scale_rate=0.5, learning_rate=0.0)
    table.cells[:] = torch.tensor([[1, 2, 3, 127]] * 3, dtype=torch.int8)
    table.scales[:] = 0.01
    table.squares[:] = 1.0
    found = table(torch.tensor([1]))
    gradient = torch.tensor([[0.1, -0.2, 0.3, 0.4]])
    found.backward(gradient)
    # Nothing was between two integers, so only the end of the range counts.
    slope = 0.4 * 127 / math.sqrt(4 * 127)
    expected = max(0.01 - 0.5 * slope, 1.27 / 127)
    assert table.scales[1] == pytest.approx(expected)
    assert table.scales[0] == table.scales[2] == pytest.approx(0.01)


def test_alpt_gives_a_row_that_outgrows_its_scale_a_wider_one() -> None:
    table = tables.create("alpt.v1", 3, 4, learning_rate=100.0)
    found = table(torch.tensor([0]))
    found.backward(torch.full((1, 4), -1.0))
    assert table.eval()(torch.tensor(0)).min() > 50


# -- widths ---------------------------------------------------------------------------------------


def test_mde_follows_its_rule() -> None:
    for budget in (FULL_BYTES // 2, FULL_BYTES // 8):
        table = make("mde.v1", fields=FIELDS, budget_bytes=budget)
        assert table.widths[0] == DIM
        assert table.widths == sorted(table.widths, reverse=True)
        assert all(width & (width - 1) == 0 for width in table.widths)
    narrow = make("mde.v1", fields=FIELDS, budget_bytes=FULL_BYTES // 8).widths
    assert narrow[-1] < DIM // 4


def test_autodim_learns_widths_from_validation_batches_alone() -> None:
    table = make("autodim.v1", fields=FIELDS)
    before = {key: t.detach().clone() for key, t in table.named_parameters()}
    run = Run(table, 4, 4)
    changed: dict[str, set[str]] = {"train": set(), "validate": set()}
    for step in run.schedule:
        if step.phase != "search":
            break
        step.update(run.task.loss(run.model, run.task.batch()), run.optimiser)
        if table.widths is None:
            now = {key: t.detach().clone() for key, t in table.named_parameters()}
            changed[step.kind] |= {key for key in now if not torch.equal(now[key], before[key])}
            before = now
    assert changed["validate"] == {"logits"}
    assert "logits" not in changed["train"] and len(changed["train"]) >= 4


def test_autodim_takes_the_likeliest_widths_that_fit() -> None:
    table = make("autodim.v1", fields=FIELDS, budget_bytes=2 * FULL_BYTES)
    with torch.no_grad():
        table.logits[:] = torch.tensor([[0, 3, 0, 0], [0, 0, 0, 9], [0, 0, 5, 0.0]])
    assert table.candidates == [2, 4, 8, 16]
    assert table.chosen_widths() == [4, 16, 8]
    tight = make("autodim.v1", fields=FIELDS, budget_bytes=FULL_BYTES // 4)
    with torch.no_grad():
        tight.logits.copy_(table.logits)
    assert tight.chosen_widths() == [4, 16, 2]
    assert tight.bytes() <= FULL_BYTES // 4


def test_optembed_surrogate_gradient() -> None:
    u = torch.tensor([-1.5, -0.7, -0.1, 0.2, 0.4, 0.9, 3.0], requires_grad=True)
    step = _Step.apply(u)
    step.sum().backward()
    assert step.tolist() == [0, 0, 0, 1, 1, 1, 1]
    torch.testing.assert_close(u.grad, torch.tensor([0, 0.4, 1.6, 1.2, 0.4, 0.4, 0]))


def test_optembed_evolution_finds_widths_that_score_best() -> None:
    table = make(
        "optembed.v1", fields=FIELDS, budget_bytes=2 * FULL_BYTES,
        generations=30, mutations=10, crossovers=10, parents=15,
    )  # fmt: skip
    best = [3, 14, 9]
    for step in table.schedule(steps=1, search_steps=1):
        if step.kind == "score":
            off = sum(abs(w - b) for w, b in zip(table.queue[0], best, strict=True))
            step.report(-off)
        else:
            optimiser = torch.optim.SGD([torch.zeros((), requires_grad=True)], lr=0.1)
            step.update(table(ALL[:5]).square().sum(), optimiser)
    assert sum(abs(w - b) for w, b in zip(table.widths, best, strict=True)) <= 3


def test_optembed_stays_in_the_budget() -> None:
    for budget in (FULL_BYTES // 4, FULL_BYTES // 20):
        table = make("optembed.v1", budget_bytes=budget)
        train(table, steps=8)
        assert table.bytes() <= budget
        assert 0 < sum(table.kept_sizes()) <= ROWS
        gone = ~table.kept.numpy()
        assert not rows(table)[gone].any()


# -- pruning --------------------------------------------------------------------------------------


def test_deeplight_prunes_step_by_step() -> None:
    table = make("deeplight.v1", budget_bytes=FULL_BYTES // 10)
    run = Run(table, 200)
    left = []
    cells = ROWS * DIM

    def count(taken: int) -> bool:
        held = table.weight if table.mask is None else table.weight * table.mask
        left.append(int((held != 0).sum()))
        return False

    run.go(count)
    assert left[18] == cells and left[-1] <= table.values
    pruned = left[29::10]
    assert all(a >= b for a, b in pairwise(pruned[:13]))
    share = (cells - pruned[0]) / (cells - table.values)
    assert share == pytest.approx(1 - 0.001 ** (10 / 140), abs=0.02)


def test_autosrh_gates_stay_between_0_and_1_and_are_folded_in() -> None:
    table = make("autosrh.v1", fields=FIELDS)
    run = Run(table, 10, 20)
    seen = []
    with torch.no_grad():
        table.alpha.fill_(0.5)
    for step in run.schedule:
        if step.renewed:
            run.model = Model(table)
            run.optimiser = run.optimiser_of(run.model)
        step.update(run.task.loss(run.model, run.task.batch()), run.optimiser)
        if step.phase == "search":
            seen.append((step.kind, table.alpha.detach().clone()))
    for (_, before), (kind, after) in pairwise(seen):
        assert torch.equal(before, after) == (kind == "train")
        assert after.min() >= 0 and after.max() <= 1
    assert (table.alpha == 1).all()
    assert int((table.weight * table.mask != 0).sum()) <= table.values


def test_pep_starts_without_pruning_and_ends_at_the_budget() -> None:
    for granularity in ("table", "row", "column", "element"):
        table = make("pep.v1", granularity=granularity, budget_bytes=FULL_BYTES // 10)
        first = table.weight.detach().clone()
        np.testing.assert_allclose(rows(table), first.numpy(), atol=1e-4)
        table.train()
        run = Run(table, 1, 30).go(lambda taken: taken == 30)
        assert run.taken == 30
        next(iter(run.schedule))
        assert int(table.mask.sum()) == table.values
        assert torch.equal(table.weight.detach(), first * table.mask)


@pytest.mark.parametrize("name", ["deeplight.v1", "pep.v1", "autosrh.v1"])
def test_pruned_tables_count_places_as_well(name: str) -> None:
    for part in (2, 10, 100):
        table = make(name, rows=5000, budget_bytes=4 * 5000 * DIM // part)
        assert 4 * table.values < table.bytes() <= 4 * 5000 * DIM // part
        assert table.mapped == (part < 100)


# -- numbers of fewer bits ------------------------------------------------------------------------

NUMBERS = ("autodim.v1", "autosrh.v1", "deeplight.v1", "mde.v1", "optembed.v1", "pep.v1")


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("bits", [16, 8])
def test_numbers_of_fewer_bits(name: str, bits: int, tmp_path: Any) -> None:
    budget = FULL_BYTES // 5
    whole, table = (make(name, budget_bytes=budget, bits=b) for b in (32, bits))
    train(table, steps=12)
    table.eval().export(tmp_path / "t.table")
    form = tables.load(tmp_path / "t.table")
    np.testing.assert_allclose(form.lookup(ALL.numpy()), rows(table), rtol=1e-5, atol=1e-7)
    kept = form.arrays["values" if "values" in form.arrays else "cells"]
    assert kept.dtype.itemsize == bits // 8
    assert table.bytes() <= budget
    train(whole, steps=12)
    before = whole.arrays()["values" if "values" in form.arrays else "cells"]
    if name not in ("optembed.v1", "autodim.v1"):  # those may stay far below their budget
        assert len(kept) > 1.3 * len(before)


def test_numbers_have_as_many_bits_as_there_are_dtypes() -> None:
    for name in NUMBERS:
        with pytest.raises(ConfigError, match="bits must be 32, 16 or 8, not 4"):
            make(name, bits=4)


def test_rounding_follows_the_weights() -> None:
    table = make("mde.v1", bits=8).eval()
    before = rows(table)
    with torch.no_grad():
        for part in table.tables:
            part *= 3
    np.testing.assert_allclose(rows(table), 3 * before, rtol=1e-5)


# -- what is common -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mgqe.v1", "adapt.v1", "autosrh.v1", "mde.v1", "autodim.v1"])
def test_methods_that_need_frequencies_say_so(name: str) -> None:
    with pytest.raises(ConfigError, match="frequencies="):
        make(name, frequencies=None)


@pytest.mark.parametrize("name", ["int8.v1", "int16.v1", "alpt.v1"])
def test_integers_cannot_be_smaller_than_integers(name: str) -> None:
    with pytest.raises(BudgetError, match="takes"):
        make(name, budget_bytes=FULL_BYTES // 10)


def test_the_task_of_these_tests_can_be_learned() -> None:
    table = make("full.v1")
    losses = train(table, steps=300)
    assert losses[-1] < 0.3 * losses[0]
    assert Task(10, 2).targets.shape == (10, 2)
