"""What every method promises: shapes, bytes, files, gradients, seeds, errors."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from bigrain import tables  # noqa: E402
from bigrain.errors import BudgetError, ConfigError, DamagedError, InvalidInputError  # noqa: E402
from tests.tables.making import DIM, ROWS, make  # noqa: E402
from tests.tables.training import train  # noqa: E402

torch.set_num_threads(1)
NAMES = tables.names()
every = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(scope="module")
def trained() -> dict[str, Any]:
    """Each method after the whole of a short schedule, made when it is first asked for."""

    class Trained(dict):  # type: ignore[type-arg]
        def __missing__(self, name: str) -> Any:
            table = make(name)
            train(table, steps=12)
            self[name] = table.eval()
            return self[name]

    return Trained()


@every
def test_ids_of_any_shape(name: str) -> None:
    table = make(name)
    ids = torch.arange(24).reshape(2, 3, 4)
    assert table(ids).shape == (2, 3, 4, DIM)
    assert table(torch.tensor(5)).shape == (DIM,)
    assert table(torch.empty(0, 7, dtype=torch.int64)).shape == (0, 7, DIM)
    table.eval()
    flat = table(ids.reshape(-1))
    assert torch.equal(table(ids).reshape(-1, DIM), flat)
    assert torch.equal(table(ids.int()).reshape(-1, DIM), flat)


@every
def test_the_file_is_as_long_as_bytes_says_and_within_the_budget(
    name: str, trained: Any, tmp_path: Path
) -> None:
    table = trained[name]
    written = table.export(tmp_path / "t.table")
    assert written == (tmp_path / "t.table").stat().st_size
    assert written <= table.bytes() <= 1.01 * written
    assert table.bytes() <= table.spec.budget_bytes
    assert sorted(p.name for p in tmp_path.iterdir()) == ["t.table"]


@every
@pytest.mark.parametrize("mmap", [True, False])
def test_numpy_gives_the_rows_of_torch(name: str, mmap: bool, trained: Any, tmp_path: Path) -> None:
    table = trained[name]
    table.export(tmp_path / "t.table")
    loaded = tables.load(tmp_path / "t.table", mmap=mmap)
    ids = np.random.default_rng(0).integers(0, ROWS, (3, 50))
    with torch.no_grad():
        expected = table(torch.from_numpy(ids)).numpy()
    found = loaded.lookup(ids)
    assert found.dtype == np.float32 and found.shape == (3, 50, DIM)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    one_by_one = np.stack([loaded.lookup(i) for i in ids[0]])
    np.testing.assert_allclose(one_by_one, found[0], rtol=1e-4, atol=1e-6)
    assert np.ptp(found, axis=1).max() > 0  # not all rows alike


@every
def test_a_seed_decides_everything(name: str) -> None:
    ids = torch.arange(ROWS)
    rows = []
    for seed in (3, 3, 4):
        table = make(name, seed=seed)
        train(table, steps=6)
        rows.append(table.eval()(ids).detach())
    assert torch.equal(rows[0], rows[1])
    assert not torch.equal(rows[0], rows[2])


@every
def test_training_lowers_the_loss(name: str) -> None:
    table = make(name)
    losses = train(table, steps=40)
    assert np.mean(losses[-5:]) < 0.95 * losses[0]


@every
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_gradients_that_are_not_finite_are_refused(name: str, value: float) -> None:
    table = make(name)
    before = {key: t.clone() for key, t in table.named_parameters()}
    rows = table(torch.arange(8))
    with pytest.raises(InvalidInputError, match="not finite"):
        rows.backward(torch.full_like(rows, value))
    assert all(torch.equal(before[key], t) for key, t in table.named_parameters())


@every
def test_ids_out_of_range_are_refused(name: str, trained: Any) -> None:
    table, form = trained[name], trained[name].form()
    for odd in (-1, ROWS):
        with pytest.raises(InvalidInputError, match=f"from 0 to {ROWS - 1}"):
            table(torch.tensor([0, odd]))
        with pytest.raises(InvalidInputError, match=f"from 0 to {ROWS - 1}"):
            form.lookup([0, odd])
    with pytest.raises(InvalidInputError, match="whole numbers"):
        table(torch.tensor([0.5]))
    with pytest.raises(InvalidInputError, match="whole numbers"):
        form.lookup([0.5])


@every
def test_an_impossible_budget_names_the_smallest(name: str) -> None:
    with pytest.raises(BudgetError) as caught:
        make(name, budget_bytes=100)
    smallest = int(str(caught.value).split("takes ")[1].split()[0].replace(",", ""))
    table = make(name, budget_bytes=smallest)
    train(table, steps=2)
    assert table.bytes() <= smallest
    with pytest.raises(BudgetError):
        make(name, budget_bytes=smallest - 1)


@every
def test_a_damaged_file_is_refused(name: str, trained: Any, tmp_path: Path) -> None:
    path = tmp_path / "t.table"
    trained[name].export(path)
    whole = path.read_bytes()
    rng = np.random.default_rng(1)
    for at in rng.integers(0, len(whole), 10):
        broken = bytearray(whole)
        broken[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(broken)
        try:
            rows = tables.load(path).lookup(np.arange(ROWS))
        except DamagedError:
            continue
        np.testing.assert_array_equal(rows, trained[name].form().lookup(np.arange(ROWS)))
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DamagedError):
        tables.load(path)


def test_settings_are_checked_at_the_door() -> None:
    for changes, said in (
        ({"frequencies": [1.0, 2.0]}, r"shape \(1000,\), not \(2,\)"),
        ({"frequencies": [float("nan")] * ROWS}, "finite"),
        ({"frequencies": [-1.0] * ROWS}, "at least 0"),
        ({"frequencies": "rising"}, "falling"),
        ({"fields": [1, 2]}, "3 rows in all"),
        ({"fields": [0, 1000]}, "rows of a field"),
        ({"rows": 0}, "num_embeddings"),
        ({"dim": 2.5}, "whole number"),
        ({"budget_bytes": -1}, "budget_bytes"),
        ({"seed": -1}, "seed"),
        ({"ranks": 2}, "has no option 'ranks'"),
    ):
        with pytest.raises(ConfigError, match=said):
            make("hash.v1", **changes)
    with pytest.raises(ConfigError, match=r"full\.v1"):
        tables.create("nothing.v1", 10, 4)


@every
def test_ids_in_any_order_of_frequency(name: str, tmp_path: Path) -> None:
    frequencies = np.random.default_rng(5).permutation(ROWS).astype(float)
    table = make(name, frequencies=frequencies)
    train(table, steps=8)
    table.eval().export(tmp_path / "t.table")
    loaded = tables.load(tmp_path / "t.table")
    with torch.no_grad():
        expected = table(torch.arange(ROWS)).numpy()
    np.testing.assert_allclose(loaded.lookup(np.arange(ROWS)), expected, rtol=1e-4, atol=1e-6)
    assert table.bytes() <= table.spec.budget_bytes


def test_nothing_but_numpy_is_needed_to_look_up(trained: Any, tmp_path: Path) -> None:
    for name in NAMES:
        trained[name].export(tmp_path / name)
    script = (
        "import sys; sys.modules['torch'] = None\n"
        "import bigrain\n"
        "from pathlib import Path\n"
        f"for path in sorted(Path({str(tmp_path)!r}).iterdir()):\n"
        f"    assert bigrain.tables.load(path).lookup([[0, 5]]).shape == (1, 2, {DIM})\n"
        "try:\n"
        "    bigrain.tables.create('full.v1', 10, 4)\n"
        "except bigrain.MissingExtraError as error:\n"
        "    print(error)\n"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "pip install 'bigrain[learn]'" in run.stdout, run.stderr
