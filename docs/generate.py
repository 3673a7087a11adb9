"""Write the pages of docs/reference that are made from the code.

python docs/generate.py            write them
python docs/generate.py --check    say which are out of date; exit code 1 if any is
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

import bigrain
from bigrain import errors, evaluation, tables, testing, text
from bigrain.cli import main as program
from bigrain.cli import program as program_module
from bigrain.cli.bench_tables import bench_tables
from bigrain.encoders import corpus

FOLDER = Path(__file__).parent / "reference"
NOTICE = "<!-- Made by docs/generate.py from the code; edit the docstrings, then run it. -->\n"

# -- the command line ---------------------------------------------------------------------------


def command_line() -> str:
    """docs/reference/command-line.md"""
    commands: dict[str, click.Command] = {}
    for name, command in program.commands.items():
        commands[name] = command
        if name == "bench":
            commands["bench tables"] = bench_tables
    parts = [
        "# Command line\n",
        NOTICE,
        _help(program.help),
        "Results go to standard output; progress, notes and errors go to standard error. Sizes\n"
        "are written like `512MB`, `1.5GiB` or `2G`.\n",
        "\n".join(
            [
                "| command | what it does |",
                "|---|---|",
                *(
                    f"| [`bigrain {name}`](#bigrain-{name.replace(' ', '-')}) | "
                    f"{command.get_short_help_str(200)} |"
                    for name, command in commands.items()
                ),
            ]
        )
        + "\n",
        "Options of `bigrain` itself:\n",
        _options(program),
    ]
    for name, command in commands.items():
        usage = " ".join(
            ["bigrain", name, "[OPTIONS]", *(_metavar(p) for p in _arguments(command))]
        )
        parts += [f"## bigrain {name}\n", f"```text\n{usage}\n```\n", _help(command.help)]
        parts += [_options(command)]
    parts += ["## Exit codes\n", _exit_codes()]
    return "\n".join(parts)


def _help(text: str | None) -> str:
    """A click help text as Markdown: its examples in a block, the rest as paragraphs."""
    paragraphs = []
    for part in inspect.cleandoc(text or "").split("\n\n"):
        part = part.strip("\n")
        if part.startswith("\b"):
            title, *lines = part.removeprefix("\b").strip("\n").split("\n")
            shown = "\n".join(f"$ {line.strip()}" for line in lines)
            paragraphs.append(f"{title.strip()}\n\n```console\n{shown}\n```")
        else:
            paragraphs.append(part)
    return "\n\n".join(paragraphs) + "\n"


def _arguments(command: click.Command) -> list[click.Argument]:
    return [p for p in command.params if isinstance(p, click.Argument)]


def _metavar(parameter: click.Parameter) -> str:
    return parameter.metavar or (parameter.name or "").upper()


def _options(command: click.Command) -> str:
    rows = ["| option | meaning |", "|---|---|"]
    for parameter in command.params:
        if not isinstance(parameter, click.Option):
            continue
        names = ", ".join(f"`{name}`" for name in parameter.opts)
        if not parameter.is_flag and parameter.metavar:
            names += f" `{parameter.metavar}`"
        meaning = " ".join((parameter.help or "").split())
        if parameter.show_default and parameter.default is not None:
            meaning += f" Default: `{parameter.default}`."
        if parameter.required:
            meaning += " Required."
        rows.append(f"| {names} | {_cell(meaning)} |")
    rows.append("| `-h`, `--help` | Show the help text. |")
    return "\n".join(rows) + "\n"


def _exit_codes() -> str:
    rows = ["| code | meaning |", "|---|---|"]
    for line in inspect.getdoc(program_module).splitlines():  # type: ignore[union-attr]
        match = re.match(r"\s*(\d+)  (\S.*)", line)
        if match:
            rows.append(f"| {match[1]} | {_cell(match[2])} |")
    return "\n".join(rows) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


# -- Python -------------------------------------------------------------------------------------

FIELDS = ("LexicalField", "DenseField", "SparseField", "MultiVectorField", "SubstringField")
GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Opening", ("create", "open")),
    ("The collection", ("Collection",)),
    ("Documents and hits", ("Document", "Hit", "Part", "Passage", "Occurrences", "AddCounts")),
    ("Recall", ("AuditReport", "FieldAudit", "TuneReport", "TuneRow")),
    ("Learning", ("LearnReport",)),
    ("Fields", (*FIELDS, "fields_of")),
    ("Settings", ("Chunking", "Fusion")),
    (
        "Encoders",
        (
            "Encoder",
            "CallableEncoder",
            "TransformerEncoder",
            "Model",
            "Head",
            "register_encoder",
            "encoder_names",
        ),
    ),
    ("Progress", ("ProgressUpdate",)),
)


def python() -> str:
    """docs/reference/python.md"""
    grouped = {name for _, names in GROUPS for name in names}
    known = grouped.union(errors.__all__)
    others = [
        name
        for name in bigrain.__all__
        if name not in known and not inspect.ismodule(getattr(bigrain, name))
    ]
    parts = [
        "# Python\n",
        NOTICE,
        "`import bigrain` gives these names. What is not listed here may change without notice.\n"
        "Arguments after `*` are given by keyword.\n",
    ]
    for title, names in (*GROUPS, ("Others", tuple(others))):
        if names:
            parts.append(f"## {title}\n")
            parts += [_entry(getattr(bigrain, name), f"bigrain.{name}", name) for name in names]
    parts += ["## Errors\n", _docstring(errors), "[How to handle them](../how-to/errors.md).\n"]
    rows = ["| error | kind | also a |", "|---|---|---|"]
    for name in errors.__all__:
        error = getattr(errors, name)
        builtin = [b.__name__ for b in error.__bases__ if b.__module__ == "builtins"]
        rows.append(f"| `{name}` | `{error.kind}` | {', '.join(f'`{b}`' for b in builtin)} |")
    parts.append("\n".join(rows) + "\n")
    for module in (text, corpus, evaluation, tables, testing):
        parts += [f"## {module.__name__}\n", _docstring(module)]
        for name in module.__all__:
            parts.append(_entry(getattr(module, name), f"{module.__name__}.{name}", name))
    return "\n".join(parts)


def _entry(thing: Any, shown: str, name: str) -> str:
    """A heading, the signature and the docstring; for classes their public members too."""
    parts = [f"### `{name}`\n"]
    if inspect.isclass(thing):
        parts += [_class_signature(thing, shown), _docstring(thing)]
        for member, value in _members(thing):
            parts += [f"#### `{name}.{member}`\n", _member_signature(member, value)]
            parts.append(_docstring(value))
    elif inspect.isroutine(thing):
        parts += [_fence(f"{shown}{_signature(thing)}"), _docstring(thing)]
    elif isinstance(thing, tuple | str | int | float):
        parts.append(_fence(f"{shown} = {thing!r}"))
    else:
        parts.append(_fence(f"{shown} = {_plain(thing)}"))
    return "\n".join(part for part in parts if part)


def _members(cls: type) -> list[tuple[str, Any]]:
    """Public methods and properties; those without a docstring only where they must be told."""
    found = []
    for name, value in vars(cls).items():
        if name.startswith("_"):
            continue
        inner = value.__func__ if isinstance(value, classmethod | staticmethod) else value
        if not (isinstance(inner, property) or inspect.isfunction(inner)):
            continue
        if inner.__doc__ or getattr(cls, "_is_protocol", False) or cls is bigrain.Collection:
            found.append((name, value))
    return found


def _member_signature(name: str, value: Any) -> str:
    if isinstance(value, property):
        returned = value.fget.__annotations__.get("return", "")
        return _fence(f"{name}: {returned}" if returned else name)
    if isinstance(value, classmethod):
        return _fence(f"@classmethod\n{name}{_signature(value.__func__)}")
    return _fence(f"{name}{_signature(value)}")


def _class_signature(cls: type, shown: str) -> str:
    if shown == "bigrain.Collection" or getattr(cls, "_is_protocol", False):
        return ""
    if issubclass(cls, dict):
        return ""
    if dataclasses.is_dataclass(cls):
        lines = [
            f"    {field.name}: {field.type}{_default_of(field)},"
            for field in dataclasses.fields(cls)
        ]
        return _fence("\n".join([f"{shown}(", *lines, ")"]))
    made = cls.__new__ if "__new__" in vars(cls) else cls.__init__
    return _fence(f"{shown}{_signature(made, returns=False)}")


def _default_of(field: dataclasses.Field[Any]) -> str:
    if field.default is not dataclasses.MISSING:
        return f" = {field.default!r}"
    if field.default_factory is not dataclasses.MISSING:
        return f" = {field.default_factory()!r}"
    return ""


def _signature(function: Any, *, returns: bool = True) -> str:
    """The signature on one line, or one argument a line where it is long."""
    arguments: list[str] = []
    keyword_only = False
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name in ("self", "cls"):
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not keyword_only:
            keyword_only = True
            if not any(a.startswith("*") for a in arguments):
                arguments.append("*")
        stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}
        shown = stars.get(parameter.kind, "") + parameter.name
        if parameter.annotation is not parameter.empty:
            shown += f": {parameter.annotation}"
        if parameter.default is not parameter.empty:
            shown += f" = {_plain(parameter.default)}"
        arguments.append(shown)
    tail = function.__annotations__.get("return") if returns else None
    end = f" -> {tail}" if tail else ""
    line = f"({', '.join(arguments)}){end}"
    if len(line) <= 84:
        return line
    return "(\n" + "".join(f"    {argument},\n" for argument in arguments) + f"){end}"


def _plain(value: Any) -> str:
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value)).replace("typing.", "")


def _fence(code: str) -> str:
    return f"```text\n{code}\n```\n"


def _docstring(thing: Any) -> str:
    """The docstring as Markdown: `>>>` examples fenced, indented blocks as they are."""
    given = inspect.getdoc(thing) if not isinstance(thing, classmethod) else thing.__func__.__doc__
    if not given or (dataclasses.is_dataclass(thing) and given.startswith(f"{thing.__name__}(")):
        return ""
    lines: list[str] = []
    in_example = False
    for line in inspect.cleandoc(given).splitlines():
        if line.startswith(">>> ") and not in_example:
            lines.append("```pycon")
            in_example = True
        elif in_example and not line.strip():
            lines.append("```")
            in_example = False
        lines.append(line)
    if in_example:
        lines.append("```")
    out = re.sub(r"^Args:\n((?:    .*\n?)+)", _arguments_list, "\n".join(lines), flags=re.MULTILINE)
    return out + "\n"


def _arguments_list(match: re.Match[str]) -> str:
    items = re.sub(r"^    (\w[\w, ]*):", r"- `\1`:", match[1], flags=re.MULTILINE)
    return "Arguments:\n\n" + re.sub(r"^        ", "  ", items, flags=re.MULTILINE)


PAGES: dict[str, Callable[[], str]] = {"command-line.md": command_line, "python.md": python}


def run(arguments: list[str]) -> int:
    stale = []
    for name, make in PAGES.items():
        path, page = FOLDER / name, make()
        if not path.exists() or path.read_text("utf-8") != page:
            stale.append(name)
            if "--check" not in arguments:
                path.write_text(page, "utf-8")
    for name in stale:
        print(("out of date: " if "--check" in arguments else "written: ") + name)
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
