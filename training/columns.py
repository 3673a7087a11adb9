"""The sparse column of each word piece, written into the artefact as `columns.npy`.

Words of letters share the column of their stem's first form in the vocabulary, which is its most
frequent one; function words, single signs and special tokens have none (-1).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import Stemmer
from artefact import sha256
from wordpiece import is_special, read_vocabulary

# Articles, pronouns, auxiliary verbs, prepositions, conjunctions, question words.
FUNCTION_WORDS = frozenset(
    "a an the this that these those it its he him his she her hers they them their theirs we "
    "us our ours you your yours i me my mine who whom whose what which when where why how is "
    "are am was were be been being do does did doing done have has had having can could may "
    "might must shall should will would at by for from in into of off on onto out over to "
    "toward towards under up upon with within without about above across after against along "
    "among around as before behind below beside between beyond down during near since than "
    "then there through and or nor but if because so such although though while whether not "
    "no yes any some all both each either neither also too very just only there here".split()
)


def columns(vocabulary: list[str]) -> np.ndarray:
    """(V,) int32."""
    stemmer = Stemmer.Stemmer("english")
    first: dict[str, int] = {}
    out = np.full(len(vocabulary), -1, np.int32)
    without = {stemmer.stemWord(word) for word in FUNCTION_WORDS}
    for number, piece in enumerate(vocabulary):
        word = piece.isascii() and piece.isalpha()
        term = stemmer.stemWord(piece) if word else piece
        sign = len(piece) == 1 and not piece.isalnum()
        if not (is_special(piece) or sign or (word and term in without)):
            out[number] = first.setdefault(term, number)
    return out


def add(folder: Path) -> None:
    """Write the columns of an artefact's vocabulary beside it."""
    np.save(folder / "columns.npy", columns(read_vocabulary(folder)))
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["sha256"]["columns.npy"] = sha256(folder / "columns.npy")
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    add(parser.parse_args().folder)
