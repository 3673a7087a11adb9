"""Which of several ways to make vectors finds texts best, told without labels.

A few words are drawn from each of some texts; the better its vector finds the text again among the
others, the better the way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from bigrain.encoders.corpus.table import unit
from bigrain.encoders.corpus.words import Bags, counted

__all__ = ["most_findable"]

TEXTS, ASKED, WORDS = 2000, 400, 6

Floats = npt.NDArray[np.float32]


def most_findable(ways: Sequence[Callable[[Bags], Floats]], bags: Bags, seed: int) -> int:
    """The number of the way with the largest mean reciprocal rank; the first of equals.

    At most `TEXTS` texts are ranked for `ASKED` draws of `WORDS` words each.
    """
    rng = np.random.default_rng(seed)
    n = len(bags.offsets) - 1
    chosen = np.sort(rng.choice(n, min(n, TEXTS), replace=False))
    parts = [bags.part(i, i + 1) for i in chosen.tolist()]
    texts = Bags(
        np.concatenate([one.words for one in parts]),
        np.concatenate([one.weights for one in parts]),
        np.cumsum([0, *(len(one.words) for one in parts)]),
    )
    asked = rng.choice(len(parts), min(len(parts), ASKED), replace=False)
    drawn = counted(
        rng.choice(words, min(len(words), WORDS), replace=False)
        for words in (parts[i].words for i in asked.tolist())
    )
    found = []
    for way in ways:
        scores = unit(way(drawn)) @ unit(way(texts)).T
        own = scores[np.arange(len(asked)), asked][:, None]
        ranks = (scores > own).sum(axis=1) + ((scores == own).sum(axis=1) + 1) / 2  # ties: halfway
        found.append(float((1 / ranks).mean()))
    return int(np.argmax(found))
