"""What an encoder learned from a corpus is on disk: settings, words, arrays, and their sums.

FOLDER/config.json    {"kind": "pv", "format": 1, "settings": {...}, "analyser": {...},
                       "n_documents": n, "sha256": {"table.npy": "...", ...}}
FOLDER/words.json     [["term", documents that hold it], ...], most frequent first
FOLDER/NAME.npy       one array each
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from bigrain.encoders.corpus.words import Words
from bigrain.errors import ConfigError, DamagedError, FormatError
from bigrain.text import Analyser

__all__ = ["CONFIG", "LearnedEncoder", "read_config", "read_parts", "require_new"]

CONFIG, WORDS = "config.json", "words.json"
FORMAT = 1
FOREIGN_SHARE = 0.5
SAMPLED_TEXTS = 1000

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class LearnedEncoder:
    """Words and arrays that were learned from a corpus. Dense; unit vectors, or zeros.

    `settings` and `arrays` are what its `kind` needs; `check` refuses what does not fit.
    """

    kind: str
    words: Words
    settings: Mapping[str, Any]
    arrays: Mapping[str, npt.NDArray[Any]]

    family: ClassVar[str] = "dense"
    expected: ClassVar[Mapping[str, type]] = {}  # array -> kind of its numbers

    @property
    def dim(self) -> int:
        raise NotImplementedError

    def check(self) -> None:
        """Raise ValueError where settings and arrays do not fit each other."""
        raise NotImplementedError

    def encode_documents(self, texts: Sequence[str]) -> Floats:
        raise NotImplementedError

    def encode_queries(self, texts: Sequence[str]) -> Floats:
        return self.encode_documents(texts)

    @property
    def memory_bytes(self) -> int:
        """What it holds: arrays and words."""
        spelt = sum(len(term) for term in self.words.terms)
        return sum(a.nbytes for a in self.arrays.values()) + 4 * spelt + 150 * len(self.words)

    def fingerprint(self) -> dict[str, Any]:
        return {
            "name": f"learned/{self.kind}",
            "dim": self.dim,
            "settings": dict(self.settings),
            "analyser": self.words.analyser.fingerprint(),
            "weights": {name: _digest(data) for name, data in self._contents.items()},
        }

    def notices(self, texts: Sequence[str]) -> tuple[str, ...]:
        """Says so when most of the words are other than the corpus has."""
        unknown = self.words.unknown(texts[:SAMPLED_TEXTS])
        if unknown <= FOREIGN_SHARE:
            return ()
        return (
            f"{unknown:.0%} of the words are unknown to the encoder ({self.kind}, learned from "
            f"{self.words.n_documents:,} texts); such documents are found by their words (a "
            "lexical field) rather than by meaning: learn an encoder from these texts",
        )

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write it to a new folder, all or nothing. Raises `ConfigError` if something is there."""
        target = Path(folder)
        require_new(target)
        config = {
            "kind": self.kind,
            "format": FORMAT,
            "settings": dict(self.settings),
            "analyser": self.words.analyser.to_dict(),
            "n_documents": self.words.n_documents,
            "sha256": {name: _digest(data) for name, data in self._contents.items()},
        }
        draft = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            for name, data in self._contents.items():
                (draft / name).write_bytes(data)
            (draft / CONFIG).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
            draft.chmod(0o755)
            draft.rename(target)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise

    @cached_property
    def _contents(self) -> dict[str, bytes]:
        """The files besides the settings."""
        pairs = list(zip(self.words.terms, self.words.documents.tolist(), strict=True))
        told = {WORDS: json.dumps(pairs, ensure_ascii=False).encode("utf-8", "surrogatepass")}
        for name, array in self.arrays.items():
            out = io.BytesIO()
            np.save(out, np.ascontiguousarray(array), allow_pickle=False)
            told[f"{name}.npy"] = out.getvalue()
        return told


def require_new(target: Path) -> None:
    """`ConfigError` unless an encoder can be saved there."""
    if os.path.lexists(target):
        raise ConfigError(f"{target} is already there; choose another folder")
    if not target.parent.is_dir():
        raise ConfigError(f"{target.parent} is not a folder; make it first")


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def read_config(folder: Path) -> dict[str, Any]:
    """The settings in a folder. Raises `ConfigError`, `FormatError` or `DamagedError`."""
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{folder} holds no encoder: {CONFIG} cannot be read") from error
    except ValueError as error:
        raise DamagedError(f"{folder.name}/{CONFIG}", "the settings", "JSON", error) from error
    if not isinstance(config, dict) or not isinstance(config.get("kind"), str):
        raise ConfigError(
            f"{folder} holds no encoder learned from a corpus: its {CONFIG} names no kind"
        )
    if isinstance(config.get("format"), int) and config["format"] > FORMAT:
        raise FormatError(
            f"{folder} was written by a newer bigrain (format {config['format']}); upgrade bigrain"
        )
    return config


def read_parts(
    folder: Path, config: Mapping[str, Any], expected: Mapping[str, type]
) -> tuple[Words, dict[str, npt.NDArray[Any]]]:
    """Words and arrays, each as it was written. Raises `DamagedError`."""

    def damaged(name: str, wanted: object, found: object) -> DamagedError:
        return DamagedError(f"{folder.name}/{name}", "the encoder", wanted, found)

    sums = config.get("sha256")
    names = {WORDS, *(f"{name}.npy" for name in expected)}
    if not isinstance(sums, dict) or set(sums) != names:
        raise damaged(CONFIG, f"sums of {', '.join(sorted(names))}", sums)
    contents = {}
    for name in sorted(names):
        try:
            contents[name] = (folder / name).read_bytes()
        except OSError as error:
            raise damaged(name, "a file", error) from error
        if (found := _digest(contents[name])) != sums[name]:
            raise damaged(name, str(sums[name])[:12], found[:12])
    try:
        pairs = json.loads(contents[WORDS].decode("utf-8", "surrogatepass"))
        words = Words(
            Analyser.from_dict(config["analyser"]),
            tuple(str(term) for term, _ in pairs),
            np.array([n for _, n in pairs], np.int64),
            int(config["n_documents"]),
        )
        arrays = {}
        for name, kind in expected.items():
            array = np.load(io.BytesIO(contents[f"{name}.npy"]), allow_pickle=False)
            if array.dtype != kind or (array.dtype.kind == "f" and not np.isfinite(array).all()):
                raise ValueError(f"{name} holds {array.dtype}, or numbers that are not finite")
            arrays[name] = array
    except Exception as error:  # NumPy and JSON answer damage with errors of many kinds
        raise damaged(CONFIG, "settings that fit the files", error) from error
    return words, arrays
