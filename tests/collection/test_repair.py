"""Repair: nothing readable is lost, everything lost is named, and a crash costs nothing."""

import contextlib
import errno
import os
import shutil
import sqlite3
import threading
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bigrain
from bigrain import registry
from bigrain.errors import BigrainError
from bigrain.progress import Reporter
from bigrain.storage.files import Disk
from bigrain.storage.folder import Folder
from bigrain.storage.segment import SegmentFile
from bigrain.testing import FaultyFiles, Model, QuickDisk, check_invariants
from bigrain.writing.checking import check_collection
from tests.collection import damaging, making
from tests.compat import making as compat

ROUNDS = int(os.environ.get("BIGRAIN_TEST_DAMAGES", "6"))
EVERY = 1 if os.environ.get("BIGRAIN_TEST_ALL_FAULTS") else 113


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Model]:
    path = tmp_path_factory.mktemp("repair") / "docs.grain"
    return path, damaging.prepared(path)


@pytest.fixture
def grain(made: tuple[Path, Model], tmp_path: Path) -> tuple[Path, Model]:
    """A copy of the collection, to do anything to, and its model."""
    return damaging.copied(made[0], tmp_path / "docs.grain"), made[1].copy()


def repair(path: Path, **kwargs: Any) -> Any:
    return bigrain.repair(path, files=QuickDisk(), **kwargs)


def segments(path: Path, field: str) -> list[Path]:
    """The segment files of a field, the oldest first."""
    found = (path / "segments").glob(f"{field}-*.seg")
    return sorted(found, key=lambda file: file.stat().st_mtime_ns)


def flip(file: Path, at: int, mask: int = 1) -> None:
    data = bytearray(file.read_bytes())
    data[at] ^= mask
    file.write_bytes(data)


def place(file: Path, section: str) -> Any:
    """Where a section of a segment lies."""
    opened = SegmentFile(Disk(), file)
    try:
        return opened.sections[section]
    finally:
        opened.close()


def root_page(path: Path, name: str) -> int:
    with contextlib.closing(sqlite3.connect(path / "catalogue.sqlite")) as db:
        (page,) = db.execute(
            "SELECT rootpage FROM sqlite_schema WHERE name = ?", (name,)
        ).fetchone()
    return int(page)


def overwrite(file: Path, page: int, content: bytes = bytes(4096)) -> None:
    data = bytearray(file.read_bytes())
    data[(page - 1) * 4096 : page * 4096] = content
    file.write_bytes(data)


def bytes_of(path: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in path.rglob("*")
        if file.is_file()
        and file.name not in ("writer.lock", "catalogue.sqlite-shm")
        and (file.name != "catalogue.sqlite-wal" or file.stat().st_size)  # SQLite makes it to read
    }


# -- nothing to do ------------------------------------------------------------------------------


def test_a_sound_collection_is_left_as_it_is_to_the_byte(grain: tuple[Path, Model]) -> None:
    path, _ = grain
    before = bytes_of(path)
    report = repair(path)
    assert report.sound and report.complete and report.snapshot == -1
    assert "nothing was changed" in report.summary()
    assert bytes_of(path) == before


def test_a_dry_run_says_what_would_be_done_and_does_nothing(grain: tuple[Path, Model]) -> None:
    path, model = grain
    segments(path, "lex")[0].unlink()
    flip(segments(path, "vec")[0], place(segments(path, "vec")[0], "rows").offset)
    overwrite(path / "catalogue.sqlite", root_page(path, "attributes"))
    before = bytes_of(path)
    told = repair(path, dry_run=True)
    assert bytes_of(path) == before
    done = repair(path)
    assert told.dry_run and "would be rebuilt" in told.summary()
    assert told.vectors_lost == done.vectors_lost and told.rebuilt == done.rebuilt
    assert told.problems == done.problems and told.catalogue_rebuilt
    damaging.check_repaired(path, model, done)


# -- segments -----------------------------------------------------------------------------------


@pytest.mark.parametrize("section", ["blocks", "scale", "codec_centre"])
@pytest.mark.parametrize("field", ["vec", "tvec"])
def test_damaged_codes_are_made_again_and_nothing_is_lost(
    grain: tuple[Path, Model], field: str, section: str
) -> None:
    path, model = grain
    file = segments(path, field)[0]
    flip(file, place(file, section).offset + 3)
    with pytest.raises(bigrain.DamagedError):
        bigrain.open(path)
    report = repair(path)
    assert report.complete and report.rebuilt[field].encoded == 0
    assert list(report.quarantined) == [file.name] and not file.exists()
    damaging.check_repaired(path, model, report)


