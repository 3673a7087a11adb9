"""From the points of `peers.py`: tables, pictures, and bigrain against each peer."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))
from reporting import at, frontier, into_page, markdown_table

BEGIN = "<!-- sparse-{track}-{n}: written by sparse/peers.py -->"
END = "<!-- end of sparse-{track}-{n} -->"
RECALLS = (0.90, 0.95, 0.99, 0.999)
MB = 1e6


def measured(result: dict[str, Any]) -> dict[str, Any]:
    return {name: s for name, s in result["systems"].items() if "points" in s}


def fastest(system: dict[str, Any], queries: str, k: int, clock: str) -> dict[str, Any] | None:
    """The point of the fastest setting in a batch."""
    points = [p for p in system["points"] if p["queries"] == queries and p["k"] == k]
    return min(points, key=lambda p: p["batch"][f"{clock}_us"]) if points else None


def qps(point: dict[str, Any], kind: str, clock: str) -> float:
    us = point["batch"][f"{clock}_us"] if kind == "batch" else point["single"][f"{clock}_p50_us"]
    return 1e6 / max(us, 1e-3)


def reached(system: dict[str, Any], kind: str, clock: str) -> list[tuple[float, float]]:
    """(recall, queries a second) of every setting."""
    return [(p["agreement"], qps(p, kind, clock)) for p in system["points"]]


def memory(system: dict[str, Any]) -> tuple[float, float]:
    """MB of the process's growth after all queries: its own, and of mapped files."""
    grown = system["resident"]["batch"]
    return grown["anonymous"] / MB, grown["files"] / MB


def shared_cells(name: str, system: dict[str, Any], clock: str) -> list[str]:
    build = system["build"]
    clock = "cpu" if build["reused"] else clock
    seconds = f"{build[f'{clock}_s']:,.1f}" + (" CPU" if build["reused"] else "")
    if tokenise := build["parts"].get("tokenise"):
        seconds += f" (words {tokenise[0 if clock == 'wall' else 1]:,.1f})"
    own, files = memory(system)
    held = f"{own:,.0f}" + (f" + {files:,.0f}" if files >= 1 else "")
    return [name, seconds, f"{build['index_bytes'] / MB:,.0f}", held]


LEXICAL_HEAD = ("system", "build s", "index MB", "memory MB")
LEARNED_HEAD = (
    *LEXICAL_HEAD, "batch .90", "batch .95", "batch .99", "batch .999",
    "single ms .95", "single ms .99", "most recall",
)  # fmt: skip


def lexical_head(result: dict[str, Any]) -> tuple[str, ...]:
    sets = (f"{name}, top {k}" for name in result["sets"] for k in (10, 100))
    first = result["sets"][0]
    timed = (f"{first} p50 ms", f"{first} p99 ms", "agreement")
    return (*LEXICAL_HEAD, *sets, *timed)


def lexical_rows(result: dict[str, Any], clock: str) -> list[list[str]]:
    """Fastest at the top 10 of the first set first."""
    rows = []
    for name, system in measured(result).items():
        points = [fastest(system, q, k, clock) for q in result["sets"] for k in (10, 100)]
        first = points[0]
        assert first is not None
        cells = shared_cells(name, system, clock)
        cells += [f"{qps(p, 'batch', clock):,.0f}" if p else "-" for p in points]
        cells += [f"{first['single'][f'{clock}_{p}_us'] / 1000:.2f}" for p in ("p50", "p99")]
        cells.append(f"{first['agreement']:.3f}")
        rows.append((qps(first, "batch", clock), cells))
    return [cells for _, cells in sorted(rows, key=lambda pair: -pair[0])]


def learned_rows(result: dict[str, Any], clock: str) -> list[list[str]]:
    """Fastest at recall 0.95 first."""
    rows = []
    for name, system in measured(result).items():
        several, one = (reached(system, kind, clock) for kind in ("batch", "single"))
        speeds = [at(several, recall) for recall in RECALLS]
        times = [at(one, recall) for recall in (0.95, 0.99)]
        cells = shared_cells(name, system, clock)
        cells += [f"{speed:,.0f}" if speed else "-" for speed in speeds]
        cells += [f"{1000 / speed:.2f}" if speed else "-" for speed in times]
        cells.append(f"{max(recall for recall, _ in several):.4f}")
        rows.append((speeds[1] or 0.0, cells))
    return [cells for _, cells in sorted(rows, key=lambda pair: -pair[0])]


def judged_table(result: dict[str, Any]) -> str:
    """nDCG@10 of every system on the judged sets."""
    exhaustive = result.get("exhaustive nDCG@10")
    if not exhaustive:
        return ""
    scores = {"exhaustive, float64": exhaustive}
    scores |= {n: s["nDCG@10"] for n, s in measured(result).items() if "nDCG@10" in s}
    rows = [[name, *(f"{found[s]:.4f}" for s in exhaustive)] for name, found in scores.items()]
    return markdown_table(("nDCG@10", *exhaustive), rows)


