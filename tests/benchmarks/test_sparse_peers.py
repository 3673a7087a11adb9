"""The comparison of sparse indexes still runs, on bigrain alone, and holds it against the truth."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks" / "sparse"
WORDS = [f"{a}{b}" for a in "bdfgklmnprst" for b in ("ano", "ebi", "ilu", "oka", "uri")]


def load(name):
    spec = importlib.util.spec_from_file_location(f"sparse_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def reference():
    return load("reference")


def text(rng, n):
    return " ".join(WORDS[i] for i in rng.zipf(1.3, n) % len(WORDS))


def vectors(rng, n, per_row, width=60):
    columns = np.sort(np.argsort(rng.random((n, width)), axis=1)[:, :per_row], axis=1)
    return {
        "data": rng.gamma(1.5, 0.5, n * per_row).astype(np.float32) + 0.01,
        "indices": columns.ravel().astype(np.int32),
        "indptr": np.arange(0, n * per_row + 1, per_row),
        "shape": np.array([n, width]),
    }


def run(tmp_path, *more):
    command = [
        sys.executable, FOLDER / "peers.py", "--n", "500", "--n-learned", "500", "--asked", "30",
        "--singles", "5", "--repeats", "1", "--judged", "", "--cache", tmp_path / "cache",
        "--out", tmp_path, "--readme", tmp_path / "README.md", *more,
    ]  # fmt: skip
    env = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    return subprocess.run([str(c) for c in command], env=env, capture_output=True, text=True)


def test_the_script_measures_words(tmp_path):
    rng = np.random.default_rng(4)
    (tmp_path / "texts").write_text("".join(f"{text(rng, 12)}\n" for _ in range(500)))
    (tmp_path / "asked").write_text("".join(f"{text(rng, 3)}\n" for _ in range(30)))
    marker = "<!-- sparse-lexical-500: written by sparse/peers.py -->"
    end = "<!-- end of sparse-lexical-500 -->"
    (tmp_path / "README.md").write_text(f"before\n{marker}\nold\n{end}\nafter\n")
    done = run(tmp_path, "--tracks", "lexical", "--systems", "bigrain",
               "--texts", tmp_path / "texts", "--queries", tmp_path / "asked")  # fmt: skip
    assert done.returncode == 0, done.stderr
    system = json.loads((tmp_path / "lexical-500.json").read_text())["systems"]["bigrain"]
    assert [(p["queries"], p["k"]) for p in system["points"]] == [("own", 10), ("own", 100)]
    assert all(p["agreement"] == 1 and p["batch"]["cpu_us"] > 0 for p in system["points"])
    assert 0 < system["build"]["index_bytes"] < system["build"]["folder_bytes"]
    page = (tmp_path / "README.md").read_text()
    assert page.startswith("before") and page.endswith("after\n") and "old" not in page
    assert "| bigrain |" in page


def test_the_script_measures_vectors(tmp_path):
    rng = np.random.default_rng(5)
    kept = {"documents": vectors(rng, 500, 12), "queries": vectors(rng, 30, 5)}
    arrays = {f"{name}_{part}": a for name, parts in kept.items() for part, a in parts.items()}
    np.savez(tmp_path / "vectors.npz", **arrays)
    done = run(tmp_path, "--tracks", "learned", "--systems", "bigrain,scipy-csr",
               "--vectors", tmp_path / "vectors.npz")  # fmt: skip
    assert done.returncode == 0, done.stderr
    systems = json.loads((tmp_path / "learned-500.json").read_text())["systems"]
    assert set(systems) == {"bigrain", "scipy-csr"}
    assert systems["scipy-csr"]["points"][0]["agreement"] == 1
    last = systems["bigrain"]["points"][-1]
    assert last["setting"] == {"recall": 1.0} and last["agreement"] == 1
    assert "bigrain beside scipy-csr" in done.stdout


def test_unknown_systems_and_half_a_data_set_are_refused(tmp_path):
    for wrong, said in (
        (["--systems", "nosuch"], "nosuch"),
        (["--tracks", "dense"], "dense"),
        (["--texts", "x"], "go together"),
    ):
        done = run(tmp_path, *wrong)
        assert done.returncode == 2 and said in done.stderr


def test_the_reference_is_lucenes_formula(reference):
    scorer = reference.Bm25(["red fish red", "blue fish", "a green bird sings"], "en")
    scores = scorer.scores("red red fishes")
    mean = (3 + 2 + 3) / 3

    def part(tf, df, length):
        return (
            math.log(1 + (3 - df + 0.5) / (df + 0.5))
            * tf
            / (tf + 1.2 * (0.25 + 0.75 * length / mean))
        )

    assert scores == pytest.approx([2 * part(2, 1, 3) + part(1, 2, 3), part(1, 2, 2), 0])


def test_documents_tied_with_the_last_agree(reference, tmp_path):
    scores = [np.array([3.0, 1.0, 2.0, 2.0, 2.0]), np.zeros(5)]
    reference.save_truth(tmp_path / "truth.npz", scores, (2,))
    truth = np.load(tmp_path / "truth.npz")
    assert truth["2_must"].tolist() == [1, 0] and truth["2_do"].tolist() == [2, 0]
    for found, share in (([0, 4], 1.0), ([2, 0], 1.0), ([2, 3], 0.5), ([0, 1], 0.5), ([], 0.0)):
        assert reference.agreement([found, []], truth, 2) == share


def test_scores_that_differ_from_a_fresh_build_fail(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path, str(FOLDER)])
    incremental = load("incremental")
    fresh = np.array([[3.0, 2.0, -np.inf]])
    assert incremental.difference(fresh * (1 + 1e-7), fresh) < 1e-5
    with pytest.raises(ValueError, match="differ"):
        incremental.difference(fresh * 1.001, fresh)
    with pytest.raises(ValueError, match="numbers of documents"):
        incremental.difference(np.array([[3.0, 2.0, 1.0]]), fresh)
