"""The BERT-uncased vocabulary, and texts as (token, count) lists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from teacher import text_hash
from tokenizers import Tokenizer


def read_vocabulary(folder: Path) -> list[str]:
    """Tokens by id."""
    return (folder / "vocab.txt").read_text(encoding="utf-8").rstrip("\n").split("\n")


def is_special(token: str) -> bool:
    """[PAD], [UNK], [CLS], [SEP], [MASK] and [unused...]: they contribute nothing."""
    return len(token) > 2 and token.startswith("[") and token.endswith("]")


def whole_words(folder: Path) -> list[str]:
    """Alphabetic vocabulary words of three letters or more."""
    return [t for t in read_vocabulary(folder) if t.isascii() and t.isalpha() and len(t) > 2]


@dataclass
class Bags:
    """Many texts in one array: distinct tokens with counts, text i at starts[i]:starts[i+1]."""

    tokens: np.ndarray
    counts: np.ndarray
    starts: np.ndarray

    def __len__(self) -> int:
        return len(self.starts) - 1

    def take(
        self, rows: np.ndarray, keep: float = 1.0, rng: np.random.Generator | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Tokens, counts and offsets (without the end) of some texts.

        With `keep` below 1 every text loses a random part of its tokens (never all of them).
        """
        begin, end = self.starts[rows], self.starts[rows + 1]
        sizes = end - begin
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        where = np.repeat(begin - offsets[:-1], sizes) + np.arange(offsets[-1])
        if keep < 1.0:
            assert rng is not None
            stays = rng.random(len(where)) < keep
            stays[offsets[:-1][sizes > 0]] |= rng.random(int((sizes > 0).sum())) < 0.5
            lost = np.add.reduceat(stays, np.minimum(offsets[:-1], len(stays) - 1)) == 0
            stays[offsets[:-1][lost & (sizes > 0)]] = True
            where = where[stays]
            kept = np.concatenate([[0], np.cumsum(stays)])
            offsets = kept[offsets]
        return self.tokens[where], self.counts[where], offsets[:-1]

    def subset(self, rows: np.ndarray) -> Bags:
        """The bags of some texts."""
        tokens, counts, offsets = self.take(rows)
        return Bags(tokens, counts, np.append(offsets, len(tokens)))


class WordPiece:
    """Text to bags of token ids, without special tokens."""

    def __init__(self, folder: Path, cache: Path | None = None) -> None:
        self._cache = cache
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self.vocabulary = read_vocabulary(folder)

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of every text."""
        encoded = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [e.ids for e in encoded]

    def bags(self, texts: Sequence[str], max_tokens: int | None = None) -> Bags:
        """Distinct tokens and their counts; the teacher's truncation is `max_tokens` = 254."""
        path = None
        if self._cache is not None:
            path = self._cache / f"bags-{text_hash(texts, max_tokens or 0)}.npz"
            if path.exists():
                return Bags(**np.load(path))
        bags = self._bags(texts, max_tokens)
        if path is not None:
            np.savez(path, tokens=bags.tokens, counts=bags.counts, starts=bags.starts)
        return bags

    def _bags(self, texts: Sequence[str], max_tokens: int | None) -> Bags:
        tokens: list[np.ndarray] = []
        counts: list[np.ndarray] = []
        for at in range(0, len(texts), 20_000):
            for ids in self.ids(texts[at : at + 20_000]):
                kept, times = np.unique(np.array(ids[:max_tokens], np.int64), return_counts=True)
                tokens.append(kept)
                counts.append(times.astype(np.float32))
        starts = np.zeros(len(tokens) + 1, np.int64)
        np.cumsum([len(t) for t in tokens], out=starts[1:])
        return Bags(np.concatenate(tokens), np.concatenate(counts), starts)
