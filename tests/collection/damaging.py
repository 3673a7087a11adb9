"""Collections to be damaged, random damage, and what must be true after repair."""

import os
import shutil
import zlib
from pathlib import Path
from typing import Any

import numpy as np

import bigrain
from bigrain.testing import Model, QuickDisk, check_invariants
from tests.collection import making


class Encoder:
    """Numbers out of the letters of a text, for every family."""

    def __init__(self, family: str) -> None:
        self.family, self.dim = family, {"dense": 8, "sparse": None, "multivector": 4}[family]

    def fingerprint(self) -> dict[str, Any]:
        return {"name": f"letters-{self.family}"}

    def notices(self, texts: Any) -> tuple[str, ...]:
        return ()

    def row(self, text: str) -> Any:
        """The representation of one text, in the model's form."""
        rng = np.random.default_rng(zlib.crc32(text.encode()))
        return making.rows_for({"dense": "vec", "sparse": "imp"}.get(self.family, "tok"), rng, 1)[0]

    def encode_documents(self, texts: Any) -> Any:
        rows = [self.row(text) for text in texts]
        return making.as_vectors({"dense": "vec", "sparse": "imp"}.get(self.family, "tok"), rows)

    encode_queries = encode_documents


for _family in ("dense", "sparse", "multivector"):
    bigrain.register_encoder(f"letters-{_family}", lambda family=_family: Encoder(family))

FIELDS: dict[str, Any] = {
    **making.FIELDS,
    "tvec": bigrain.DenseField(encoder="letters-dense"),
    "timp": bigrain.SparseField(encoder="letters-sparse"),
    "ttok": bigrain.MultiVectorField(dim=4, encoder="letters-multivector"),
}
# The model knows the rows of these two as if they had been brought.
KNOWN: dict[str, Any] = {
    **FIELDS,
    "timp": bigrain.SparseField(),
    "ttok": bigrain.MultiVectorField(dim=4),
}


EARLIER: list[tuple[str, str, Any]] = []  # rows that `prepared` gives again later


def add(col: Any, model: Model, ids: list[str], seed: int) -> None:
    """Documents with a row in every field, some of them long enough for pages of their own."""
    rng = np.random.default_rng(seed)
    documents = []
    for n, identifier in enumerate(ids):
        d = making.document(rng, identifier)
        if n % 9 == 4:
            letters = "".join(map(chr, rng.integers(97, 123, 1900).tolist()))
            d = bigrain.Document(f"{d.text} {letters}", d.id, metadata=d.metadata)
        documents.append(d)
    col.add(documents)
    model.add(documents)
    for name in ("vec", "imp", "tok"):
        making.give_vectors(col, model, name, ids, rng)
    for name, family in (("timp", "sparse"), ("ttok", "multivector")):
        model.add_vectors(name, {str(d.id): Encoder(family).row(d.text) for d in documents})


