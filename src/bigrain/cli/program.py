"""The command `bigrain` itself: what becomes of errors, warnings, Ctrl-C and closed pipes.

Exit codes, the same for every command:

      0  done
      1  `verify` found damage, `repair` could not bring everything back, or `audit` missed a recall
      2  wrong usage or input: an option, a query, a filter, a document, a field, an id
      3  the collection is damaged
      4  another process is writing to it
      5  not a collection, or one that is there already, newer, read-only
      6  the collection needs another encoder
      7  not enough memory in the budget
      8  the disk said no
      9  an extra is not installed
     70  a bug in bigrain; --debug shows where
    130  cancelled with Ctrl-C
    141  the reader of the output went away
"""

from __future__ import annotations

import os
import re
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from bigrain import errors
from bigrain.cli.options import State
from bigrain.cli.output import note, plain_text

__all__ = ["exit_code", "main"]

# The first class that fits decides.
CODES: tuple[tuple[type[BaseException], int], ...] = (
    (errors.InvalidInputError, 2),
    (errors.DamagedError, 3),
    (errors.LockedError, 4),
    (errors.CollectionError, 5),
    (errors.EncoderMismatchError, 6),
    (MemoryError, 7),  # BudgetError among them
    (errors.CancelledError, 130),
    (errors.MissingExtraError, 9),
    (errors.BigrainError, 2),
    (BrokenPipeError, 141),
    (KeyboardInterrupt, 130),
)
STORAGE, BUG = 8, 70

# What the library says is written for Python; this is the same advice for the command line.
HINTS: tuple[tuple[type[BaseException], str], ...] = (
    (errors.NotACollectionError, "`bigrain index SOURCE --to docs.grain` makes a collection"),
    (
        errors.CollectionExistsError,
        "`bigrain add` adds to it, `bigrain index --replace` makes it anew",
    ),
    (
        errors.UnknownDocumentError,
        "`--ignore-missing` of `bigrain delete` passes over ids that are not there; vectors need "
        "documents that are",
    ),
    (errors.BudgetError, "`--memory 4GB` sets the budget"),
    (
        errors.DamagedError,
        "`bigrain verify` lists all the damage; `bigrain repair --dry-run` says what can be mended",
    ),
)


def exit_code(error: BaseException) -> int:
    """The exit code of an error, see the table above."""
    if isinstance(error, errors.StorageError):
        return STORAGE
    for kind, code in CODES:
        if isinstance(error, kind):
            return code
    return STORAGE if isinstance(error, OSError) else BUG


