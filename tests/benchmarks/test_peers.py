"""The comparison with other indexes still runs, on bigrain alone, and computes what it says."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks" / "dense"


def load(name):
    spec = importlib.util.spec_from_file_location(f"peers_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def report():
    return load("report")


def unit(rng, *shape):
    rows = rng.normal(size=shape).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_the_script_measures_bigrain(tmp_path):
    rng = np.random.default_rng(1)
    vectors = unit(rng, 2000, 32)
    np.save(tmp_path / "X.npy", vectors)
    np.save(tmp_path / "Q.npy", unit(rng, 40, 32))
    n = 2000
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- out: written by dense/peers.py -->\nold\n"
                      "<!-- end of out -->\nafter\n")  # fmt: skip
    command = [
        sys.executable, FOLDER / "peers.py", "--vectors", tmp_path / "X.npy",
        "--queries", tmp_path / "Q.npy", "--n", str(n), "--asked", "40", "--singles", "5",
        "--systems", "bigrain", "--threads", "1", "--build-threads", "1", "--repeats", "1",
        "--cache", tmp_path / "cache", "--out", tmp_path / "out.json", "--readme", readme,
    ]  # fmt: skip
    env = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    done = subprocess.run([str(c) for c in command], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    system = json.loads((tmp_path / "out.json").read_text())["systems"]["bigrain"]
    points = system["threads"]["1"]["points"]
    assert [p["setting"]["recall"] for p in points] == [0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995]
    assert points[-1]["recall"] >= 0.97 and points[-1]["recall10@100"] >= 0.97
    assert system["build"]["cpu_s"] > 0 and system["build"]["index_bytes"] > n * 64
    assert points[0]["batch"]["cpu_us"] > 0 and "single search()" in points[0]
    text = readme.read_text()
    assert text.startswith("before") and text.endswith("after\n") and "old" not in text
    assert "| bigrain |" in text
    cached = np.load(tmp_path / "cache" / f"truth-{n}-40.npy")
    scores = np.load(tmp_path / "Q.npy") @ vectors.T
    np.testing.assert_array_equal(cached[:, 0], scores.argmax(axis=1))


def test_speed_at_a_recall_is_interpolated_on_the_frontier(report):
    points = [(0.9, 1000.0), (0.8, 500.0), (0.98, 100.0)]
    assert report.frontier(points) == [(0.9, 1000.0), (0.98, 100.0)]
    assert report.at(points, 0.94) == pytest.approx(1000.0 * 10**-0.5)
    assert report.at(points, 0.5) == 1000.0
    assert report.at(points, 0.99) is None


def test_unknown_systems_and_half_a_data_set_are_refused(tmp_path):
    env = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    for wrong, said in ((["--systems", "nosuch"], "nosuch"), (["--vectors", "x"], "go together")):
        done = subprocess.run([sys.executable, str(FOLDER / "peers.py"), *wrong], env=env,
                              capture_output=True, text=True)  # fmt: skip
        assert done.returncode == 2 and said in done.stderr