def ratios(result: dict[str, Any], clock: str) -> list[str]:
    """bigrain against each peer, one line each."""
    systems = measured(result)
    own = systems.pop("bigrain", None)
    if own is None:
        return []
    compare = lexical_ratios if result["track"] == "lexical" else learned_ratios
    lines = []
    for name, peer in systems.items():
        said = compare(result, own, peer, clock)
        ours, theirs = own["build"], peer["build"]
        clocks = (
            ("cpu",) if clock == "cpu" or theirs["reused"] or ours["reused"] else ("wall", "cpu")
        )
        built = (f"{theirs[f'{c}_s'] / max(ours[f'{c}_s'], 0.01):.2f} ({c})" for c in clocks)
        said.append(f"build {', '.join(built)} times as fast")
        held = sum(memory(own)) / max(sum(memory(peer)), 0.1)
        disk = ours["index_bytes"] / theirs["index_bytes"]
        said.append(f"memory {held:.2f} times, disk {disk:.2f} times")
        lines.append(f"bigrain beside {name}: " + "; ".join(said))
    return lines


def lexical_ratios(result: Any, own: Any, peer: Any, clock: str) -> list[str]:
    said = []
    for queries in result["sets"]:
        for kind in ("batch", "single"):
            shares = []
            for k in (10, 100):
                ours, theirs = (fastest(s, queries, k, clock) for s in (own, peer))
                if ours and theirs:
                    shares.append(qps(ours, kind, clock) / qps(theirs, kind, clock))
            said.append(f"{queries} {kind} " + " / ".join(f"{share:.2f}" for share in shares))
    return ["top 10 / top 100: " + ", ".join(said)]


def learned_ratios(result: Any, own: Any, peer: Any, clock: str) -> list[str]:
    said = []
    exact = [p for p in own["points"] if p["setting"]["recall"] == 1]
    for kind in ("batch", "single"):
        theirs = at(reached(peer, kind, clock), 0.99)
        if theirs and exact:
            ours = qps(exact[0], kind, clock)
            said.append(f"{kind}: exact {ours / theirs:.2f} times its speed at recall .99")
        ours_at, theirs = (at(reached(s, kind, clock), 0.95) for s in (own, peer))
        if ours_at and theirs:
            said.append(f"{kind}: {ours_at / theirs:.2f} times its speed at .95")
    return said


def picture(result: dict[str, Any], target: Path, clock: str) -> None:
    """Lexical: memory against speed. Learned: recall against speed."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(14, 6))
    for panel, kind in zip(panels, ("batch", "single"), strict=True):
        for i, (name, system) in enumerate(measured(result).items()):
            wide = name == "bigrain"
            if result["track"] == "lexical":
                points = [fastest(system, q, 10, clock) for q in result["sets"]]
                speeds = [qps(p, kind, clock) for p in points if p]
                held = [max(sum(memory(system)), 1.0)] * len(speeds)
                line = list(zip(held, speeds, strict=True))
            else:
                line = frontier(reached(system, kind, clock))
            panel.plot(*zip(*line, strict=True), marker="o", color=f"C{i}", label=name,
                       linewidth=3 if wide else 1.2)  # fmt: skip
        panel.set_yscale("log")
        panel.grid(alpha=0.3, which="both")
        panel.set_title(f"{kind}, one thread ({clock} time)")
        if result["track"] == "lexical":
            panel.set_xscale("log")
            panel.set_xlabel("MB of memory; one point a set of queries, top 10")
        else:
            panel.set_xlim(0.8, 1.002)
            panel.set_xlabel("recall@10")
    panels[0].set_ylabel("queries a second")
    panels[1].legend(fontsize=8)
    figure.suptitle(f"{result['track']}, {result['n']:,} documents")
    figure.tight_layout()
    figure.savefig(target, dpi=90)
    plt.close(figure)


def everything(result: dict[str, Any], target: Path, clock: str, page: Path) -> None:
    """Print the tables and the ratios; draw the picture; fill in the README."""
    if not measured(result):
        print(f"{result['track']}: nothing was measured")
        return
    if result["track"] == "lexical":
        head, rows = lexical_head(result), lexical_rows(result, clock)
    else:
        head, rows = LEARNED_HEAD, learned_rows(result, clock)
    console = Console()
    console = console if console.is_terminal else Console(width=180)
    table = Table(*head, title=f"{result['track']}, {result['n']:,} documents, {clock} time")
    for row in rows:
        table.add_row(*row)
    console.print(table)
    machine = result["machine"]
    said = (
        f"{result['n']:,} documents, {machine['processor']}, {machine['date']}; one thread; "
        f"{clock} time of the process; memory of its own + of mapped files."
    )
    parts = [said, markdown_table(head, rows), judged_table(result)]
    found = ratios(result, clock)
    parts.append("\n".join(f"- {line}" for line in found))
    for line in found:
        print(line)
    names = {"track": result["track"], "n": result["n"]}
    text = "\n\n".join(part for part in parts if part)
    into_page(page, BEGIN.format(**names), END.format(**names), text)
    try:
        picture(result, target.with_suffix(".png"), clock)
    except ImportError:
        print("no picture: pip install matplotlib")
