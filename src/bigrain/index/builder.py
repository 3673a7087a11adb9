"""Builds inverted lists from any amount of documents, spilling sorted runs to disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain.index.base import Keep, Rows, Units
from bigrain.index.dense import last_of_each
from bigrain.index.postings import FileRun, Run, key_of_word, sorted_run, write_merged
from bigrain.storage.files import Files
from bigrain.storage.segment import SegmentFile

__all__ = ["PostingsBuilder", "key_of_word", "merge_runs"]

BYTES_PER_POSTING = 120  # measured: triples, their sort and its copies
BYTES_PER_WORD = 160


class PostingsBuilder:
    """Pending postings of one field.

    `append_words` takes lists of words (weights are counts), `append_weights` CSR parts.
    """

    def __init__(
        self, family: str, files: Files, spill_folder: Path, name: str, memory_bytes: int
    ) -> None:
        self._family, self._files = family, files
        self._folder, self._name, self._memory_bytes = spill_folder, name, memory_bytes
        self._spilled: list[SegmentFile] = []
        self._paths: list[Path] = []
        self._reset()

    def _reset(self) -> None:
        self._ids: dict[Any, int] = {}
        self._triples: list[tuple[Any, Any, Any]] = []
        self._units: list[Units] = []
        self._lengths: list[npt.NDArray[np.uint32]] = []
        self._n_rows = self._n_postings = 0

    def append(self, units: Units, values: Any) -> None:
        """Lists of words, or a CSR matrix of weights."""
        if self._family == "lexical":
            self._append_words(units, values)
        else:
            self._append_weights(units, values)
        used = self._n_postings * BYTES_PER_POSTING + len(self._ids) * BYTES_PER_WORD
        if used > self._memory_bytes:
            self._spill()

    def _append_words(self, units: Units, documents: Sequence[Sequence[str]]) -> None:
        ids = self._ids
        flat: list[int] = []
        lengths = np.empty(len(documents), np.uint32)
        for i, words in enumerate(documents):
            lengths[i] = len(words)
            for word in words:
                number = ids.get(word)
                if number is None:
                    number = ids[word] = len(ids)
                flat.append(number)
        rows = np.repeat(
            np.arange(len(documents), dtype=np.uint64) + np.uint64(self._n_rows), lengths
        )
        pairs = (rows << np.uint64(32)) | np.array(flat, np.uint64)
        distinct, counts = np.unique(pairs, return_counts=True)
        self._push(
            units,
            (distinct & np.uint64(0xFFFFFFFF)).astype(np.uint32),
            (distinct >> np.uint64(32)).astype(np.uint32),
            counts.astype(np.uint32),
            lengths,
        )

    def _append_weights(self, units: Units, csr: Any) -> None:
        ids = self._ids
        columns, inverse = np.unique(csr.indices, return_inverse=True)
        numbers = [ids.setdefault(c, len(ids)) for c in columns.tolist()]
        rows = np.repeat(np.arange(csr.shape[0], dtype=np.uint32), np.diff(csr.indptr))
        self._push(
            units,
            np.array(numbers, np.uint32)[inverse],
            rows + np.uint32(self._n_rows),
            np.asarray(csr.data, np.float32),
            np.diff(csr.indptr).astype(np.uint32),
        )

    def _push(self, units: Units, ids: Any, rows: Any, weights: Any, lengths: Any) -> None:
        self._triples.append((ids, rows, weights))
        self._units.append(units)
        self._lengths.append(lengths)
        self._n_rows += len(units)
        self._n_postings += len(ids)

    def _run(self) -> Run | None:
        """What is in memory as a run, its rows in ascending order of unit, the last of each."""
        if not self._units:
            return None
        units = np.concatenate(self._units)
        positions = last_of_each(units)
        new_row = np.full(len(units), -1, np.int64)
        new_row[positions] = np.arange(len(positions))
        ids, rows, weights = (np.concatenate(part) for part in zip(*self._triples, strict=True))
        rows = new_row[rows]
        kept = rows >= 0
        lexical = self._family == "lexical"
        if lexical:
            words = [word.encode() for word in self._ids]
            keys = np.fromiter((key_of_word(w) for w in words), np.uint64, len(words))
        else:
            words, keys = None, np.fromiter(self._ids, np.uint64, len(self._ids))
        lengths = np.concatenate(self._lengths)[positions] if lexical else None
        return sorted_run(
            ids[kept],
            rows[kept].astype(np.uint32),
            weights[kept],
            key_of_id=keys,
            word_of_id=words,
            units=units[positions],
            lengths=lengths,
        )

    def _spill(self) -> None:
        run = self._run()
        if run is None:
            return
        path = self._folder / f"{self._name}-{len(self._paths)}.run"
        same = np.arange(len(run.units), dtype=np.int64)
        write_merged(self._files, path, self._family, [run], [same], run.units, run.lengths)
        self._paths.append(path)
        self._spilled.append(SegmentFile(self._files, path))
        self._reset()

    def seal(self, keep: Keep, path: Path, files: Files) -> Units:
        """Write the segment; returns its units (none: no file)."""
        runs: list[Run] = [FileRun(file) for file in self._spilled]
        last = self._run()
        if last is not None:
            runs.append(last)
        return merge_runs(self._family, runs, [keep(run.units) for run in runs], path, files)

    def discard(self) -> None:
        self._reset()
        for file in self._spilled:
            file.close()
        for path in self._paths:
            self._files.remove(path)
        self._spilled.clear()
        self._paths.clear()


def merge_runs(
    family: str,
    runs: Sequence[Run],
    alive: Sequence[npt.NDArray[np.bool_]],
    path: Path,
    files: Files,
) -> Units:
    """Merge the living rows of runs into one segment; returns its units (none: no file).

    Of a unit in several runs the row of the last one counts.
    """
    sizes = [len(rows) for rows in alive]
    living = np.flatnonzero(np.concatenate(alive)) if alive else np.empty(0, np.int64)
    if not len(living):
        return living
    all_units = np.concatenate([run.units for run in runs])
    positions = living[last_of_each(all_units[living])]
    new_row = np.full(len(all_units), -1, np.int64)
    new_row[positions] = np.arange(len(positions))
    mappings: list[Rows] = np.split(new_row, np.cumsum(sizes)[:-1])
    lengths = None
    if family == "lexical":
        lengths = np.concatenate([run.lengths for run in runs if run.lengths is not None])[
            positions
        ]
    write_merged(files, path, family, runs, mappings, all_units[positions], lengths)
    return all_units[positions]
