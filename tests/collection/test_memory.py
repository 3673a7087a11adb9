"""One memory number, obeyed: what a user would see if it were not."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bigrain
from bigrain.budget import ENGINE, LEAST_SHARED, MINIMUM, Budget
from bigrain.encoders.static import StaticEncoder
from bigrain.index import builder as builders
from bigrain.index.base import UnitMap
from bigrain.index.bm25 import Bm25
from bigrain.index.multivector_writing import SAMPLE_BYTES
from bigrain.index.numbering import UnitLog, number_rows
from bigrain.storage.segment import SectionWriter, SegmentFile
from bigrain.testing import QuickDisk
from tests.collection import making

PROC = Path("/proc/self/status")
needs_proc = pytest.mark.skipif(not PROC.exists(), reason="reads memory from /proc")

# Sets the limits of benchmarks/trust/memory.py in its own process, then does the work.
CHILD = """
import json, resource, sys
import numpy as np
import bigrain
from bigrain.testing import QuickDisk

def memory(name):
    for line in open("/proc/self/status"):
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024

folder, budget, n, dim = sys.argv[1], *map(int, sys.argv[2:])
np.ones((512, 512)) @ np.ones((512, 512))  # maps a buffer of OpenBLAS, 32 MiB
resident = memory("VmRSS")
for kind, used in ((resource.RLIMIT_AS, "VmSize"), (resource.RLIMIT_DATA, "VmData")):
    limit = memory(used) - resident + budget
    resource.setrlimit(kind, (limit, limit))
rng = np.random.default_rng(0)
block = rng.standard_normal((2000, dim), dtype=np.float32)
fields = {"vec": bigrain.DenseField(dim=dim, heavy="float32")}
options = {"memory_budget_bytes": budget, "files": QuickDisk()}
with bigrain.create(folder, fields, **options) as col:
    for start in range(0, n, 2000):
        block = np.roll(block, 1, axis=1)
        col.add_vectors("vec", [str(i) for i in range(start, start + 2000)], block)
        if start == n // 2:
            col.commit()
    col.commit()
    query = block[7] + np.float32(0.01)
    found = [col.search(query)[0].id, col.search(query, recall=0.9)[0].id]
    col.delete([str(i) for i in range(0, n, 10)])
    col.commit()
    col.compact()
with bigrain.open(folder, read_only=True, **options) as col:
    found.append(col.search(query, recall=1)[0].id)
    assert col.verify().ok
    print(json.dumps([found, len(col), memory("VmHWM"), col.stats()["bytes_on_disk"]["segments"]]))
