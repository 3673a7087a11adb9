"""What several commands take."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

__all__ = ["Asking", "State", "collection_argument", "common", "memory_option", "parse_size"]

UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
BINARY = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


class Asking(click.Command):
    """A command whose last argument is a text to look for.

    With a blank in it, it is no option, so it may begin with a dash: `"-moon water"`.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put such a text behind `--`."""
        options = [one for one in self.get_params(ctx) if isinstance(one, click.Option)]
        valued = {name for one in options if not one.is_flag for name in one.opts}
        for at, arg in enumerate(args):
            after_option = at > 0 and args[at - 1] in valued
            if arg == "--":
                break
            if re.match(r"-[^=\s]*\s", arg) and not after_option:
                args = [*args[:at], *args[at + 1 :], "--", arg]
                break
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            raise click.UsageError(
                f"{error.format_message()} A text that begins with - goes behind --: -- '-5'", ctx
            ) from None


@dataclass
class State:
    """How one run of the program was asked to behave."""

    as_json: bool = False
    quiet: bool = False
    debug: bool = False
    after_cancel: str = "nothing was changed"
    hints: bool = True  # whether the usual advice for an error fits the command


def parse_size(text: str) -> int:
    """A number of bytes as people write it: 512MB, 1.5GiB, 2G, 300000000."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(I?)B?", text.strip().upper(), re.ASCII)
    if match is None or (match[3] and not match[2]):
        raise click.BadParameter(f"{text!r} is not a size; write it like 512MB, 1.5GiB or 2G")
    return int(float(match[1]) * (BINARY if match[3] else UNITS)[match[2]])


def _remember(name: str) -> Callable[[click.Context, click.Parameter, bool], None]:
    def callback(ctx: click.Context, _: click.Parameter, value: bool) -> None:
        if value:
            setattr(ctx.ensure_object(State), name, True)

    return callback


def common(function: Callable[..., Any]) -> Callable[..., Any]:
    """--json, --quiet and --debug; the function gets the `State` as its first argument."""
    decorated: Callable[..., Any] = click.pass_obj(function)
    for names, field, text in (
        (("--debug",), "debug", "Show the traceback of an error."),
        (("-q", "--quiet"), "quiet", "No progress, no notes, no summary."),
        (("--json",), "as_json", "Print JSON."),
    ):
        decorated = click.option(
            *names, is_flag=True, expose_value=False, callback=_remember(field), help=text
        )(decorated)
    return decorated


def collection_argument(function: Callable[..., Any]) -> Callable[..., Any]:
    """The collection a command works on."""
    return click.argument("path", metavar="COLLECTION", type=click.Path(path_type=Path))(function)


def memory_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """`memory_budget_bytes`."""
    return click.option(
        "--memory",
        callback=lambda ctx, param, text: None if text is None else parse_size(text),
        metavar="SIZE",
        help="Memory to work in, such as 512MB or 2GiB; at least 96MiB "
        "(default: a quarter of the machine's).",
    )(function)
