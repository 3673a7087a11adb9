"""What tables are trained on: labelled rows of ids.

Either clicks, with one id of each field and labels 0 or 1, or bags, sets of ids with a class.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from bigrain.errors import InvalidInputError
from bigrain.tables.spec import FALLING

__all__ = ["NAMES", "Data", "Split", "arxiv_authors", "generated", "load_data", "movielens"]

Ids = npt.NDArray[np.int64]
FOLDERS = {"arxiv-authors", "movielens-small"}
NAMES = ("generated", *sorted(FOLDERS))


@dataclass(frozen=True)
class Split:
    """Rows of ids: clicks (n, fields), or bags one after another with offsets (n + 1,)."""

    ids: Ids
    offsets: Ids | None
    labels: Ids

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: Ids) -> Split:
        if self.offsets is None:
            return Split(self.ids[rows], None, self.labels[rows])
        lengths = np.diff(self.offsets)[rows]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
        ids = self.ids[np.repeat(self.offsets[rows], lengths) + within]
        return Split(ids, offsets, self.labels[rows])

    def batches(self, size: int, rng: np.random.Generator | None = None) -> Iterator[Split]:
        """Once through, in order, or shuffled where a generator is given."""
        order = np.arange(len(self)) if rng is None else rng.permutation(len(self))
        for start in range(0, len(self), size):
            yield self.take(order[start : start + size])


@dataclass(frozen=True)
class Data:
    name: str
    num_ids: int
    fields: tuple[int, ...] | None  # rows of each field; None for bags
    classes: int  # 1 for clicks
    train: Split
    validation: Split
    test: Split
    falling: bool = False  # ids are numbered by falling frequency

    @property
    def frequencies(self) -> npt.NDArray[np.int64] | Literal["falling"]:
        """(num_ids,) how often each id occurs in the training rows, or "falling"."""
        if self.falling:
            return FALLING
        return np.bincount(self.train.ids.reshape(-1), minlength=self.num_ids)


def load_data(name: str, folder: Path | None, options: dict[str, Any]) -> Data:
    """Data by name; all but "generated" from its folder."""
    if name == "generated":
        return generated(**options)
    if name not in FOLDERS:
        raise InvalidInputError(f"no data {name!r}; known: {', '.join(NAMES)}")
    if folder is None:
        raise InvalidInputError(f"{name} is read from its folder: give it with --folder")
    if not folder.is_dir():
        raise InvalidInputError(f"{name} is read from its folder, and {folder} is none")
    read: Callable[[Path], Data] = arxiv_authors if name == "arxiv-authors" else movielens
    return read(folder)


def generated(
    *,
    rows: int = 20_000,
    vocabulary: int = 10_000,
    fields: int = 4,
    skew: float = 1.1,
    seed: int = 0,
) -> Data:
    """Clicks that depend on pairs of ids.

    Args:
        rows: of training; a quarter as many each to validate and to test.
        vocabulary: ids of the largest field; each of the others has a third of the one before.
        fields: how many.
        skew: exponent s of Zipf's law, p(rank) ~ rank^-s; 0 is uniform.
        seed: of everything.
    """
    if min(rows, vocabulary, fields) < 1 or fields < 2 or skew < 0:
        raise InvalidInputError("rows and vocabulary must be at least 1, fields 2, skew 0")
    rng = np.random.default_rng(seed)
    sizes = [max(2, vocabulary // 3**f) for f in range(fields)]
    n = rows + 2 * max(1, rows // 4)
    columns, latent = [], []
    for size in sizes:
        p = np.arange(1, size + 1) ** -float(skew)
        columns.append(rng.choice(size, n, p=p / p.sum()))
        latent.append(rng.standard_normal((size, 4))[columns[-1]])
    hidden = np.stack(latent, axis=1)
    pairs = (hidden.sum(axis=1) ** 2 - (hidden**2).sum(axis=1)).sum(axis=1) / 2
    logits = 2 * pairs / pairs.std() + hidden[:, :, 0].sum(axis=1)
    labels = (rng.random(n) < 1 / (1 + np.exp(-logits))).astype(np.int64)
    ids = np.stack(columns, axis=1) + np.concatenate([[0], np.cumsum(sizes)[:-1]])
    return _clicks("generated", ids, labels, tuple(sizes), rows, (n - rows) // 2)


def arxiv_authors(folder: Path) -> Data:
    """Papers as sets of authors, with the first subject class of each as its label."""
    splits = []
    for name in ("train", "dev", "test"):
        labels, lengths, ids = [], [], []
        with gzip.open(folder / f"{name}.tsv.gz", "rt") as lines:
            for line in lines:
                label, _, authors = line.rstrip("\n").partition("\t")
                labels.append(int(label))
                ids += [int(author) for author in authors.split(",")]
                lengths.append(authors.count(",") + 1)
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        splits.append(Split(np.array(ids), offsets, np.array(labels)))
    num_ids = max(int(split.ids.max()) for split in splits) + 1
    classes = max(int(split.labels.max()) for split in splits) + 1
    train, validation, test = splits
    return Data("arxiv-authors", num_ids, None, classes, train, validation, test, falling=True)


def movielens(folder: Path) -> Data:
    """Ratings as clicks, a rating of 4 or more being one, in order of time.

    Fields: user, film, its first genre, its year. Read from movies.csv and ratings.csv, as
    GroupLens gives them, or the same with .gz.
    """
    films: dict[str, tuple[str, str]] = {}
    for film, title, genres in _rows_of(folder / "movies.csv"):
        year = title.strip()[-5:-1]
        films[film] = (genres.split("|")[0], year if year.isdigit() else "")
    rated = [
        (int(when), user, film, *films[film], float(rating))
        for user, film, rating, when in _rows_of(folder / "ratings.csv")
    ]
    rated.sort()
    columns = [np.unique([row[c] for row in rated], return_inverse=True) for c in range(1, 5)]
    sizes = [len(values) for values, _ in columns]
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    ids = np.stack([places for _, places in columns], axis=1) + starts
    labels = np.array([row[5] >= 4 for row in rated]).astype(np.int64)
    n = len(labels)
    return _clicks("movielens-small", ids, labels, tuple(sizes), n - 2 * (n // 10), n // 10)


def _rows_of(path: Path) -> Iterator[list[str]]:
    """The lines of a table below its heading; headings are spelt in several ways."""
    packed = path.with_name(f"{path.name}.gz")
    if not path.is_file() and not packed.is_file():
        raise InvalidInputError(f"{path.parent} holds neither {path.name} nor {packed.name}")
    with (
        path.open(encoding="utf-8", newline="")
        if path.is_file()
        else gzip.open(packed, "rt", encoding="utf-8", newline="") as lines
    ):
        rows = csv.reader(lines)
        next(rows)
        yield from rows


def _clicks(
    name: str, ids: Ids, labels: Ids, sizes: tuple[int, ...], train: int, held_out: int
) -> Data:
    middle, end = train + held_out, train + 2 * held_out
    return Data(
        name,
        int(sum(sizes)),
        sizes,
        1,
        Split(ids[:train], None, labels[:train]),
        Split(ids[train:middle], None, labels[train:middle]),
        Split(ids[middle:end], None, labels[middle:end]),
    )
