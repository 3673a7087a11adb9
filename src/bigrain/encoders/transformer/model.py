"""A transformer model folder as encoders of up to three families, of one pass over the texts."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain.encoders.base import Head
from bigrain.encoders.transformer import network as networks
from bigrain.encoders.transformer import runtimes
from bigrain.encoders.transformer.folder import (
    POOLING,
    not_commercial,
    read_folder,
    tensor_names,
    weight_files,
)
from bigrain.encoders.transformer.heads.dense import DenseHead
from bigrain.encoders.transformer.heads.multivector import TokenHead, ragged, rarity
from bigrain.encoders.transformer.heads.sparse import (
    Row,
    TokenWeights,
    heaviest,
    joined_rows,
    matrix_of,
)
from bigrain.encoders.transformer.heads.vocabulary import VocabularyHead
from bigrain.encoders.transformer.needs import require
from bigrain.encoders.transformer.pieces import Pieces
from bigrain.errors import ConfigError, shown

__all__ = ["TransformerEncoder"]

LONG = ("truncate", "windows")
SPARSE = ("auto", "tokens", "mlm")
OF_KIND = {
    "sentence": ("dense", "sparse", "multivector"),
    "bge-m3": ("dense", "sparse", "multivector"),
    "splade": ("sparse",),
    "colbert": ("multivector",),
}
MLM_HEADS = ("predictions.", "lm_head.", "vocab_transform.", "vocab_layer_norm.", "head.dense.")
TOGETHER = 4096  # tokens in one run, padding included
FEW = 200  # texts before it pays to measure runtimes
MEASURED = 48  # texts that runtimes are measured with
HELD_BYTES = 64 << 20  # token vectors of texts that are encoded together
OVERLAP = 8  # windows share one token in so many
Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class _Window:
    """Token ids of a text, or of a part of a long one; `attended` may be fewer than there are."""

    text: int
    ids: list[int]
    attended: int
    prompt: int  # leading tokens that pooling leaves out


class TransformerEncoder:
    """A model folder, or a name on the hub, as a `Model` that fields share.

    Dense vectors are pooled as the folder says (mean of tokens where it does not), sparse ones come
    from its MLM head, BGE-M3's head, or else the products of token vectors with the model's own
    vocabulary; token vectors by its projection, or the last layer as it is. One pass gives all that
    are asked. `families` tells which the model can give.

        model            path of a folder, or organisation/name (HF_HUB_OFFLINE forbids downloads)
        pooling          "mean", "cls", "max" or "last" token, instead of what the folder says
        normalise        whether dense vectors have unit length
        dim              keep so many leading dimensions, for models trained so (Matryoshka)
        query_prompt     put before each query; document_prompt before each document
        max_tokens       the window
        long             what becomes of a longer text: "truncate", or "windows", of which the mean
                         of vectors, the largest of sparse weights and all tokens are kept
        sparse           "tokens" (the vocabulary), "mlm" (SPLADE), or "auto"
        top              sparse columns of a text
        token_weights    (vocabulary,) of queries' tokens, in MaxSim and in sparse="tokens", such as
                         `rarity(texts)` gives
        runtime          "auto" measures torch and OpenVINO (or ONNX Runtime) with the first few
                         hundred texts and takes the quickest whose token vectors have a cosine of
                         0.999 with float32; or "torch", "openvino", "openvino-bf16", "onnx",
                         "onnx-int8"
        threads          None leaves them to the runtime

    The fingerprint holds the hash of the weights, the tokeniser and all settings of documents but
    the runtime, unless it is "onnx-int8", whose vectors differ too much: what one faithful runtime
    has written another may search. Raises `ConfigError` for a folder that is no model or is
    incomplete, `MissingExtraError` without the extra.
    """

    def __init__(
        self,
        model: str | os.PathLike[str],
        *,
        pooling: str | None = None,
        normalise: bool | None = None,
        dim: int | None = None,
        query_prompt: str | None = None,
        document_prompt: str | None = None,
        max_tokens: int | None = None,
        long: str = "truncate",
        sparse: str = "auto",
        top: int = 128,
        token_weights: Any = None,
        runtime: str = "auto",
        threads: int | None = None,
    ) -> None:
        self.folder = folder = read_folder(model)
        require(os.fspath(model))
        _require("pooling", pooling, (None, *POOLING.values()))
        _require("long", long, LONG)
        _require("sparse", sparse, SPARSE)
        self._runtime_name = runtimes.check_name(runtime)
        self._threads = None if threads is None else _whole("threads", threads, 1, 1024)
        self.families = OF_KIND[folder.kind]
        self.pooling = pooling or folder.pooling
        self._normalise = folder.normalise if normalise is None else bool(normalise)
        full = folder.layers[-1].width if folder.layers else folder.hidden
        self.dim = full if dim is None else _whole("dim", dim, 1, full)
        self.query_prompt = folder.query_prompt if query_prompt is None else query_prompt
        self.document_prompt = (
            folder.document_prompt if document_prompt is None else document_prompt
        )
        most = _places(folder.config, folder.max_tokens)
        self.max_tokens = (
            folder.max_tokens if max_tokens is None else _whole("max_tokens", max_tokens, 8, most)
        )
        self.long, self.top = long, _whole("top", top, 1, 1 << 20)
        self.sparse = _sparse_kind(folder, sparse)
        self._token_weights = self._checked_weights(token_weights)
        if folder.kind == "colbert" and self._pieces.mask is None:
            raise ConfigError(f"{folder.path}: the tokeniser has no [MASK], which queries need")
        self._weights_bytes = sum(file.stat().st_size for file in weight_files(folder.path))
        self.token_dim = self._token_width()
        self._identity = folder.fingerprint()
        self._network: Any = None
        self._run: runtimes.Run | None = None
        self._chosen = ""
        self._seen = 0
        self._loading = threading.RLock()
        self._heads: dict[str, Any] = {}

    def __repr__(self) -> str:
        return f"<TransformerEncoder {str(self.folder.path)!r}, {', '.join(self.families)}>"

    @cached_property
    def _pieces(self) -> Pieces:
        return Pieces(self.folder)

    @cached_property
    def _marks(self) -> dict[bool, list[int]]:
        """What ColBERT puts before queries (True) and documents."""
        told = self.folder.colbert
        marks = {True: told.get("query_mark"), False: told.get("document_mark")}
        return {query: [self._pieces.id_of(mark)] if mark else [] for query, mark in marks.items()}

    @cached_property
    def _vocabulary_size(self) -> int:
        return int(self.folder.config.get("vocab_size") or self._pieces.size)

    # -- what it is -------------------------------------------------------------------------

    @property
    def texts_at_once(self) -> int:
        """How many texts may be encoded together, so that their token vectors stay few."""
        each = 4 * self.max_tokens * self.folder.hidden
        return max(16, min(512, HELD_BYTES // each))

    @property
    def memory_bytes(self) -> int:
        """Of the weights, once for torch and once for another runtime."""
        return self._weights_bytes * (1 if self._runtime_name == "torch" else 2)

    @property
    def runtime(self) -> str:
        """The runtime at work; "" before the first text."""
        return self._chosen

    def head(self, family: str) -> Head:
        """The encoder of one of `families`."""
        if family not in self.families:
            raise ConfigError(
                f"{self.folder.path} gives {' and '.join(self.families)}, not {family}"
            )
        width = {"dense": self.dim, "sparse": None, "multivector": self.token_dim}[family]
        return Head(self, family, width, self._fingerprint(family), self.notices)

    def _fingerprint(self, family: str) -> dict[str, Any]:
        told: dict[str, Any] = {
            **self._identity,
            "family": family,
            "prompts": [self.query_prompt, self.document_prompt],
            "max_tokens": self.max_tokens,
            "long": self.long,
        }
        if family == "dense":
            told |= {"dim": self.dim, "pooling": self.pooling, "normalise": self._normalise}
        elif family == "sparse":
            told |= {"sparse": self.sparse, "top": self.top}
        else:
            told |= {"dim": self.token_dim}
        if self._runtime_name == "onnx-int8":
            told["precision"] = "int8"
        return told

    def notices(self, texts: Sequence[str]) -> tuple[str, ...]:
        """The licence where it forbids commerce, and how many texts are longer than the window."""
        told = []
        if not_commercial(self.folder.licence):
            told.append(
                f"the model {self.folder.path.name} has the licence {self.folder.licence}: it "
                "does not allow commercial use"
            )
        room = self.max_tokens - len(self._pieces.before) - len(self._pieces.behind)
        longer = sum(len(ids) > room for ids in self._pieces.ids(list(texts)))
        if longer and self.long == "truncate":
            told.append(
                f"{longer} of {len(texts)} texts are longer than the {self.max_tokens} tokens that "
                "the model reads, and are cut; make passages shorter (chunking=...), or use "
                "TransformerEncoder(..., long='windows')"
            )
        return tuple(told)

    def rarity(self, texts: Sequence[str]) -> Floats:
        """(vocabulary,) weights for `token_weights`: the inverse document frequency in texts."""
        counts = np.zeros(self._vocabulary_size, np.int64)
        for start in range(0, len(texts), 1024):
            for ids in self._pieces.ids(list(texts[start : start + 1024])):
                counts[np.unique(ids)] += 1
        return rarity(counts, len(texts))

    # -- encoding ---------------------------------------------------------------------------

    def encode_documents(self, texts: Sequence[str], families: Sequence[str]) -> dict[str, Any]:
        return self._encode(texts, families, query=False)

    def encode_queries(self, texts: Sequence[str], families: Sequence[str]) -> dict[str, Any]:
        return self._encode(texts, families, query=True)

    def _encode(
        self, texts: Sequence[str], families: Sequence[str], *, query: bool
    ) -> dict[str, Any]:
        windows = self._windows(texts, query)
        run = self._ready(families, windows)
        parts: dict[str, list[list[Any]]] = {f: [[] for _ in texts] for f in families}
        for some, ids, mask in _batched(windows, self._pieces.padding):
            outputs = run(ids, mask)
            for family in families:
                rows = self._rows(family, some, ids, mask, outputs, query)
                for window, row in zip(some, rows, strict=True):
                    parts[family][window.text].append(row)
        return {family: self._joined(family, rows) for family, rows in parts.items()}

    def _windows(self, texts: Sequence[str], query: bool) -> list[_Window]:
        """Each text's tokens between the model's marks, cut to the window; in order of texts."""
        prompt = self.query_prompt if query else self.document_prompt
        before, behind = [*self._pieces.before, *self._marks[query]], self._pieces.behind
        colbert = self.folder.colbert
        most = self.max_tokens
        if colbert:
            most = min(most, colbert["query_tokens" if query else "document_tokens"])
        room = most - len(before) - len(behind)
        n_prompt = 0
        if prompt and not self.folder.pools_prompt:
            n_prompt = len(before) + len(self._pieces.ids([prompt])[0])
        found = []
        for text, ids in enumerate(self._pieces.ids([prompt + one for one in texts])):
            step = room - max(1, room // OVERLAP)
            cut = self.long == "windows" and len(ids) > room
            for start in range(0, max(1, len(ids) - (room - step)), step) if cut else [0]:
                whole = [*before, *ids[start : start + room], *behind]
                attended = len(whole)
                if colbert and query:
                    whole += [self._pieces.mask] * (most - len(whole))  # type: ignore[list-item]
                    attended = len(whole) if colbert["attend_to_masks"] else attended
                found.append(_Window(text, whole, attended, 0 if start else n_prompt))
        return found

    def _rows(
        self,
        family: str,
        some: Sequence[_Window],
        ids: Ids,
        mask: Ids,
        outputs: Sequence[Floats],
        query: bool,
    ) -> Sequence[Any]:
        head, hidden = self._head(family), outputs[0]
        if family == "dense":
            kept = mask > 0
            for row, window in enumerate(some):
                if 0 < window.prompt < window.attended:
                    kept[row, : window.prompt] = False
            return list(head.rows(hidden, kept))
        tokens = [(hidden[i, : len(w.ids)], ids[i, : len(w.ids)]) for i, w in enumerate(some)]
        if family == "multivector":
            return [head.row(states, own, query=query) for states, own in tokens]
        if self.sparse == "mlm":
            outputs[1][:, self._pieces.special] = 0
            return [heaviest(row, self.top) for row in outputs[1]]
        if self.sparse == "tokens":
            marks = self._pieces.special
            said = [~np.isin(own, marks) for _, own in tokens]
            words = [(s[k], own[k]) for (s, own), k in zip(tokens, said, strict=True)]
            rows: list[Row] = head.rows(words, self.top, query=query)
            if query and self._token_weights is not None:
                rows = [(columns, w * self._token_weights[columns]) for columns, w in rows]
            return rows
        return [head.row(states, own, self.top) for states, own in tokens]

    def _joined(self, family: str, rows: list[list[Any]]) -> Any:
        if family == "multivector":
            return ragged([np.concatenate(windows) for windows in rows], self.token_dim)
        if family == "sparse":
            joined: list[Row] = [joined_rows(windows, self.top) for windows in rows]
            return matrix_of(joined, self._vocabulary_size)
        out = np.empty((len(rows), self.dim), np.float32)
        for place, windows in enumerate(rows):
            one = windows[0] if len(windows) == 1 else self._head(family).joined(np.array(windows))
            out[place] = one
        return out

    # -- loading ----------------------------------------------------------------------------

    def _ready(self, families: Sequence[str], windows: Sequence[_Window]) -> runtimes.Run:
        """The runtime; measured once enough texts have come to tell."""
        with self._loading:
            if self._network is None:
                self._network = networks.load_network(
                    self.folder, vocabulary=self.sparse == "mlm" and "sparse" in self.families
                )
            self._seen += len(windows)
            if self._runtime_name != "auto":
                wanted = self._runtime_name
            else:
                wanted = "measured" if self._seen >= FEW else self._chosen or "torch"
            if wanted == "measured" and not self._measured():
                self._measure(windows)
            elif self._run is None:
                self._run = runtimes.make_runtime(wanted, self._network, self._threads)
                self._chosen = wanted
            assert self._run is not None
            return self._run

    def _measured(self) -> bool:
        return hasattr(self, "measurements")

    def _measure(self, windows: Sequence[_Window]) -> None:
        some = list(windows[:: max(1, len(windows) // MEASURED)])[:MEASURED]
        batches = [(ids, mask) for _, ids, mask in _batched(some, self._pieces.padding)]
        self._chosen, self._run, self.measurements = runtimes.quickest(
            self._network, batches, self._threads
        )

    def _head(self, family: str) -> Any:
        with self._loading:
            if family not in self._heads:
                self._heads[family] = self._made_head(family)
            return self._heads[family]

    def _made_head(self, family: str) -> Any:
        folder, special = self.folder, self._pieces.special
        if family == "dense":
            return DenseHead(self.pooling, folder.layers, folder.hidden, self.dim, self._normalise)
        if family == "sparse":
            if self.sparse == "tokens":
                return VocabularyHead(networks.input_embeddings(self._network), special)
            if self.sparse == "bge-m3":
                linear = networks.load_linear(folder.path, folder.hidden, "sparse_linear.pt")
                return TokenWeights(*linear, special)
            return None
        nothing = np.empty(0, np.int64)
        if folder.kind == "bge-m3":
            linear = networks.load_linear(folder.path, folder.hidden, "colbert_linear.pt")
            first = np.array(self._pieces.before[:1], np.int64)
            return TokenHead(linear, first, first, self._token_weights)
        if folder.kind == "colbert":
            skipped = self._pieces.punctuation() if folder.colbert["skip_punctuation"] else nothing
            return TokenHead(self._projection(), skipped, nothing, self._token_weights)
        skipped = np.concatenate([special, self._pieces.punctuation()])
        return TokenHead(None, skipped, special, self._token_weights)

    def _projection(self) -> tuple[Floats, Floats]:
        """The projection of a late-interaction model: a Dense module, or `linear.weight`."""
        folder = self.folder
        if folder.layers:
            where = folder.layers[0].folder
            return networks.load_linear(
                where, folder.hidden, "model.safetensors", "pytorch_model.bin"
            )
        weight = networks.load_array(folder.path, weight_files(folder.path)[0].name)
        return weight["linear.weight"], np.zeros(self.token_dim, np.float32)

    def _token_width(self) -> int:
        folder = self.folder
        if folder.kind == "bge-m3":
            return len(networks.load_linear(folder.path, folder.hidden, "colbert_linear.pt")[0])
        if folder.kind != "colbert":
            return folder.hidden
        if folder.layers:
            return folder.layers[0].width
        shape = tensor_names(folder.path).get("linear.weight")
        if not shape:
            raise ConfigError(f"{folder.path}: the weights hold no linear.weight, the projection")
        return shape[0]

    def _checked_weights(self, given: Any) -> Floats | None:
        if given is None:
            return None
        weights = np.asarray(given, np.float32)
        rows = self._vocabulary_size
        if weights.shape != (rows,) or not np.isfinite(weights).all() or weights.min() < 0:
            raise ConfigError(
                f"token_weights must be {rows:,} numbers of 0 or more, one for each token; got "
                f"shape {weights.shape}. rarity(texts) makes them"
            )
        return weights


def _batched(windows: Sequence[_Window], padding: int) -> Iterator[tuple[list[_Window], Ids, Ids]]:
    """Windows of like length together: (windows, ids (B, L), attention mask (B, L))."""
    order = sorted(windows, key=lambda window: -len(window.ids))
    start = 0
    while start < len(order):
        longest = len(order[start].ids)
        some = order[start : start + max(1, TOGETHER // longest)]
        start += len(some)
        ids = np.full((len(some), longest), padding, np.int64)
        mask = np.zeros_like(ids)
        for row, window in enumerate(some):
            ids[row, : len(window.ids)] = window.ids
            mask[row, : window.attended] = 1
        yield some, ids, mask


def _sparse_kind(folder: Any, asked: str) -> str:
    if folder.kind == "splade":
        return "mlm"
    if folder.kind == "bge-m3":
        return "bge-m3" if asked == "auto" else asked
    if asked == "mlm":
        names = tensor_names(folder.path)
        if names and not any(part in name for name in names for part in MLM_HEADS):
            raise ConfigError(
                f"{folder.path} has no head of a masked language model, which sparse='mlm' needs; "
                "choose sparse='tokens', which takes the model's own vocabulary"
            )
        return "mlm"
    return "tokens"


def _places(config: Mapping[str, Any], window: int) -> int:
    """The most tokens the model has positions for."""
    return max(int(config.get("max_position_embeddings") or window), window)


def _require(name: str, value: object, accepted: Sequence[object]) -> None:
    if value not in accepted:
        told = ", ".join(repr(one) for one in accepted if one is not None)
        raise ConfigError(f"{name}={shown(value)} is not one of {told}")


def _whole(name: str, value: object, low: int, high: int) -> int:
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or not low <= value <= high:  # type: ignore[operator]
        raise ConfigError(f"{name}={shown(value)} must be a whole number from {low} to {high:,}")
    return int(value)  # type: ignore[call-overload, no-any-return]