class Program(click.Group):
    """The group of all commands."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of a working day, not of the alphabet."""
        return list(self.commands)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,  # always: errors end here
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command and leave with its exit code."""
        state = State(debug=os.environ.get("BIGRAIN_DEBUG", "") not in ("", "0"))
        extra.setdefault("obj", state)
        with _warnings_as_notes(state):
            try:
                code = super().main(
                    args=args,
                    prog_name=prog_name,
                    complete_var=complete_var,
                    standalone_mode=False,
                    windows_expand_args=windows_expand_args,
                    **extra,
                )
                sys.stdout.flush()
            except click.ClickException as error:
                _show_usage(error)
                code = error.exit_code
            except click.Abort:
                code = _report(KeyboardInterrupt(), state)
            except BrokenPipeError as error:
                code = _report(error, state)
        sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except (Exception, KeyboardInterrupt) as error:
            ctx.exit(_report(error, ctx.find_object(State) or State()))


def _report(error: BaseException, state: State) -> int:
    """Say on stderr what went wrong; returns the exit code."""
    code = exit_code(error)
    if isinstance(error, BrokenPipeError):
        _let_go_of_stdout()
        return code
    if state.debug:
        traceback.print_exception(error, file=sys.stderr)
    if code == 130:
        # Where Ctrl-C came inside an exec, such as that which makes a dataclass, Python would end
        # by the signal and not with this code; another exec makes it forget.
        exec("pass")
        click.echo(f"cancelled; {state.after_cancel}", err=True)
    elif code == BUG:
        click.echo(
            f"error: unexpected {type(error).__name__}: {_one_line(error)} (a bug in bigrain: "
            "please report it with what `--debug` shows)",
            err=True,
        )
    else:
        click.echo(f"error: {_message(error)}", err=True)
        for kind, hint in HINTS:
            if state.hints and isinstance(error, kind):
                click.echo(f"hint: {hint}", err=True)
    return code


# Phrases of the library that name arguments, as this program's options; where HINTS say it better,
# nothing.
SPOKEN: tuple[tuple[str, str], ...] = (
    (r"; bigrain\.create\(path\) makes a collection", ""),
    (r"; bigrain\.open\(path\) opens it, or choose another path", ""),
    (r"\. missing='ignore' passes over them", ""),
    (r", or open with read_only=True", ""),
    (
        r"bigrain\.rebind\('(.*?)', encoder\) says where it is",
        r"`bigrain rebind \1 --encoder NAME` says where it is",
    ),
    (r"pass fields=\{\.\.\.\} as they were given to create", "pass --fields FILE"),
    (r"\b(text|id)_column=", r"--\1-column NAME"),
    (r", for example max_bytes=\d+", " with --max-bytes"),
    (r"\bmax_bytes=([\d,]+) bytes", r"\1 bytes"),
    (r"; raise max_bytes\b", "; raise --max-bytes"),
    (r"\bmemory_budget_bytes=([\d,]+)", r"the memory of \1 bytes"),
    (r"\bmemory_budget_bytes\b", "--memory"),
    (r"\brecall=", "--recall "),
    (r"\blink=True\b", "--link"),
    (r"\btitle_weight=(?=\S* must be)", "--title-weight "),
    (r"\blanguage=None\b", "--language none"),
    (
        r"create the collection with one, such as fields=\{.*\}",
        "`bigrain index SOURCE --to docs.grain --substrings` makes a collection with one",
    ),
    (r"\bk=(?=\S* must be)", "-k "),
    (r"leave filter out", "leave --filter out"),
    (r"; upgrade it \(pip install -U PyStemmer\), or set stem=False", "; upgrade PyStemmer"),
    (r"pass vocabulary=\[\.\.\.\], the term of each column", "pass --vocabulary FILE"),
    (r"name other fields with fields=\[\.\.\.\]", "name other fields with --field"),
)


def _message(error: BaseException) -> str:
    if isinstance(error, errors.BigrainError):
        text = str(error)
        for phrase, spoken in SPOKEN:
            text = re.sub(phrase, spoken, text)
        return plain_text(text)
    if isinstance(error, MemoryError):
        return "out of memory; a smaller --memory makes bigrain keep less of it"
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return _one_line(error)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]


def _show_usage(error: click.ClickException) -> None:
    context = getattr(error, "ctx", None)
    if context is not None:
        click.echo(context.get_usage(), err=True)
    click.echo(f"error: {error.format_message()}", err=True)
    if context is not None:
        click.echo(f"hint: `{context.command_path} --help` explains it", err=True)


def _let_go_of_stdout() -> None:
    """Nobody reads it any more; let the flush at the end of Python go nowhere."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())


@contextmanager
def _warnings_as_notes(state: State) -> Iterator[None]:
    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        note(str(message).removeprefix("bigrain: "), state)

    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = show
        yield


def _show_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if not wanted or ctx.resilient_parsing:
        return
    import platform

    import numpy

    import bigrain
    from bigrain import kernels

    click.echo(
        f"bigrain {bigrain.__version__}, kernels {kernels.level()}, NumPy {numpy.__version__}, "
        f"Python {platform.python_version()}"
    )
    ctx.exit()


@click.group(
    cls=Program,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Tell version, kernels and NumPy.",
)
@click.option("--debug", is_flag=True, help="Show tracebacks; so does BIGRAIN_DEBUG=1.")
@click.pass_context
def main(ctx: click.Context, debug: bool) -> None:
    """Search collections larger than memory.

    Small codes of all documents stand in memory, the originals on disk.

    \b
    Examples:
      bigrain demo
      bigrain index papers/ notes.jsonl --to docs.grain
      bigrain search docs.grain "how do plants store energy?"

    Every command explains itself: bigrain COMMAND --help.
    """
    ctx.obj.debug = ctx.obj.debug or debug
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
