"""Bytes changed anywhere: somebody notices, or all answers are right.

`tests/soak/damage.py` runs many more of the same.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

import bigrain
from bigrain.errors import DamagedError
from bigrain.storage.catalogue import CATALOGUE
from tests.collection import making as small
from tests.storage.damage import LogTrial, Trial, headers, mutation, values

SEED = 20


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Trial:
    return Trial(tmp_path_factory.mktemp("damage"))


def test_random_changes_of_the_catalogue_deceive_nobody(trial: Trial) -> None:
    rng = np.random.default_rng(SEED)
    ends = [trial.run(mutation(rng, trial.files()[0], trial.sound)) for _ in range(80)]
    assert trial.outcome.failures == []
    assert len(set(ends)) >= 4  # noticed when opened, used and verified; and unused bytes


def test_random_changes_of_segments_deceive_nobody(trial: Trial) -> None:
    rng = np.random.default_rng(SEED)
    for file in trial.files()[1:]:
        for _ in range(6):
            trial.run(mutation(rng, file, trial.sound))
    assert trial.outcome.failures == []


def test_every_byte_of_the_headers_may_change(trial: Trial) -> None:
    for change in [*headers(trial.files()[0], trial.sound)][::3]:
        trial.run(change)
    for change in [*headers(trial.files()[-1], trial.sound, 64)][::3]:
        assert trial.run(change) == "noticed at open"
    assert trial.outcome.failures == []


def test_well_formed_lies_in_the_catalogue_are_noticed(trial: Trial) -> None:
    """Each value of each table changed by SQL, so that pages and indexes are in order."""
    unnoticed = {
        str(change)
        for change in values(trial.sound, np.random.default_rng(SEED), 1)
        if trial.run(change) in ("harmless", "unchanged")
        and "(fields: position" not in change.kind  # the order stays
        and "(snapshots: a row deleted" not in change.kind  # an older one that nobody reads
    }
    assert trial.outcome.failures == []
    assert unnoticed == set()


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("DELETE FROM segments WHERE file LIKE 'lex%'", "segments"),
        ("UPDATE segments SET rows = rows + 1", "segments"),
        ("UPDATE documents SET died = 1 WHERE id = 'b'", "deletions"),
        ("UPDATE documents SET died = NULL, id = 'z' WHERE died IS NOT NULL", "deletions"),
        ("UPDATE snapshots SET documents = 7", "snapshot 2"),
        ("DELETE FROM snapshots WHERE snapshot = 2", "snapshots"),
        ("DELETE FROM superseded", "superseded rows"),
        ("UPDATE documents SET passages = x'0000000001000000' WHERE id = 'b'", "passages"),
    ],
)
def test_a_lie_about_what_there_is_keeps_the_collection_shut(
    tmp_path: Path, sql: str, message: str
) -> None:
    path = tmp_path / "docs.grain"
    col, model = small.make(path)
    small.fill(col, model, ["a", "b", "c"])
    col.commit()
    small.fill(col, model, ["a"], seed=1)
    small.give_vectors(col, model, "vec", ["b"], np.random.default_rng(3))
    col.commit()
    col.close()
    db = sqlite3.connect(path / CATALOGUE)
    db.execute(sql)
    db.commit()
    db.close()
    with pytest.raises(DamagedError, match=f"catalogue.sqlite: {message} is damaged"):
        bigrain.open(path)


def test_a_hit_that_the_filter_does_not_let_through_is_damage(tmp_path: Path) -> None:
    path = altered_index(tmp_path, "UPDATE attributes SET value = 3000 WHERE docno = 0")
    with bigrain.open(path) as col:
        for arrays in (False, True):
            with pytest.raises(DamagedError, match="metadata index"):
                col.search_many([np.ones(8)], fields="vec", filter="year = 3000", arrays=arrays)


def test_verify_finds_a_document_that_filters_cannot_see(tmp_path: Path) -> None:
    path = altered_index(tmp_path, "DELETE FROM attributes WHERE docno = 1 AND value > 1000")
    with bigrain.open(path) as col:
        hits = col.search(np.ones(8), fields="vec", filter="year > 0")
        assert [hit.id for hit in hits if hit.id == "b"] == []
        (problem,) = col.verify().problems
        assert "cannot be found by filters" in problem and "'year' of document 'b'" in problem


def test_verify_finds_entries_of_the_filter_index_without_a_document(tmp_path: Path) -> None:
    path = altered_index(tmp_path, "INSERT INTO attributes VALUES (1, 5, 2), (1, 5, 900)")
    with bigrain.open(path) as col:
        nobody, wrong = col.verify().problems
        assert "1 entry of no document" in nobody and "= 5 of document 'c'" in wrong
    path = altered_index(tmp_path / "other", "UPDATE attributes SET docno = docno + 3")
    with bigrain.open(path) as col:
        problems = col.verify().problems
        assert any("of no document" in problem for problem in problems)


def test_verify_finds_an_entry_of_the_filter_index_for_a_passage_of_a_deleted_document(
    tmp_path: Path,
) -> None:
    path = tmp_path / "docs.grain"
    with bigrain.create(path, {"words": bigrain.LexicalField()}) as col:
        long = " ".join(f"word{i}." for i in range(3000))
        col.add([{"id": "long", "text": long, "metadata": {"year": 3}}, "short"])
        col.commit()
        with bigrain.open(path, read_only=True):  # keeps what it sees
            col.delete(["long"])
            col.commit()
            with closing(sqlite3.connect(path / CATALOGUE)) as db:
                db.execute("UPDATE attributes SET docno = docno + 1")
                db.commit()
            (problem,) = col.verify().problems
            assert "1 entry of no document" in problem


def altered_index(folder: Path, sql: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "docs.grain"
    col, model = small.make(path)
    small.fill(col, model, ["a", "b", "c", "d", "e", "f"])
    col.commit()
    col.delete(["d", "e", "f"])
    col.commit()
    col.compact()
    col.close()
    db = sqlite3.connect(path / CATALOGUE)
    db.execute(sql)
    db.commit()
    db.close()
    return path


def test_a_damaged_log_of_a_killed_writer_gives_an_older_snapshot_or_the_newest(
    tmp_path: Path,
) -> None:
    """SQLite takes the log up to the first frame that is damaged: commits after it are lost."""
    trial, rng = LogTrial(tmp_path), np.random.default_rng(SEED)
    for _ in range(30):
        trial.run(rng)
    assert trial.ended["newest"] and trial.ended["an older snapshot"]
