"""What goes wrong: messages, exit codes, no tracebacks; also as real processes in pipes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import bigrain
from bigrain import errors
from bigrain.cli import main
from bigrain.cli.program import exit_code

SOURCE = Path(bigrain.__file__).parents[1]


@pytest.mark.parametrize(
    "error, code",
    [
        (errors.InvalidQueryError("x"), 2),
        (errors.UnknownFieldError("x"), 2),
        (errors.DamagedError("f", "s", 1, 2), 3),
        (errors.LockedError("x"), 4),
        (errors.NotACollectionError("x"), 5),
        (errors.ReadOnlyError("x"), 5),
        (errors.EncoderMismatchError("x"), 6),
        (errors.BudgetError("x"), 7),
        (MemoryError(), 7),
        (errors.StorageError("x"), 8),
        (PermissionError(13, "denied", "file"), 8),
        (errors.MissingExtraError("f", "e"), 9),
        (TypeError("x"), 70),
        (errors.CancelledError("x"), 130),
        (KeyboardInterrupt(), 130),
    ],
)
def test_exit_codes_and_messages(program, made, monkeypatch, error, code):
    assert exit_code(error) == code

    def fail(*_, **__):
        raise error

    monkeypatch.setattr(bigrain, "open", fail)
    stderr = program("stats", made, code=code).stderr
    assert stderr.startswith("cancelled; nothing was changed" if code == 130 else "error: ")
    if isinstance(error, errors.BigrainError) and code != 130:
        assert str(error) in stderr


def test_every_error_of_the_tree_has_a_code():
    for name in errors.__all__:
        kind = getattr(errors, name)
        error = kind("a", "b", 1, 2) if kind is errors.DamagedError else (
            kind("a", "b") if kind is errors.MissingExtraError else kind("a")
        )  # fmt: skip
        assert exit_code(error) != 70


@pytest.mark.parametrize(
    "arguments, code, said",
    [
        (["search", "GRAIN", "x", "-k", "0"], 2, "-k 0"),
        (["search", "GRAIN", "x", "-k", "many"], 2, "many"),
        (["search", "GRAIN", "x", "--filter", "year >"], 2, "character"),
        (["search", "GRAIN", "x", "--filter", "yaer = 1"], 2, "did you mean 'year'"),
        (["search", "GRAIN", "x", "--field", "nobody"], 2, "it has lexical, dense"),
        (["search", "GRAIN", "x", "--field", "dense=high"], 2, "dense=0.5"),
        (["search", "GRAIN", "x", "--field", "=2"], 2, "'=2' is not NAME or NAME=WEIGHT"),
        (["search", "GRAIN", "-moon"], 2, "goes behind --"),
        (["count", "GRAIN", "moon"], 2, "`bigrain index SOURCE --to docs.grain --substrings`"),
        (["index", "BEIR", "--to", "NEW", "--title-weight", "21"], 2, "--title-weight 21"),
        (["search", "GRAIN", "x", "--recall", "7"], 2, "--recall 7"),
        (["search", "GRAIN", "x", "--memory", "huge"], 2, "512MB"),
        (["search", "GRAIN", "x", "--memory", "1MB"], 2, "too small"),
        (["search", "GRAIN"], 2, "QUERY"),
        (["search", "/nowhere", "x"], 5, "bigrain index"),
        (["stats", "BEIR"], 5, "not a collection"),
        (["stats", "BEIR/corpus.jsonl"], 5, "not a collection"),
        (["verify", "/nowhere"], 5, "does not exist"),
        (["verify", "BEIR"], 5, "not a collection"),
        (["index", "/nowhere", "--to", "NEW"], 2, "/nowhere"),
        (["index", "BEIR", "--to", "/nowhere/x.grain"], 2, "make it first"),
        (["index", "BEIR", "--to", "NEW", "--language", "xx"], 2, "xx"),
        (["index", "BEIR", "--to", "NEW", "--chunk-chars", "1"], 2, "16"),
        (["index", "BEIR", "--to", "NEW", "--chunk-chars", "99", "--no-chunks"], 2, "exclude"),
        (["index", "BEIR"], 2, "--to"),
        (["index", "--to", "NEW"], 2, "SOURCE"),
        (["add", "GRAIN", "/nowhere"], 2, "/nowhere"),
        (["add", "/nowhere", "BEIR"], 5, "/nowhere"),
        (["delete", "GRAIN", "nobody"], 2, "nobody"),
        (["eval", "GRAIN"], 2, "--beir"),
        (["eval", "GRAIN", "--beir", "BEIR", "--queries", "x"], 2, "--beir"),
        (["eval", "GRAIN", "--queries", "x"], 2, "belong together"),
        (["eval", "GRAIN", "--beir", "/nowhere"], 2, "/nowhere"),
        (["eval", "GRAIN", "--beir", "BEIR", "--split", "dev"], 2, "test"),
        (["eval", "GRAIN", "--beir", "BEIR", "--measures", "nonsense"], 2, "nonsense"),
        (["eval", "GRAIN", "--beir", "BEIR", "-k", "0"], 2, "at least 1"),
        (["bench", "GRAIN", "-n", "0"], 2, "0"),
        (["bench", "GRAIN", "--queries", "/nowhere"], 2, "/nowhere"),
        (["demo", "--data", "/nowhere"], 2, "/nowhere"),
        (["frobnicate"], 2, "frobnicate"),
        (["stats", "GRAIN", "--colour"], 2, "--colour"),
    ],
)
def test_hostile_arguments(program, made, beir, tmp_path, arguments, code, said):
    places = {"GRAIN": made, "BEIR": beir, "NEW": tmp_path / "new.grain"}
    given = [str(places.get(a, a.replace("BEIR/", f"{beir}/"))) for a in arguments]
    result = program(*given, code=code)
    assert said in result.stderr and "error: " in result.stderr
    assert result.stdout == "" or arguments[0] == "demo"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_folder_that_may_not_be_read(program, tmp_path):
    (tmp_path / "closed").mkdir(mode=0)
    program("index", tmp_path / "closed", "--to", tmp_path / "a.grain", code=2)


def test_another_writer_is_named(program, grain):
    with bigrain.open(grain) as col:
        col.add(["a"])
        assert str(os.getpid()) in program("add", grain, "-", stdin="b\n", code=4).stderr


def test_damage_met_while_searching_points_to_verify(program, grain):
    segment = next((grain / "segments").glob("lexical-*"))
    segment.write_bytes(segment.read_bytes()[:-64])
    assert "bigrain verify" in program("search", grain, "moon", code=3).stderr


def test_debug_shows_the_traceback(made, monkeypatch):
    from click.testing import CliRunner

    def fail(*_, **__):
        raise TypeError("inner trouble")

    monkeypatch.setattr(bigrain, "open", fail)
    plain = CliRunner().invoke(main, ["stats", str(made)])
    assert plain.stderr.count("\n") == 1 and "inner trouble" in plain.stderr
    for args, env in (
        (["stats", str(made), "--debug"], {}),
        (["--debug", "stats", str(made)], {}),
        (["stats", str(made)], {"BIGRAIN_DEBUG": "1"}),
    ):
        result = CliRunner().invoke(main, args, env=env)
        assert result.exit_code == 70 and "Traceback" in result.stderr


def test_cancelling_after_the_commit_tells_the_truth(program, grain, monkeypatch):
    def tidy(self, reporter):
        raise KeyboardInterrupt

    monkeypatch.setattr(bigrain.Collection, "_tidy", tidy)
    stderr = program("add", grain, "-", stdin="b\n", code=130).stderr
    assert "committed as snapshot 2" in stderr
    assert program.json("stats", grain)["documents"] == 5


# -- real processes -------------------------------------------------------------------------------


def command(*args):
    return [sys.executable, "-m", "bigrain.cli", *map(str, args)]


def environment():
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(SOURCE), os.environ.get("PYTHONPATH", "")]),
        "BIGRAIN_DEBUG": "",
    }


def run(*args, **options):
    return subprocess.run(
        command(*args), env=environment(), capture_output=True, text=True, timeout=120, **options
    )


def test_a_process_reads_and_writes_pipes(made):
    done = run("search", made, "-", "--json", input="moon\n")
    assert done.returncode == 0 and done.stderr == ""
    assert '"id": "moon"' in done.stdout and "\x1b" not in done.stdout


def test_a_process_fails_in_one_line(tmp_path):
    done = run("search", tmp_path / "none", "x")
    assert done.returncode == 5 and done.stdout == ""
    assert done.stderr.startswith("error: ") and "Traceback" not in done.stderr


def test_a_closed_pipe_is_no_error(made):
    process = subprocess.Popen(
        command("search", made, "-", "--json"),
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.close()
    process.stdin.write(b"moon\n" * 50)
    process.stdin.close()
    stderr = process.stderr.read()
    process.stderr.close()
    assert process.wait(60) == 141 and stderr == b""


def test_ctrl_c_leaves_nothing(tmp_path):
    target = tmp_path / "a.grain"
    process = subprocess.Popen(
        command("index", "-", "--to", target),
        env=environment(),
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    process.stdin.write("a line\n")
    process.stdin.flush()
    until = time.monotonic() + 60
    while (
        not list(tmp_path.glob(".a.grain.*.new/a.grain/writer.lock")) and time.monotonic() < until
    ):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stderr.strip() == "cancelled; nothing was changed"
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_in_the_middle_of_an_exec_has_the_code_of_any_other(tmp_path):
    """As where a dataclass is being made; `-m`, since Python looks at it there."""
    (tmp_path / "interrupted.py").write_text(
        "from bigrain.cli import main\n"
        "main.commands['stats'].invoke = lambda context: exec('raise KeyboardInterrupt')\n"
        "main(['stats', 'a.grain'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "interrupted"], env=environment(), cwd=tmp_path,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 130 and done.stderr.startswith("cancelled")


def test_help_loads_nothing_heavy():
    code = (
        "import sys, bigrain; before = set(sys.modules); import bigrain.cli; "
        "new = {m.partition('.')[0] for m in set(sys.modules) - before}; "
        "print(*sorted(new & {'rich', 'matplotlib', 'ir_measures', 'torch', 'scipy'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""


def test_completion_is_offered():
    done = subprocess.run(
        command(),
        env={**environment(), "_BIGRAIN_COMPLETE": "bash_complete", "COMP_WORDS": "bigrain ver",
             "COMP_CWORD": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )  # fmt: skip
    assert "verify" in done.stdout
