"""Encoders back from their folders."""

from __future__ import annotations

import os
from pathlib import Path

from bigrain.encoders.corpus.learned import CONFIG, WORDS, LearnedEncoder, read_config, read_parts
from bigrain.encoders.corpus.paragraph import ParagraphEncoder
from bigrain.encoders.corpus.table import TableEncoder
from bigrain.errors import BigrainError, ConfigError, DamagedError

__all__ = ["FORMS", "is_learned", "load"]

FORMS: dict[str, type[LearnedEncoder]] = {
    **dict.fromkeys(("lsa", "pmi", "skip-gram", "rand-walk", "bit-cipher", "fastrp"), TableEncoder),
    **dict.fromkeys(("pv", "binary-pv", "rb-pv"), ParagraphEncoder),
}


def is_learned(folder: str | os.PathLike[str]) -> bool:
    """Whether `save` wrote this folder, though it may be damaged since."""
    path = Path(folder)
    if (path / WORDS).is_file():
        return True
    try:
        return read_config(path)["kind"] in FORMS
    except BigrainError:
        return False


def load(folder: str | os.PathLike[str]) -> LearnedEncoder:
    """The encoder that `save` wrote to a folder.

    Raises `ConfigError` for a folder of something else, `FormatError` for one of a newer bigrain,
    `DamagedError` where files are not what was written.
    """
    path = Path(folder)
    config = read_config(path)
    form = FORMS.get(config["kind"])
    if form is None:
        raise ConfigError(
            f"{path} holds no encoder learned from a corpus: its kind {config['kind']!r} is not "
            f"one of {', '.join(FORMS)}"
        )
    words, arrays = read_parts(path, config, form.expected)
    try:
        encoder = form(config["kind"], words, dict(config["settings"]), arrays)
        encoder.check()
    except Exception as error:  # settings of any shape
        where = f"{path.name}/{CONFIG}"
        raise DamagedError(where, "the encoder", "settings that fit the files", error) from error
    return encoder
