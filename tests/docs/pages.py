"""The pages of the documentation, and how their blocks are run.

    ```python     run; `>>>` examples compare their output
    ```console    every `$ bigrain` line is parsed; one that shows output is run, and compared
    <!-- invisible-code-block: python ... -->   what a page needs beforehand
    <!-- skip: next "reason" -->                 a block that is not run, and why

All blocks of a page share a namespace and a folder. Output shown may leave things out by "...".
"""

from __future__ import annotations

import doctest
import io
import os
import re
import shlex
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest import mock

from sybil import Example, Sybil
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser, SkipParser

from bigrain.cli import main

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")], key=lambda page: page.relative_to(ROOT)
)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
REDIRECTIONS = {"<", ">", ">>"}


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def examples(page: Path) -> Iterator[Example]:
    """The blocks of a page, in order."""
    parsers = [
        PythonCodeBlockParser(doctest_optionflags=FLAGS),
        CodeBlockParser("console", check_console),
        SkipParser(),
    ]
    yield from Sybil(parsers).parse(page)


def check_console(example: Example) -> None:
    """Parse each command; run those whose output is shown."""
    for command, shown in commands(example.parsed):
        if not shown:
            parse(command)
            continue
        printed = run(command)
        checker = doctest.OutputChecker()
        assert checker.check_output(shown, printed, FLAGS), (
            f"`{command}` shows\n{shown}but prints\n{printed}"
        )


def commands(block: str) -> Iterator[tuple[str, str]]:
    """(command, output shown) of a console block; a line may end in a backslash."""
    joined = re.sub(r"\\\n\s*", "", block)
    for part in re.split(r"^\$ ", joined, flags=re.MULTILINE)[1:]:
        command, _, shown = part.partition("\n")
        yield command.strip(), shown


def parse(command: str) -> None:
    """Fail unless each `bigrain` command in the line, with all its options, exists."""
    for arguments, _ in _calls(command):
        if not arguments or arguments[0].startswith("-"):
            continue
        found = main.commands.get(arguments[0])
        assert found is not None, f"`{command}`: no command {arguments[0]!r}"
        if "--help" not in arguments:
            found.make_context(arguments[0], list(arguments[1:]), parent=None)


def run(command: str) -> str:
    """What the last `bigrain` command of the line prints."""
    printed = ""
    for arguments, source in _calls(command):
        assert arguments is not None
        out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.StringIO()
        stdin = io.TextIOWrapper(io.BytesIO(source), "utf-8")
        with redirect_stdout(out), redirect_stderr(err), mock.patch("sys.stdin", stdin):
            try:
                main.main(args=list(arguments), prog_name="bigrain")
            except SystemExit as end:
                code = end.code
        out.flush()
        printed = out.buffer.getvalue().decode() + err.getvalue()
        if code:
            printed += f"[exit code {code}]\n"
    return printed


def _calls(command: str) -> Iterator[tuple[list[str], bytes]]:
    """The arguments of each `bigrain` in a line of shell, and what it gets on standard input."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars="|<>&;")
    lexer.whitespace_split = True
    words = list(lexer)
    calls: list[list[str]] = [[]]
    for word in words:
        if word in ("|", "&&", "||", ";"):
            calls.append([])
        else:
            calls[-1].append(word)
    source = b""
    for call in calls:
        kept: list[str] = []
        rest = iter(call)
        for word in rest:
            if word in REDIRECTIONS:
                target = next(rest)
                if word == "<" and os.path.exists(target):
                    source = Path(target).read_bytes()
            else:
                kept.append(word)
        if kept[:1] == ["bigrain"]:
            yield kept[1:], source
        elif kept[:1] == ["echo"]:
            source = (" ".join(kept[1:]) + "\n").encode()
