"""Passages a second of the bundled encoder, all-in from strings, on one thread; and its stages.

    OMP_NUM_THREADS=1 python benchmarks/quality/encoding.py [--out encoding.json]

20,000 abstracts' sentences of 150 to 200 characters; CPU time, the best of three.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import passages, save

from bigrain.encoders.static import StaticEncoder
from bigrain.encoders.wordpiece import normalise

PASSAGES = 20_000


def rate(call: Callable[[], Any], n: int) -> int:
    """Texts a second of CPU time."""
    times = []
    for _ in range(3):
        began = time.process_time()
        call()
        times.append(time.process_time() - began)
    return round(n / min(times))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("encoding.json"))
    out = parser.parse_args().out
    texts = list(islice((t for t in passages() if 150 <= len(t) <= 200), PASSAGES))
    model = StaticEncoder()
    model.encode_documents(texts[:100])
    few = texts[: PASSAGES // 10]
    found = {
        "dense": rate(lambda: model.encode_documents(texts, ["dense"]), len(texts)),
        "sparse": rate(lambda: model.encode_documents(few, ["sparse"]), len(few)),
        "multivector": rate(lambda: model.encode_documents(few, ["multivector"]), len(few)),
        "sparse queries": rate(lambda: model.encode_queries(few, ["sparse"]), len(few)),
        "normalise alone": rate(lambda: [normalise(text) for text in texts], len(texts)),
        "word pieces": rate(lambda: model.tokenise(texts), len(texts)),
    }
    for name, value in found.items():
        print(f"{name:16} {value:>9,} a second")
    save(out, {"passages_a_second": found})


if __name__ == "__main__":
    main()
