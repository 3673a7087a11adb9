"""Train the static encoder: single tokens -> distillation -> contrast (see README.md)."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import artefact
import numpy as np
import torch
from artefact import pool
from data import corpus, distillation_parts, glosses, passages, train_pairs
from develop import Development
from table import PREFIXES, LossWeights, Table, contrast_loss, distillation_loss
from teacher import Teacher
from wordpiece import Bags, WordPiece, is_special, whole_words

WIDTH = 256
TEACHER_TOKENS = 254  # the teacher reads 256 tokens, two of them special


# ---------------------------------------------------------------- start


def token_probabilities(wordpiece: WordPiece, data: Path, sample: int = 100_000) -> np.ndarray:
    """Unigram probabilities: half Zipf by vocabulary rank (general English), half counted."""
    size = len(wordpiece.vocabulary)
    rank = np.arange(size) - 1000.0  # the frequency-ordered part starts near id 1000
    zipf = 1.0 / np.maximum(rank, 10.0)
    zipf[:1000] = 1.0 / 5000.0
    texts = passages(data)
    step = max(1, len(texts) // sample)
    counted = np.zeros(size)
    for part in (texts[::step], glosses(data)):
        counts = np.zeros(size)
        for ids in wordpiece.ids(part):
            np.add.at(counts, ids, 1.0)
        counted += 0.5 * counts / counts.sum()
    return 0.5 * zipf / zipf.sum() + 0.5 * counted


def principal_axes(vectors: np.ndarray, width: int = WIDTH) -> np.ndarray:
    """Main directions (384, width) of unit vectors, largest first, without centring."""
    values, axes = np.linalg.eigh(vectors.T @ vectors / len(vectors))
    return axes[:, np.argsort(-values)[:width]].astype(np.float32)


def initial_rows(
    single: np.ndarray, axes: np.ndarray, probability: np.ndarray, special: list[bool], a: float
) -> np.ndarray:
    """Rotated teacher vectors of the single tokens, weighted a / (a + p)."""
    weight = (a / (a + probability)).astype(np.float32)
    weight[special] = 0.0
    return (single.astype(np.float32) @ axes) * weight[:, None]


def single_tokens(
    teacher: Teacher, wordpiece: WordPiece, axes: np.ndarray, args: argparse.Namespace
) -> np.ndarray:
    """The rows (V, width) to begin with; token probabilities are counted once and kept."""
    special = [is_special(token) for token in wordpiece.vocabulary]
    known = args.work / "probability.npy"
    if not known.exists():
        np.save(known, token_probabilities(wordpiece, args.data))
    single = teacher.encode_tokens(wordpiece.vocabulary)
    return initial_rows(single, axes, np.load(known), special, 1e-3)


# ---------------------------------------------------------------- batches


def topic_runs(vectors: np.ndarray, rng: np.random.Generator, run: int = 32) -> np.ndarray:
    """All rows, ordered so that `run` neighbours share a topic; the runs are shuffled."""
    centres = vectors[rng.choice(len(vectors), max(2, len(vectors) // 150), replace=False)]
    blocks = np.array_split(vectors, len(vectors) // 8192 + 1)
    nearest = np.concatenate([(block @ centres.T).argmax(1) for block in blocks])
    order = np.lexsort((rng.random(len(vectors)), nearest))
    runs = np.array_split(order, max(1, len(order) // run))
    return np.concatenate([runs[i] for i in rng.permutation(len(runs))])


def batches(vectors: np.ndarray, size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Endless batches of row numbers: half of the passes in topic runs, half at random."""
    while True:
        topical = rng.random() < 0.7
        order = topic_runs(vectors, rng) if topical else rng.permutation(len(vectors))
        for at in range(0, len(order) - size + 1, size):
            yield order[at : at + size]


def merge(parts: list[Bags]) -> Bags:
    """Several collections of bags as one."""
    starts, shift = [np.zeros(1, np.int64)], 0
    for part in parts:
        starts.append(part.starts[1:] + shift)
        shift += len(part.tokens)
    return Bags(
        np.concatenate([p.tokens for p in parts]),
        np.concatenate([p.counts for p in parts]),
        np.concatenate(starts),
    )


# ---------------------------------------------------------------- the two stages


