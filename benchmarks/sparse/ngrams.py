"""Substring fields: effectiveness of distinctive n-grams, bytes, time to build, count and search.

    python benchmarks/sparse/ngrams.py [--sets scifact,selqa] [--passages 100000] [--out FILE]

What is not asked for (`--sets ""`, `--passages 0`) stays in the file as it was. Effectiveness, of
at most 300 queries a set: n-grams of 2 to 3 and of 1 to 3 words alone, and fused with BM25 at
several weights. Times are processor time of one thread; patterns are stretches of the passages.
Counts are held against a scan of the texts.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import forget, load_set, passages, save

import bigrain
from bigrain import evaluation

SETS = ("scifact", "cranfield", "selqa", "medquad")
MEASURES = ("nDCG@10", "R@100")
WEIGHTS = (0.1, 0.2, 0.3)
QUERIES = 300
SEARCHES, COUNTS = 200, 300


def quality(name: str) -> dict[str, Any]:
    """nDCG@10 and R@100 of one judged set."""
    documents, queries, judgments = load_set(name)
    step = -(-len(queries) // QUERIES)
    queries = {q: queries[q] for q in sorted(queries)[::step]}
    judgments = {q: judgments[q] for q in queries}
    documents = [d for d in documents if d.text.strip() or d.title.strip()]
    systems: dict[str, dict[str, Any]] = {
        "lexical": {"fields": ["lexical"]},
        "n-grams 2-3": {"fields": ["two"]},
        "n-grams 1-3": {"fields": ["one"]},
    }
    for field in ("two", "one"):
        for weight in WEIGHTS:
            fields = {"lexical": 1 - weight, field: weight}
            label = {"two": "2-3", "one": "1-3"}[field]
            systems[f"lexical + {weight} n-grams {label}"] = {"fields": fields}
    fields = {
        "lexical": bigrain.LexicalField(),
        "two": bigrain.SubstringField(),
        "one": bigrain.SubstringField(shortest=1),
    }
    with tempfile.TemporaryDirectory() as folder:
        with bigrain.create(Path(folder) / "set.grain", fields) as col:
            col.add(documents)
            col.commit()
            found = col.evaluate(queries, judgments, measures=MEASURES, systems=systems)
    row: dict[str, Any] = {
        "documents": len(documents),
        "queries": len(queries),
        "systems": {
            system: {m: round(result.measures[m].mean, 4) for m in MEASURES}
            for system, result in found.systems.items()
        },
    }
    fused = found.systems["lexical + 0.1 n-grams 2-3"]
    compared = evaluation.compare(fused, found.systems["lexical"], "nDCG@10")
    row["lexical + 0.1 n-grams 2-3, against lexical"] = {
        "difference": round(compared.difference, 4),
        "low": round(compared.low, 4),
        "high": round(compared.high, 4),
        "p": round(compared.p_randomisation, 4),
    }
    return row


def timed(calls: list[Callable[[], Any]]) -> dict[str, float]:
    """Milliseconds of processor time: median and 95th percentile."""
    taken = []
    for call in calls:
        began = time.process_time()
        call()
        taken.append(1e3 * (time.process_time() - began))
    return {
        "p50": round(float(np.median(taken)), 3),
        "p95": round(float(np.quantile(taken, 0.95)), 3),
    }


def patterns(texts: list[str], n_words: int, rng: np.random.Generator) -> list[str]:
    """Stretches of so many words."""
    found: list[str] = []
    while len(found) < COUNTS:
        words = texts[int(rng.integers(len(texts)))].split()
        if len(words) > n_words:
            at = int(rng.integers(len(words) - n_words))
            found.append(" ".join(words[at : at + n_words]))
    return found


def scale(n: int) -> dict[str, Any]:
    """Build, size and speed for n passages."""
    texts = list(passages(n))
    rng = np.random.default_rng(0)
    characters = sum(map(len, texts))
    row: dict[str, Any] = {"passages": len(texts), "characters": characters}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "set.grain"
        with bigrain.create(path, {"text": bigrain.SubstringField()}) as col:
            began = time.process_time()
            col.add(texts)
            col.commit()
            row["build_s, catalogue included"] = round(time.process_time() - began, 2)
            began = time.process_time()
            col.delete("0")
            col.commit()
            col.compact()
            row["compact_s"] = round(time.process_time() - began, 2)
            told = col.stats()["fields"]["text"]
            row["shards"] = len(col._require_open().fields["text"].index.views[0].segment.shards)
        row["bytes_a_document_on_disk"] = round(told["bytes_on_disk"] / len(texts), 1)
        row["bytes_a_character_on_disk"] = round(told["bytes_on_disk"] / characters, 3)
        row["bytes_in_memory"] = told["light_bytes_in_memory"]
        for file in (path / "segments").iterdir():
            forget(file)
        with bigrain.open(path, read_only=True) as col:
            index = col._require_open().fields["text"].index
            for n_words in (1, 2, 3, 5):
                asked = patterns(texts, n_words, rng)
                forms = [text.casefold().encode() for text in asked]
                row[f"count_ms, {n_words} words"] = timed(
                    [lambda p=p: index.count(p) for p in forms]
                )
                row[f"occurrences_ms, {n_words} words"] = timed(
                    [lambda p=p: col.occurrences(p, limit=10) for p in asked]
                )
            whole = "\n".join(text.casefold() for text in texts[1:])
            for pattern in [p for w in (1, 2, 3) for p in patterns(texts, w, rng)[:20]] + [
                "aa",
                "e ",
            ]:
                scanned = len(re.findall(f"(?={re.escape(pattern.casefold())})", whole))
                assert index.count(pattern.casefold().encode()) == scanned, pattern
            queries = patterns(texts, 8, rng)[:SEARCHES]
            row["search_ms, 8 words, top 10"] = timed([lambda q=q: col.search(q) for q in queries])
            row["search_ms, 8 words, top 10, again"] = timed(
                [lambda q=q: col.search(q) for q in queries[-20:]]
            )
    return row


def main() -> None:
    """Run, print, save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("ngrams.json"))
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    result: dict[str, Any] = {"scale": {}, "sets": {}}
    if options.out.exists():
        before = json.loads(options.out.read_text())
        result.update(scale=before["scale"], sets=before["sets"])
    if options.passages:
        result["scale"] = scale(options.passages)
    for key, value in result["scale"].items():
        print(f"{key:36} {value}", flush=True)
    for name in filter(None, options.sets.split(",")):
        result["sets"][name] = quality(name)
        print(name, *result["sets"][name]["systems"].items(), sep="\n  ", flush=True)
        save(options.out, result)
    save(options.out, result)


if __name__ == "__main__":
    main()
