"""Texts to token ids, with the model's own marks kept apart so that long texts can be cut."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain.encoders.transformer.folder import ModelFolder
from bigrain.encoders.transformer.needs import needed
from bigrain.errors import ConfigError

__all__ = ["Pieces"]


class Pieces:
    """The tokeniser of a folder. `before` and `behind` are the marks around every text."""

    def __init__(self, folder: ModelFolder) -> None:
        transformers = needed("transformers", str(folder.path))
        try:
            self._tokeniser: Any = transformers.AutoTokenizer.from_pretrained(
                str(folder.path), local_files_only=True
            )
        except Exception as error:  # Transformers answers damage with errors of many kinds
            raise ConfigError(f"{folder.path}: the tokeniser cannot be loaded: {error}") from error
        self._lock = threading.Lock()
        bare, marked = self._bare(["a"])[0], self._marked("a")
        start = next((i for i in range(len(marked)) if marked[i : i + len(bare)] == bare), 0)
        self.before, self.behind = marked[:start], marked[start + len(bare) :]
        self.size = max(self._tokeniser.get_vocab().values()) + 1
        self.special = np.array(sorted(set(self._tokeniser.all_special_ids)), np.int64)
        self.mask: int | None = self._tokeniser.mask_token_id
        pad = self._tokeniser.pad_token_id
        self.padding = int(pad if pad is not None else 0)

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of each text, without marks."""
        return self._bare(texts)

    @property
    def tells_places(self) -> bool:
        return bool(self._tokeniser.is_fast)

    def placed(self, texts: Sequence[str]) -> list[tuple[list[int], npt.NDArray[np.int64]]]:
        """The tokens of each text, and the characters [start, end) of each (t, 2)."""
        found = self._told(texts, return_offsets_mapping=True)
        return [
            (list(ids), np.array(places, np.int64).reshape(-1, 2))
            for ids, places in zip(found["input_ids"], found["offset_mapping"], strict=True)
        ]

    def id_of(self, token: str) -> int:
        """The id of a token, `ConfigError` where the vocabulary does not hold it."""
        found = self._tokeniser.get_vocab().get(token)
        if found is None:
            raise ConfigError(f"the tokeniser has no token {token!r}, which the model is marked by")
        return int(found)

    def single(self, words: Iterable[str]) -> npt.NDArray[np.int64]:
        """Ids of the tokens that are one of these words as it is, or after a blank."""
        vocabulary, words = self._tokeniser.get_vocab(), list(words)
        forms = [f"{before}{word}" for word in words for before in ("", "▁", "Ġ")]
        found = {vocabulary[form] for form in forms if form in vocabulary}
        read = self._bare([*words, *(f" {word}" for word in words)])  # as its letters are written
        found |= {ids[0] for ids in read if len(ids) == 1} - set(self.special.tolist())
        return np.array(sorted(found), np.int64)

    def tokens(self) -> list[str]:
        """The token of each id."""
        found = [""] * self.size
        for token, i in self._tokeniser.get_vocab().items():
            found[i] = token
        return found

    def _bare(self, texts: Sequence[str]) -> list[list[int]]:
        return [list(ids) for ids in self._told(texts)["input_ids"]]

    def _told(self, texts: Sequence[str], **options: bool) -> Any:
        if not texts:
            return {"input_ids": [], "offset_mapping": []}
        with self._lock:  # the library's settings of padding and truncation are shared
            return self._tokeniser(
                list(map(str, texts)), add_special_tokens=False, truncation=False, padding=False,
                verbose=False, return_attention_mask=False, return_token_type_ids=False, **options,
            )  # fmt: skip

    def _marked(self, text: str) -> list[int]:
        with self._lock:
            return list(self._tokeniser(text, verbose=False)["input_ids"])
