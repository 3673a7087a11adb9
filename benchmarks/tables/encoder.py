"""The token table of the bundled encoder made smaller after training: nDCG@10 against bytes.

    python benchmarks/tables/encoder.py [--sets scifact,npl]

A document is one vector, of its title and text, searched exactly by inner product; the judged
queries are those of the test split. What is stored is an exported table of bigrain.tables, whose
size is that of its file; the encoder's scales, 4 bytes a token, stand beside it as they do now.
Tokens are numbered by how often they occur in PASSAGES lines of the passages set, and k-means
draws each by what it adds to the squared length of what is pooled: frequency x scale^2.
A rotation of the whole table changes no inner product, so it is not stored. Tables of about a
quarter of the bytes are means over SEEDS starts of k-means.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import load_set, passages, save

from bigrain import evaluation
from bigrain.encoders.static import StaticEncoder
from bigrain.evaluation.plot import require_matplotlib
from bigrain.tables.exported import write
from bigrain.tables.forms.base import Form
from bigrain.tables.forms.codes import Codes, pack_bits

SETS = ("cranfield", "scifact", "npl", "cisi", "cosqa", "medquad", "selqa")
PASSAGES, SEEDS, SAMPLE, ROUNDS = 50_000, 3, 8192, 8
LOSS, SHARE = 0.003, 0.25  # what may be lost, at which share of the bytes
HERE = Path(__file__).parent / "results"

Decoded = tuple[Any, int]  # rows (tokens, dim) again, bytes of the file
Code = tuple[int, int]  # parts, bits


class Table:
    """The rows (tokens, dim) in order of falling frequency, and what a token counts."""

    def __init__(self, encoder: StaticEncoder) -> None:
        ids, _ = encoder._tokeniser.encode(list(islice(passages(), 0, 10 * PASSAGES, 10)))
        counts = np.bincount(ids, minlength=len(encoder._table)) + 0.1
        self.order = np.argsort(-counts, kind="stable")
        rows = encoder._table[self.order].astype(np.float32)
        self.scales = encoder._scales[self.order]
        self.weights = counts[self.order] * self.scales**2
        self.rows = rows
        # Principal axes of what is pooled, the strongest first.
        moment = (rows * self.weights[:, None]).T @ rows
        values, axes = np.linalg.eigh(moment.astype(np.float64))
        self.variances, self.axes = values[::-1], axes[:, ::-1].astype(np.float32)


def k_means(points: Any, words: int, weights: Any, seed: int) -> tuple[Any, Any]:
    """(books (words, width), codes (n,)) by Lloyd's rounds over points drawn by their weights."""
    rng = np.random.default_rng(seed)
    sample = points[rng.choice(len(points), SAMPLE, p=weights / weights.sum())]
    books = sample[rng.choice(SAMPLE, words, replace=False)].astype(np.float32)
    for _ in range(ROUNDS):
        codes = nearest(sample, books)
        total = np.bincount(codes, minlength=words)
        for column in range(points.shape[1]):
            sums = np.bincount(codes, sample[:, column], words)
            books[:, column] = np.where(total, sums / total.clip(1), books[:, column])
        empty = np.flatnonzero(total == 0)
        books[empty] = sample[rng.integers(0, SAMPLE, len(empty))]
    return books, nearest(points, books)


def nearest(points: Any, books: Any) -> Any:
    return (points @ books.T - np.square(books).sum(axis=1) / 2).argmax(axis=1)


def file_bytes(form: Form) -> int:
    with tempfile.TemporaryDirectory() as folder:
        return write(Path(folder) / "t.table", form)