"""


@needs_proc
def test_a_collection_three_times_larger_than_its_memory_stays_within_it(tmp_path: Path) -> None:
    """Built, searched, compacted and verified under a limit that the system enforces."""
    n, dim = 72_000, 1024
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path / "v.grain"), str(MINIMUM), str(n), str(dim)],
        capture_output=True, text=True, env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found, documents, peak, on_disk = json.loads(done.stdout)
    assert found == [str(n - 2000 + 7)] * 3
    assert documents == n - n // 10
    assert on_disk > 2.5 * MINIMUM
    assert peak <= MINIMUM


@needs_proc
@pytest.mark.parametrize("encoder", [False, True])
def test_the_engine_itself_takes_what_the_budget_reserves_for_it(encoder: bool) -> None:
    code = (
        "import sys, tempfile, bigrain\n"
        "from bigrain.budget import peak_bytes\n"
        "fields = None if sys.argv[1] == 'True' else {'lexical': bigrain.LexicalField()}\n"
        "with tempfile.TemporaryDirectory() as folder:\n"
        "    with bigrain.create(folder + '/a.grain', fields) as col:\n"
        "        col.add(['grain is stored in silos']); col.commit(); col.search('grain')\n"
        "    print(peak_bytes())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(encoder)], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) <= ENGINE + (StaticEncoder().memory_bytes if encoder else 0)


# -- the number ---------------------------------------------------------------------------------


def test_a_number_too_small_is_refused_and_the_least_is_named(tmp_path: Path) -> None:
    with pytest.raises(bigrain.ConfigError, match=f"at least {MINIMUM:,}"):
        bigrain.create(tmp_path / "a.grain", memory_budget_bytes=MINIMUM - 1)
    assert not (tmp_path / "a.grain").exists()
    with bigrain.create(tmp_path / "a.grain", memory_budget_bytes=MINIMUM) as col:
        col.add(["Grain is stored in silos."])
        col.commit()
        assert [hit.text for hit in col.search("silo")] == ["Grain is stored in silos."]


def test_a_large_encoder_that_says_so_counts(tmp_path: Path) -> None:
    class Large(bigrain.CallableEncoder):
        memory_bytes = 500 << 20

    bigrain.register_encoder("large", lambda: Large("large", lambda t: np.ones((len(t), 2)), 2))
    fields = {"vec": bigrain.DenseField(encoder="large")}
    least = ENGINE + (500 << 20) + LEAST_SHARED
    with pytest.raises(bigrain.ConfigError, match=f"at least {least:,}"):
        bigrain.create(tmp_path / "a.grain", fields, memory_budget_bytes=least - 1)
    bigrain.create(tmp_path / "a.grain", fields, memory_budget_bytes=least).close()


def test_a_code_narrower_than_its_vectors_is_fitted_within_the_number(tmp_path: Path) -> None:
    with bigrain.create(
        tmp_path / "a.grain", {"vec": bigrain.DenseField(dim=768, light_bytes=32)},
        memory_budget_bytes=MINIMUM,
    ) as col:  # fmt: skip
        assert col.stats()["memory"]["shares"]["fitting"] > 2 * 768 * 768 * 4
    wide = {"vec": bigrain.DenseField(dim=4096, light_bytes=32)}
    with pytest.raises(bigrain.ConfigError, match="at least"):
        bigrain.create(tmp_path / "b.grain", wide, memory_budget_bytes=MINIMUM)


def test_stats_tell_where_the_number_went(tmp_path: Path) -> None:
    with bigrain.create(tmp_path / "a.grain", memory_budget_bytes=200 << 20) as col:
        memory = col.stats()["memory"]
    assert memory["budget"] == 200 << 20
    shares = memory["shares"]
    assert shares["engine"] == ENGINE and shares["encoders"] == StaticEncoder().memory_bytes
    assert 0.95 * memory["budget"] < sum(shares.values()) <= memory["budget"]
    assert [name for name, share in shares.items() if not share] == ["fitting"]


# -- too little of it ---------------------------------------------------------------------------


def with_light(monkeypatch: pytest.MonkeyPatch, n_bytes: int) -> None:
    monkeypatch.setattr(Budget, "light", property(lambda self: n_bytes))


def vectors(n: int) -> Any:
    return np.random.default_rng(0).standard_normal((n, 64), dtype=np.float32)


def test_codes_beyond_the_budget_are_refused_before_anything_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = {"vec": bigrain.DenseField(dim=64)}
    with bigrain.create(tmp_path / "a.grain", fields, files=QuickDisk()) as col:
        col.add_vectors("vec", [f"a{i}" for i in range(320)], vectors(320))
        col.commit()
        with_light(monkeypatch, 320 * 12 + 100)
        col.add_vectors("vec", [f"b{i}" for i in range(320)], vectors(320))
        with pytest.raises(bigrain.BudgetError, match="open with at least"):
            col.commit()
        assert len(col) == 320 and len(col.search(vectors(1)[0], k=500)) == 320
        assert col.stats()["pending_changes"]
        with pytest.raises(bigrain.BudgetError):
            col.commit()
        monkeypatch.undo()
        assert col.commit() == 2 and len(col) == 640
    with_light(monkeypatch, 320 * 12 + 100)

    def unread(*_: object) -> None:
        raise AssertionError("codes are read although they do not fit")

    monkeypatch.setattr(SegmentFile, "read", unread)
    with pytest.raises(bigrain.BudgetError, match="open with at least") as refused:
        bigrain.open(tmp_path / "a.grain", files=QuickDisk())
    named = re.search(r"open with at least ([\d,]+\d)", str(refused.value))
    assert named
    enough = int(named[1].replace(",", ""))
    monkeypatch.undo()
    assert Budget.of(max(enough, MINIMUM)).light >= 640 * 12
    with bigrain.open(tmp_path / "a.grain", files=QuickDisk()) as col:
        assert len(col) == 640


def test_a_compaction_makes_room_before_it_opens_what_it_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old and new codes together are too large, each alone is not; searches go on meanwhile."""
    fields = {"vec": bigrain.DenseField(dim=64)}
    with bigrain.create(tmp_path / "a.grain", fields, files=QuickDisk()) as col:
        for part in range(2):
            col.add_vectors("vec", [f"{part}-{i}" for i in range(320)], vectors(320))
            col.commit()
        with_light(monkeypatch, 700 * 12)
        opened: list[str] = []
        read = SegmentFile.read

        def watched(self: SegmentFile, name: str, *rest: Any) -> Any:
            if name == "blocks":
                assert not col._opened.light_bytes, "the old codes are still in memory"
                opened.append(self.name)
            return read(self, name, *rest)

        monkeypatch.setattr(SegmentFile, "read", watched)
        failures: list[BaseException] = []
        done = threading.Event()

        def keep_searching() -> None:
            query = vectors(1)[0]
            try:
                while not done.is_set():
                    assert len(col.search(query, k=5)) == 5
                    time.sleep(0.001)
            except BaseException as error:
                failures.append(error)

        thread = threading.Thread(target=keep_searching)
        thread.start()
        col.compact()
        done.set()
        thread.join()
        assert not failures and len(opened) == 1
        assert len(col.search(vectors(1)[0], k=1000)) == 640


