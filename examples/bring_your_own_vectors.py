"""Vectors from your own models: dense, sparse and multi-vector, in one collection.

Random vectors stand in for a model here. The queries are documents with some noise, so each field
should find its document again.

    python examples/bring_your_own_vectors.py
"""

import tempfile
from pathlib import Path

import numpy as np
from scipy import sparse

import bigrain

N, DIM, TOKEN_DIM, VOCABULARY = 2_000, 96, 64, 5_000
rng = np.random.default_rng(7)

ids = [f"doc-{i}" for i in range(N)]
dense = rng.normal(size=(N, DIM)).astype(np.float32)
weights = sparse.random(N, VOCABULARY, density=0.01, format="csr", dtype=np.float32, rng=rng)
lengths = rng.integers(5, 20, N)  # tokens of each document
offsets = np.concatenate([[0], np.cumsum(lengths)])
tokens = rng.normal(size=(offsets[-1], TOKEN_DIM)).astype(np.float32)
tokens /= np.linalg.norm(tokens, axis=1, keepdims=True)

with tempfile.TemporaryDirectory() as folder:
    col = bigrain.create(
        Path(folder, "vectors.grain"),
        fields={
            "meaning": bigrain.DenseField(dim=DIM),  # 96 bits in memory, 96 float16 on disk
            "words": bigrain.SparseField(vocabulary_size=VOCABULARY),
            "tokens": bigrain.MultiVectorField(dim=TOKEN_DIM, light_bytes=8),
        },
    )
    col.add_vectors("meaning", ids, dense)
    col.add_vectors("words", ids, weights)
    col.add_vectors("tokens", ids, (tokens, offsets))
    col.commit()

    wanted = 1234
    row = weights[wanted]
    queries = {
        "meaning": dense[wanted] + 0.3 * rng.normal(size=DIM).astype(np.float32),
        "words": dict(zip(row.indices.tolist(), row.data.tolist(), strict=True)),
        "tokens": tokens[offsets[wanted] : offsets[wanted] + 3],
    }
    for field, query in queries.items():
        best = col.search(query, k=1, fields=field)[0]
        print(f"{field:8} found {best.id} (wanted doc-{wanted}), score {best.score:.3f}")

    # Many queries at once, as arrays: (queries, k) ids and scores. recall=1 looks at everything.
    found, _ = col.search_many(list(dense[:100]), k=10, fields="meaning", arrays=True)
    exact, _ = col.search_many(list(dense[:100]), k=10, fields="meaning", recall=1.0, arrays=True)
    same = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found, exact, strict=True)])
    print(f"recall@10 of codes against exact search: {same:.3f}")
    for name, field in col.stats()["fields"].items():
        print(
            f"{name:8} {field['light_bytes_in_memory'] / N:6.1f} bytes a document in memory, "
            f"{field['bytes_on_disk'] / N:6.1f} on disk"
        )
    col.close()
