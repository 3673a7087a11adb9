"""Every command: what it prints, what it leaves behind, what its help says."""

import contextlib
import json
import re
import sqlite3
import sys
import warnings
from dataclasses import replace

import numpy as np
import pytest

import bigrain
from bigrain.cli import main
from bigrain.cli.options import parse_size
from bigrain.cli.output import human_bytes, human_seconds, plain_text
from bigrain.cli.snippets import Snippets
from bigrain.cli.stats import _recall_lines
from bigrain.types import Hit

COMMANDS = {
    "index", "add", "delete", "search", "eval", "stats", "verify", "compact", "backup",
    "repair", "bench", "demo", "tune", "learn", "learn-encoder", "audit", "count",
    "add-vectors", "rebind",
}  # fmt: skip


def test_all_commands_are_there():
    assert set(main.commands) == COMMANDS


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_help_explains_with_an_example(program, name):
    text = program(name, "--help").stdout
    assert f"  bigrain {name}" in text.partition("Examples:")[2]
    assert "--json" in text and "--quiet" in text and "--debug" in text
    options = [p for p in main.commands[name].params if p.param_type_name == "option"]
    assert all(option.help for option in options)


def test_without_arguments_help_is_shown(program):
    assert "Commands:" in program().stdout


def test_version_names_kernels_and_numpy(program):
    text = program("--version").stdout
    assert f"bigrain {bigrain.__version__}" in text and "kernels" in text and "NumPy" in text


# -- index ----------------------------------------------------------------------------------------


def test_index_tells_what_it_made(program, beir, tmp_path):
    result = program("index", beir, "--to", tmp_path / "a.grain")
    assert "4 documents, 4 passages" in result.stdout and "documents/s" in result.stdout
    told = program.json("index", beir, "--to", tmp_path / "b.grain")
    assert told["documents"] == 4 and told["snapshot"] == 1 and told["bytes_on_disk"] > 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.grain", "b.grain"]


def test_index_quiet_prints_nothing(program, beir, tmp_path):
    result = program("index", beir, "--to", tmp_path / "a.grain", "--quiet")
    assert result.output == ""


def test_index_reads_standard_input(program, tmp_path):
    program("index", "-", "--to", tmp_path / "a.grain", stdin="a first line\na second line\n")
    hit = program.json("search", tmp_path / "a.grain", "second")["hits"][0]
    assert hit["text"] == "a second line" and hit["id"] == "stdin:2"


def test_index_reads_columns_under_other_names(program, tmp_path):
    (tmp_path / "t.csv").write_text("key,body text\na,hello there\n")
    program("index", tmp_path / "t.csv", "--to", tmp_path / "a.grain", "--id-column", "key",
            "--text-column", "body text")  # fmt: skip
    assert program.json("search", tmp_path / "a.grain", "hello")["hits"][0]["id"] == "a"


def test_index_options_become_settings(program, tmp_path):
    long = " ".join(f"Sentence number {i} is here." for i in range(200))
    path = tmp_path / "a.grain"
    counts = {}
    for name, options in {"cut": ["--chunk-chars", "200"], "whole": ["--no-chunks"]}.items():
        counts[name] = program.json(
            "index", "-", "--to", path, "--replace", "--language", "de", "--no-dense",
            "--memory", "128MB", *options, stdin=long,
        )["passages"]  # fmt: skip
    assert counts["whole"] == 1 < counts["cut"]
    fields = program.json("stats", path)["fields"]
    assert list(fields) == ["lexical"] and fields["lexical"]["language"] == "de"
    program("index", "-", "--to", path, "--replace", "--language", "none", stdin="x y")
    assert program.json("stats", path)["fields"]["lexical"]["language"] is None


def test_index_refuses_what_is_there_and_replaces_on_demand(program, beir, grain):
    refused = program("index", beir, "--to", grain, code=5)
    assert "already there" in refused.stderr and "--replace" in refused.stderr
    program("index", "-", "--to", grain, "--replace", stdin="only one\n")
    assert program.json("stats", grain)["documents"] == 1
    assert [p.name for p in grain.parent.iterdir()] == ["docs.grain"]


