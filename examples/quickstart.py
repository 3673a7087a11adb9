"""The whole library in one go: make, add, search, change, check.

python examples/quickstart.py
"""

import tempfile
from pathlib import Path

import bigrain

DOCUMENTS = [
    {"id": "silo", "title": "Silos", "text": "Grain is kept dry and cool in tall towers."},
    {"id": "moon", "title": "The Moon", "text": "The Moon goes around the Earth in 27 days."},
    {"id": "bread", "title": "Bread", "text": "Flour, water, salt and yeast, baked in an oven."},
    {"id": "tides", "title": "Tides", "text": "The sea rises and falls twice a day."},
]

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder, "docs.grain")
    with bigrain.create(path) as col:  # two fields: "lexical" (BM25) and "dense" (bundled encoder)
        print(col.add(DOCUMENTS))
        col.commit()  # nothing is visible or durable before

        for hit in col.search("where is grain stored?", k=2):
            print(f"{hit.rank}. {hit.id}  {hit.score:.3f}  {hit.text}")
            for field, part in hit.parts.items():
                print(f"     {field} adds {float(part):.3f} (exact score {part.heavy:.3f})")

        col.add([{"id": "moon", "text": "The pull of the Moon raises the tides."}])  # replaces
        col.delete("bread")
        col.commit()

    with bigrain.open(path, read_only=True) as col:  # any number of processes may read
        print(f"{len(col)} documents; best now: {col.search('what raises the tides?', k=1)[0].id}")
        print(col.verify().summary())
