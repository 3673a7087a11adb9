"""What Matryoshka training costs: one table with four widths beside one trained at each alone.

    nice -n 10 python widths.py --data ../../shared/data --cache build/teacher --out widths.json

The five are trained by the same short recipe: same start, texts, pairs, batches, seed and steps;
only the prefixes that count in the losses differ. The guide of pairs is the table with four widths
after distillation, or the teacher. nDCG@10 of exact search on the sets of `evaluate.py`, paired
over questions, with intervals of 95 % by the bootstrap: of a mean of sets, from resamples inside
each set. Nothing is chosen by these figures.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from artefact import pool
from data import distillation_parts, read_set
from develop import Development
from evaluate import TARGET_SETS, ndcg, top, unit
from static_encoder import (
    build_pairs,
    contrast,
    distil,
    known_texts,
    principal_axes,
    recipe_arguments,
    single_tokens,
)
from table import PREFIXES, Table
from teacher import Teacher
from wordpiece import WordPiece, whole_words

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from bigrain.evaluation.significance import bootstrap_means

HELD_OUT = ("cranfield", "npl", "cisi", "cosqa", "selqa")


def train_all(args: argparse.Namespace) -> dict[str, np.ndarray]:
    """Rows of the table with four widths ("all") and of those with one; kept in `--work`.

    Tables that are kept there are not trained again.
    """
    teacher = Teacher(args.teacher, args.cache, args.threads)
    wordpiece = WordPiece(teacher.folder, args.work)
    parts = distillation_parts(args.data, whole_words(teacher.folder))
    texts = known_texts(teacher, parts, wordpiece)
    held_out = parts["held out"]
    develop = Development(args.data, wordpiece, held_out, teacher.encode(held_out))
    axes = principal_axes(texts.vectors)
    start = single_tokens(teacher, wordpiece, axes, args)
    plans: dict[str, Mapping[int, float]] = {"all": PREFIXES}
    plans |= {str(width): {width: 1.0} for width in PREFIXES}
    kept = args.work / "widths.npz"
    tables = dict(np.load(kept)) if kept.exists() else {}
    sources = None
    for name, prefixes in plans.items():
        if name in tables and (sources is not None or len(tables) == len(plans)):
            continue
        began = time.process_time()
        torch.manual_seed(args.seed)
        table = Table(start[:, : max(prefixes)], args.tf_power)
        distil(table, texts, axes, args, develop, prefixes)
        if sources is None:
            sources = build_pairs(args.data, wordpiece, table, teacher, parts, args.seed)
        if name in tables:  # its first half is what pairs are chosen by
            continue
        contrast(table, sources, texts, axes, args, develop, prefixes)
        tables[name] = table.folded()
        np.savez(kept, **tables)
        print(f"{name}: {time.process_time() - began:.0f} s of CPU", flush=True)
    return tables


def judge(args: argparse.Namespace, tables: dict[str, np.ndarray]) -> dict[str, dict[str, object]]:
    """{width: {set or mean: [with four widths, alone, difference, low, high]}}."""
    teacher = Teacher(args.teacher, args.cache, args.threads)
    wordpiece = WordPiece(teacher.folder, args.work)
    alone = [name for name in tables if name != "all"]
    values: dict[str, dict[str, np.ndarray]] = {width: {} for width in alone}
    for name in args.sets:
        target = read_set(args.data, name, TARGET_SETS[name])
        queries, documents = wordpiece.bags(target.queries), wordpiece.bags(target.documents)

        def scored(rows: np.ndarray, target=target, queries=queries, documents=documents):
            a, b = pool(rows, queries, args.tf_power), pool(rows, documents, args.tf_power)
            return ndcg(target, top(unit(a) @ unit(b).T, 10)[0])

        for width, by_set in values.items():
            pair = scored(tables["all"][:, : int(width)]), scored(tables[width])
            by_set[name] = np.stack(pair, axis=1)
        print(name, {w: v[name].mean(0).round(4).tolist() for w, v in values.items()}, flush=True)
    groups = {name: [name] for name in args.sets}
    groups["mean"] = list(args.sets)
    groups["mean of those never seen"] = [name for name in args.sets if name in HELD_OUT]
    return {
        width: {name: compared([by_set[of] for of in names]) for name, names in groups.items()}
        for width, by_set in values.items()
    }


def compared(sets: list[np.ndarray]) -> dict[str, float]:
    """Means over sets of (questions, 2), their difference and its interval."""
    first, second = np.mean([values.mean(axis=0) for values in sets], axis=0)
    drawn = np.mean(
        [bootstrap_means(v[:, :1] - v[:, 1:], seed=i) for i, v in enumerate(sets)], axis=0
    )
    low, high = np.quantile(drawn, [0.025, 0.975])
    told = {
        "of four": first, "alone": second, "difference": first - second, "low": low, "high": high
    }  # fmt: skip
    return {key: round(float(value), 4) for key, value in told.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    recipe_arguments(parser)
    parser.set_defaults(threads=1, batch=512, distil_epochs=1.6, contrast_steps=1000)
    parser.add_argument("--sets", nargs="+", default=list(TARGET_SETS))
    parser.add_argument("--trained", type=Path, help="widths.npz of a run: judge it")
    parser.add_argument("--out", type=Path, default=Path("widths.json"))
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.work.mkdir(parents=True, exist_ok=True)
    tables = train_all(args) if args.trained is None else dict(np.load(args.trained))
    args.out.write_text(json.dumps(judge(args, tables), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
