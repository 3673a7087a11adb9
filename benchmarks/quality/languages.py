"""BM25 on judged collections of many languages: as bigrain analyses them, and as plain words.

    python benchmarks/quality/languages.py [--sets xquad-ar,drcd] [--out languages.json]

Lexical fields only; nDCG@10 over judged queries. Plain words: no stemming, no function words left
out, no spellings made one, character pairs where there are no blanks. Also the passages that one
core analyses a second (English, 100,000 passages; the time of this process).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import load_set, passages, save

import bigrain
from bigrain.text import Analyser

LANGUAGES = {
    **{f"xquad-{code}": code for code in ("ar", "de", "el", "en", "es", "ru", "vi", "zh")},
    "drcd": "zh",
    "jaquad": "ja",
    **dict.fromkeys(("cosqa", "scifact", "cranfield", "npl", "cisi", "selqa", "medquad"), "en"),
}
BATCH = 1024


def judge(name: str) -> dict[str, Any]:
    """nDCG@10 of both analyses."""
    documents, queries, judgments = load_set(name)
    documents = [d for d in documents if d.text.strip() or d.title.strip()]
    plain = bigrain.LexicalField(language=None, analysis=1)
    fields = {"lexical": bigrain.LexicalField(language=LANGUAGES[name]), "plain": plain}
    with tempfile.TemporaryDirectory() as folder:
        col = bigrain.create(Path(folder) / "set.grain", fields)
        col.add(documents)
        col.commit()
        found = col.evaluate(
            queries, judgments, k=10, measures=["nDCG@10"],
            systems={field: {"fields": [field]} for field in fields},
        )  # fmt: skip
        col.close()
    means = {f: round(found.systems[f].measures["nDCG@10"].mean, 4) for f in fields}
    return {"language": LANGUAGES[name], "documents": len(documents), **means}


def speed(n: int = 100_000) -> dict[str, int]:
    """Passages analysed a second."""
    texts = list(passages(n))
    rates = {}
    for code in ("en", "de", None):
        analyser = Analyser(code)
        began = time.process_time()
        for start in range(0, n, BATCH):
            analyser.analyse_many(texts[start : start + BATCH], index=True)
        rates[str(code)] = round(n / (time.process_time() - began))
    return rates


def main() -> None:
    """Run, print a table, save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", default=",".join(LANGUAGES))
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("languages.json"))
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    rates = speed()
    print("passages a second:", rates, flush=True)
    rows = {}
    for name in options.sets.split(","):
        rows[name] = judge(name)
        print(f"{name:10} {rows[name]['lexical']:.4f}  plain {rows[name]['plain']:.4f}", flush=True)
        save(options.out, {"passages_a_second": rates, "sets": rows})


if __name__ == "__main__":
    main()