class Stage:
    """Adam with a cosine schedule, a pull towards the start, and averaged last checkpoints."""

    def __init__(self, table: Table, steps: int, rate: float, pull: float) -> None:
        self.table, self.steps, self.rate, self.pull = table, steps, rate, pull
        self.start = table.rows.detach().clone()
        groups = [
            {"params": [table.rows], "lr": rate, "base": rate},
            {"params": [table.logs], "lr": 4 * rate, "base": 4 * rate},
        ]
        self.optimiser = torch.optim.Adam(groups, betas=(0.9, 0.99), fused=True)
        self.sums: list[torch.Tensor] = []

    def step(self, number: int, loss: torch.Tensor) -> None:
        """One update; in the last fifth every 20th table enters the average."""
        warm = min(1.0, (number + 1) / (0.05 * self.steps))
        share = warm * (0.03 + 0.97 * 0.5 * (1 + np.cos(np.pi * number / self.steps)))
        for group in self.optimiser.param_groups:
            group["lr"] = group["base"] * share
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        if self.pull:
            with torch.no_grad():
                self.table.rows.lerp_(self.start, self.pull * share)
        if number >= 0.8 * self.steps and number % 20 == 0:
            now = torch.cat([self.table.rows.detach(), self.table.logs.detach()[:, None]], 1)
            self.sums = (
                [now + self.sums[0], self.sums[1] + 1] if self.sums else [now, torch.ones(())]
            )

    def finish(self) -> None:
        """Put the averaged table in place."""
        mean = self.sums[0] / self.sums[1]
        with torch.no_grad():
            self.table.rows.copy_(mean[:, :-1])
            self.table.logs.copy_(mean[:, -1])


@dataclass
class Texts:
    """Texts with known teacher vectors."""

    bags: Bags
    vectors: np.ndarray


def distil(
    table: Table,
    texts: Texts,
    axes: np.ndarray,
    args: argparse.Namespace,
    develop: Development,
    prefixes: Mapping[int, float] = PREFIXES,
) -> None:
    """Fit the table to the teacher's vectors and similarities."""
    rng = np.random.default_rng(args.seed)
    steps = int(args.distil_epochs * len(texts.bags) / args.batch)
    stage = Stage(table, steps, args.distil_rate, args.distil_pull)
    source, share, began = batches(texts.vectors, args.batch, rng), LossWeights(), time.time()
    turn = torch.from_numpy(axes)
    for number in range(steps):
        rows = next(source)
        target = torch.from_numpy(texts.vectors[rows].astype(np.float32))
        sums = table.encode(texts.bags, rows)
        loss = distillation_loss(sums, target, target @ turn, share, prefixes)
        stage.step(number, loss)
        if number % 100 == 0:
            spent = time.time() - began
            print(f"distil {number}/{steps} {loss.item():.4f} {spent:.0f} s", flush=True)
    stage.finish()
    print("distilled", develop.measure(table.folded(), table.tf_power), flush=True)


@dataclass
class Pairs:
    """Texts that belong together; `guide` vectors decide about false negatives."""

    name: str
    share: float
    left: Bags
    right: Bags
    guide_left: np.ndarray
    guide_right: np.ndarray
    groups: np.ndarray  # equal numbers: never negatives of each other
    keep: tuple[float, ...] = (1.0,)


def contrast(
    table: Table,
    sources: list[Pairs],
    texts: Texts,
    axes: np.ndarray,
    args: argparse.Namespace,
    develop: Development,
    prefixes: Mapping[int, float] = PREFIXES,
) -> None:
    """InfoNCE on pairs, mixed with distillation so that the table does not drift."""
    rng = np.random.default_rng(args.seed + 1)
    stage = Stage(table, args.contrast_steps, args.contrast_rate, args.contrast_pull)
    turn, share, began = torch.from_numpy(axes), LossWeights(), time.time()
    anchors = batches(texts.vectors, args.batch, rng)
    feeds = [batches(s.guide_left, min(args.batch, len(s.left)), rng) for s in sources]
    odds = np.array([s.share for s in sources]) / sum(s.share for s in sources)
    seen: dict[str, list[tuple[float, float]]] = {s.name: [] for s in sources}
    for number in range(args.contrast_steps):
        pick = int(rng.choice(len(sources), p=odds))
        pairs, rows = sources[pick], next(feeds[pick])
        left = table.encode(pairs.left, rows, float(rng.choice(pairs.keep)), rng)
        right = table.encode(pairs.right, rows)
        guide = torch.from_numpy(
            (pairs.guide_left[rows] @ pairs.guide_right[rows].T).astype(np.float32)
        )
        group = torch.from_numpy(pairs.groups[rows])
        same = group[:, None] == group
        loss, dropped = contrast_loss(left, right, guide, same, share, prefixes)
        seen[pairs.name].append((loss.item(), dropped))
        anchor = next(anchors)
        target = torch.from_numpy(texts.vectors[anchor].astype(np.float32))
        sums = table.encode(texts.bags, anchor)
        stay = distillation_loss(sums, target, target @ turn, share, prefixes)
        stage.step(number, loss + args.stay * stay)
        if number % 100 == 99:
            text = " ".join(
                f"{n} {np.mean([x[0] for x in v]):.3f} ({np.mean([x[1] for x in v]):.2%})"
                for n, v in seen.items()
                if v
            )
            seen = {s.name: [] for s in sources}
            print(
                f"contrast {number + 1} {text} stay {stay.item():.3f} {time.time() - began:.0f} s",
                flush=True,
            )
            if number % 500 == 499:
                print("  ", develop.measure(table.folded(), table.tf_power), flush=True)
                np.savez(args.work / f"contrast-{number + 1}.npz", rows=table.folded(), axes=axes)
    stage.finish()
    print("contrasted", develop.measure(table.folded(), table.tf_power), flush=True)


