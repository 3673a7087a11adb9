"""Which runtime works for "auto", chosen so that choosing costs no more than it can save.

torch begins. Measuring the others takes some seconds (they have to be compiled), so it waits until
torch itself has worked for `PATIENCE` seconds: few texts never pay for it, and many pay at most
about twice what the best order would have cost (the ski-rental rule). What was chosen is kept in
the user's cache folder for this machine, these libraries and this shape of network; then only
compiling remains, after `PATIENCE_KNOWN` seconds.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import random
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bigrain.encoders.transformer import runtimes
from bigrain.encoders.transformer.runtimes import Floats, Ids

__all__ = ["Runner"]

PATIENCE = 20.0  # seconds
PATIENCE_KNOWN = 4.0
MEASURED = 3  # batches, a sample of those that came
TOKENS = 1024  # at most, of each
LIBRARIES = ("torch", "openvino", "onnxruntime", "transformers")
FILE = "runtimes.json"


class Runner:
    """(ids, mask) to the network's outputs. `name` is a runtime or "auto"; `shape` says what the
    network is, for the cache; `load` makes it."""

    def __init__(
        self, name: str, load: Callable[[], Any], threads: int | None, shape: object
    ) -> None:
        self.name, self._load, self._threads, self._shape = name, load, threads, shape
        self.chosen = ""
        self.measurements: dict[str, tuple[float, float]] = {}
        self._run: runtimes.Run | None = None
        self._network: Any = None
        self._settled = name != "auto"
        self._others: list[str] | None = None  # than torch; None before they were looked for
        self._spent = 0.0
        self._sample: list[tuple[Ids, Ids]] = []
        self._batches = 0
        self._random = random.Random(0)
        self._lock = threading.RLock()

    @property
    def network(self) -> Any:
        with self._lock:
            if self._network is None:
                self._network = self._load()
            return self._network

    def __call__(self, ids: Ids, mask: Ids) -> list[Floats]:
        run = self._ready()
        began = time.perf_counter()
        outputs = run(ids, mask)
        if not self._settled:
            with self._lock:
                self._spent += time.perf_counter() - began
                self._keep(ids, mask)
        return outputs

    def _keep(self, ids: Ids, mask: Ids) -> None:
        """Every batch is as likely to stay in the sample (reservoir sampling)."""
        self._batches += 1
        place = self._random.randrange(self._batches)
        if len(self._sample) < MEASURED:
            place = len(self._sample)
            self._sample.append((ids, mask))
        if place < MEASURED:
            rows = max(1, TOKENS // ids.shape[1])
            self._sample[place] = ids[:rows].copy(), mask[:rows].copy()

    def _ready(self) -> runtimes.Run:
        with self._lock:
            if self._run is None:
                self._take("torch" if self.name == "auto" else self.name)
            if not self._settled and self._sample and self._spent >= PATIENCE_KNOWN:
                self._choose()
            assert self._run is not None
            return self._run

    def _take(self, name: str) -> None:
        self._run = runtimes.make_runtime(name, self.network, self._threads)
        self.chosen = name

    def _choose(self) -> None:
        if self._others is None:
            self._others = [name for name in runtimes.candidates() if name != "torch"]
            known = _remembered().get(self._key())
            if not self._others or known == "torch":
                self._settle()
            elif known in self._others:
                try:
                    self._take(known)
                except Exception as error:  # of the runtime, which torch makes up for
                    warnings.warn(f"{known} cannot run this model: {error}", stacklevel=2)
                self._settle()
        if not self._settled and self._spent >= PATIENCE:
            self.chosen, self._run, self.measurements = runtimes.quickest(
                self.network, self._sample, self._threads
            )
            _remember(self._key(), self.chosen)
            self._settle()

    def _settle(self) -> None:
        self._settled, self._sample = True, []

    def _key(self) -> str:
        told = [platform.machine(), _processor(), os.cpu_count(), self._threads, self._shape]
        told += [_version(library) for library in LIBRARIES]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:24]


def _processor() -> str:
    """Its name and what it can do, as far as the system tells."""
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return "".join(sorted({x for x in lines if x.startswith(("model name", "flags"))}))
    return platform.processor()


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return ""


# -- what was chosen before ---------------------------------------------------------------------


def _cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    return (Path(home) if home else Path.home() / ".cache") / "bigrain" / FILE


def _remembered() -> dict[str, str]:
    """{} where nothing can be read: it is a cache."""
    with suppress(OSError, ValueError, RuntimeError):
        told = json.loads(_cache().read_text(encoding="utf-8"))
        if isinstance(told, dict):
            return told
    return {}


def _remember(key: str, name: str) -> None:
    with suppress(OSError, RuntimeError):
        file = _cache()
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", dir=file.parent, prefix=FILE, delete=False, encoding="utf-8"
        ) as draft:
            json.dump(_remembered() | {key: name}, draft)
        os.replace(draft.name, file)
