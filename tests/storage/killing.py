"""A writer that is killed at random moments while readers in other processes look on.

    nursery   a warm process that forks a writer when it is told to, so that a round costs little
    writer    changes every family of field, and acknowledges each commit on a pipe
    reader    opens, refreshes and reads all the time, and tells which snapshot was in which state

A row of a field holds a version number that can be read back exactly, so an observation (id -> text
and one version a field) shows each grain of a document. The parent keeps account of what was
acknowledged, and holds what it finds after each kill, and what readers saw, against it.
"""

from __future__ import annotations

import bisect
import hashlib
import json
import mmap
import os
import random
import select
import signal
import subprocess
import sys
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import bigrain
from bigrain.testing import FaultyFiles
from tests.collection.making import as_csr, as_ragged

SOURCE = Path(bigrain.__file__).parents[1]
FIELDS: dict[str, Any] = {
    "lex": bigrain.LexicalField(),
    "sub": bigrain.SubstringField(),
    "vec": bigrain.DenseField(dim=8, light_bytes=1, metric="ip"),
    "imp": bigrain.SparseField(),
    "tok": bigrain.MultiVectorField(dim=4, heavy="float32"),
}
VECTORS = ("vec", "imp", "tok")
ASKED: dict[str, Any] = {"vec": np.eye(8)[0], "imp": {0: 1.0}, "tok": np.eye(4)[:1]}
COMMITS = (0, 0, 0, 1, 1, 2, 5)  # how many a writer may live for
IDS, VERSIONS = 40, 2000  # versions below 2048 are exact in float16
PHASE_BYTES = 64

State = dict[str, list[Any]]  # id -> [text, version in vec, in imp, in tok]


# -- what is written, and how it is read back -----------------------------------------------------


def row(name: str, version: int, rng: np.random.Generator) -> Any:
    """A row whose score for ASKED is the version."""
    if name == "imp":
        return {0: float(version), int(rng.integers(1, 20)): 1.0}
    if name == "vec":
        return np.concatenate(([version], rng.standard_normal(7))).astype(np.float32)
    tokens = rng.standard_normal((int(rng.integers(1, 4)), 4)).astype(np.float32)
    tokens[:, 0] = -1
    tokens[-1, 0] = version
    return tokens


def observe(col: bigrain.Collection) -> State:
    """Everything a snapshot says, from both grains of every field."""
    state: State = {str(d.id): [d.text] for d in col.documents()}
    assert len(state) == len(col), f"{len(state)} documents, {len(col)} counted"
    found = {hit.id for hit in col.search("every", k=IDS * 2, fields="lex")}
    assert found == set(state), f"words of {sorted(found ^ set(state))} are there or not there"
    held = {d.id: d.count for d in col.occurrences("every", limit=IDS * 2).documents}
    assert held == {i: text.count("every") for i, (text,) in state.items()}, "substrings differ"
    for name in VECTORS:
        hits = {h.id: h for h in col.search(ASKED[name], k=IDS * 2, fields=name, recall=1.0)}
        assert set(hits) == set(state), f"{name}: rows of {sorted(set(hits) ^ set(state))}"
        for identifier, known in state.items():
            known.append(round(hits[identifier].score))
            assert known[-1] == hits[identifier].score, (name, identifier, hits[identifier].score)
    return state


def digest(state: State) -> str:
    return hashlib.blake2b(json.dumps(state, sort_keys=True).encode(), digest_size=8).hexdigest()


def changed(state: State, change: dict[str, Any]) -> State:
    """The state after a change."""
    after = {i: list(s) for i, s in state.items()}
    for identifier, text in change["put"].items():
        after[identifier] = [text, change["version"], change["version"], change["version"]]
    for name, ids in change["vectors"].items():
        for identifier in ids:
            after[identifier][1 + VECTORS.index(name)] = change["version"]
    return {i: s for i, s in after.items() if i not in change["gone"]}


# -- the writer -----------------------------------------------------------------------------------


