"""Learned light codes beside fitted ones at equal bytes: which judged documents a flat scan finds.

    python benchmarks/learning/light.py --cache FOLDER [--sets scifact,medquad] [--parts main]
    python benchmarks/learning/light.py --cache FOLDER --report

Judgments and queries of the train split teach, those of the test split ask. Every run is one
record in the cache, so that it can be done in parts; `--report` tests each code against fitted
ones of the same seeds over test queries (paired randomisation of means over seeds) and writes
`results/light.json`, a plot and the tables of the README.
Seconds are processor time of one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from itertools import product
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))
from common import machine
from judged import Judged, judged
from records import Records, compared
from reporting import into_page, markdown_table

from bigrain.codecs.dense import CodeSettings, DenseCodec
from bigrain.learning.light import Recipe, Supervision, fitted_codec, learn_codec
from bigrain.learning.mining import Coded, exact_scores, ranks

RESULTS = Path(__file__).parent / "results"
SETS = (
    ("scifact", "minilm"), ("medquad", "minilm"), ("scifact", "static"), ("medquad", "static"),
    ("arxiv", "static"), ("jaquad", "static"), ("arxiv", "minilm"), ("jaquad", "minilm"),
)  # fmt: skip
SIZES = (16, 32, 48)
CUTS = (10, 100)
BITS = {"rabitq": 1, "pq": 4, "opq": 4, "recurrent": 2}
FITTED = [("rabitq", "pca"), ("rabitq", "leanvec"), ("pq", "pca"), ("opq", "pca")]
# part: (code, what it is learned from, recipe)
LEARNED: dict[str, list[tuple[str, str, dict[str, Any]]]] = {
    "main": [(c, how, {}) for c in ("opq", "rabitq") for how in ("judged", "corpus")],
    "recurrent": [("recurrent", "fitted", {}), ("recurrent", "judged", {})],
    "losses": [
        ("opq", "reconstruction", {"loss": "reconstruction"}),
        ("opq", "contrastive", {"share": 1.0}),
        ("opq", "queries", {}),
    ],
    "negatives": [
        ("opq", f"contrastive, {kind} negatives", {"share": 1.0, "negatives": kind})
        for kind in ("random", "codes", "exact")
    ],
}


PARTS = ("losses", "negatives")
TOLD = {
    ("pq", "fitted"): "PQ, fitted", ("opq", "fitted"): "OPQ, fitted",
    ("opq", "reconstruction"): "trained for reconstruction",
    ("opq", "corpus"): "distilled, from documents",
    ("opq", "queries"): "distilled, from train questions without judgments",
    ("opq", "judged"): "half judgments, half exact scores (the default)",
}  # fmt: skip
BEGIN = "<!-- learned-codes-{part}: written by learning/light.py -->"
END = "<!-- end of learned-codes-{part} -->"


def supervision(how: str, data: Judged) -> Supervision:
    if how in ("corpus", "reconstruction"):
        return Supervision(data.train[:0])
    if how == "queries":
        return Supervision(data.train)
    return Supervision(data.train, data.train_positives)


def found(score: Any, data: Judged) -> np.ndarray:
    """(test queries, cuts): shares of the judged documents among the first."""
    each = ranks(score, data.test, data.test_positives, len(data.vectors))
    return np.array([[np.mean(r < cut) for cut in CUTS] for r in each], np.float32)


def run(records: Records, cache: Path, args: argparse.Namespace) -> None:
    plans: list[tuple[str, str, dict[str, Any]]] = [
        (code, "fitted" if reduction == "pca" else reduction, {}) for code, reduction in FITTED
    ]
    plans += [plan for part in args.parts.split(",") for plan in LEARNED[part]]
    plans = [
        plan
        for plan in plans
        if plan[1] in ("fitted", "leanvec") or plan[0] in args.codes.split(",")
    ]
    seeds, sizes = (list(map(int, some.split(","))) for some in (args.seeds, args.sizes))
    for name, encoder in SETS:
        if name not in args.sets.split(",") or encoder not in args.encoders.split(","):
            continue
        data = judged(name, encoder, cache)
        here, dim = {"set": name, "encoder": encoder}, data.vectors.shape[1]
        key = {**here, "bytes": 4 * dim, "code": "exact", "how": "exact", "seed": 0}
        if not records.path(**key).exists():
            records.keep(key, found(exact_scores(data.vectors, "cosine"), data))
        for seed, light_bytes, (code, how, recipe) in product(seeds, sizes, plans):
            if code not in ("pq", "opq") and light_bytes > BITS[code] * dim // 8:
                continue  # all dimensions take fewer bytes
            if how == "leanvec" and seed:
                continue  # in closed form
            key = {**here, "bytes": light_bytes, "code": code, "how": how, "seed": seed}
            if not records.path(**key).exists():
                began = time.process_time()
                codec, more = made(data, light_bytes, code, how, seed, recipe, args.steps)
                more["seconds"] = round(time.process_time() - began, 1)
                records.keep(key, found(Coded(codec, data.vectors), data), **more)


def made(
    data: Judged, light_bytes: int, code: str, how: str, seed: int, recipe: Any, steps: int
) -> tuple[DenseCodec, dict[str, Any]]:
    """A codec, and what is told of it."""
    reduction = how if how == "leanvec" else "pca"
    settings = CodeSettings(light_bytes, code, BITS[code], reduction)
    if how in ("fitted", "leanvec"):
        queries = data.train if how == "leanvec" else None
        codec = fitted_codec(settings, "cosine", data.vectors, queries=queries, seed=seed)
        return codec, {"error": lost(codec, data.vectors)}
    codec, told = learn_codec(
        settings, "cosine", data.vectors, supervision(how, data),
        seed=seed, recipe=Recipe(**recipe), steps=steps,
    )  # fmt: skip
    shown = {
        name: told[name] for name in ("improved", "queries", "steps", "before", "after", "rounds")
    }
    return codec, {**shown, "error": lost(codec, data.vectors)}


def lost(codec: DenseCodec, vectors: np.ndarray) -> float:
    """Mean share of centred vectors' squares that what codes stand for misses, at its best length.

    Of vectors x and what their codes stand for x^ it is 1 - cos^2(x, x^): papers/A-1, 11.4.
    """
    some = vectors[:5000] - codec.centre
    again = Coded(codec, vectors[:5000]).stand_for() - codec.centre
    lengths = np.square(some).sum(axis=1) * np.square(again).sum(axis=1)
    cosines = (some * again).sum(axis=1) ** 2 / np.maximum(lengths, 1e-30)
    return round(float(1 - cosines.mean()), 4)


def report(records: Records) -> dict[str, Any]:
    """Means over seeds and queries, and each learned code beside the fitted ones of its seeds."""
    groups: dict[tuple[Any, ...], dict[int, tuple[dict[str, Any], np.ndarray]]] = {}
    for told, values in records.all():
        key = (told["set"], told["encoder"], told["bytes"], told["code"], told["how"])
        groups.setdefault(key, {})[told["seed"]] = (told, values)
    rows = []
    for key, members in sorted(groups.items()):
        told = [t for t, _ in members.values()]
        row: dict[str, Any] = dict(
            zip(("set", "encoder", "bytes", "code", "how"), key, strict=True)
        )
        row["seeds"] = len(members)
        for at, cut in enumerate(CUTS):
            each = [float(v[:, at].mean()) for _, v in members.values()]
            row[f"recall@{cut}"] = round(float(np.mean(each)), 4)
            row[f"deviation@{cut}"] = round(float(np.std(each)), 4)
            if key[4] in ("fitted", "exact", "leanvec"):
                continue
            for code in ("opq", "rabitq"):
                fitted = groups.get((*key[:3], code, "fitted"), {})
                both = sorted(members.keys() & fitted.keys())
                if both:
                    a, b = (np.array([of[s][1][:, at] for s in both]) for of in (members, fitted))
                    row[f"beside {code}@{cut}"] = {
                        "seeds": len(both),
                        "seeds above": int((a.mean(axis=1) > b.mean(axis=1)).sum()),
                        **compared(a.mean(axis=0), b.mean(axis=0)),
                    }
        if "seconds" in told[0]:
            row["seconds"] = round(float(np.mean([t["seconds"] for t in told])), 1)
        if "improved" in told[0]:
            row["improved"] = sum(t["improved"] for t in told)
        if "error" in told[0]:
            row["error"] = round(float(np.mean([t["error"] for t in told])), 4)
        rows.append(row)
    return {"machine": machine(), "rows": rows}


def tables(rows: list[dict[str, Any]]) -> dict[str, str]:
    """The tables of the README: codes at equal bytes, and losses and negatives at 16 bytes."""
    found = {
        (r["set"], r["encoder"], r["bytes"], r["code"], r["how"]): r for r in rows
    }  # fmt: skip

    def cell(row: dict[str, Any] | None) -> str:
        if row is None:
            return ""
        marks = [_mark(row, cut) for cut in CUTS]
        return " / ".join(
            f"{_short(row[f'recall@{c}'])}{m}" for c, m in zip(CUTS, marks, strict=True)
        )

    main = []
    for place in SETS:
        exact = next((r for k, r in found.items() if k[:2] == place and k[3] == "exact"), None)
        for size in SIZES:
            learned = [found.get((*place, size, "opq", how)) for how in ("corpus", "judged")]
            if any(learned):
                seeds = [str(r["seeds"]) if r else "" for r in learned]
                fitted = [found.get((*place, size, c, "fitted")) for c in ("rabitq", "opq")]
                main.append([
                    ", ".join(place), str(size), *map(cell, fitted), *map(cell, learned),
                    cell(exact) if size == SIZES[0] else "", ", ".join(filter(None, seeds)),
                ])  # fmt: skip
    ablations: list[list[str]] = []
    kinds = [(plan[0], plan[1]) for part in PARTS for plan in LEARNED[part]]
    kinds = [*TOLD, *(kind for kind in kinds if kind not in TOLD)]
    places = [s for s in SETS if (*s, 16, "opq", "contrastive") in found]
    for code, how in kinds:
        some = [found.get((*place, 16, code, how)) for place in places]
        if any(some):
            name = TOLD.get((code, how), how)
            row = [name]
            for one in some:
                if one is None:
                    row += ["", "", ""]
                    continue
                beside = one.get("beside opq@10")
                low, high = beside["interval"] if beside else (0, 0)
                gain = f"{beside['difference']:+.3f} [{low:.3f}, {high:.3f}]" if beside else ""
                row += [f"{cell(one)} ({one['seeds']})", gain, _short(one["error"])]
            ablations.append(row)
    head = ["OPQ of 16 bytes"]
    for place in places:
        head += [", ".join(place), "@10 beside OPQ", "squares missed"]
    return {
        "sizes": markdown_table(
            ("set, encoder", "bytes", "RaBitQ", "OPQ", "from the documents", "from judgments",
             "exact", "seeds"), main),
        "losses": markdown_table(tuple(head), ablations),
    }  # fmt: skip


def _mark(row: dict[str, Any], cut: int) -> str:
    """'*' above the fitted codes of these bytes with p < .05, '-' below one of them so."""
    beside = [row[f"beside {c}@{cut}"] for c in ("opq", "rabitq") if f"beside {c}@{cut}" in row]
    if beside and all(b["difference"] > 0 and b["p"] < 0.05 for b in beside):
        return "*"
    return "-" if any(b["difference"] < 0 and b["p"] < 0.05 for b in beside) else ""


def _short(value: float) -> str:
    return f"{value:.3f}".lstrip("0") if value < 1 else f"{value:.3f}"


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    places = [s for s in SETS if any((r["set"], r["encoder"]) == s for r in rows)]
    figure, axes = plt.subplots(1, len(places), figsize=(3.4 * len(places), 3.8), squeeze=False)
    lines = (
        ("rabitq", "fitted", "RaBitQ", "C0--"), ("opq", "fitted", "OPQ", "C1--"),
        ("rabitq", "corpus", "RaBitQ, from the corpus", "C0:"),
        ("opq", "corpus", "OPQ, from the corpus", "C1:"),
        ("rabitq", "judged", "RaBitQ, from judgments", "C0-"),
        ("opq", "judged", "OPQ, from judgments", "C1-"),
    )  # fmt: skip
    for axis, place in zip(axes[0], places, strict=True):
        here = [r for r in rows if (r["set"], r["encoder"]) == place]
        for code, how, label, style in lines:
            some = sorted((r["bytes"], r["recall@10"]) for r in here
                          if (r["code"], r["how"]) == (code, how))  # fmt: skip
            if some:
                axis.plot(*zip(*some, strict=True), style, marker="o", ms=3, label=label)
        exact = next(r for r in here if r["code"] == "exact")
        axis.axhline(exact["recall@10"], color="grey", lw=0.8, label="exact, all dimensions")
        axis.set_title(", ".join(place), fontsize=9)
        axis.set_xlabel("bytes a vector")
    axes[0][0].set_ylabel("recall@10 of the judged documents")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=7, loc="lower center", ncols=len(labels))
    figure.tight_layout(rect=(0, 0.06, 1, 1))
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--sets", default="scifact,medquad,arxiv,jaquad")
    parser.add_argument("--encoders", default="minilm,static")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)))
    parser.add_argument("--parts", default="main")
    parser.add_argument("--codes", default="opq,rabitq,recurrent")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--report", action="store_true")
    args = parser.parse_args()
    records = Records(args.cache / "light-records")
    if not args.report:
        run(records, args.cache, args)
        return
    result = report(records)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "light.json").write_text(json.dumps(result, indent=1) + "\n")
    plot(result["rows"], RESULTS / "light.png")
    for part, table in tables(result["rows"]).items():
        page = RESULTS.parents[1] / "README.md"
        into_page(page, BEGIN.format(part=part), END.format(part=part), table)


if __name__ == "__main__":
    main()