def test_candidates_that_do_not_fit_are_refused_with_a_number_that_does(tmp_path: Path) -> None:
    fields = {"vec": bigrain.DenseField(dim=64)}
    with bigrain.create(tmp_path / "a.grain", fields, files=QuickDisk()) as col:
        col.add_vectors("vec", [str(i) for i in range(640)], vectors(640))
        col.commit()
        col._require_open().search_bytes = 50_000
        query = vectors(1)[0]
        with pytest.raises(bigrain.BudgetError, match="ask for at most 312 over all fields"):
            col.search(query, n_candidates=640)
        assert len(col.search(query, k=312, n_candidates=312)) == 312
        many = col.search_many([query] * 10, k=10, n_candidates=300)
        assert many == [col.search(query, k=10, n_candidates=300)] * 10


@pytest.mark.parametrize("what", ["add", "commit", "compact", "search"])
def test_running_out_of_memory_leaves_no_partial_effect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    col, model = making.make(tmp_path / "a.grain")
    making.fill(col, model, ["a", "b", "c"])
    making.commit(col, model)
    making.fill(col, model, ["b", "d"], seed=1)
    making.commit(col, model)
    before = [(d.id, d.text) for d in col.documents()]
    ranked = [h.id for h in col.search("grain moon silo river")]
    if what == "commit":
        col.delete(["a"])
        col.add([{"id": "e", "text": "grain"}])
    target = {
        "add": (builders.PostingsBuilder, "append"),
        "commit": (SectionWriter, "append"),
        "compact": (SectionWriter, "append"),
        "search": (bigrain.kernels, "search_lists"),
    }[what]
    monkeypatch.setattr(*target, fail)
    with pytest.raises(MemoryError):
        {
            "add": lambda: col.add(["grain", "moon"]),
            "commit": col.commit,
            "compact": col.compact,
            "search": lambda: col.search("grain"),
        }[what]()
    monkeypatch.undo()
    col.rollback()
    assert [(d.id, d.text) for d in col.documents()] == before
    assert [h.id for h in col.search("grain moon silo river")] == ranked
    assert col.verify().ok
    col.add([{"id": "f", "text": "grain"}])
    col.commit()
    col.compact()
    assert "f" in col and col.verify().ok and not os.listdir(tmp_path / "a.grain" / "staging")
    col.close()


# -- what it is made of -------------------------------------------------------------------------


