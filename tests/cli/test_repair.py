"""`bigrain repair`: what a person sees who has a damaged collection."""

import contextlib
import json
import os
import sqlite3

import pytest


@pytest.fixture
def harm(grain):
    """Change bytes of a file of the collection."""

    def change(pattern, at, n=1):
        file = sorted(grain.glob(pattern))[0]
        data = bytearray(file.read_bytes())
        if isinstance(at, bytes):
            at = data.find(at)
            assert at >= 0
        data[at : at + n] = bytes(255 - byte for byte in data[at : at + n])
        file.write_bytes(data)
        return file

    return change


def test_a_sound_collection_is_said_to_be_sound(program, grain):
    assert "sound: 4 documents; nothing was changed" in program("repair", grain).stdout
    assert program.json("repair", grain)["sound"] is True
    assert program("repair", grain, "--quiet").stdout == ""


def test_what_does_not_open_opens_again(program, grain, harm):
    file = harm("segments/dense-*.seg", -200, 50)
    harm("segments/lexical-*.seg", 70)
    refused = program("search", grain, "moon", code=3)
    assert "bigrain repair --dry-run" in refused.stderr
    told = program("repair", grain, "--dry-run").stdout
    assert "would be rebuilt: field 'dense'" in told and file.name in told and file.exists()
    done = program("repair", grain).stdout
    assert "\n  - " in done and "nothing is lost" in done and "set aside: 2 damaged" in done
    assert "sound" in program("verify", grain).stdout
    assert "Moon" in program("search", grain, "moon", "-k", "1").stdout


def test_what_is_gone_is_named_and_gives_exit_code_1(program, grain, harm):
    harm("catalogue.sqlite", b"Grain is kept dry", 4)
    assert program.json("repair", grain, "--dry-run", code=1)["documents_lost"] == ["silo"]
    report = program.json("repair", grain, code=1)
    assert report["documents_lost"] == ["silo"] and report["catalogue_rebuilt"]
    assert report["quarantined"].keys() == {"catalogue.sqlite"}
    kept = json.loads((grain / report["folder"] / "report.json").read_text())
    assert kept["documents_lost"] == ["silo"]
    assert program.json("stats", grain)["documents"] == 3
    assert "sound" in program("repair", grain).stdout


def test_a_damaged_definition_can_be_given_again(program, grain, harm, tmp_path):
    fields = program.json("stats", grain)["fields"]
    harm("catalogue.sqlite", b'"stop_words"', 3)
    refused = program("repair", grain, code=3)
    assert "--fields FILE" in refused.stderr
    file = tmp_path / "fields.json"
    file.write_text(json.dumps(fields))
    assert (
        "gone: the setting 'chunking'" in program("repair", grain, "--fields", file, code=1).stdout
    )
    program("search", grain, "moon")
    for nonsense in ("[]", "{", "{}", '{"a": 1}', '{"fields": [1]}'):
        file.write_text(nonsense)
        told = program("repair", grain, "--fields", file, code=2).stderr
        assert "expected what `bigrain stats docs.grain --json` prints" in told, nonsense
    for nonsense in ('{"a": {"family": "none"}}', '{"lexical": {}}', '{"1": {"family": "dense"}}'):
        file.write_text(nonsense)
        program("repair", grain, "--fields", file, code=2)


def test_the_whole_output_of_stats_stands_in_for_a_damaged_definition(
    program, grain, harm, tmp_path
):
    saved = tmp_path / "stats.json"
    saved.write_text(program("stats", grain, "--json").stdout)
    harm("catalogue.sqlite", b'"stop_words"', 3)
    assert "rebuilt" in program("repair", grain, "--fields", saved, code=1).stdout
    assert program.json("stats", grain)["fields"].keys() == {"lexical", "dense"}
    program("search", grain, "moon")


@pytest.mark.parametrize("how", ["empty", "other mark"])
def test_a_catalogue_that_says_nothing_of_bigrain_is_damage_with_a_hint(program, grain, how):
    catalogue = grain / "catalogue.sqlite"
    if how == "empty":
        catalogue.write_bytes(b"")
    else:
        with contextlib.closing(sqlite3.connect(catalogue)) as db:
            db.execute("PRAGMA application_id = 5")
    told = program("search", grain, "moon", code=3).stderr
    assert "the header is damaged" in told and "bigrain repair --dry-run" in told
    told = program("repair", grain, code=3 if how == "empty" else 0)
    if how == "other mark":
        assert "nothing is lost" in told.stdout
        program("search", grain, "moon")


def test_without_a_catalogue_the_truth_is_told(program, grain):
    os.unlink(grain / "catalogue.sqlite")
    told = program("repair", grain, code=3).stderr
    assert "which lie only in it" in told and "from a copy" in told
    program("repair", grain / "nothing", code=5)


def test_a_segment_file_that_somebody_deleted_is_damage_with_a_hint(program, grain, tmp_path):
    file = next((grain / "segments").glob("dense-*.seg"))
    file.unlink()
    for command in (("search", grain, "moon"), ("stats", grain),
                    ("backup", grain, tmp_path / "copy.grain")):  # fmt: skip
        told = program(*command, code=3).stderr
        assert file.name in told and "no such file" in told and "bigrain repair" in told
    program("repair", grain)
    program("search", grain, "moon")
