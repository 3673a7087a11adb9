"""Which level is used, and what is said when there is no choice."""

import os
import subprocess
import sys

import pytest

from bigrain import kernels
from tests.kernels.levels import NATIVE

FIRST_USE = (
    "import numpy as np; from bigrain import kernels as k; k.row_checksums(np.zeros((1, 4), 'u1'))"
)
WITHOUT_NATIVE = "import sys; sys.modules['bigrain.kernels._native'] = None; "


def run(code: str, level: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k != "BIGRAIN_KERNELS"}
    if level is not None:
        environment["BIGRAIN_KERNELS"] = level
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize("name", kernels.available_levels())
def test_the_environment_chooses(name: str) -> None:
    result = run(f"{FIRST_USE}; print(k.level())", name)
    assert result.stdout.strip() == name and not result.stderr


def test_the_best_level_is_the_default() -> None:
    result = run(f"{FIRST_USE}; print(k.level())")
    assert result.stdout.strip() == kernels.available_levels()[-1]


def test_an_unknown_level_is_answered_with_those_available() -> None:
    result = run(FIRST_USE, "sse9")
    assert "BIGRAIN_KERNELS=sse9" in result.stderr and "reference" in result.stderr
    assert "ConfigError" in result.stderr


def test_without_the_native_module_one_warning_at_first_use() -> None:
    again = "; k.row_checksums(np.zeros((1, 4), 'u1')); print(k.level())"
    result = run(WITHOUT_NATIVE + FIRST_USE + again)
    assert result.stdout.strip() == "reference"
    assert result.stderr.count("UserWarning") == 1
    assert not run(WITHOUT_NATIVE + "import bigrain.kernels").stderr
    assert not run(WITHOUT_NATIVE + FIRST_USE, "reference").stderr


@pytest.mark.skipif(not NATIVE, reason="the native module is not installed")
def test_kernels_run_without_the_interpreter_lock() -> None:
    code = """
import threading, time
import numpy as np
from bigrain.kernels.levels import available_levels, kernels
k = kernels("baseline")
blocks, luts = np.zeros((4000, 96, 16), "u1"), np.zeros((1, 96, 16), "u1")
one = np.ones(1, "f4")
started = threading.Event()
def work():
    started.set()
    k.scan_lists(
        blocks, np.array([0, 128000]), luts, one, one, np.ones(128000, "f2"), None, None,
        np.array([0, 1]), np.zeros(1, "i4"), one, 1,
    )
thread = threading.Thread(target=work)
thread.start()
started.wait()
steps = 0
while thread.is_alive():
    steps += 1
print(steps > 100)
"""
    assert run(code).stdout.strip() == "True"