def test_postings_of_any_number_are_built_in_the_memory_given(tmp_path: Path) -> None:
    """Four times the documents, and the same peak."""
    peaks = []
    for n in (2_500, 10_000):
        rng = np.random.default_rng(n)
        builder = builders.PostingsBuilder(Bm25(), QuickDisk(), tmp_path, f"w{n}", 1 << 20)
        tracemalloc.start()
        for start in range(0, n, 500):
            words = rng.zipf(1.3, (500, 12)) % 30_000
            documents = [[f"word{w}" for w in row] for row in words.tolist()]
            builder.append(np.arange(start, start + 500), documents)
        rows = builder.seal(lambda units: units % 7 > 0, tmp_path / f"{n}.seg", QuickDisk())
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert rows == n - -(-n // 7)
        builder.discard()
    # Of what grows there is one byte for eight rows, and blocks of the dictionaries of runs.
    assert peaks[1] < 1.3 * peaks[0] and peaks[1] < 6 << 20


def test_a_word_said_more_often_than_a_run_can_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ["grain " * n for n in (1, 7, 8, 9, 300)] + ["moon"]
    scores = []
    for path in ("a", "b"):
        with bigrain.create(
            tmp_path / path, {"lex": bigrain.LexicalField()}, files=QuickDisk()
        ) as col:
            col.add(texts)
            col.commit()
            scores.append([(h.id, h.score) for h in col.search("grain")])
        monkeypatch.setattr(builders, "MAX_COUNT", 7)
    assert scores[0] == scores[1]


units_of_runs = st.lists(
    st.lists(st.tuples(st.integers(0, 60), st.booleans()), max_size=20, unique_by=lambda p: p[0]),
    min_size=1, max_size=4,
)  # fmt: skip


@given(units_of_runs, st.booleans())
@settings(deadline=None)
def test_rows_of_several_runs_find_their_places(runs: Any, apart: bool) -> None:
    maps, alive, wanted = [], [], {}
    for i, run in enumerate(runs):
        pairs = sorted((unit + 100 * i * apart, live) for unit, live in run)
        maps.append(UnitMap.of(np.array([u for u, _ in pairs], np.int64)))
        living = np.array([live for _, live in pairs], bool)
        alive.append(None if living.all() else np.packbits(living, bitorder="little"))
        wanted.update({u: (i, row) for row, (u, live) in enumerate(pairs) if live})
    numbering = number_rows(maps, alive)
    places = [(run, row) for run, rows in numbering.places() for row in rows.tolist()]
    assert places == [wanted[unit] for unit in sorted(wanted)]
    assert [u for units in numbering.units() for u in units.tolist()] == sorted(wanted)
    assert numbering.n_rows == len(wanted)
    for i, run_map in enumerate(maps):
        new = numbering.rows(i, np.arange(run_map.n_rows, dtype=np.uint32)).tolist()
        kept = {place: at for at, place in enumerate(places)}
        assert new == [kept.get((i, row), -1) for row in range(run_map.n_rows)]


@given(st.sets(st.integers(0, 300), max_size=60), st.integers(0, 2**40))
@settings(deadline=None)
def test_units_and_rows_lead_to_each_other(numbers: set[int], first: int) -> None:
    units = np.array(sorted(numbers), np.int64) + first
    found = UnitMap.of(units)
    rows = np.arange(len(units))
    assert found.units(rows).tolist() == units.tolist()
    asked = np.arange(max(0, first - 3), first + 305)
    place = {unit: row for row, unit in enumerate(units.tolist())}
    assert found.rows(asked).tolist() == [place.get(unit, -1) for unit in asked.tolist()]
    assert found.n_bytes <= 4 * len(units)
    log = UnitLog()
    for part in np.array_split(units, 3):
        log.append(part)
    mapped, order = log.unit_map()
    assert order is None and mapped.slice(0, len(units)).tolist() == units.tolist()


def test_a_sample_of_token_vectors_does_not_keep_all_of_them(tmp_path: Path) -> None:
    n, tokens, dim = 3_000, 60, 128  # 92 MB as float32
    rng = np.random.default_rng(0)
    offsets = np.arange(n // 10 + 1) * tokens
    field = bigrain.MultiVectorField(dim=dim)
    with bigrain.create(tmp_path / "a.grain", {"t": field}, files=QuickDisk()) as col:
        for start in range(0, n, n // 10):
            values = rng.standard_normal((n // 10 * tokens, dim), np.float32)
            ids = [str(i) for i in range(start, start + n // 10)]
            col.add_vectors("t", ids, (values, offsets))
        tracemalloc.start()
        try:
            col.commit()
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 3 * SAMPLE_BYTES
