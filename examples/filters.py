"""Conditions on metadata, as text and as dictionaries.

python examples/filters.py
"""

import tempfile
from pathlib import Path

import bigrain

PAPERS = [
    {"id": "a", "text": "Solar cells from perovskite.", "year": 2019, "tags": ["energy", "solar"]},
    {"id": "b", "text": "Solar cells from silicon.", "year": 2021, "tags": ["energy", "solar"]},
    {"id": "c", "text": "Batteries for solar farms.", "year": 2022, "tags": ["energy"]},
    {"id": "d", "text": "Solar flares and radio.", "year": 2022, "tags": ["astronomy"]},
    {"id": "e", "text": "Solar ovens, a draft.", "year": 2023, "tags": ["energy"], "draft": True},
]
CONDITIONS = [
    "year >= 2021",
    "year BETWEEN 2019 AND 2021",
    "tags IN ('energy') AND NOT draft = true",  # a list matches if one of its elements does
    "draft IS NULL AND (year = 2019 OR tags = 'astronomy')",
    {"year": {"$gte": 2022}, "tags": "energy"},
    {"$or": [{"year": 2019}, {"draft": True}]},
]

with tempfile.TemporaryDirectory() as folder, bigrain.create(Path(folder, "p.grain")) as col:
    # What is neither id, title nor text goes into `metadata`.
    col.add(
        {
            "id": paper["id"],
            "text": paper["text"],
            "metadata": {k: v for k, v in paper.items() if k not in ("id", "text")},
        }
        for paper in PAPERS
    )
    col.commit()
    for condition in CONDITIONS:
        hits = col.search("solar", filter=condition)
        print(f"{', '.join(sorted(hit.id for hit in hits)):12} {condition}")

    try:
        col.search("solar", filter="yaer > 2020")
    except bigrain.InvalidFilterError as error:
        print("refused:", error)
