"""Fuzzing for a while: every target in a process of its own.

    python tests/fuzz/run.py [--seconds 30] [--only NAME,NAME-] [--seed 0] [--no-record]

With `atheris` installed (pip install atheris) inputs are chosen by coverage of bigrain's Python
code, else by `mutate`. A process that dies, hangs or raises is a crash: its input is kept in
build/fuzz/NAME.crash. Writes benchmarks/trust/results/fuzz.json: executions of each target.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import random
import re
import resource
import subprocess
import sys
import time
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "trust" / "results" / "fuzz.json"
KEPT = ROOT / "build" / "fuzz"
GRACE_SECONDS = 120  # to start, and for one slow input
MEMORY = 4 << 30


def main() -> int:
    """Run the chosen targets; the number of crashes is the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--only", default="", help="names, or beginnings that end in -")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-record", action="store_true", help="write no figures")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    if options.child:
        return guided(options) if importlib.util.find_spec("atheris") else plain(options)
    from tests.fuzz import targets

    wanted = [part for part in options.only.split(",") if part]
    names = [name for name in targets.names() if not wanted or chosen(name, wanted)]
    KEPT.mkdir(parents=True, exist_ok=True)
    results = {name: one(name, options) for name in names}
    crashes = sum(result["crashes"] for result in results.values())
    if not options.no_record:
        if wanted and RESULTS.exists():  # the other targets keep their figures
            results = {**json.loads(RESULTS.read_text())["targets"], **results}
        from benchmarks.common import machine

        told = {
            "machine": machine(),
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "seed": options.seed,
            "seconds_a_target": options.seconds,
            "executions": sum(result["executions"] for result in results.values()),
            "crashes": sum(result["crashes"] for result in results.values()),
            "targets": results,
        }
        RESULTS.parent.mkdir(parents=True, exist_ok=True)
        RESULTS.write_text(json.dumps(told, indent=2) + "\n")
    print(f"{len(results)} targets, {crashes} crashes")
    return min(crashes, 100)


def chosen(name: str, wanted: list[str]) -> bool:
    """Whether a name was asked for."""
    return any(name == part or (part[-1] == "-" and name.startswith(part)) for part in wanted)


def one(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Run one target in a child; what came of it."""
    command = [sys.executable, __file__, "--child", name, "--seconds", str(options.seconds),
               "--seed", str(options.seed)]  # fmt: skip
    began = time.perf_counter()
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, errors="replace",
            timeout=options.seconds + GRACE_SECONDS,
        )  # fmt: skip
        said, code = done.stdout + done.stderr, done.returncode
    except subprocess.TimeoutExpired as error:
        said, code = f"hangs: {(error.stderr or b'')[-2000:]!r}", -1
    counts = re.findall(r"executions: (\d+)|number_of_executed_units: (\d+)", said)
    result = {
        "executions": max((int(a or b) for a, b in counts), default=0),
        "engine": "atheris" if "number_of_executed_units" in said else "mutate",
        "seconds": round(time.perf_counter() - began, 1),
        "crashes": int(code != 0),
    }
    print(f"{name:20} {result['executions']:>9,} executions  {result['engine']:8} {code or 'ok'}")
    if code:
        (KEPT / f"{name}.log").write_text(said)
        print(said[-3000:])
    return result


def plain(options: argparse.Namespace) -> int:
    """Mutations of the seeds until the time is over."""
    from tests.fuzz.mutate import mutated
    from tests.fuzz.targets import target_of

    limit_memory()
    warnings.simplefilter("ignore")
    target, seeds = target_of(options.child)
    chance = random.Random(f"{options.seed} {options.child}")
    end, count = time.monotonic() + options.seconds, 0
    kept = KEPT / f"{options.child}.crash"
    while time.monotonic() < end:
        data = mutated(chance, seeds)
        kept.write_bytes(data)  # a crash of the process leaves it behind
        target(data)
        count += 1
    kept.unlink(missing_ok=True)
    print(f"executions: {count}")
    return 0


def guided(options: argparse.Namespace) -> int:
    """The same, guided by coverage; ends the process."""
    import atheris

    with atheris.instrument_imports(include=["bigrain"]):
        from tests.fuzz.targets import target_of

        target, seeds = target_of(options.child)
    limit_memory()
    warnings.simplefilter("ignore")
    corpus = KEPT / f"{options.child}.corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds):
        (corpus / f"seed-{number}").write_bytes(seed)
    arguments = [
        sys.argv[0], str(corpus), f"-max_total_time={max(1, int(options.seconds))}",
        f"-seed={options.seed + 1}", "-print_final_stats=1", "-timeout=30", "-rss_limit_mb=4096",
        "-max_len=40000", f"-exact_artifact_path={KEPT / options.child}.crash",
    ]  # fmt: skip
    atheris.Setup(arguments, target)
    atheris.Fuzz()
    return 0


def limit_memory() -> None:
    """An input must not fill the machine; under AddressSanitizer the limit cannot be set."""
    if "asan" not in Path("/proc/self/maps").read_text():
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


if __name__ == "__main__":
    sys.exit(main())
