"""The table of docs/explanation/durability.md, written from the results beside this script.

python benchmarks/trust/table.py            # rewrites the part between the two markers
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
PAGE = Path(__file__).parents[2] / "docs/explanation/durability.md"
BEGIN, END = "<!-- counts -->\n", "<!-- end of counts -->\n"


def load(topic: str) -> dict[str, Any]:
    """A result, as its script wrote it."""
    return dict(json.loads((RESULTS / f"{topic}.json").read_text()))


def rows() -> list[tuple[str, str, str]]:
    """(what was done, how often, what was lost or wrong)."""
    faults, power, kill = load("faults"), load("power"), load("kill")
    machine, damage, repair = load("machine"), load("damage"), load("repair")
    fuzz, stress, memory = load("fuzz"), load("stress"), load("memory")
    commit = load("commit")
    peak = max(memory[name]["largest peak of the budget"] for name in ("text", "vectors"))
    default = commit["fields"]["default fields"]
    return [
        (
            "fault points explored: an operation on files or inside SQLite fails, four ways each",
            f"{faults['fault points explored']:,}, {faults['disks looked at afterwards']:,} disks "
            "looked at",
            f"{faults['acknowledged commits lost, or snapshots torn']} lost or torn",
        ),
        (
            "power cuts: prefixes of what was written, with writes dropped, reordered or torn",
            f"{power['prefixes replayed']:,} prefixes, {power['images replayed']:,} images",
            f"{power['acknowledged commits lost, or snapshots torn']} lost or torn",
        ),
        (
            "writers killed (kill -9) while others read",
            f"{kill['rounds']:,} rounds, {kill['acknowledged commits']:,} commits acknowledged",
            f"{kill['acknowledged commits lost']} lost, {kill['torn snapshots']} torn, "
            f"{kill['errors of readers and writers']} errors",
        ),
        (
            "random histories against a model",
            f"{machine['steps']:,} steps of {machine['examples']:,} histories",
            "none differed" if machine["failure"] is None else "one differed",
        ),
        (
            "mutations of files: bytes flipped, cut off, added",
            f"{damage['mutations']:,}",
            f"{len(damage['failures'])} that `verify` did not notice before the next write",
        ),
        (
            "damaged collections repaired",
            f"{repair['rounds']:,} rounds, {repair['places']:,} places damaged",
            f"{repair['unreported losses or differences']} losses or differences not reported",
        ),
        (
            "hostile inputs: texts, ids, vectors, filters, files; library and command line",
            "758 cases and 13 bombs",
            "each accepted and found, or refused by name",
        ),
        (
            "fuzzing of every parser of bytes",
            f"{fuzz['executions']:,} executions, {len(fuzz['targets'])} targets",
            f"{fuzz['crashes']} crashes",
        ),
        (
            "readers beside a writer, 100,000 passages",
            f"{stress['questions']:,} questions, {stress['commits']} commits, "
            f"{stress['compactions']} compactions",
            f"{len(stress['errors'])} errors, {stress['hits outside their snapshot']} hits outside "
            "their snapshot",
        ),
        (
            "peak memory of the process against `memory_budget_bytes`, ten times smaller than the "
            "collection",
            "build, open, search, compact, verify; two collections",
            f"{peak:.2f}x at most",
        ),
        (
            "commit of 1,000 short documents, default fields",
            f"{commit['rounds']} rounds",
            f"{default['commit alone']['p50_ms']:.0f} ms p50, "
            f"{default['commit alone']['p99_ms']:.0f} ms p99; with adding and encoding them "
            f"{default['add and commit']['p50_ms']:.0f} ms p50",
        ),
    ]


def main() -> None:
    table = "| what | how much | outcome |\n|---|---|---|\n"
    table += "".join(f"| {a} | {b} | {c} |\n" for a, b, c in rows())
    page = PAGE.read_text()
    before, rest = page.split(BEGIN)
    after = rest.split(END)[1]
    PAGE.write_text(f"{before}{BEGIN}{table}{END}{after}")
    print(table)


if __name__ == "__main__":
    main()