# ---------------------------------------------------------------- material


def known_texts(teacher: Teacher, parts: dict[str, list[str]], wordpiece: WordPiece) -> Texts:
    """Every cached training part, and every single token, as bags with teacher vectors."""
    bags, vectors = [], []
    for name, texts in parts.items():
        if name != "held out" and teacher.knows(texts):
            bags.append(wordpiece.bags(texts, TEACHER_TOKENS))
            vectors.append(teacher.encode(texts))
            print(f"texts: {len(texts)} {name}", flush=True)
    tokens = np.array([i for i, t in enumerate(wordpiece.vocabulary) if not is_special(t)])
    bags.append(Bags(tokens, np.ones(len(tokens), np.float32), np.arange(len(tokens) + 1)))
    vectors.append(teacher.encode_tokens(wordpiece.vocabulary)[tokens])
    return Texts(merge(bags), np.concatenate(vectors).astype(np.float32))


def nearest(vectors: np.ndarray, block: int = 2048) -> tuple[np.ndarray, np.ndarray]:
    """The most similar other row of every row, and its cosine."""
    every = torch.from_numpy(vectors)
    rows, cosines = [], []
    for at in range(0, len(every), block):
        scores = every[at : at + block] @ every.T
        scores[torch.arange(len(scores)), torch.arange(at, at + len(scores))] = -1.0
        best = scores.max(dim=1)
        rows.append(best.indices.numpy())
        cosines.append(best.values.numpy())
    return np.concatenate(rows), np.concatenate(cosines)