def test_one_damaged_vector_costs_one_document_its_vector(grain: tuple[Path, Model]) -> None:
    path, model = grain
    file = segments(path, "vec")[0]
    rows = place(file, "rows")
    flip(file, rows.offset + 5 * rows.row_bytes + 2)  # row 5 is document d5
    report = repair(path)
    assert report.vectors_lost == {"vec": ["d5"]} and not report.vectors_unplaced
    damaging.check_repaired(path, model, report)


@pytest.mark.parametrize("field", ["tvec", "ttok", "timp"])
def test_damaged_vectors_of_an_encoder_are_encoded_again(
    grain: tuple[Path, Model], field: str
) -> None:
    path, model = grain
    file = segments(path, field)[0]
    section = place(file, {"tvec": "rows", "ttok": "tokens", "timp": "weights"}[field])
    flip(file, section.offset + section.n_bytes // 2)
    report = repair(path)
    assert report.complete
    if field != "timp":
        assert report.rebuilt[field].encoded == 1
    damaging.check_repaired(path, model, report)


def test_damaged_tokens_cost_one_document_its_vectors(grain: tuple[Path, Model]) -> None:
    path, model = grain
    file = segments(path, "tok")[0]
    flip(file, place(file, "tokens").offset)
    report = repair(path)
    assert report.vectors_lost == {"tok": []} or len(report.vectors_lost.get("tok", [])) <= 1
    damaging.check_repaired(path, model, report)


@pytest.mark.parametrize("field, section", [("tok", "token_counts"), ("imp", "counts")])
def test_lengths_that_are_damaged_are_found_again_by_checksums(
    grain: tuple[Path, Model], field: str, section: str
) -> None:
    path, model = grain
    file = segments(path, field)[0]
    flip(file, place(file, section).offset + 8, 6)
    report = repair(path)
    assert report.complete and report.rebuilt[field].rows
    damaging.check_repaired(path, model, report)


@pytest.mark.parametrize("harm", ["flipped", "cut", "gone", "header"])
def test_damaged_words_come_back_from_the_texts(grain: tuple[Path, Model], harm: str) -> None:
    path, model = grain
    file = segments(path, "lex")[0]
    if harm == "gone":
        file.unlink()
    elif harm == "cut":
        os.truncate(file, file.stat().st_size // 2)
    else:
        flip(file, 3 if harm == "header" else place(file, "lists").offset)
    report = repair(path)
    assert report.complete and report.rebuilt["lex"].encoded == report.rebuilt["lex"].rows
    damaging.check_repaired(path, model, report)


def test_damaged_lists_of_impacts_are_made_again_from_the_vectors(
    grain: tuple[Path, Model],
) -> None:
    path, model = grain
    file = segments(path, "imp")[0]
    flip(file, place(file, "lists").offset + 1)
    report = repair(path)
    assert report.complete and not report.postings_lost and report.rebuilt["imp"].rows > 30
    damaging.check_repaired(path, model, report)


def test_a_damaged_column_is_named_and_the_rest_of_the_vectors_kept(tmp_path: Path) -> None:
    """In a collection of bigrain 0.1, which kept lists alone."""
    fixture = Path(__file__).parents[1] / "compat" / "0.1.0-format1.zip"
    path = tmp_path / "old.grain"
    with zipfile.ZipFile(fixture) as archive:
        archive.extractall(path)
    with bigrain.open(path, read_only=True) as col:
        rows = col.stats()["fields"]["impacts"]["rows"]
    file = max(segments(path, "impacts"), key=lambda found: found.stat().st_size)
    flip(file, place(file, "lists").offset + 1)  # the first column's first row number
    report = repair(path)
    (lost,) = report.postings_lost["impacts"]
    assert lost.postings >= 1 and "the rest of those vectors was kept" in report.summary()
    assert not report.vectors_lost
    with bigrain.open(path) as col:
        assert col.verify().ok and col.stats()["fields"]["impacts"]["rows"] == rows


@pytest.mark.parametrize("lists", ["sound", "damaged"])
@pytest.mark.parametrize("harm", ["header", "version", "table", "trailer", "cut", "longer"])
@pytest.mark.parametrize("field", ["vec", "tok", "imp"])
def test_one_damaged_byte_outside_the_vectors_costs_none_of_them(
    grain: tuple[Path, Model], field: str, harm: str, lists: str
) -> None:
    path, model = grain
    file = segments(path, field)[0]
    size = file.stat().st_size
    if harm == "cut":
        os.truncate(file, size - 1)
    elif harm == "longer":
        file.write_bytes(file.read_bytes() + b"more")
    else:
        at = {"header": 3, "version": 8, "table": size - 50, "trailer": size - 1}[harm]
        flip(file, at)
    if lists == "damaged":
        overwrite(path / "catalogue.sqlite", root_page(path, "segments"))
    assert not check_collection(Folder(QuickDisk(), path), Reporter(None)).ok
    report = repair(path)
    assert report.complete and any(file.name in problem for problem in report.problems)
    assert file.name in report.quarantined and report.rebuilt[field].rows > 30
    damaging.check_repaired(path, model, report)


def test_a_block_that_cannot_be_read_under_the_header_costs_no_vector(
    grain: tuple[Path, Model],
) -> None:
    path, model = grain
    file = segments(path, "vec")[0]
    report = bigrain.repair(path, files=BadBlock(file.name, 0, 64))
    assert report.complete and report.rebuilt["vec"].rows > 30
    damaging.check_repaired(path, model, report)


def test_a_file_of_vectors_that_were_all_replaced_may_break_without_any_being_gone(
    grain: tuple[Path, Model],
) -> None:
    path, model = grain
    rng = np.random.default_rng(9)
    with bigrain.open(path, files=QuickDisk()) as col:
        old = segments(path, "vec")
        making.give_vectors(col, model, "vec", sorted(model.documents), rng)
        making.commit(col, model)
    assert old[0].exists()
    os.truncate(old[0], 100)
    report = repair(path)
    assert report.complete and old[0].name in report.quarantined
    assert "gone" not in report.summary()
    damaging.check_repaired(path, model, report)


@pytest.mark.parametrize("field", ["vec", "tok", "imp"])
def test_vectors_whose_file_is_gone_are_counted_and_their_documents_named(
    grain: tuple[Path, Model], field: str
) -> None:
    path, model = grain
    segments(path, field)[0].unlink()
    report = repair(path)
    assert report.vectors_unplaced[field] > 0
    assert "d5" in report.vectors_lost[field] and "e2" not in report.vectors_lost[field]
    damaging.check_repaired(path, model, report)


def test_a_newer_vector_that_is_gone_is_not_replaced_by_the_older_one(
    grain: tuple[Path, Model],
) -> None:
    """d0, d2 and e1 were given another vector in the last commit."""
    path, model = grain
    segments(path, "vec")[-1].unlink()
    report = repair(path)
    assert sorted(report.vectors_lost["vec"]) == ["d0", "d2", "e1"]
    damaging.check_repaired(path, model, report)


def test_long_documents_keep_their_passages(tmp_path: Path) -> None:
    path = tmp_path / "docs.grain"
    rng = np.random.default_rng(4)
    texts = [". ".join(making.text(rng) for _ in range(n)) for n in (3, 400, 2, 300)]
    with bigrain.create(path, {"lex": bigrain.LexicalField(), **damaging_dense()}) as col:
        col.add([{"id": f"d{i}", "text": t} for i, t in enumerate(texts)])
        col.commit()
        before = [(h.id, h.score, h.passage) for h in col.search("grain moon", k=4)]
    file = segments(path, "dense")[0]
    rows = place(file, "rows")
    assert rows.shape[0] > 4, "several passages"
    flip(file, rows.offset + 2 * rows.row_bytes)
    overwrite(path / "catalogue.sqlite", root_page(path, "live_ids"))
    report = repair(path)
    assert report.complete and report.rebuilt["dense"].encoded == 1
    with bigrain.open(path) as col:
        assert [(h.id, h.score, h.passage) for h in col.search("grain moon", k=4)] == before
        assert col.verify().ok


def damaging_dense() -> dict[str, Any]:
    return {"dense": bigrain.DenseField(encoder="letters-dense")}


def test_an_encoder_that_is_missing_is_asked_for_before_anything_is_lost(
    grain: tuple[Path, Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, model = grain
    file = segments(path, "tvec")[0]
    flip(file, place(file, "rows").offset)
    before = bytes_of(path)
    monkeypatch.delitem(registry._factories, "letters-dense")
    monkeypatch.delitem(registry._made, "letters-dense", raising=False)
    with pytest.raises(bigrain.ConfigError, match="letters-dense"):
        repair(path)
    assert bytes_of(path) == before
    monkeypatch.undo()
    damaging.check_repaired(path, model, repair(path))


# -- the catalogue ------------------------------------------------------------------------------


def test_a_flip_in_one_document_loses_exactly_this_one(grain: tuple[Path, Model]) -> None:
    path, model = grain
    file = path / "catalogue.sqlite"
    text = model.documents["d8"].text.encode()
    assert file.read_bytes().count(text) == 1
    flip(file, file.read_bytes().find(text) + 1)
    report = repair(path)
    assert report.documents_lost == ["d8"] and report.documents_unnamed == 0
    assert report.catalogue_rebuilt and "d8" in report.summary()
    left = damaging.check_repaired(path, model, report)
    with bigrain.open(path) as col:  # its id is free again
        making.fill(col, left, ["d8"], seed=9)
        left._pending.vectors["timp"]["d8"] = {}
        col.commit()
        assert "d8" in col


@pytest.mark.parametrize(
    "name", ["live_ids", "dead_documents", "long_documents", "attributes", "attribute_keys"]
)
def test_broken_indexes_and_metadata_lose_nothing(grain: tuple[Path, Model], name: str) -> None:
    path, model = grain
    overwrite(path / "catalogue.sqlite", root_page(path, name), b"\x0d" + os.urandom(4095))
    report = repair(path)
    assert report.complete and report.catalogue_rebuilt
    damaging.check_repaired(path, model, report)
    with bigrain.open(path) as col:
        old = [i for i, d in model.documents.items() if d.metadata["year"] < 2000]
        hits = col.search(np.ones(8), k=1000, fields="vec", filter="year < 2000", recall=1.0)
        assert sorted(hit.id for hit in hits) == sorted(old)


@pytest.mark.parametrize("content", [bytes(4096), b"\x05" + bytes(range(255)) * 16 + bytes(15)])
def test_a_broken_root_of_all_documents_loses_none(
    grain: tuple[Path, Model], content: bytes
) -> None:
    path, model = grain
    overwrite(path / "catalogue.sqlite", root_page(path, "documents"), content)
    report = repair(path)
    assert report.complete
    damaging.check_repaired(path, model, report)


def test_a_broken_first_page_loses_nothing(grain: tuple[Path, Model]) -> None:
    path, model = grain
    overwrite(path / "catalogue.sqlite", 1, os.urandom(4096))
    with pytest.raises(BigrainError):
        bigrain.open(path)
    report = repair(path)
    assert report.complete
    damaging.check_repaired(path, model, report)


@pytest.mark.parametrize("name", ["segments", "superseded", "snapshots"])
def test_broken_lists_are_made_again_from_the_files(grain: tuple[Path, Model], name: str) -> None:
    path, model = grain
    overwrite(path / "catalogue.sqlite", root_page(path, name))
    report = repair(path)
    assert report.complete
    damaging.check_repaired(path, model, report)


def test_a_catalogue_that_is_cut_off_keeps_what_is_left(grain: tuple[Path, Model]) -> None:
    path, model = grain
    os.truncate(path / "catalogue.sqlite", 16 * 4096 + 100)
    report = repair(path)
    assert report.documents_lost
    damaging.check_repaired(path, model, report)


def test_a_damaged_definition_asks_for_the_fields(grain: tuple[Path, Model]) -> None:
    path, model = grain
    file = path / "catalogue.sqlite"
    flip(file, file.read_bytes().find(b'"light_bytes": 1'))
    before = bytes_of(path)
    with pytest.raises(bigrain.DamagedError, match="pass fields="):
        repair(path)
    with pytest.raises(bigrain.ConfigError, match="does not name"):
        repair(path, fields={"lex": bigrain.LexicalField()})
    assert bytes_of(path) == before
    report = repair(path, fields=damaging.FIELDS)
    assert report.settings_lost == ["chunking", "fusion"]
    damaging.check_repaired(path, model, report)


@pytest.mark.parametrize(
    "field, wrong, told",
    [
        ("vec", bigrain.DenseField(dim=8, metric="l2"), "metric='l2'.*metric='cosine'"),
        ("vec", bigrain.DenseField(dim=16), "dim=16.*dim=8"),
        ("vec", bigrain.DenseField(dim=8, heavy="float32"), "heavy="),
        ("vec", bigrain.DenseField(dim=8, heavy="bfloat16"), "heavy='bfloat16'.*'float16'"),
        ("vec", bigrain.SparseField(), "family='sparse'.*family='dense'"),
        ("tok", bigrain.MultiVectorField(dim=8), "dim=8.*dim=4"),
    ],
)
def test_fields_given_otherwise_than_the_segments_say_are_refused(
    grain: tuple[Path, Model], field: str, wrong: Any, told: str
) -> None:
    path, model = grain
    file = path / "catalogue.sqlite"
    flip(file, file.read_bytes().find(b'"light_bytes": 1'))
    before = bytes_of(path)
    with pytest.raises(bigrain.ConfigError, match=f"field '{field}'.*{told}"):
        repair(path, fields={**damaging.FIELDS, field: wrong})
    after = bytes_of(path)
    assert {k: v for k, v in after.items() if not k.startswith("staging")} == before
    damaging.check_repaired(path, model, repair(path, fields=damaging.FIELDS))


def test_fields_given_with_smaller_codes_than_the_segments_have_are_refused(
    tmp_path: Path,
) -> None:
    path = tmp_path / "docs.grain"
    spec = {"vec": bigrain.DenseField(dim=32, light_bytes=2)}
    with bigrain.create(path, fields=spec, files=QuickDisk()) as col:
        col.add([{"id": f"d{i}", "text": "grain"} for i in range(40)])
        col.add_vectors("vec", [f"d{i}" for i in range(40)], np.eye(40, 32) + 0.1)
        col.commit()
    file = path / "catalogue.sqlite"
    flip(file, file.read_bytes().find(b'"light_bytes": 2'))
    with pytest.raises(bigrain.ConfigError, match="light_bytes=4.*light_bytes=2"):
        repair(path, fields={"vec": bigrain.DenseField(dim=32)})
    assert repair(path, fields=spec).problems


@pytest.mark.parametrize("at", [0, 18, 19, 20, 21, 22, 23, 47, 59, 68])
def test_a_changed_byte_of_the_catalogues_header_is_told_and_costs_nothing(
    grain: tuple[Path, Model], at: int
) -> None:
    path, model = grain
    flip(path / "catalogue.sqlite", at, 1)
    told = check_collection(Folder(QuickDisk(), path), Reporter(None))
    assert any("of the header" in problem for problem in told.problems)
    before = bytes_of(path)
    assert not repair(path, dry_run=True).sound
    assert bytes_of(path) == before
    report = repair(path)
    assert report.complete and report.catalogue_rebuilt
    damaging.check_repaired(path, model, report)
    assert check_collection(Folder(QuickDisk(), path), Reporter(None)).ok
    with bigrain.open(path, files=QuickDisk()) as col:
        col.add(["more"])
        assert col.commit()


def test_an_open_collection_mends_the_header_of_its_catalogue(grain: tuple[Path, Model]) -> None:
    path, model = grain
    with bigrain.open(path, files=QuickDisk()) as col:
        col.search("grain")
        flip(path / "catalogue.sqlite", 18, 1)
        assert not col.verify().ok
        report = col.repair()
        assert report.complete
        check_invariants(col, model)
        col.add([{"id": "more", "text": "grain"}])
        col.commit()
        assert col.verify().ok and [d.id for d in col.get(["more"])] == ["more"]
    with bigrain.open(path, files=QuickDisk()) as col:
        assert col.verify().ok and [d.id for d in col.get(["more"])] == ["more"]


def test_a_catalogue_that_is_gone_is_not_made_up(grain: tuple[Path, Model]) -> None:
    path, _ = grain
    (path / "catalogue.sqlite").unlink()
    before = bytes_of(path)
    with pytest.raises(bigrain.DamagedError, match="which lie only in it"):
        repair(path)
    (path / "catalogue.sqlite").write_bytes(b"")
    with pytest.raises(bigrain.DamagedError, match="only there"):
        repair(path)
    (path / "catalogue.sqlite").unlink()
    assert bytes_of(path) == before
    with pytest.raises(bigrain.NotACollectionError):
        repair(path / "nowhere")
    with pytest.raises(bigrain.NotACollectionError):
        repair(path / "segments")


@pytest.mark.parametrize("version", ["0.1.0-format1", "0.1.0-format2"])
def test_any_page_of_any_format_may_break(tmp_path: Path, version: str) -> None:
    first = tmp_path / "first.grain"
    with zipfile.ZipFile(Path(compat.__file__).parent / f"{version}.zip") as archive:
        archive.extractall(first)
    with bigrain.open(first, read_only=True) as col:
        known = {str(d.id): d for d in col.documents()}
    n_pages = (first / "catalogue.sqlite").stat().st_size // 4096
    for page in range(1, n_pages + 1, 1 if EVERY == 1 else 3):
        path = damaging.copied(first, tmp_path / "docs.grain")
        overwrite(path / "catalogue.sqlite", page)
        try:
            report = repair(path)
        except bigrain.DamagedError as error:
            assert "pass fields=" in str(error)
            continue
        with bigrain.open(path) as col:
            assert col.verify().ok
            found = {str(d.id): d for d in col.documents()}
        lost = known.keys() - found.keys()
        assert found == {i: known[i] for i in found} and {*report.documents_lost} <= lost
        assert len(lost) == len(report.documents_lost) + report.documents_unnamed


def test_what_a_killed_writer_left_in_the_log_is_kept(grain: tuple[Path, Model]) -> None:
    """The last commit is in the log only, and a page of the catalogue is broken."""
    path, model = grain
    col = bigrain.open(path, files=QuickDisk())
    making.fill(col, model, ["late"], seed=11)
    for name, family in (("timp", "sparse"), ("ttok", "multivector")):
        row = damaging.Encoder(family).row(model.pending["late"].text)
        model.add_vectors(name, {"late": row})
    making.commit(col, model)
    killed = path.with_name("killed.grain")
    shutil.copytree(path, killed)  # as the disk was while the writer lived
    col.close()
    assert (killed / "catalogue.sqlite-wal").stat().st_size
    overwrite(killed / "catalogue.sqlite", 1, os.urandom(4096))
    report = repair(killed)
    assert report.complete and "catalogue.sqlite-wal" in report.quarantined
    damaging.check_repaired(killed, model, report)


# -- anything -----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_whatever_is_damaged_what_is_lost_is_reported(grain: tuple[Path, Model], seed: int) -> None:
    path, model = grain
    rng = np.random.default_rng([7, seed])
    done = damaging.damage(path, rng)
    try:
        report = damaging.repaired(path)
        if report is not None:
            damaging.check_repaired(path, model, report)
    except BaseException as error:
        error.add_note(f"seed {seed}: {done}")
        raise


# -- crashes, readers, writers ------------------------------------------------------------------


def harmed(path: Path, *, catalogue: bool) -> None:
    """Codes, a brought vector, words, and with `catalogue` a document and a broken page."""
    file = segments(path, "tvec")[0]
    flip(file, place(file, "blocks").offset)
    file = segments(path, "vec")[0]
    rows = place(file, "rows")
    flip(file, rows.offset + 5 * rows.row_bytes)
    segments(path, "lex")[0].unlink()
    if catalogue:
        overwrite(path / "catalogue.sqlite", root_page(path, "live_ids"))


@pytest.mark.parametrize("catalogue", [False, True])
@pytest.mark.parametrize("forever, code", [(False, errno.EIO), (True, errno.ENOSPC)])
def test_a_disk_that_fails_during_repair_costs_nothing_more(
    tmp_path: Path, catalogue: bool, forever: bool, code: int
) -> None:
    first = tmp_path / "first.grain"
    model = damaging.prepared(first, 12)
    harmed(first, catalogue=catalogue)
    n, tested = 1 + 17 * catalogue + 31 * forever, 0
    while True:
        path = damaging.copied(first, tmp_path / "docs.grain")
        files = FaultyFiles(QuickDisk(), fail_at=n, forever=forever, code=code)
        try:
            report = bigrain.repair(path, files=files)
        except (BigrainError, OSError):
            assert files.tripped
            report = repair(path)
            if report.sound:  # the failure came after it was done
                report.vectors_lost = {"vec": ["d5"]}
        try:
            assert report.vectors_lost == {"vec": ["d5"]} and not report.documents_lost
            damaging.check_repaired(path, model, report)
        except BaseException as error:
            error.add_note(f"operation {n} failed: {files.log[n - 1 : n]}")
            raise
        if not files.tripped:
            break
        n, tested = n + EVERY, tested + 1
    assert tested >= 3


class BadBlock(QuickDisk):
    """A disk on which some bytes of one file cannot be read any more."""

    def __init__(self, name: str, start: int, stop: int) -> None:
        self.name, self.start, self.stop = name, start, stop

    def open(self, path: Path) -> Any:
        reader: Any = super().open(path)
        return _BadReader(self, reader) if path.name == self.name else reader


class _BadReader:
    def __init__(self, disk: BadBlock, inner: Any) -> None:
        self._disk, self._inner, self.size = disk, inner, inner.size

    def _check(self, offset: int, length: int) -> None:
        if offset < self._disk.stop and offset + length > self._disk.start:
            raise bigrain.StorageError(errno.EIO, "Input/output error")

    def read_at(self, offset: int, length: int) -> bytes:
        self._check(offset, length)
        return bytes(self._inner.read_at(offset, length))

    def read_into(self, offset: int, buffer: memoryview) -> int:
        self._check(offset, len(buffer))
        return int(self._inner.read_into(offset, buffer))

    def gather(self, spans: Any, buffer: memoryview) -> int:
        for offset, length in spans:
            self._check(offset, length)
        return int(self._inner.gather(spans, buffer))

    def close(self) -> None:
        self._inner.close()


@pytest.mark.parametrize("field", ["vec", "tok"])
def test_a_block_the_disk_cannot_read_costs_only_what_lay_in_it(
    grain: tuple[Path, Model], field: str
) -> None:
    path, model = grain
    file = segments(path, field)[0]
    section = place(file, "rows" if field == "vec" else "tokens")
    at = section.offset + section.n_bytes - 5  # in the last row
    report = bigrain.repair(path, files=BadBlock(file.name, at, at + 3))
    assert report.vectors_lost == {field: ["d59"]} and not report.vectors_unplaced
    damaging.check_repaired(path, model, report)


@pytest.mark.parametrize("catalogue", [False, True])
def test_readers_go_on_while_the_collection_is_repaired(
    grain: tuple[Path, Model], catalogue: bool
) -> None:
    path, model = grain
    reader = bigrain.open(path, read_only=True)
    before = {hit.id for hit in reader.search("grain", k=100)}
    harmed(path, catalogue=catalogue)
    errors: list[BaseException] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            try:
                reader.search("grain wheat", k=5, fields=["tvec"])
                reader.search(np.ones(4)[None], fields="tok")
            except BaseException as error:
                errors.append(error)
                return

    thread = threading.Thread(target=read)
    if not catalogue:  # a broken page may be met at any time
        thread.start()
    report = repair(path)
    stop.set()
    if not catalogue:
        thread.join()
    assert not errors
    assert {hit.id for hit in reader.search("grain", k=100)} == before
    reader.refresh()
    assert {hit.id for hit in reader.search("grain", k=100)} == before
    reader.close()
    damaging.check_repaired(path, model, report)


def test_damaged_files_stay_aside_whatever_comes_later(grain: tuple[Path, Model]) -> None:
    path, model = grain
    harmed(path, catalogue=True)
    report = repair(path)
    aside = Path(report.folder)
    kept = {file.name: file.stat().st_size for file in aside.iterdir()}
    assert kept.keys() == {*report.quarantined, "report.json"}
    assert all(kept[name] == size for name, size in report.quarantined.items())
    with bigrain.open(path, files=QuickDisk()) as col:
        col.add(["more"])
        col.commit()
        col.compact()
        assert col.verify().ok
    assert {file.name: file.stat().st_size for file in aside.iterdir()} == kept


def test_an_open_collection_repairs_itself(grain: tuple[Path, Model]) -> None:
    path, model = grain
    with bigrain.open(path, files=QuickDisk()) as col:
        file = segments(path, "vec")[0]
        rows = place(file, "rows")
        flip(file, rows.offset + 5 * rows.row_bytes)
        with pytest.raises(bigrain.DamagedError):
            col.search(np.ones(8), fields="vec", recall=1.0)
        col.add([{"id": "pending", "text": "grain"}])
        with pytest.raises(bigrain.PendingChangesError):
            col.repair()
        col.rollback()
        report = col.repair()
        assert report.vectors_lost == {"vec": ["d5"]} and col.snapshot == report.snapshot
        left = damaging.without_lost(model, report, col)
        check_invariants(col, left)
        assert col.repair().sound
        with pytest.raises(bigrain.LockedError):
            bigrain.repair(path)
    with bigrain.open(path, read_only=True) as col:
        with pytest.raises(bigrain.ReadOnlyError):
            col.repair()
        assert col.repair(dry_run=True).sound


def test_a_second_damage_is_repaired_after_the_first(grain: tuple[Path, Model]) -> None:
    path, model = grain
    flip(segments(path, "tok")[0], 70)
    model = damaging.check_repaired(path, model, repair(path))
    overwrite(path / "catalogue.sqlite", root_page(path, "dead_documents"))
    model = damaging.check_repaired(path, model, repair(path))
    segments(path, "ttok")[0].unlink()
    damaging.check_repaired(path, model, repair(path))


def test_progress_tells_what_is_left_and_may_cancel(grain: tuple[Path, Model]) -> None:
    path, model = grain
    harmed(path, catalogue=True)
    before = bytes_of(path)
    stages: list[str] = []

    def cancel(update: bigrain.ProgressUpdate) -> None:
        stages.append(update.stage)
        if update.stage.startswith("rebuilding"):
            raise bigrain.CancelledError("enough")

    with pytest.raises(bigrain.CancelledError):
        repair(path, progress=cancel)
    assert "segments" in stages
    after = bytes_of(path)
    assert {k: v for k, v in after.items() if not k.startswith("staging")} == before
    stages.clear()
    damaging.check_repaired(path, model, repair(path, progress=lambda u: stages.append(u.stage)))
    assert "catalogue" in stages


def test_older_vectors_that_may_be_in_use_again_are_said_to_be_in_doubt(
    grain: tuple[Path, Model],
) -> None:
    """The newest vectors and the list of what they replaced are gone together."""
    path, model = grain
    segments(path, "vec")[-1].unlink()
    overwrite(path / "catalogue.sqlite", root_page(path, "superseded"))
    report = repair(path)
    assert report.vectors_doubtful == {"vec": 3} and not report.complete
    assert "in doubt" in report.summary()
    damaging.check_repaired(path, model, report)


@pytest.mark.parametrize("harm", ["gone", "unreadable"])
def test_a_file_that_no_list_names_any_more_is_missed_all_the_same(
    grain: tuple[Path, Model], harm: str
) -> None:
    """The list of segments is gone, and with it the only trace of a file that is gone too."""
    path, model = grain
    file = segments(path, "imp")[0]
    if harm == "gone":
        file.unlink()
    else:
        os.truncate(file, file.stat().st_size // 2)
    overwrite(path / "catalogue.sqlite", root_page(path, "segments"))
    report = repair(path)
    assert "d5" in report.vectors_lost["imp"] and report.vectors_unplaced["imp"] > 30
    assert not report.vectors_doubtful and "tok" not in report.vectors_lost
    damaging.check_repaired(path, model, report)


def test_a_damaged_table_of_centroids_is_computed_from_spare_blocks(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    rows = [rng.normal(size=(n, 16)).astype(np.float32) for n in rng.integers(1, 9, 120)]
    path = tmp_path / "a.grain"
    fields = {"tok": bigrain.MultiVectorField(dim=16, heavy="residual4", light_bytes=2)}
    with bigrain.create(path, fields, files=QuickDisk()) as col:
        col.add_vectors("tok", [str(i) for i in range(120)], rows)
        col.commit()
        before = col.search_many(rows[:9], k=5, recall=1.0, arrays=True)
    (file,) = segments(path, "tok")
    flip(file, place(file, "tokens_centroids").offset, 40)
    with pytest.raises(bigrain.DamagedError, match="tokens_centroids"):
        bigrain.open(path)
    report = repair(path)
    assert report.complete and not report.vectors_lost
    with bigrain.open(path) as col:
        assert len(col) == 120 and col.verify().ok
        after = col.search_many(rows[:9], k=5, recall=1.0, arrays=True)
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(old, new, "records as they were")