class Telling(FaultyFiles):
    """Keeps the running operation where the parent can read it after the kill."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        with open(path, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), PHASE_BYTES)
        self.step_now = "open"

    def fails(self, operation: str) -> bool:
        words = operation.split()
        kind = " ".join(words[:2]) if words[0] == "sql" else words[0]
        self.map[:] = f"{self.step_now}: {kind}".encode()[:PHASE_BYTES].ljust(PHASE_BYTES)
        return False


def tell(*message: Any) -> None:
    os.write(1, json.dumps(message).encode() + b"\n")


def write(path: Path, seed: int, phases: Path) -> None:
    """Change, commit, acknowledge; again and again until killed."""
    rng = np.random.default_rng(seed)
    files = Telling(phases)
    col = bigrain.open(path, files=files)
    for step in range(10_000):
        version = int(rng.integers(1, VERSIONS))
        put = [f"d{i}" for i in rng.choice(IDS, int(rng.integers(1, 9)), replace=False)]
        known = sorted(str(d.id) for d in col.documents() if d.id not in put)
        rng.shuffle(known)
        gone, rest = known[: len(known) // 6], known[len(known) // 6 :]
        change = {
            "put": {i: f"every {rng.choice(['silo', 'moon', 'ink'])} {version}" for i in put},
            "version": version,
            "vectors": {name: rest[j : j + 2] for j, name in enumerate(VECTORS)},
            "gone": gone,
        }
        files.step_now = "add"
        col.add([{"id": i, "text": t} for i, t in change["put"].items()])
        tell("trying", col.snapshot + 1, change)
        files.step_now = "add_vectors"
        for name in VECTORS:
            ids = [*put, *change["vectors"][name]]
            rows = [row(name, version, rng) for _ in ids]
            given = {"vec": np.array, "imp": as_csr, "tok": as_ragged}[name](rows)
            col.add_vectors(name, ids, given)
        files.step_now = "delete"
        col.delete(gone)
        files.step_now = "commit"
        tell("done", col.commit())
        if step % 4 == 3:
            files.step_now = "compact"
            col.compact()
        if step % 8 == 7:
            files.step_now = "close"
            col.close()
            files.step_now = "open"
            col = bigrain.open(path, files=files)


def nurse(path: Path, phases: Path) -> None:
    """Fork a writer for every seed on standard input; say when it is dead."""
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            try:
                write(path, int(line), phases)
            except BaseException:
                tell("error", traceback.format_exc())
            finally:
                os._exit(1)
        tell("born", pid)
        os.waitpid(pid, 0)
        tell("dead")


# -- readers --------------------------------------------------------------------------------------


def read(path: Path, pause: float) -> None:
    """Look until standard input ends; tell (snapshot, digest) whenever it is another one."""
    told: tuple[int, str] | None = None
    looks = newest = 0
    col, kept = bigrain.open(path, read_only=True), bigrain.open(path, read_only=True)
    before = observe(kept)
    while not select.select([sys.stdin], [], [], pause)[0]:
        looks += 1
        try:
            col.refresh()
            now = col.snapshot, digest(observe(col))
            if now[0] < newest:
                tell("torn", f"snapshot {now[0]} was seen after {newest}")
            newest = now[0]
            if now != told:
                tell("saw", *now)
                told = now
            if looks % 10 == 0:  # an older handle has not moved
                if observe(kept) != before:
                    tell("torn", f"the handle at snapshot {kept.snapshot} changed its answers")
                kept.close()
                kept, before = col, observe(col)
                col = bigrain.open(path, read_only=True)
            if looks % 50 == 0 and not (report := col.verify()).ok:
                tell("torn", report.summary())
        except AssertionError as error:
            tell("torn", f"snapshot {col.snapshot}: {error}")
        except BaseException:
            tell("error", traceback.format_exc())
    tell("looks", looks)


# -- the parent -----------------------------------------------------------------------------------


@dataclass
class Figures:
    """What a run of kills came to."""

    rounds: int = 0
    acknowledged: int = 0
    in_flight_kept: int = 0  # killed between publishing and acknowledging
    looks: int = 0
    snapshots_seen: int = 0
    lost: list[str] = field(default_factory=list)
    torn: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    killed_during: Counter[str] = field(default_factory=Counter)


class Arena:
    """One collection, its nursery and its readers. `with` ends all processes."""

    def __init__(self, folder: Path, seed: int, *, readers: int = 2, pause: float = 0.04) -> None:
        self.path, self.phases = folder / "docs.grain", folder / "phase"
        self.rng = random.Random(seed)
        self.pace = 0.05  # seconds from one commit to the next, as measured
        self.figures = Figures()
        self.phases.write_bytes(bytes(PHASE_BYTES))
        bigrain.create(self.path, FIELDS).close()
        self.state: State = {}
        self.numbers, self.digests = [0], [digest({})]  # from which snapshot on which state holds
        self.logs = [folder / f"reader-{i}" for i in range(readers)]
        self.nursery = self._start("nurse", self.path, self.phases, stdout=subprocess.PIPE)
        self.readers = [
            self._start("read", self.path, pause, stdout=log.open("wb")) for log in self.logs
        ]

    def _start(self, *arguments: object, stdout: Any) -> subprocess.Popen[bytes]:
        root = str(Path(__file__).parents[2])
        return subprocess.Popen(
            [sys.executable, "-m", "tests.storage.killing", *map(str, arguments)],
            stdin=subprocess.PIPE, stdout=stdout, cwd=root,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1",
                 "PYTHONPATH": os.pathsep.join([str(SOURCE), root])},
        )  # fmt: skip

    def __enter__(self) -> Arena:
        return self

    def __exit__(self, *_: object) -> None:
        for process in (self.nursery, *self.readers):
            assert process.stdin
            process.stdin.close()
        for process in (self.nursery, *self.readers):
            try:
                process.wait(timeout=60)
            finally:
                process.kill()
        for log in self.logs:
            self._hold_against_account(log)

    def round(self) -> None:
        """Let a writer live for a random time, kill it, and look at what it left.

        It dies within about the time of two commits after a random number of them.
        """
        pipe, out = self.nursery.stdin, self.nursery.stdout
        assert pipe and out
        pipe.write(f"{self.rng.randrange(2**31)}\n".encode())
        pipe.flush()
        _, pid = json.loads(out.readline())
        certain, trying = self.state, None
        commits, began = self.rng.choice(COMMITS), time.monotonic()
        delay, killed = self.rng.uniform(0, 2), False
        while True:
            if commits == 0 and not killed:
                time.sleep(delay * self.pace)
                os.kill(pid, signal.SIGKILL)
                killed = True
            kind, *told = json.loads(out.readline())
            if kind == "trying":
                trying = told[0], changed(certain, told[1])
            elif kind == "done":
                assert trying is not None and told[0] >= trying[0]
                certain = trying[1]
                self._record(*trying)
                trying = None
                self.figures.acknowledged += 1
                commits -= 1
                if not killed:
                    self.pace += 0.2 * (time.monotonic() - began - self.pace)
                    began = time.monotonic()
            elif kind == "error":
                self.figures.errors.append(told[0])
            else:
                break
        self.figures.rounds += 1
        phase = self.phases.read_bytes().strip(b"\0 ").decode()
        self.figures.killed_during[phase or "open: nothing yet"] += 1
        self._look(certain, trying)

    def _look(self, certain: State, trying: tuple[int, State] | None) -> None:
        self.state = certain
        round = self.figures.rounds
        try:
            with bigrain.open(self.path, read_only=True) as col:
                found = observe(col)
                report = col.verify()
        except (AssertionError, bigrain.BigrainError) as error:
            self.figures.torn.append(f"round {round}: {error}")
            return
        if not report.ok:
            self.figures.torn.append(f"round {round}: {report.summary()}")
        if trying is not None and found == trying[1] != certain:
            self._record(*trying)
            self.figures.in_flight_kept += 1
            self.state = found
        elif found != certain:
            self.figures.lost.append(f"round {round}: neither the acknowledged nor the next state")
            self.state = found
            self._record(report.snapshot, found)

    def _record(self, number: int, state: State) -> None:
        self.numbers.append(number)
        self.digests.append(digest(state))

    def _hold_against_account(self, log: Path) -> None:
        for line in log.read_text().splitlines():
            kind, *told = json.loads(line)
            if kind == "saw":
                self.figures.snapshots_seen += 1
                at = bisect.bisect_right(self.numbers, told[0]) - 1
                if self.digests[at] != told[1]:
                    self.figures.torn.append(f"snapshot {told[0]} was seen in no state it had")
            elif kind == "looks":
                self.figures.looks += told[0]
            else:
                (self.figures.torn if kind == "torn" else self.figures.errors).append(told[0])

    def clear_up(self) -> None:
        """The next writer sweeps what the dead have left."""
        with bigrain.open(self.path) as col:
            col.compact()
            if observe(col) != self.state or not col.verify().ok:
                self.figures.lost.append("not the same after the last compaction")
        if os.listdir(self.path / "staging"):
            self.figures.errors.append("something stayed in staging/")


if __name__ == "__main__":
    command, folder, argument = sys.argv[1:]
    if command == "nurse":
        nurse(Path(folder), Path(argument))
    else:
        read(Path(folder), float(argument))
