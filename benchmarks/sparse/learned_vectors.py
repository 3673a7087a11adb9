"""Vectors such as a learned sparse encoder gives, made of real text without a model.

    python benchmarks/sparse/learned_vectors.py 300000 --to vectors

A word piece stands for itself and for its neighbours in the bundled encoder's table. In the vector
of a text a piece v weighs ln(1 + STEEP z_v), as in SPLADE (Formal et al. 2021), with

    z_v = idf_v^COMMON (max_t s_tv + SHARED (sum_t s_tv - max_t s_tv))
    s_tv = idf_t max(0, (cos(t, v) - FLOOR) / (1 - FLOOR))^3

over the pieces t of the text, idf from 0 to 1; the largest 127 (documents) or 40 (questions) are
kept. What such vectors share with SPLADE's, and searches depend on: lists of very unequal length,
vectors most of whose mass is in a few weights, columns that go together; `describe` measures it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).parents[1]))

from common import DATA, passages

from bigrain.encoders.static import FOLDER
from bigrain.encoders.wordpiece import BertTokeniser
from bigrain.text import beir_queries

NEIGHBOURS = 64
FLOOR = 0.25
SHARED = 0.25
COMMON = 0.7
STEEP = 12.0
DOCUMENT, QUESTION = 127, 40  # non-zero weights
QUESTION_SETS = ("selqa", "medquad", "cosqa")
CHUNK = 500  # texts at a time
COUNTED = 100_000  # texts that idf is counted in


class Vectors(NamedTuple):
    """Compressed sparse rows: columns ascending within a row."""

    data: npt.NDArray[np.float32]
    indices: npt.NDArray[np.int32]
    indptr: npt.NDArray[np.int64]
    shape: tuple[int, int]

    @property
    def n_rows(self) -> int:
        return self.shape[0]


class Expander:
    """The pieces of the bundled encoder, their neighbours, and how rare they are."""

    def __init__(self, texts: Sequence[str]) -> None:
        words = (FOLDER / "vocab.txt").read_text(encoding="utf-8").rstrip("\n").split("\n")
        self._tokeniser = BertTokeniser(words)
        self.n_columns = len(words)
        table = np.load(FOLDER / "table.npy").astype(np.float32)
        table /= np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-9)
        ids, offsets = self._tokeniser.encode(texts)
        of_text = np.repeat(np.arange(len(texts)), np.diff(offsets))
        pairs = np.unique(of_text.astype(np.int64) * self.n_columns + ids)
        df = np.bincount(pairs % self.n_columns, minlength=self.n_columns)
        idf = np.log(len(texts) / (df + 1.0))
        self.idf = np.clip(idf / np.log(len(texts)), 0.02, 1).astype(np.float32)
        # What never occurs is no column that an encoder would choose.
        eligible = np.array([word.isascii() and word[0] != "[" for word in words]) & (df > 0)
        self.near = np.empty((self.n_columns, NEIGHBOURS), np.int32)
        self.strength = np.empty((self.n_columns, NEIGHBOURS), np.float32)
        for start in range(0, self.n_columns, 2048):
            cosine = table[start : start + 2048] @ table.T
            cosine[:, ~eligible] = -1
            cosine[np.arange(len(cosine)), start + np.arange(len(cosine))] = 1
            near = np.argpartition(-cosine, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
            self.near[start : start + 2048] = near
            found = np.take_along_axis(cosine, near, axis=1)
            self.strength[start : start + 2048] = np.maximum((found - FLOOR) / (1 - FLOOR), 0) ** 3
        self.strength *= self.idf[:, None]

    def vectors(self, texts: Iterator[str], keep: int) -> Vectors:
        """Rows of at most `keep` non-zero weights."""
        data, indices, counts = [], [], []
        while chunk := list(islice(texts, CHUNK)):
            columns, weights, n = self._some(chunk, keep)
            data.append(weights)
            indices.append(columns)
            counts.append(n)
        n_rows = sum(map(len, counts))
        ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.concatenate(counts))])
        return Vectors(
            np.concatenate(data), np.concatenate(indices), ends, (n_rows, self.n_columns)
        )

    def _some(self, texts: Sequence[str], keep: int) -> tuple[Any, Any, Any]:
        ids, offsets = self._tokeniser.encode(texts)
        of_text = np.repeat(np.arange(len(texts), dtype=np.int64), np.diff(offsets))
        pieces = np.unique(of_text * self.n_columns + ids)
        ids, of_text = pieces % self.n_columns, pieces // self.n_columns
        at = (of_text[:, None] * self.n_columns + self.near[ids]).ravel()
        strength = self.strength[ids].ravel()
        given = strength > 0
        at, strength = at[given], strength[given]
        order = np.argsort(at, kind="stable")
        at, strength = at[order], strength[order]
        starts = np.flatnonzero(np.diff(at, prepend=-1))
        largest = np.maximum.reduceat(strength, starts) if len(starts) else strength
        total = np.add.reduceat(strength, starts) if len(starts) else strength
        at = at[starts]
        text, column = at // self.n_columns, (at % self.n_columns).astype(np.int32)
        z = self.idf[column] ** COMMON * (largest + SHARED * (total - largest))
        weights = np.log1p(STEEP * z).astype(np.float32)
        order = np.lexsort((-weights, text))
        begins = np.searchsorted(text, np.arange(len(texts)))
        place = np.empty(len(text), np.int64)
        place[order] = np.arange(len(text)) - begins[text]
        kept = place < keep
        counts = np.bincount(text[kept], minlength=len(texts))
        return column[kept], weights[kept], counts


def questions() -> Iterator[str]:
    """Real questions, set by set in turns."""
    sets = [list(beir_queries(DATA / name).values()) for name in QUESTION_SETS]
    for i in range(max(map(len, sets))):
        yield from (some[i] for some in sets if i < len(some))


def learned_vectors(n: int, n_queries: int, folder: Path) -> tuple[Vectors, Vectors]:
    """(documents, queries); kept in `folder`."""
    path = folder / f"learned-{n}-{n_queries}.npz"
    if not path.exists():
        expander = Expander(list(passages(COUNTED)))
        made = (
            expander.vectors(passages(n), DOCUMENT),
            expander.vectors(islice(questions(), n_queries), QUESTION),
        )
        folder.mkdir(parents=True, exist_ok=True)
        arrays = {
            f"{name}_{part}": np.asarray(getattr(vectors, part))
            for name, vectors in zip(("documents", "queries"), made, strict=True)
            for part in Vectors._fields
        }
        np.savez(path, **arrays)
    with np.load(path) as stored:
        documents, queries = (
            Vectors(
                *(stored[f"{name}_{part}"] for part in Vectors._fields[:3]),
                tuple(stored[f"{name}_shape"].tolist()),
            )
            for name in ("documents", "queries")
        )
    return documents, queries


def describe(documents: Vectors, queries: Vectors) -> dict[str, Any]:
    """What tells these vectors from others."""
    df = np.bincount(documents.indices, minlength=documents.shape[1])
    ranked = np.sort(df)[::-1] / documents.n_rows
    asked = df[queries.indices]

    def mass(vectors: Vectors, first: int) -> float:
        """The share of a row's weight that its `first` largest weights hold."""
        shares = []
        for a, b in pairwise(vectors.indptr[:1001].tolist()):
            row = np.sort(vectors.data[a:b])[::-1]
            if len(row):
                shares.append(row[:first].sum() / row.sum())
        return float(np.mean(shares))

    return {
        "documents": documents.n_rows,
        "columns_used": int((df > 0).sum()),
        "weights_per_document": len(documents.data) / documents.n_rows,
        "weights_per_query": len(queries.data) / queries.n_rows,
        "share_of_documents_in_longest_lists": {
            str(i): round(float(ranked[i]), 4) for i in (0, 10, 100, 1000, 10000)
        },
        "postings_per_query": float(asked.sum() / queries.n_rows),
        "mass_of_top_10_in_queries": mass(queries, 10),
        "mass_of_top_50_in_documents": mass(documents, 50),
        "weights": np.percentile(documents.data, [0, 10, 50, 90, 99, 100]).round(3).tolist(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("n", type=int)
    parser.add_argument("--queries", type=int, default=2000)
    parser.add_argument("--to", type=Path, default=Path("vectors"))
    args = parser.parse_args()
    for name, value in describe(*learned_vectors(args.n, args.queries, args.to)).items():
        print(f"{name:40} {value}")


if __name__ == "__main__":
    main()