def coded(rows: Any, parts: int, bits: int, weights: Any, seed: int) -> Decoded:
    """Product codes of rows (n, dim); one part a dimension is a quantiser of single numbers."""
    n, dim = rows.shape
    cut = rows.reshape(n, parts, dim // parts)
    books = np.empty((parts, 1 << bits, dim // parts), np.float32)
    codes = np.empty((n, parts), np.int64)
    for p in range(parts):
        books[p], codes[:, p] = k_means(cut[:, p], 1 << bits, weights, 1000 * seed + p)
    knobs = {"parts": parts, "bits": [bits], "starts": [0], "ordered": False}
    form = Codes(n, dim, knobs, {"books": books, "codes0": pack_bits(codes, bits)})
    return form.lookup(np.arange(n)), file_bytes(form)


def turned(table: Table, part: slice, code: Code, seed: int) -> Decoded:
    """Product codes after a rotation: principal axes dealt out so that all parts vary alike."""
    axes = table.axes[:, dealt(table.variances, code[0])]
    found, n_bytes = coded(table.rows[part] @ axes, *code, table.weights[part], seed)
    return found @ axes.T, n_bytes


def dealt(variances: Any, parts: int) -> Any:
    """An order of axes, strongest first, in which each goes to the part of least log variance that
    has room; Ge et al., "Optimized product quantization" (CVPR 2013), eigenvalue allocation."""
    members: list[list[int]] = [[] for _ in range(parts)]
    logs = np.log(variances.clip(1e-12))
    for axis in range(len(logs)):
        free = [m for m in members if len(m) < len(logs) // parts]
        min(free, key=lambda m: (sum(logs[a] for a in m), len(m))).append(axis)
    return np.concatenate([np.array(m) for m in members])


def by_frequency(table: Table, head: float, long: Code, short: Code, seed: int) -> Decoded:
    """Longer codes for the most frequent tokens, the idea of MGQE; each with books of their own."""
    cut = int(head * len(table.rows))
    one, one_bytes = turned(table, slice(cut), long, seed)
    two, two_bytes = turned(table, slice(cut, None), short, seed)
    return np.concatenate([one, two]), one_bytes + two_bytes


def int8_head(table: Table, head: float, short: Code, seed: int) -> Decoded:
    """The most frequent tokens as they are, product codes for the others."""
    cut = int(head * len(table.rows))
    two, two_bytes = turned(table, slice(cut, None), short, seed)
    return np.concatenate([table.rows[:cut], two]), cut * table.rows.shape[1] + two_bytes


def low_rank(table: Table, rank: int) -> Decoded:
    """The strongest principal axes, in int8 with a scale a token; no retraining."""
    kept = table.axes[:, :rank]
    found = table.rows @ kept
    scale = np.abs(found).max(axis=1, keepdims=True).clip(1e-9) / 127
    found = np.round(found / scale) * scale
    return found @ kept.T, (rank + 4) * len(found) + kept.nbytes


def prefix(table: Table, width: int) -> Decoded:
    """The first numbers of each row, which the encoder was trained to have stand alone."""
    found = table.rows.copy()
    found[:, width:] = 0
    return found, width * len(found)


def variants() -> dict[str, tuple[str, Callable[[Table, int], Decoded]]]:
    """What is compared: (family, table and seed -> how it is made) by name; int8 comes first."""
    found: dict[str, tuple[str, Callable[[Table, int], Decoded]]] = {
        "int8": ("int8", lambda t, s: (t.rows, t.rows.size))
    }
    for bits in (4, 3, 2):
        found[f"numbers of {bits} bits"] = (
            "single numbers", lambda t, s, b=bits: coded(t.rows, 256, b, t.weights, s),
        )  # fmt: skip
    for code in ((64, 7), (32, 8)):
        found[f"PQ {told(code)}"] = ("PQ", lambda t, s, c=code: coded(t.rows, *c, t.weights, s))
    found[f"PQ {told((64, 7))}, tokens alike"] = (
        "PQ, tokens alike", lambda t, s: coded(t.rows, 64, 7, np.ones_like(t.weights), s),
    )  # fmt: skip
    for code in ((128, 7), (128, 6), (128, 5), (64, 7), (64, 5), (32, 8), (16, 8)):
        found[f"rotated PQ {told(code)}"] = (
            "rotated PQ", lambda t, s, c=code: turned(t, slice(None), c, s),
        )  # fmt: skip
    for head, long, short in ((0.1, (128, 7), (64, 6)), (0.1, (128, 7), (32, 8))):
        found[f"{told(long)} for {head:.0%}, else {told(short)}"] = (
            "by frequency", lambda t, s, h=head, a=long, b=short: by_frequency(t, h, a, b, s),
        )  # fmt: skip
    for head, code in ((0.02, (128, 7)), (0.0134, (64, 7)), (0.1, (32, 8)), (0.05, (64, 5))):
        found[f"int8 for {head:.1%}, else {told(code)}"] = (
            "int8, then PQ", lambda t, s, h=head, c=code: int8_head(t, h, c, s),
        )  # fmt: skip
    for rank in (128, 60):
        found[f"low rank {rank}, int8"] = ("low rank", lambda t, s, r=rank: low_rank(t, r))
    for width in (128, 64):
        found[f"prefix of {width}"] = ("prefix", lambda t, s, w=width: prefix(t, w))
    return found


def told(code: Code) -> str:
    return f"{code[0]} x {code[1]} bits"


class Judged:
    """A set ready to be searched with any table: bags of tokens, weighted as the encoder does."""

    def __init__(self, name: str, encoder: StaticEncoder, table: Table) -> None:
        documents, queries, self.judgments = load_set(name)
        self.ids, self.queries = [d.id for d in documents], list(queries)
        texts = [f"{d.title}\n{d.text}" if d.title else d.text for d in documents]
        self.bags = bags(encoder, table, texts)
        self.asked = bags(encoder, table, list(queries.values()))

    def score(self, rows: Any) -> float:
        vectors, asked = unit(self.bags @ rows), unit(self.asked @ rows)
        run = {}
        for start in range(0, len(asked), 256):
            scores = asked[start : start + 256] @ vectors.T
            best = np.argpartition(-scores, 9, axis=1)[:, :10]
            for q, places in enumerate(best):
                run[self.queries[start + q]] = {self.ids[i]: float(scores[q, i]) for i in places}
        return evaluation.score(run, self.judgments, "nDCG@10").means()["nDCG@10"]


def bags(encoder: StaticEncoder, table: Table, texts: list[str]) -> Any:
    """(texts, tokens) count^p x scale, by the numbers of tokens in the table."""
    number = np.empty_like(table.order)
    number[table.order] = np.arange(len(number))
    ids, offsets = encoder._tokeniser.encode(texts)
    counts = sparse.csr_matrix(
        (np.ones(len(ids), np.float32), number[ids], offsets), (len(texts), len(number))
    )
    counts.sum_duplicates()
    counts.data **= encoder._power
    return (counts @ sparse.diags(table.scales)).tocsr().astype(np.float32)


def unit(vectors: Any) -> Any:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-9)


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    figure = require_matplotlib()(8.0, 5.0)
    axes = figure.subplots()
    first = rows[0]
    families: dict[str, list[dict[str, Any]]] = {}
    for row in rows[1:]:
        families.setdefault(row["family"], []).append(row)
    for family, mine in families.items():
        mine.sort(key=lambda row: row["bytes"])
        axes.plot(
            [row["share"] for row in mine],
            [row["mean"] for row in mine],
            "o-",
            ms=4,
            lw=1,
            label=family,
        )
    axes.axhline(first["mean"], color="#222222", lw=1, label="int8")
    axes.axhline(first["mean"] - LOSS, color="#222222", lw=1, ls=":", label=f"{LOSS} less")
    axes.axvline(SHARE, color="#999999", lw=1)
    axes.set(
        xscale="log", xlabel="bytes / bytes of the int8 table", ylabel="mean nDCG@10",
        title="The encoder's token table, smaller",
    )  # fmt: skip
    axes.grid(alpha=0.25)
    figure.legend(loc="outside right upper", fontsize=8)
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", default=",".join(SETS))
    given = parser.parse_args()
    encoder = StaticEncoder()
    table = Table(encoder)
    judged = {name: Judged(name, encoder, table) for name in given.sets.split(",")}
    rows: list[dict[str, Any]] = []
    for name, (family, made) in variants().items():
        found, n_bytes = made(table, 0)
        share = n_bytes / table.rows.size
        near = SHARE - 0.05 < share < SHARE + 0.02 and family not in ("low rank", "prefix")
        tried = [found, *(made(table, seed)[0] for seed in range(1, SEEDS) if near)]
        scores = {
            key: float(np.mean([each.score(decoded) for decoded in tried]))
            for key, each in judged.items()
        }
        error = np.square(found - table.rows).sum(axis=1) @ table.weights
        lost = [scores[key] - (rows[0]["nDCG@10"] if rows else scores)[key] for key in scores]
        rows.append(
            {
                "table": name,
                "family": family,
                "bytes": n_bytes,
                "share": share,
                "seeds": len(tried),
                "error": float(error / (np.square(table.rows).sum(axis=1) @ table.weights)),
                "mean": float(np.mean(list(scores.values()))),
                "worst": min(lost),
                "nDCG@10": scores,
            }
        )
        print(
            f"| {name} | {share:.3f} | {rows[-1]['error']:.4f} | {rows[-1]['mean']:.4f} "
            f"| {np.mean(lost):+.4f} | {min(lost):+.4f} | {len(tried)} |",
            flush=True,
        )
    HERE.mkdir(exist_ok=True)
    save(HERE / "encoder.json", {"sets": list(judged), "rows": rows})
    plot(rows, HERE / "encoder.png")


if __name__ == "__main__":
    main()