def numbered(texts: list[str]) -> np.ndarray:
    """Equal texts get equal numbers."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(text, len(numbers)) for text in texts])


def build_pairs(
    data: Path,
    wordpiece: WordPiece,
    table: Table,
    teacher: Teacher,
    parts: dict[str, list[str]],
    seed: int,
) -> list[Pairs]:
    """Labelled pairs of the train splits, and pairs made from plain text.

    The guide is the teacher where all texts of a source have been encoded, else the distilled
    table itself.
    """
    rng = np.random.default_rng(seed)
    rows = table.folded()

    def guide(bags: Bags) -> np.ndarray:
        return pool(rows, bags, table.tf_power)

    def cached(texts: list[str], inside: tuple[str, ...]) -> np.ndarray | None:
        known: dict[str, np.ndarray] = {}
        for name in inside:
            if not teacher.knows(parts[name]):
                return None
            known.update(zip(parts[name], teacher.encode(parts[name]), strict=True))
        if any(text not in known for text in texts):
            return None
        return np.stack([known[text] for text in texts]).astype(np.float32)

    sources = []

    def add(
        name: str,
        share: float,
        left: list[str],
        right: list[str],
        inside: tuple[str, ...] = (),
        keep: tuple[float, ...] = (1.0,),
    ) -> None:
        a, b = wordpiece.bags(left), wordpiece.bags(right, 512)
        taught = (cached(left, inside), cached(right, inside)) if inside else (None, None)
        if taught[0] is not None and taught[1] is not None:
            vectors, kind = taught, "teacher"
        else:
            vectors, kind = (guide(a), guide(b)), "table"
        groups = numbered(right)
        sources.append(Pairs(name, share, a, b, vectors[0], vectors[1], groups, keep))
        print(f"pairs: {len(left)} {name}, guide: {kind}", flush=True)

    medquad = train_pairs(data, "medquad")
    scifact = train_pairs(data, "scifact")
    arxiv = train_pairs(data, "arxiv")
    add("questions", 0.08, *unzip(medquad), ("questions", "medquad documents"), (1.0, 1.0, 0.7))
    add("claims", 0.02, *unzip(scifact), ("claims", "scifact documents"), (1.0, 0.7))
    add("titles", 0.15, *unzip(arxiv), (), (1.0, 1.0, 0.7))

    papers = [row for row in corpus(data, "scifact") if row.get("title")]
    add("paper titles", 0.05, [r["title"] for r in papers], [r["text"] for r in papers])

    # a sentence and its neighbours in the abstract; weak pairs are dropped
    sentences = passages(data)
    picked = rng.choice(len(sentences) - 4, 110_000, replace=False)
    left = [sentences[i] for i in picked]
    right = [" ".join(sentences[i + 1 : i + 3]) for i in picked]
    score = (guide(wordpiece.bags(left)) * guide(wordpiece.bags(right))).sum(1)
    fit = np.flatnonzero(score > np.quantile(score, 0.25))
    add("neighbours", 0.30, [left[i] for i in fit], [right[i] for i in fit], (), (1.0, 0.6, 0.3))

    # some words of a text and the whole text
    add("gloss words", 0.13, parts["glosses"], parts["glosses"], ("glosses",), (0.5, 0.25))
    add("sentence words", 0.12, parts["sentences"], parts["sentences"], ("sentences",), (0.3, 0.15))

    # a definition or example and the one the teacher finds nearest
    vectors = teacher.encode(parts["glosses"]).astype(np.float32)
    near, cosine = nearest(vectors)
    fit = np.flatnonzero((cosine > 0.45) & (cosine < 0.95))
    left = [parts["glosses"][i] for i in fit]
    right = [parts["glosses"][near[i]] for i in fit]
    add("gloss neighbours", 0.15, left, right, ("glosses",), (1.0, 0.6))
    return sources


def unzip(pairs: list[tuple[str, str]]) -> tuple[list[str], list[str]]:
    """Pairs as two lists."""
    return [a for a, _ in pairs], [b for _, b in pairs]


def recipe_arguments(parser: argparse.ArgumentParser) -> None:
    """Where data and checkpoints are, and all numbers of the two steps of training."""
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--cache", type=Path, default=Path("build/teacher"))
    parser.add_argument("--work", type=Path, default=Path("build/static"), help="checkpoints")
    parser.add_argument("--teacher", type=Path, default=None, help="model folder")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--tf-power", type=float, default=0.5)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--distil-epochs", type=float, default=8.0)
    parser.add_argument("--distil-rate", type=float, default=3e-3)
    parser.add_argument("--distil-pull", type=float, default=0.0)
    parser.add_argument("--contrast-steps", type=int, default=1800)
    parser.add_argument("--contrast-rate", type=float, default=1.5e-3)
    parser.add_argument("--contrast-pull", type=float, default=0.0)
    parser.add_argument("--stay", type=float, default=1.0, help="share of distillation in contrast")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    recipe_arguments(parser)
    parser.add_argument("--out", type=Path, default=Path("src/bigrain/encoders/static_v1"))
    parser.add_argument("--start", type=Path, default=None, help="distilled table to go on from")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    args.work.mkdir(parents=True, exist_ok=True)
    began = time.time()

    teacher = Teacher(args.teacher, args.cache, args.threads)
    wordpiece = WordPiece(teacher.folder, args.work)
    parts = distillation_parts(args.data, whole_words(teacher.folder))
    texts = known_texts(teacher, parts, wordpiece)
    develop = Development(
        args.data, wordpiece, parts["held out"], teacher.encode(parts["held out"])
    )
    axes = principal_axes(texts.vectors)
    if args.start is None:
        table = Table(single_tokens(teacher, wordpiece, axes, args), args.tf_power)
        print("single tokens", develop.measure(table.folded(), args.tf_power), flush=True)
        distil(table, texts, axes, args, develop)
        np.savez(args.work / "distilled.npz", rows=table.folded(), axes=axes)
    else:
        saved = np.load(args.start)
        table, axes = Table(saved["rows"], args.tf_power), saved["axes"]
    if args.contrast_steps:
        sources = build_pairs(args.data, wordpiece, table, teacher, parts, args.seed)
        contrast(table, sources, texts, axes, args, develop)
        np.savez(args.work / "contrasted.npz", rows=table.folded(), axes=axes)
    options = {k: v for k, v in vars(args).items() if isinstance(v, (int, float))}
    artefact.write(args.out, table.folded(), wordpiece.vocabulary, args.tf_power, options)
    print(f"done in {time.time() - began:.0f} s: {args.out}", flush=True)


if __name__ == "__main__":
    main()
