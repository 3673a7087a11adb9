"""What documents lose that keep fewer vectors than tokens: means of clusters, as int8.

    python benchmarks/multivector/fewer.py FOLDER/selqa-128.npz FOLDER/scifact-128.npz ...

One vector for so many tokens (`pooling`), or at most so many a document (`max_vectors`), searched
exhaustively: the share of the ten best by MaxSim of all tokens, nDCG@10, bytes on disk, and CPU
seconds of the build. Writes `results/fewer.json` and the table in `benchmarks/README.md`.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import maxsim

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import save
from peers import ndcg, true_scores
from reporting import into_page, markdown_table
from storage import K, built, of_heavy

HERE = Path(__file__).parent
BEGIN = "<!-- multivector-fewer: written by multivector/fewer.py -->"
END = "<!-- end of multivector-fewer -->"
KEPT: tuple[dict[str, Any], ...] = (
    {},
    *({"pooling": n} for n in (2, 3, 4, 6)),
    *({"max_vectors": n} for n in (32, 16, 8)),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("vectors", type=Path, nargs="+", help="files of token_vectors.py")
    parser.add_argument("--n", type=int, help="the first n documents of each")
    parser.add_argument("--asked", type=int, default=300, help="queries of each")
    parser.add_argument("--cache", type=Path, help="folder of exact scores, kept")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "fewer.json")
    parser.add_argument("--readme", type=Path, default=HERE.parent / "README.md")
    options = parser.parse_args()
    result: dict[str, Any] = {"k": K, "sets": {}}
    with tempfile.TemporaryDirectory(prefix="bigrain-fewer-") as temporary:
        options.cache = options.cache or Path(temporary)
        for path in options.vectors:
            result["sets"][path.stem] = measured(path, options)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    save(options.out, result)
    text = table(result)
    print(text)
    into_page(options.readme, BEGIN, END, text)


def measured(path: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Every way to keep fewer, of one set."""
    given = maxsim.documents(path, options.n)
    asked = maxsim.queries(path, options.asked)
    judged = maxsim.judgments(path, given.n, asked.n)
    truth = true_scores(path.stem, given, asked, options.cache)
    queries = [asked.row(i) for i in range(asked.n)]
    found: dict[str, Any] = {
        "documents": given.n,
        "tokens": len(given.values),
        "dim": given.dim,
        "queries": asked.n,
        "kept": {},
    }
    if judged:
        found["nDCG@10"] = ndcg([maxsim.top(row, K).tolist() for row in truth], judged)
    for settings in KEPT:
        with tempfile.TemporaryDirectory(prefix="bigrain-fewer-") as folder:
            col, seconds = built(Path(folder), given, settings)
            with col:
                told = of_heavy(col, queries, truth, judged) | {"build cpu s": seconds}
        name = ", ".join(f"{key}={value}" for key, value in settings.items()) or "all"
        found["kept"][name] = told
        print(path.stem, name, told, flush=True)
    return found


def table(result: dict[str, Any]) -> str:
    head = ("kept", "set", "vectors/document", "B/document", "recall", "nDCG@10", "build CPU s")
    rows = [
        [
            kept,
            name,
            str(told["vectors a document"]),
            f"{told['bytes a document']:,.0f}",
            f"{told['recall']:.3f}",
            f"{told['nDCG@10']:.4f}" if "nDCG@10" in told else "",
            f"{told['build cpu s']:.1f}",
        ]
        for name, one in result["sets"].items()
        for kept, told in one["kept"].items()
    ]
    return markdown_table(head, rows)


if __name__ == "__main__":
    main()
