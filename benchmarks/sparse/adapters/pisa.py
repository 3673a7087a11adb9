"""PISA by the extension of `pyterrier-pisa`, which is loaded without PyTerrier, and needs no Java.

pip install --no-deps pyterrier-pisa "tbb<=2020.3.254"
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.machinery import ExtensionFileLoader
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np

from .base import STOP_WORDS, Adapter, Vectors, levels

ENCODING = "block_simdbp"
IMPACTS, ASKED = 255, 63  # levels of a document's and a query's weights


def extension() -> Any:
    package = find_spec("pyterrier_pisa")
    if package is None or not package.submodule_search_locations:
        raise ImportError("No module named 'pyterrier_pisa'")
    (path,) = Path(package.submodule_search_locations[0]).glob("_pisathon*.so")
    loader = ExtensionFileLoader("_pisathon", str(path))
    spec = spec_from_file_location("_pisathon", path, loader=loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


class Pisa(Adapter):
    package, module = "pyterrier_pisa", "pyterrier_pisa"
    scorer, stemmer, quantize = "bm25", "porter2", 0
    pretokenised = weighted = 0

    def once(self) -> None:
        self.engine = extension()

    def _prepare(self, folder: Path) -> None:
        stops = folder / "stop-words"
        stops.write_text("\n".join(STOP_WORDS) + "\n" if self.stemmer else "")
        self.context = self.engine.RetrievalContext()
        self.engine.prepare_index(
            self.context, str(folder), ENCODING, self.scorer, self.stemmer, block_size=64,
            quantize=self.quantize, bm25_k1=1.2, bm25_b=0.75,
            stop_fname=str(stops) if self.stemmer else "",
        )  # fmt: skip

    def _forget_the_rest(self, folder: Path) -> None:
        """Drop what only a build reads."""
        self._prepare(folder)
        for path in folder.iterdir():
            kept = path.suffix == f".{ENCODING}" or ".bmw." in path.name
            if not kept and path.name not in ("stop-words", "fwd.termlex", "fwd.doclex"):
                path.unlink()

    def open(self, folder: Path) -> None:
        self._prepare(folder)

    def ladder(self) -> list[dict[str, Any]]:
        return [{"algorithm": a} for a in ("maxscore", "block_max_maxscore", "block_max_wand")]

    def search(self, queries: Sequence[Any], k: int) -> Any:
        size = len(queries) * k
        of, ranks = np.empty(size, np.int32), np.empty(size, np.int32)
        ids, scores = np.empty(size, object), np.empty(size, np.float32)
        found = self.engine.retrieve(
            self.context, self.setting["algorithm"], list(enumerate(queries)), k=k, threads=1,
            pretokenised=self.pretokenised, query_weighted=self.weighted, result_qidxs=of,
            result_docnos=ids, result_ranks=ranks, result_scores=scores,
        )  # fmt: skip
        return len(queries), of[:found], ids[:found]

    def ids(self, found: Any) -> list[list[int]]:
        n, of, ids = found
        ends = np.searchsorted(of, np.arange(n + 1))
        return [[int(i) for i in ids[a:b]] for a, b in zip(ends[:-1], ends[1:], strict=True)]


class PisaWords(Pisa):
    describes = (
        "BM25 k1 1.2, b 0.75, Robertson's idf, simdbp, blocks of 64; its English tokeniser, "
        "Porter 2; stop words indexed, left out of queries"
    )

    def build(self, documents: list[str], folder: Path) -> None:
        texts = folder / "texts"
        with texts.open("w") as lines:
            for row, text in enumerate(documents):
                lines.write(f"{row} {' '.join(text.split())}\n")
        # Several batches would wait for a second core.
        self.engine.index(str(texts), str(folder), self.stemmer, len(documents) + 1, 1)
        self._forget_the_rest(folder)


class PisaQuantised(PisaWords):
    describes = "the same, scores of postings computed when indexing, in 8 bits"
    quantize = 1


class PisaImpacts(Pisa):
    describes = f"impacts of {IMPACTS} levels, queries of {ASKED}; simdbp, blocks of 64"
    scorer, stemmer, pretokenised, weighted = "quantized", "", 1, 1

    def build(self, documents: Vectors, folder: Path) -> None:
        """PISA's plain collection: a list for each term of the sorted lexicon, its length first."""
        n, width = documents.shape
        used = np.flatnonzero(np.bincount(documents.indices, minlength=width))
        names = sorted(map(str, used.tolist()))
        place = np.zeros(width, np.int64)
        place[np.array(names, np.int64)] = np.arange(len(names))
        columns = place[documents.indices]
        order = np.argsort(columns, kind="stable")
        ends = np.searchsorted(columns[order], np.arange(len(names) + 1))
        rows = np.repeat(np.arange(n, dtype=np.uint32), np.diff(documents.indptr))
        impacts = levels(documents.data, IMPACTS).astype(np.uint32)
        counts = np.diff(ends).astype(np.uint32)
        for name, head, values in (
            ("inv.docs", [1, n], rows[order]),
            ("inv.freqs", [], impacts[order]),
        ):
            lists = np.insert(values, ends[:-1], counts)
            (folder / name).write_bytes(np.array(head, np.uint32).tobytes() + lists.tobytes())
        lengths = np.add.reduceat(impacts, documents.indptr[:-1]).astype(np.uint32)
        (folder / "inv.sizes").write_bytes(np.array([n], np.uint32).tobytes() + lengths.tobytes())
        for what, lines in (("documents", map(str, range(n))), ("terms", names)):
            (folder / f"fwd.{what}").write_text("".join(f"{line}\n" for line in lines))
        self.engine.build_binlex(str(folder / "fwd.documents"), str(folder / "fwd.doclex"))
        self.engine.build_binlex(str(folder / "fwd.terms"), str(folder / "fwd.termlex"))
        self._forget_the_rest(folder)

    def prepare(self, queries: Sequence[Any]) -> list[dict[str, float]]:
        return [
            dict(zip(map(str, c.tolist()), map(float, levels(w, ASKED)), strict=True))
            for c, w in queries
        ]
