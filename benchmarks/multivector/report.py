"""From the points of `peers.py`: tables, a picture, and bigrain against each peer."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))
from reporting import at, frontier, into_page, markdown_table

BEGIN = "<!-- multivector-{name}: written by multivector/peers.py -->"
END = "<!-- end of multivector-{name} -->"
RECALLS = (0.85, 0.93, 0.98)
KINDS = ("p50", "p99", "batch")
HEAD = (
    "system", "build s", "disk B/document", "memory B/document", "ms .85", "ms .93", "ms .98",
    "p99 ms .93", "batch .85", "batch .93", "batch .98", "most recall", "nDCG@10",
)  # fmt: skip


def measured(result: dict[str, Any]) -> dict[str, Any]:
    return {name: s for name, s in result["systems"].items() if "points" in s}


def rate(point: dict[str, Any], kind: str, clock: str) -> float:
    """Queries a second: of a batch, or as the median or 99th percentile of single ones allows."""
    if kind == "batch":
        return 1e6 / max(point["batch"][f"{clock}_us"], 1e-3)
    return 1e6 / max(point["single"][f"{clock}_{kind}_us"], 1e-3)


def reached(system: dict[str, Any], kind: str, clock: str) -> list[tuple[float, float]]:
    """(recall, queries a second) of every setting."""
    return [(p["recall"], rate(p, kind, clock)) for p in system["points"]]


def memory(system: dict[str, Any]) -> tuple[float, float]:
    """Bytes that the process grew by over loading and single queries: its own, of mapped files."""
    grown = system["resident"]["single"]
    return max(grown["anonymous"], 0), max(grown["files"], 0)


def best(system: dict[str, Any]) -> dict[str, Any]:
    """The point of the highest recall, the fastest of several."""
    points: list[dict[str, Any]] = system["points"]
    return max(points, key=lambda p: (p["recall"], -p["single"]["wall_p50_us"]))


def rows(result: dict[str, Any], clock: str) -> list[list[str]]:
    """The cells of the table, fastest at recall 0.93 first."""
    found = []
    n = result["n"]
    for name, system in measured(result).items():
        build = system["build"]
        held = [part / n for part in memory(system)]
        speeds = {
            kind: [at(reached(system, kind, clock), recall) for recall in RECALLS] for kind in KINDS
        }
        top = best(system)
        cells = [
            name,
            f"{build[f'{clock}_s']:,.1f}",
            f"{build['index_bytes'] / n:,.0f}",
            f"{held[0]:,.0f}" + (f" + {held[1]:,.0f}" if held[1] >= 1 else ""),
            *(f"{1000 / speed:,.2f}" if speed else "-" for speed in speeds["p50"]),
            f"{1000 / speeds['p99'][1]:,.2f}" if speeds["p99"][1] else "-",
            *(f"{speed:,.0f}" if speed else "-" for speed in speeds["batch"]),
            f"{top['recall']:.3f}",
            f"{top['nDCG@10']:.4f}" if "nDCG@10" in top else "",
        ]
        found.append((speeds["p50"][1] or 0.0, top["recall"], cells))
    return [cells for _, _, cells in sorted(found, key=lambda entry: entry[:2], reverse=True)]


def ratios(result: dict[str, Any], clock: str) -> list[str]:
    """bigrain against each peer, one line each."""
    systems = measured(result)
    own = systems.pop("bigrain", None)
    if own is None:
        return []
    return [
        f"bigrain beside {name}: " + "; ".join(compared(own, peer, clock))
        for name, peer in systems.items()
        if not name.startswith("bigrain")
    ]


def compared(own: dict[str, Any], peer: dict[str, Any], clock: str) -> list[str]:
    said = []
    most = best(peer)["recall"]
    targets = [recall for recall in RECALLS if recall <= most] or [most]
    for kind, label in zip(KINDS, ("median", "p99", "batch"), strict=True):
        shares = []
        for recall in targets:
            ours, theirs = (at(reached(s, kind, clock), recall) for s in (own, peer))
            shares.append(f"{ours / theirs:.1f}" if ours and theirs else "-")
        said.append(f"{label} {' / '.join(shares)} times as fast")
    where = " / ".join(f"{recall:.3f}".lstrip("0").rstrip("0") for recall in targets)
    said[0] = f"at recall {where}: {said[0]}"
    if most < RECALLS[-1]:
        said.append(f"its most recall is {most:.3f}")
    mine, theirs = memory(own), memory(peer)
    said.append(
        f"memory {sum(mine) / max(sum(theirs), 1):.3f} times "
        f"({mine[0] / max(theirs[0], 1):.3f} without mapped files)"
    )
    build, other = own["build"], peer["build"]
    said.append(f"disk {build['index_bytes'] / other['index_bytes']:.2f} times")
    slower = other[f"{clock}_s"] / max(build[f"{clock}_s"], 0.01)
    said.append(f"built {slower:.1f} times as fast")
    return said


def picture(result: dict[str, Any], target: Path, clock: str) -> None:
    """Recall against queries a second, one line a system; the label says the memory."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(14, 6), sharex=True)
    for panel, kind in zip(panels, ("p50", "batch"), strict=True):
        for i, (name, system) in enumerate(measured(result).items()):
            line = frontier(reached(system, kind, clock))
            label = f"{name}: {sum(memory(system)) / result['n']:,.0f} B"
            panel.plot(*zip(*line, strict=True), marker="o", markersize=4, color=f"C{i}",
                       label=label, linewidth=3 if name.startswith("bigrain") else 1.2)  # fmt: skip
        panel.set_yscale("log")
        panel.set_xlim(0.6, 1.005)
        panel.set_xlabel("recall of the exact MaxSim top 10")
        panel.grid(alpha=0.3, which="both")
    panels[0].set_title(f"one query at a time, median ({clock} time)")
    panels[1].set_title(f"batch ({clock} time)")
    panels[0].set_ylabel("queries a second, one thread")
    panels[1].legend(fontsize=8, title="resident bytes a document")
    figure.suptitle(described(result))
    figure.tight_layout()
    figure.savefig(target, dpi=90)
    plt.close(figure)


