"""Judge a collection: build it from a BEIR folder, measure every field and the fusion.

    python examples/evaluate_beir.py [FOLDER]        default: the SciFact set that comes along

Needs pip install 'bigrain[eval]'.
"""

import sys
import tempfile
from pathlib import Path

import bigrain
from bigrain.text import beir_judgments, beir_queries, read_documents

DEMO_DATA = Path(bigrain.__file__).parent / "demo_data"
source = Path(sys.argv[1]) if len(sys.argv) > 1 else DEMO_DATA / "scifact"

with tempfile.TemporaryDirectory() as folder, bigrain.create(Path(folder, "beir.grain")) as col:
    counts = col.add(read_documents(source))
    col.commit()
    print(f"{counts.added:,} documents, {counts.passages:,} passages")

    queries, judgments = beir_queries(source), beir_judgments(source)
    print(col.evaluate(queries, judgments).table())

    # Other settings are systems too: names, and the arguments of `search` each stands for.
    found = col.evaluate(
        queries,
        judgments,
        measures=["nDCG@10"],
        systems={
            "equal": {"fields": {"lexical": 1.0, "dense": 1.0}},
            "words count double": {"fields": {"lexical": 2.0, "dense": 1.0}},
            "vectors, exact": {"fields": ["dense"], "recall": 1.0},
        },
    )
    print(found.table())