def test_replace_spares_folders_that_are_no_collection(program, tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    program("index", "-", "--to", tmp_path, "--replace", code=5, stdin="x\n")
    assert (tmp_path / "thesis.txt").read_text() == "precious"


def test_replace_waits_for_no_writer(program, grain):
    with bigrain.open(grain) as col:
        col.add(["a"])
        program("index", "-", "--to", grain, "--replace", code=4, stdin="x\n")
    assert program.json("stats", grain)["documents"] == 4
    assert [p.name for p in grain.parent.iterdir()] == ["docs.grain"]


def test_failed_index_leaves_nothing(program, tmp_path):
    target = tmp_path / "a.grain"
    bad = program("index", "-", "--to", target, code=2, stdin='{"_id": "a", "text": "b"}\n{"a\n')
    assert "line 2" in bad.stderr
    assert "no documents" in program("index", "-", "--to", target, code=2, stdin="").stderr
    assert list(tmp_path.iterdir()) == []


def test_skip_errors_leaves_bad_rows_out(program, tmp_path):
    rows = '{"_id": "a", "text": "b"}\n' + '{"a\n' * 9
    result = program("index", "-", "--to", tmp_path / "a.grain", "--skip-errors", stdin=rows)
    assert "1 document," in result.stdout
    assert result.stderr.count("note: skipped") == 5 and "4 more" in result.stderr


# -- add, delete, compact -------------------------------------------------------------------------


def test_add_then_delete_then_compact(program, grain):
    rows = '{"_id": "moon", "text": "New words."}\n{"_id": "sun", "text": "The Sun shines."}\n'
    told = program.json("add", grain, "-", stdin=rows)
    assert (told["added"], told["replaced"], told["documents"]) == (1, 1, 5)
    told = program.json("delete", grain, "sun", "bread")
    assert (told["deleted"], told["documents"]) == (2, 3)
    assert "is still taken" in program("stats", grain).stdout
    told = program.json("compact", grain)
    assert told["segments"] <= told["segments_before"]
    assert program.json("verify", grain)["ok"]
    assert {h["id"] for h in program.json("search", grain, "words")["hits"]} <= {
        "silo", "moon", "tide",
    }  # fmt: skip


def test_backup_makes_another_collection(program, grain, tmp_path):
    told = program.json("backup", grain, tmp_path / "copy.grain")
    assert told["snapshot"] == 1 and not told["linked"] and told["bytes"] > 0
    text = program("backup", grain, tmp_path / "link.grain", "--link").stdout
    assert f"link.grain: snapshot 1 of {grain}" in text
    for name in ("copy.grain", "link.grain"):
        assert program.json("verify", tmp_path / name)["documents"] == 4
        assert program.json("search", tmp_path / name, "moon")["hits"][0]["id"] == "moon"
    refused = program("backup", grain, tmp_path / "copy.grain", code=5)
    assert "already there; choose another path" in refused.stderr
    assert "--replace" not in refused.stderr
    segment = min((grain / "segments").iterdir())
    segment.write_bytes(segment.read_bytes()[:-1])
    refused = program("backup", grain, tmp_path / "third.grain", code=3)
    assert segment.name in refused.stderr and not (tmp_path / "third.grain").exists()


def test_changes_are_told_in_words(program, grain):
    assert "1 document added" in program("add", grain, "-", stdin="one\n").stdout
    assert "1 document deleted" in program("delete", grain, "moon").stdout
    assert "became" in program("compact", grain).stdout


def test_a_text_may_begin_with_a_dash(program, grain):
    for arguments in (
        ["--operators", "-earth moon"],
        ["-earth moon", "--operators", "-k", "3"],
        ["--operators", "--field", "lexical", "--", "-earth moon"],
    ):
        told = json.loads(program("search", grain, "--json", *arguments).stdout)
        assert told["query"] == "-earth moon"
        assert [hit["id"] for hit in told["hits"]][0] == "tide"
    program("search", grain, "moon", "--filter", "-x y", code=2)


def test_what_was_asked_is_told(program, beir, tmp_path):
    target = tmp_path / "s.grain"
    program("index", beir, "--to", target, "--no-dense", "--substrings", "--title-weight", "3")
    assert program.json("count", target, "The  MOON")["pattern"] == "The  MOON"
    assert program.json("stats", target)["fields"]["lexical"]["rows"] == 4
    shown = program("search", target, "mooon~1 watre~", "--operators", "--explain").stdout
    assert "mooon~1 stands for moon" in shown and "watre~ stands for" in shown
    noted = program("search", target, "moon OR water", "--operators")
    assert "note: 'OR' is read as a word" in noted.stderr
    weighed = program.json("search", target, "moon")["hits"]
    assert weighed[0]["id"] == "moon"


def test_delete_is_all_or_nothing(program, grain):
    refused = program("delete", grain, "moon", "nobody", code=2)
    assert "nobody" in refused.stderr and "--ignore-missing" in refused.stderr
    assert program.json("stats", grain)["documents"] == 4
    told = program.json("delete", grain, "-", "--ignore-missing", stdin="moon\nnobody\n\n")
    assert told["deleted"] == 1


# -- search ---------------------------------------------------------------------------------------


def test_search_shows_hits(program, made):
    text = program("search", made, "dry grain", "-k", 2).stdout
    assert text.lstrip().startswith("1. Silos") and "silo" in text
    assert "Grain is kept dry in towers." in text and "year: 2019" in text


def test_search_json_has_the_parts(program, made):
    answer = program.json("search", made, "moon", "-k", 2, "--explain")
    hit = answer["hits"][0]
    assert answer["query"] == "moon" and hit["rank"] == 1
    total = sum(part["contribution"] for part in hit["parts"].values())
    assert total == pytest.approx(hit["score"], abs=1e-5)
    assert "lexical" in hit["explanation"] and hit["metadata"] == {"year": 2021}


def test_search_takes_fields_weights_filters_and_recall(program, made):
    only = program.json("search", made, "moon", "--field", "lexical", "--recall", "1")
    assert [hit["id"] for hit in only["hits"]] == ["moon", "tide"]
    late = program.json("search", made, "moon", "--filter", "year >= 2023")
    assert {hit["id"] for hit in late["hits"]} <= {"tide", "bread"}
    weighed = program.json("search", made, "moon", "--field", "lexical=3", "--field", "dense")
    assert weighed["hits"][0]["parts"]["lexical"]["weight"] == pytest.approx(0.75)
    text = program("search", made, "moon", "--field", "lexical", "--explain").stdout
    assert "lexical adds" in text and "moon" in text


def test_search_reads_operators_when_it_is_told(program, made):
    asked = ("search", made, "--field", "lexical")
    told = program.json(*asked, "--operators", "grain +dry -moon")
    assert [hit["id"] for hit in told["hits"]] == ["silo"] and told["query"] == "grain +dry -moon"
    assert "nothing found" in program(*asked, "--operators", '"grain dry"').stdout
    assert len(program.json(*asked, "grain -moon")["hits"]) > 1
    text = program(*asked, "--operators", '"kept dry" sil*', "--explain").stdout
    assert 'says "kept dry"' in text and "sil* stands for silo" in text
    assert program("search", made, "--operators", "--", "-moon", code=2).stderr
    many = program("search", made, "-", "--operators", "--json", stdin='"kept dry"\nmoon\n').stdout
    assert [len(json.loads(line)["hits"]) for line in many.splitlines()] == [1, 4]


def test_search_takes_feedback(program, made):
    plain = program.json("search", made, "silo", "--field", "lexical")
    more = program.json("search", made, "silo", "--field", "lexical", "--feedback", "rm3")
    assert {h["id"] for h in plain["hits"]} <= {h["id"] for h in more["hits"]}
    assert program("search", made, "silo", "--feedback", "best", code=2).stderr


def test_search_without_hits_says_so(program, made):
    assert "nothing found" in program("search", made, "zzz", "--field", "lexical").stdout


def test_search_many_from_standard_input(program, made):
    lines = '{"_id": "q1", "text": "dry grain"}\n\nmoon\n'
    answers = program("search", made, "-", "--json", "-k", 1, stdin=lines).stdout.splitlines()
    first, second = map(json.loads, answers)
    assert first["_id"] == "q1" and first["hits"][0]["id"] == "silo"
    assert second["query"] == "moon"
    assert "# moon" in program("search", made, "-", stdin="moon\n").stdout
    assert "line 1" in program("search", made, "-", stdin='{"a": 1}\n', code=2).stderr


def test_count_tells_how_often_and_where(program, beir, grain, tmp_path):
    path = tmp_path / "a.grain"
    program("index", beir, "--to", path, "--substrings")
    assert "every substring" in program("stats", path).stdout
    shown = program("count", path, "the MOON").stdout
    assert shown.startswith("the MOON: 2 times in 2 documents\n")
    assert "title 0" in program("count", path, "moon").stdout
    assert program("count", path, "wheat").stdout == "wheat: 0 times\n"
    told = program.json("count", path, "moon", "--limit", 1, "--places", 1)
    assert (told["total"], told["n_documents"], len(told["documents"])) == (3, 2, 1)
    assert told["documents"][0] == {
        "id": "moon", "count": 2, "places": [{"start": 0, "end": 4, "in_title": True}],
    }  # fmt: skip
    assert program.json("count", path, "moon", "--filter", "year = 2023")["total"] == 1
    explained = program("search", path, "around the Earth", "--field", "substrings", "--explain")
    assert re.search(r"  around the earth \d\S+ \(once in all\)", explained.stdout)
    assert "substring field" in program("count", grain, "moon", code=2).stderr
    assert "at least one character" in program("count", path, "", code=2).stderr


def test_documents_cannot_steer_the_terminal(program, tmp_path):
    row = json.dumps({"_id": "a", "title": "T\x1b[2J", "text": "evil \x1b]0;title\x07 [bold]text"})
    program("index", "-", "--to", tmp_path / "a.grain", stdin=row)
    text = program("search", tmp_path / "a.grain", "evil").stdout
    assert "\x1b" not in text and "\x07" not in text and "[bold]text" in text


# -- looking --------------------------------------------------------------------------------------


def test_stats(program, made):
    text = program("stats", made).stdout
    assert "4 documents" in text and "bigrain/static-v1" in text and "BM25, en" in text
    assert program.json("stats", made)["documents"] == 4


def test_stats_tells_how_far_dense_fields_look(program, made):
    assert (
        "recall     dense: 0.95 unless asked otherwise; for the top 10"
        in program("stats", made).stdout
    )
    recall = program.json("stats", made)["fields"]["dense"]["recall"]
    assert set(recall["effort"]) == {"0.9", "0.95", "0.99"} and recall["audited"] == []
    field = {"rows": 1, "recall": {**recall, "audited": [
        {"asked": 0.95, "reached": 0.9, "low": 0.88, "high": 0.92, "queries": 1000, "at": 0.0,
         "holds": False}]}}  # fmt: skip
    assert _recall_lines("dense", field)[1] == (
        "audited    dense: asked 0.95, reached 0.9000 [0.8800, 0.9200] on 1,000 queries, "
        "1970-01-01 00:00:00Z: falls short"
    )


def test_tune_measures_and_applies(program, tmp_path, monkeypatch):
    monkeypatch.setattr("bigrain.tuning.tune.SETTINGS", (0.9, 0.99))
    monkeypatch.setattr(
        "bigrain.families.dense.DenseFamily.alternatives",
        lambda family, queries: [family.spec, replace(family.spec, light_bytes=16)],
    )
    texts = [f"grain number {i} in silo {i * i % 17}" for i in range(400)]
    program("index", "-", "--to", tmp_path / "a.grain", stdin="\n".join(texts))
    picture = tmp_path / "frontier.png"
    text = program("tune", tmp_path / "a.grain", "--plot", picture).stdout
    assert "chosen: recall 0.95: code='" in text and "stored vectors" in text
    assert "nothing was changed" not in text and picture.read_bytes()[:4] == b"\x89PNG"
    (tmp_path / "q.tsv").write_text("".join(f"{i}\tsilo {i}\n" for i in range(30)))
    options = ("--queries", tmp_path / "q.tsv", "--recall", "0.9", "-k", "5", "--fit", "128MiB")
    told = program.json("tune", tmp_path / "a.grain", *options, "--apply")
    assert told["queries"] == 30 and told["k"] == 5 and told["memory_budget_bytes"] == 128 << 20
    chosen = told["chosen"]["field"]["light_bytes"]
    assert {row["field"]["light_bytes"] for row in told["rows"]} == {16, 32}
    fields = program.json("stats", tmp_path / "a.grain")["fields"]
    assert fields["dense"]["light_bytes"] == chosen == told["field"]["light_bytes"]
    assert told["applied"] == (chosen != 32)
    (tmp_path / "few.tsv").write_text("1\tsilo\n")
    few = program("tune", tmp_path / "a.grain", "--queries", tmp_path / "few.tsv", code=2)
    assert "at least 20" in few.stderr


def test_audit_tells_whether_a_recall_is_reached(program, tmp_path, monkeypatch):
    texts = [f"grain number {i} in silo {i * i % 17}" for i in range(400)]
    program("index", "-", "--to", tmp_path / "a.grain", stdin="\n".join(texts))
    (tmp_path / "q.tsv").write_text("".join(f"{i}\tsilo {i}\n" for i in range(300)))
    asked = ("audit", tmp_path / "a.grain", "--queries", tmp_path / "q.tsv")
    assert "holds" in program(*asked).stdout
    (told,) = program.json(*asked, "--recall", "0.9", "-k", "5")["fields"]
    assert told["queries"] == 300 and told["asked"] == 0.9 and told["low"] <= told["reached"]
    assert "audited is a recall below 1" in program(*asked, "--recall", "1", code=2).stderr
    effort = bigrain.index.effort.Effort(10)
    monkeypatch.setattr("bigrain.index.dense.DenseIndex.effort", lambda *_: effort)
    assert "falls short" in program(*asked, "--recall", "0.999", code=1).stdout


def test_stats_of_brought_vectors(program, tmp_path):
    fields = {"mine": bigrain.DenseField(dim=8)}
    with bigrain.create(tmp_path / "v.grain", fields) as col:
        col.add_vectors("mine", ["a"], [[1.0] * 8])
        col.commit()
    assert "your own vectors" in program("stats", tmp_path / "v.grain").stdout
    assert "no documents with text" in program("bench", tmp_path / "v.grain", code=2).stderr


def test_verify_a_sound_collection(program, made):
    assert "sound" in program("verify", made).stdout
    assert program("verify", made, "--quiet").output == ""
    assert program.json("verify", made)["problems"] == []


@pytest.mark.parametrize("damage", ["flip", "cut", "remove", "catalogue", "empty", "gone"])
def test_verify_names_damage_of_every_kind(program, grain, damage):
    segment = next((grain / "segments").glob("dense-*"))
    catalogue = grain / "catalogue.sqlite"
    content = bytearray(segment.read_bytes())
    if damage == "flip":
        content[len(content) // 3] ^= 0xFF
        segment.write_bytes(content)
    elif damage == "cut":
        segment.write_bytes(content[:-100])
    elif damage == "remove":
        segment.unlink()
    else:
        for beside in grain.glob("catalogue.sqlite-*"):
            beside.unlink()
        if damage == "catalogue":
            catalogue.write_bytes(b"no database " * 1000)
        elif damage == "empty":
            catalogue.write_bytes(b"")
        else:
            catalogue.unlink()
    named = "catalogue" if damage in ("catalogue", "empty", "gone") else segment.name
    text = program("verify", grain, code=1).stdout
    assert named in text and "problem" in text
    told = json.loads(program("verify", grain, "--json", code=1).stdout)
    assert not told["ok"] and named in told["problems"][0]


def test_verify_names_settings_that_make_no_sense(program, grain):
    with contextlib.closing(sqlite3.connect(grain / "catalogue.sqlite")) as db:
        db.execute("""UPDATE fields SET spec = '{"family": "lexical", "langu!ge": 1}'""")
        db.commit()
    assert "settings or fields" in program("verify", grain, code=1).stdout


def test_eval_on_a_beir_folder(program, made, beir, tmp_path):
    pytest.importorskip("ir_measures")
    pytest.importorskip("matplotlib")
    text = program("eval", made, "--beir", beir, "--save", tmp_path / "out").stdout
    for word in ("nDCG@10", "Recall@100", "MRR@10", "MAP@100", "lexical", "dense", "fused", "p50"):
        assert word in text
    saved = {p.name for p in (tmp_path / "out").iterdir()}
    assert saved == {"evaluation.json", "evaluation.png", "runs"}
    told = program.json(
        "eval", made, "--queries", beir / "queries.jsonl", "--judgments",
        beir / "qrels" / "test.tsv", "--measures", "nDCG@10, P@1", "-k", 10,
    )  # fmt: skip
    systems = {system["name"]: system for system in told["systems"]}
    assert systems["lexical"]["measures"]["nDCG@10"]["mean"] == 1.0
    assert set(systems["fused"]["measures"]) == {"nDCG@10", "P@1"}
    assert "Recall@10 " in program("eval", made, "--beir", beir, "-k", 10).stdout


def test_bench_says_what_it_measured(program, made, beir):
    text = program("bench", made, "-n", 3, "--threads", 2).stdout
    for word in ("p50 ms", "p99 ms", "batched", "lexical", "fused", "3 queries", "kernels"):
        assert word in text
    told = program.json("bench", made, "--queries", beir / "queries.jsonl", "-n", 2, "-k", 2)
    assert told["queries"] == 2 and told["systems"]["dense"]["p50_ms"] > 0


def test_demo_on_other_data(program, beir, tmp_path):
    pytest.importorskip("ir_measures")
    kept = tmp_path / "kept"
    text = program("demo", "--data", beir, "--keep", kept).stdout
    for word in ("indexed 4 documents", "nDCG@10", "fused", "in memory", "bigrain search"):
        assert word in text
    assert program.json("verify", kept / f"{beir.name}.grain")["ok"]
    told = program.json("demo", "--data", beir)
    assert told["sets"][0]["systems"]["lexical"]["nDCG@10"] == 1.0


def test_demo_without_the_extra_leaves_the_table_out(program, beir, monkeypatch):
    monkeypatch.setitem(sys.modules, "ir_measures", None)
    result = program("demo", "--data", beir)
    assert "bigrain[eval]" in result.stderr and "what it takes" in result.stdout
    assert "nDCG" not in result.stdout


def test_demo_data_is_there_with_licences():
    from bigrain.cli.demo import demo_folder
    from bigrain.text import beir_judgments, beir_queries

    licences = (demo_folder("scifact").parent / "LICENCES.md").read_text()
    for name, n_queries in (("scifact", 300), ("medquad", 266)):
        judgments = beir_judgments(demo_folder(name))
        assert (
            len(judgments) == n_queries
            and judgments.keys() == beir_queries(demo_folder(name)).keys()
        )
        assert f"## {name}/" in licences
    files = [p for p in demo_folder("scifact").parent.rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in files) < 5_000_000


def test_library_warnings_become_notes(program, grain, monkeypatch):
    def add(self, documents, progress=None):
        list(documents)
        warnings.warn("words of Han are matched as bigrams", stacklevel=2)
        return bigrain.AddCounts(0, 0, 0)

    monkeypatch.setattr(bigrain.Collection, "add", add)
    assert "note: words of Han" in program("add", grain, "-", stdin="a\n").stderr
    assert program("add", grain, "-", "--quiet", stdin="a\n").stderr == ""


# -- small parts ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, n_bytes",
    [("512MB", 512 * 10**6), ("1.5GiB", 3 * 2**29), ("2g", 2 * 10**9), ("64 KiB", 65536), ("7", 7)],
)
def test_sizes(text, n_bytes):
    assert parse_size(text) == n_bytes


def test_numbers_for_people():
    assert [human_bytes(n) for n in (0, 999, 12_345_678)] == ["0 bytes", "999 bytes", "12.3 MB"]
    assert [human_seconds(s) for s in (0.123, 42, 200, 9000)] == [
        "0.12 s", "42 s", "3 min 20 s", "2 h 30 min",
    ]  # fmt: skip


def test_plain_text_is_one_printable_line():
    assert plain_text("a\n\tb\x1b[31m\u202ec") == "a b [31m c"


def test_snippets_find_the_place_and_mark_the_words():
    filler = "Nothing of interest stands here. " * 60
    text = f"{filler}Running dogs chase the cat. {filler}"
    stretch, spans = Snippets("dog runs after cats", "en").of(Hit("a", 1.0, 1, text, "", {}, {}))
    marked = [stretch[start:end] for start, end in spans]
    assert marked == ["Running", "dogs", "cat"]
    assert stretch.startswith("… ") and stretch.endswith(" …") and len(stretch) < 300


def test_snippets_of_any_text():
    for text in ("", "short", "x" * 10_000, "検索エンジン" * 500, "\x00" * 10):
        stretch, spans = Snippets("検索 x", None).of(Hit("a", 1.0, 1, text, "", {}, {}))
        assert len(stretch) <= 290 and all(stretch[a:b] for a, b in spans)


def test_the_size_that_index_tells_is_what_is_there_afterwards(program, tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(f'{{"text": "word{i} grain"}}\n' for i in range(3000)))
    told = program.json("index", rows, "--to", tmp_path / "a.grain", "--no-dense")
    there = sum(f.stat().st_size for f in (tmp_path / "a.grain").rglob("*") if f.is_file())
    assert told["bytes_on_disk"] <= there < told["bytes_on_disk"] + 1000  # the lock's file
    told = program.json("compact", tmp_path / "a.grain")
    there = sum(f.stat().st_size for f in (tmp_path / "a.grain").rglob("*") if f.is_file())
    assert told["bytes_on_disk"] <= there < told["bytes_on_disk"] + 1000


def test_explain_speaks_of_codes_only_where_there_are_codes(program, grain):
    lines = program("search", grain, "moon", "--explain").stdout.splitlines()
    (lexical, *_), (dense, *_) = ([x for x in lines if f" {f} adds" in x] for f in
                                  ("lexical", "dense"))  # fmt: skip
    assert "its lists of postings said" in lexical and "code" not in lexical
    assert "its code in memory said" in dense


# -- learn-encoder --------------------------------------------------------------------------------


def test_learn_encoder_knows_every_kind():
    from bigrain.cli.learn_encoder import KINDS
    from bigrain.encoders import corpus

    assert KINDS == corpus.KINDS


def test_learn_encoder_makes_one_that_a_field_names(program, tmp_path):
    rows = [{"_id": str(i), "text": f"wheat and grain in silo {i % 3}"} for i in range(8)]
    rows += [{"_id": f"m{i}", "text": f"the moon in orbit {i % 3}"} for i in range(8)]
    source = tmp_path / "texts.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    folder = tmp_path / "encoder"
    shown = program("learn-encoder", source, "--to", folder, "--dim", "4", "--encoder", "lsa")
    assert "lsa of 4 dimensions from 16 texts" in shown.stdout
    told = program.json("learn-encoder", source, "--to", tmp_path / "pv", "--dim", "4", "--encoder",
                        "pv", "--epochs", "2")  # fmt: skip
    assert told["kind"] == "pv" and told["texts"] == 16 and told["words"] > 3
    with bigrain.create(
        tmp_path / "a.grain", {"d": bigrain.DenseField(encoder=str(folder))}
    ) as col:
        col.add(rows)
        col.commit()
        assert "moon" in col.search("moon", k=1)[0].text
    again = program("learn-encoder", source, "--to", folder, code=2)
    assert "already there" in again.stderr


def test_learn_publishes_what_is_better_and_takes_it_back(program, tmp_path):
    rng = np.random.default_rng(0)
    words = np.array([f"w{i}" for i in range(40)])
    texts = [" ".join(rng.choice(words, 6)) for _ in range(300)]
    rows = "".join(json.dumps({"_id": f"d{i}", "text": t}) + "\n" for i, t in enumerate(texts))
    (tmp_path / "docs.jsonl").write_text(rows)
    path = tmp_path / "a.grain"
    program("index", tmp_path / "docs.jsonl", "--to", path)
    asked = {f"q{i}": " ".join(texts[i].split()[::-1][:3]) for i in range(160)}
    (tmp_path / "q.tsv").write_text("".join(f"{q}\t{text}\n" for q, text in asked.items()))
    (tmp_path / "j.txt").write_text("".join(f"q{i} 0 d{i} 1\n" for i in range(160)))
    given = ("--queries", tmp_path / "q.tsv", "--judgments", tmp_path / "j.txt")
    told = program.json("learn", path, *given, "--only", "adapter", "--only", "fusion", "--force")
    assert told["held_out"] == 40 and told["questions"] == 120
    assert told["published"] and told["snapshot"] == 2
    text = program("learn", path, *given, "--only", "adapter", "--hold-out", "questions").stdout
    assert "from 160 judged queries with 160 right documents: 120 to learn from, 40 held" in text
    assert (
        "what it had learned is taken back, in snapshot 3"
        in program("learn", path, "--undo").stdout
    )
    again = program("learn", path, "--undo", code=2)
    assert "nothing was learned" in again.stderr
    both = program("learn", path, *given, "--undo", code=2)
    assert "--queries or --judgments and --undo: not both" in both.stderr
    few = program("learn", path, "--queries", tmp_path / "q.tsv", "--only", "fusion", code=2)
    assert "without judgments" in few.stderr
    for picture, wrong in (("x.txt", "written as .txt"), ("no/x.png", "there is no folder")):
        plotted = program("learn", path, *given, "--force", "--plot", tmp_path / picture, code=2)
        assert wrong in plotted.stderr and program.json("stats", path)["snapshot"] == 3
    nowhere = program("learn", path, *given, "--only", "encoder", code=2)
    assert "needs encoder_folder" in nowhere.stderr
    assert "sound" in program("verify", path).stdout


def test_rebind_says_where_a_moved_encoder_is(program, beir, tmp_path):
    path, old, new = tmp_path / "d.grain", tmp_path / "old", tmp_path / "new"
    program("learn-encoder", beir, "--to", old, "--dim", "2")
    program("index", beir, "--to", path, "--encoder", old)
    old.rename(new)
    _forget_encoders()
    told = program("stats", path, code=2).stderr
    assert f"`bigrain rebind {path} --encoder NAME` says where it is" in told
    assert program.json("rebind", path, "--encoder", new)["fields"] == ["dense"]
    assert str(new) in program("stats", path).stdout
    program("rebind", path, "--encoder", "bigrain/static-v1", code=6)
    assert "no field 'words'" in program(
        "rebind", path, "--encoder", new, "--field", "words", code=2
    ).stderr  # fmt: skip


def _forget_encoders():
    from bigrain import registry

    registry._made.clear()
    registry._heads.clear()


def test_explain_and_heat_map_of_token_vectors(program, tmp_path):
    fields = {"tok": bigrain.MultiVectorField(encoder="bigrain/static-v1")}
    grain, picture = tmp_path / "a.grain", tmp_path / "heat.png"
    with bigrain.create(grain, fields) as col:
        col.add([{"id": "moon", "text": "Grain is dry. The Moon goes\x1b around the Earth."}])
        col.commit()
    asked = ("search", grain, "what does the moon orbit?", "--explain")
    shown = program(*asked).stdout
    assert re.search(r"moon met Moon \d+, orbit met ", shown)
    assert re.search(r'best sentence \(scores \d+\): "The Moon goes around the Earth\."', shown)
    hit = program.json(*asked)["hits"][0]["explanation"]["tok"]
    assert (hit["best_span"]["start"], hit["best_span"]["end"]) == (14, 46)
    pytest.importorskip("matplotlib")
    done = program(*asked, "--heat-map", picture)
    assert picture.read_bytes().startswith(b"\x89PNG") and "tokens of moon" in done.stderr
    program(*asked, "--heat-map", tmp_path / "none" / "heat.png", code=2)


def test_heat_map_needs_token_vectors_and_one_query(program, made, tmp_path):
    picture = tmp_path / "heat.png"
    error = program("search", made, "moon", "--heat-map", picture, code=2).stderr
    assert "draws one multi-vector field, and none would be asked" in error
    error = program("search", made, "-", "--heat-map", picture, stdin="moon\n", code=2).stderr
    assert "ask it alone" in error and not picture.exists()