def described(result: dict[str, Any]) -> str:
    each = result["tokens"] / result["n"]
    return (
        f"{result['name']}: {result['n']:,} documents of {each:.1f} tokens, {result['dim']} "
        f"dimensions, {result['queries']} queries of {result['query_tokens']} tokens"
    )


def everything(result: dict[str, Any], target: Path, clock: str, page: Path) -> None:
    """Print the table and the ratios; draw the picture; fill in the README."""
    if not measured(result):
        print("nothing was measured")
        return
    table_rows = rows(result, clock)
    console = Console()
    console = console if console.is_terminal else Console(width=170)
    table = Table(*HEAD, title=described(result))
    for row in table_rows:
        table.add_row(*row)
    console.print(table)
    machine = result["machine"]
    said = (
        f"{described(result)}. {machine['processor']}, {machine['date']}; one thread; {clock} time "
        "of the process; memory of its own + of mapped files."
    )
    parts = [said, markdown_table(HEAD, table_rows)]
    if judged := result.get("nDCG@10"):
        told = ", ".join(f"{name} {score:.4f}" for name, score in judged.items())
        parts.append(f"nDCG@10: {told}.")
    lines = ratios(result, clock)
    parts.append("\n".join(f"- {line}" for line in lines))
    print("\n".join(parts[2:]))
    name = result["name"]
    text = "\n\n".join(part for part in parts if part)
    into_page(page, BEGIN.format(name=name), END.format(name=name), text)
    try:
        picture(result, target.with_suffix(".png"), clock)
    except ImportError:
        print("no picture: pip install matplotlib")
