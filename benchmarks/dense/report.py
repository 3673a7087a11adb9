"""From the points of `peers.py`: figures at a recall, a table, a picture, the ratios asked for."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))
from reporting import at, frontier, into_page, markdown_table

LIGHT = "the best that keeps only codes in memory"
TARGETS = (0.95, 0.99)
GRAPHS = ("hnswlib", "faiss-hnsw")
BEGIN, END = "<!-- {name}: written by dense/peers.py -->", "<!-- end of {name} -->"


def reaching(points: list[dict[str, Any]], recall: float) -> dict[str, Any] | None:
    """The fastest point in a batch that reaches a recall."""
    enough = [p for p in points if p["recall"] >= recall]
    return min(enough, key=lambda p: p["batch"]["cpu_us"]) if enough else None


def qps_points(
    system: dict[str, Any], threads: int, kind: str, clock: str
) -> list[tuple[float, float]]:
    """(recall, queries a second) of every point. In CPU time: as if no thread ever waited."""
    points = system.get("threads", {}).get(str(threads), {}).get("points", [])
    if kind == "batch":
        share = threads if clock == "cpu" else 1
        return [(p["recall"], 1e6 * share / max(p["batch"][f"{clock}_us"], 1e-3)) for p in points]
    return [(p["recall"], 1e6 / max(p["single"][f"{clock}_p50_us"], 1e-3)) for p in points]


def memory(system: dict[str, Any]) -> float | None:
    """Anonymous bytes a vector after single queries: mapped originals are not counted."""
    runs = system.get("threads", {})
    if not runs:
        return None
    return next(iter(runs.values()))["resident"]["single"]["anonymous_per_vector"]


def ratios(result: dict[str, Any], clock: str) -> list[str]:
    """bigrain against the best peer of each kind, one line each."""
    systems = {k: s for k, s in result["systems"].items() if s.get("threads")}
    own = systems.get("bigrain")
    if own is None:
        return []
    peers = {k: s for k, s in systems.items() if not k.startswith("bigrain")}
    light = {k: s for k, s in peers.items() if s["verifies_from_disk"]}
    threads = [int(t) for t in own["threads"]]
    lines = []
    for recall in TARGETS:
        for kind in ("batch", "single"):
            for t in threads:
                mine = at(qps_points(own, t, kind, clock), recall)
                groups = {LIGHT: light}
                groups |= {name: {name: peers[name]} for name in GRAPHS if name in peers}
                for label, group in groups.items():
                    measured = {k: s for k, s in group.items() if str(t) in s["threads"]}
                    if not measured:
                        continue
                    reached = {
                        k: at(qps_points(s, t, kind, clock), recall) for k, s in measured.items()
                    }
                    named = {k: q for k, q in reached.items() if q}
                    where = f"recall {recall}, {kind}, {t} thread{'s' * (t > 1)}: bigrain"
                    if mine is None:
                        lines.append(f"{where} does not reach it ({label})")
                    elif not named:
                        lines.append(f"{where} {mine:,.0f}/s; not reached by {label}")
                    else:
                        best = max(named, key=lambda k: named[k])
                        said = label if label == best else f"{label}, {best}"
                        lines.append(
                            f"{where} {mine:,.0f}/s = {mine / named[best]:.2f} x {said} "
                            f"({named[best]:,.0f}/s)"
                        )
    for name in (*GRAPHS, "faiss-ivf-rabitq"):
        if name in peers:
            theirs, ours = peers[name]["build"], own["build"]
            lines.append(
                f"build: {name} / bigrain = {theirs['cpu_s'] / ours['cpu_s']:.2f} in CPU, "
                f"{theirs['wall_s'] / ours['wall_s']:.2f} in wall time"
            )
            if memory(peers[name]):
                share = (memory(own) or 0) / (memory(peers[name]) or 1)
                lines.append(f"memory: bigrain / {name} = {share:.3f}")
    return lines


HEAD = (
    "system", "B/vector", "build s (CPU)", "disk B/vector", "batch .95", "batch .99",
    "single ms .95", "single ms .99", "batch .95, 2", "batch .99, 2", "most recall",
)  # fmt: skip


def rows(result: dict[str, Any], clock: str) -> list[list[str]]:
    """The cells of the table, fastest at recall 0.95 first."""
    out = []
    for name, system in result["systems"].items():
        if not system.get("threads"):
            out.append((0.0, [name, "failed"] + [""] * (len(HEAD) - 2)))
            continue
        one, two = (qps_points(system, t, "batch", clock) for t in (1, 2))
        single = qps_points(system, 1, "single", clock)
        qps = [at(one, r) for r in TARGETS]
        ms = [at(single, r) for r in TARGETS]
        cells = [
            name,
            f"{memory(system):,.0f}",
            f"{system['build']['cpu_s']:,.0f}",
            f"{system['build']['index_bytes'] / result['n']:,.0f}",
            *(f"{q:,.0f}" if q else "-" for q in qps),
            *(f"{1000 / q:.2f}" if q else "-" for q in ms),
            *(f"{q:,.0f}" if q else "-" for q in (at(two, r) for r in TARGETS)),
            f"{max((r for r, _ in one + two), default=0):.3f}",
        ]
        out.append((qps[0] or 0.0, cells))
    return [cells for _, cells in sorted(out, key=lambda pair: -pair[0])]


def picture(result: dict[str, Any], target: Path, clock: str) -> None:
    """Recall against queries a second, one line a system; the label says the memory."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(15, 7), sharex=True)
    colours = plt.get_cmap("tab20").colors
    for panel, kind in zip(panels, ("batch", "single"), strict=True):
        for i, (name, system) in enumerate(result["systems"].items()):
            line = frontier(qps_points(system, 1, kind, clock))
            if line:
                panel.plot(
                    *zip(*line, strict=True),
                    marker="o",
                    markersize=4,
                    color=colours[i % 20],
                    linewidth=3 if name == "bigrain" else 1.2,
                    label=f"{name}: {memory(system):,.0f} B",
                )
        panel.set_yscale("log")
        panel.set_xlim(0.8, 1.002)
        panel.set_xlabel("recall@10")
        panel.grid(alpha=0.3, which="both")
        panel.set_title(f"{kind}, one thread ({clock} time)")
    panels[0].set_ylabel("queries a second")
    panels[1].legend(fontsize=8, title="resident bytes a vector")
    figure.suptitle(f"{result['n']:,} vectors of {result['dim']} dimensions: {result['data']}")
    figure.tight_layout()
    figure.savefig(target, dpi=90)
    plt.close(figure)


def markdown(result: dict[str, Any], clock: str) -> str:
    """The table and the ratios for the README."""
    table = markdown_table(HEAD, rows(result, clock))
    machine = result["machine"]
    said = (
        f"{result['n']:,} vectors of {result['dim']} dimensions, {machine['processor']}, "
        f"{machine['date']}; times are {clock} time of the process."
    )
    return "\n".join([said, "", table, "", *(f"- {line}" for line in ratios(result, clock))])


def everything(result: dict[str, Any], target: Path, clock: str, readme: Path) -> None:
    """Print the table and the ratios; draw the picture; fill in the README."""
    console = Console()
    console = console if console.is_terminal else Console(width=150)
    table = Table(*HEAD, title=f"{result['n']:,} vectors, {clock} time")
    for row in rows(result, clock):
        table.add_row(*row)
    console.print(table)
    for line in ratios(result, clock):
        print(line)
    begin, end = BEGIN.format(name=target.stem), END.format(name=target.stem)
    into_page(readme, begin, end, markdown(result, clock))
    try:
        picture(result, target.with_suffix(".png"), clock)
    except ImportError:
        print("no picture: pip install matplotlib")