def prepared(path: Path, n: int = 60) -> Model:
    """Three commits: documents, some replaced and deleted, some vectors given again."""
    col, model = making.make(path, FIELDS)[0], Model(KNOWN)
    add(col, model, [f"d{i}" for i in range(n)], 0)
    making.commit(col, model)
    add(col, model, ["d1", "d7", *(f"e{i}" for i in range(n // 3))], 1)
    gone = ["d3", "d10", "d11"]
    col.delete(gone)
    model.delete(gone)
    making.commit(col, model)
    rng = np.random.default_rng(2)
    for name in ("vec", "imp", "tok"):
        for identifier in ("d0", "d2", "e1"):
            EARLIER.append((name, identifier, model.rows(name)[identifier]))
        making.give_vectors(col, model, name, ["d0", "d2", "e1"], rng)
    making.commit(col, model)
    col.close()
    return model


def files_of(path: Path) -> list[Path]:
    """What can be damaged: the catalogue and the segments, in an order that does not change."""
    segments = (path / "segments").iterdir()
    return [
        path / "catalogue.sqlite",
        *sorted(segments, key=lambda f: (f.name.rsplit("-", 1)[0], f.stat().st_size, f.name)),
    ]


def damage(path: Path, rng: np.random.Generator, targets: list[Path] | None = None) -> list[str]:
    """One to four random damages to random files; says what was done."""
    done = []
    for _ in range(int(rng.choice([1, 1, 1, 2, 3, 4]))):
        files = [f for f in (targets or files_of(path)) if f.exists() and f.stat().st_size]
        # The catalogue counts as often as all segments together.
        file = files[0] if rng.random() < 0.4 else files[int(rng.integers(len(files)))]
        done.append(f"{file.name}: {damage_file(file, rng)}")
    return done


def damage_file(file: Path, rng: np.random.Generator) -> str:
    data = bytearray(file.read_bytes())
    at = int(rng.integers(len(data)))
    kind = str(
        rng.choice(["bit", "bit", "byte", "noise", "sector", "page", "cut", "longer", "gone"])
    )
    if kind == "gone" and file.name == "catalogue.sqlite":
        kind = "bit"
    if kind == "bit":
        data[at] ^= 1 << int(rng.integers(8))
    elif kind == "byte":
        data[at] = int(rng.integers(256))
    elif kind == "noise":
        stop = min(len(data), at + int(rng.integers(2, 64)))
        data[at:stop] = rng.bytes(stop - at)
    elif kind == "sector":
        at -= at % 512
        data[at : at + 512] = bytes(len(data[at : at + 512]))
    elif kind == "page":
        at -= at % 4096
        data[at : at + 4096] = rng.bytes(len(data[at : at + 4096]))
    elif kind == "cut":
        del data[at:]
    elif kind == "longer":
        data += rng.bytes(int(rng.integers(1, 5000)))
    if kind == "gone":
        os.unlink(file)
    else:
        file.write_bytes(data)
    return f"{kind} at {at}"


def without_lost(model: Model, report: Any, col: Any) -> Model:
    """The model less what the report says is gone."""
    left = model.copy()
    there = {str(d.id) for d in col.documents()}
    gone = [i for i in left.documents if i not in there]
    assert set(report.documents_lost) <= set(gone), "a document reported as lost is there"
    assert len(gone) == len(report.documents_lost) + report.documents_unnamed, (
        f"lost {gone}, reported {report.documents_lost} and {report.documents_unnamed} more"
    )
    left.delete(gone)
    for name, ids in report.vectors_lost.items():
        rows = left._pending.vectors[name]
        for identifier in ids:
            if name not in report.vectors_unplaced:
                assert identifier in rows, f"{identifier!r} had no vector in {name!r}"
            rows.pop(identifier, None)
    for name, n in report.vectors_doubtful.items():
        rows, used = left._pending.vectors[name], {}
        for field, identifier, older in EARLIER:
            if field == name and identifier in rows and _has(col, name, identifier, older):
                used[identifier] = older
        assert len(used) <= n, f"{list(used)} have older vectors in {name!r}"
        rows.update(used)
    for name, lists in report.postings_lost.items():
        rows = left._pending.vectors[name]
        for one in lists:
            hits = col.search({one.column: 1.0}, k=1000, fields=[name])
            found = {hit.id for hit in hits}
            missing = [i for i, row in rows.items() if one.column in row and i not in found]
            assert len(missing) <= one.postings
            for identifier in missing:
                rows[identifier] = {c: w for c, w in rows[identifier].items() if c != one.column}
    left.commit()
    return left


def _has(col: Any, name: str, identifier: str, row: Any) -> bool:
    """Whether a document has this row, by its score for itself and for another query."""
    if name == "imp":
        queries = [{column: 1.0} for column in range(12)]
        wanted = [row.get(column, 0.0) for column in range(12)]
    else:
        queries = [np.asarray(row), np.roll(row, 1)]
        wanted = [_score(name, query, row) for query in queries]
    for query, score in zip(queries, wanted, strict=True):
        hits = {h.id: h.score for h in col.search(query, k=1000, fields=[name], recall=1.0)}
        if not np.isclose(hits.get(identifier, 0.0), score, rtol=1e-2, atol=1e-2):
            return False
    return True


def _score(name: str, query: Any, row: Any) -> float:
    if name == "tok":
        return float((np.asarray(query) @ np.asarray(row).T).max(axis=1).sum())
    return float(query @ row / np.linalg.norm(query) / np.linalg.norm(row))


def check_repaired(path: Path, model: Model, report: Any) -> Model:
    """What was not reported as lost is there, and nothing else; the collection can be written."""
    with bigrain.open(path, files=QuickDisk()) as col:
        left = without_lost(model, report, col)
        check_invariants(col, left)
    assert bigrain.repair(path, files=QuickDisk()).sound, "a second repair finds something"
    return left


def copied(source: Path, target: Path) -> Path:
    shutil.rmtree(target, ignore_errors=True)
    return shutil.copytree(source, target)


def repaired(path: Path, **kwargs: Any) -> Any:
    """The report; None where repair rightly refuses: no document is left, or a version unknown."""
    try:
        return bigrain.repair(path, files=QuickDisk(), **kwargs)
    except bigrain.FormatError:
        return None
    except bigrain.DamagedError as error:
        if "pass fields=" in str(error) and not kwargs:
            return repaired(path, fields=FIELDS)
        assert "documents, which lie only there" in str(error)
        return None
