"""A transformer model folder as encoders of up to three families, of one pass over the texts."""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain.encoders.base import Head
from bigrain.encoders.transformer import network as networks
from bigrain.encoders.transformer import runtimes
from bigrain.encoders.transformer.checks import (
    places,
    require,
    skiplist_of,
    sparse_kind,
    temperature_of,
    whole,
)
from bigrain.encoders.transformer.choosing import Runner
from bigrain.encoders.transformer.folder import (
    LONGEST_WINDOW,
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
from bigrain.encoders.transformer.needs import require as require_extra
from bigrain.encoders.transformer.pieces import Pieces
from bigrain.encoders.transformer.places import token_places
from bigrain.encoders.transformer.stretching import POSITIONS
from bigrain.encoders.transformer.windows import LONG, Frame, Window, batched, windows_of
from bigrain.errors import ConfigError

__all__ = ["TransformerEncoder"]

SPARSE = ("auto", "tokens", "mlm")
OF_KIND = {
    "sentence": ("dense", "sparse", "multivector"),
    "bge-m3": ("dense", "sparse", "multivector"),
    "splade": ("sparse",),
    "colbert": ("multivector",),
}
HELD_BYTES = 64 << 20  # token vectors of texts that are encoded together
CHARS_PER_TOKEN = 4  # of English: 3.2 (source code) to 5.4 (abstracts) with the tokens of BERT
Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


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
        long             what becomes of a longer text: "windows", of which the mean of vectors, the
                         largest of sparse weights and all tokens are kept; "truncate"; or "late",
                         where passages of one document are read together, so that the tokens of
                         each are seen among those around them (late chunking; of pooling "mean")
        temperature      of all attention, such as 0.9 against vectors of long texts that are much
                         alike (TempScale); 1 is the model as it is
        positions        "interpolate" or "group" lets `max_tokens` be more than the model has
                         places for
        sparse           "tokens" (the vocabulary), "mlm" (SPLADE), or "auto"
        top              sparse columns of a text
        skiplist_words   words of documents that give no token vectors, of those that are one token
                         of the model; None: what a late-interaction model was trained to leave
                         out, punctuation of a plain model; [] keeps all
        token_weights    (vocabulary,) of queries' tokens in MaxSim, such as `rarity(texts)` gives
        runtime          "auto" begins with torch, measures it beside OpenVINO (or ONNX Runtime)
                         once it has worked for 20 seconds, and takes the quickest whose token
                         vectors have a cosine of 0.999 with float32; the choice is kept in the
                         user's cache folder. Or "torch", "openvino", "openvino-bf16", "onnx",
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
        long: str = "windows",
        temperature: float = 1.0,
        positions: str | None = None,
        sparse: str = "auto",
        top: int = 128,
        skiplist_words: Collection[str] | None = None,
        token_weights: Any = None,
        runtime: str = "auto",
        threads: int | None = None,
    ) -> None:
        self.folder = folder = read_folder(model)
        require_extra(os.fspath(model))
        require("pooling", pooling, (None, *POOLING.values()))
        require("long", long, LONG)
        require("sparse", sparse, SPARSE)
        require("positions", positions, POSITIONS)
        self.temperature, self.positions = temperature_of(temperature), positions
        self._runtime_name = runtimes.check_name(runtime)
        self._threads = None if threads is None else whole("threads", threads, 1, 1024)
        self.families = OF_KIND[folder.kind]
        self.pooling = pooling or folder.pooling
        self._normalise = folder.normalise if normalise is None else bool(normalise)
        full = folder.layers[-1].width if folder.layers else folder.hidden
        self.dim = full if dim is None else whole("dim", dim, 1, full)
        self.query_prompt = folder.query_prompt if query_prompt is None else query_prompt
        self.document_prompt = (
            folder.document_prompt if document_prompt is None else document_prompt
        )
        most = LONGEST_WINDOW if positions else places(folder.config, folder.max_tokens)
        self.max_tokens = (
            folder.max_tokens if max_tokens is None else whole("max_tokens", max_tokens, 8, most)
        )
        self.long, self.top = long, whole("top", top, 1, 1 << 20)
        self.sparse = sparse_kind(folder, sparse)
        self._skiplist = skiplist_of(folder, skiplist_words)
        self._skips_its_own = skiplist_words is None
        self._token_weights = self._checked_weights(token_weights)
        if folder.kind == "colbert" and self._pieces.mask is None:
            raise ConfigError(f"{folder.path}: the tokeniser has no [MASK], which queries need")
        if long == "late":
            self._require_late()
        self._weights_bytes = sum(file.stat().st_size for file in weight_files(folder.path))
        self.token_dim = self._token_width()
        self._identity = folder.fingerprint()
        vocabulary = self.sparse == "mlm" and "sparse" in self.families
        self._runner = Runner(
            self._runtime_name,
            lambda: networks.load_network(
                folder, vocabulary=vocabulary, temperature=self.temperature, positions=positions
            ),
            self._threads,
            [self._identity["config"], vocabulary, positions],
        )
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

    def _require_late(self) -> None:
        if self.pooling not in ("mean", "max") and "dense" in self.families:
            raise ConfigError(
                f"{self.folder.path}: long='late' pools the tokens of each passage, but this model "
                f"pools by {self.pooling!r}; use long='windows'"
            )
        if self.sparse == "mlm" and "sparse" in self.families:
            raise ConfigError(
                f"{self.folder.path}: long='late' cannot tell passages apart in the head of a "
                "masked language model; use long='windows'"
            )
        if not self._pieces.tells_places:
            raise ConfigError(
                f"{self.folder.path}: long='late' needs a tokeniser that tells where tokens begin "
                "(tokenizer.json); use long='windows'"
            )

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
    def window_chars(self) -> int:
        """How many characters of English the window holds, about."""
        return max(100, CHARS_PER_TOKEN * self._frame(query=False).room // 100 * 100)

    def fusion_weights(self, families: Collection[str]) -> dict[str, float]:
        """Of a plain sentence encoder: as measured with MiniLM (benchmarks/README.md).

        Token vectors find what the untrained sparse weights find; without them these count more.
        """
        if self.folder.kind != "sentence" or self.sparse != "tokens":
            return {}
        found = {"dense": 0.65, "sparse": 0.1 if "multivector" in families else 0.35}
        return {f: w for f, w in (found | {"multivector": 0.65}).items() if f in families}

    @property
    def memory_bytes(self) -> int:
        """Of the weights, once for torch and once for another runtime."""
        return self._weights_bytes * (1 if self._runtime_name == "torch" else 2)

    @property
    def runtime(self) -> str:
        """The runtime at work; "" before the first text."""
        return self._runner.chosen

    @property
    def measurements(self) -> dict[str, tuple[float, float]]:
        """(seconds, least cosine with torch) of each runtime, once they have been measured."""
        return self._runner.measurements

    def head(self, family: str) -> Head:
        """The encoder of one of `families`."""
        if family not in self.families:
            raise ConfigError(
                f"{self.folder.path} gives {' and '.join(self.families)}, not {family}"
            )
        width = {"dense": self.dim, "sparse": None, "multivector": self.token_dim}[family]
        by_idf = family == "sparse" and self.sparse == "tokens"  # trained heads know what is rare
        identity = self._fingerprint(family)
        return Head(self, family, width, identity, self.notices, weighs_by_idf=by_idf)

    def _fingerprint(self, family: str) -> dict[str, Any]:
        told: dict[str, Any] = {
            **self._identity,
            "family": family,
            "prompts": [self.query_prompt, self.document_prompt],
            "max_tokens": self.max_tokens,
            "long": self.long,
        }
        if self.temperature != 1:
            told["temperature"] = self.temperature
        if self.positions is not None:
            told["positions"] = self.positions
        if family == "dense":
            told |= {"dim": self.dim, "pooling": self.pooling, "normalise": self._normalise}
        elif family == "sparse":
            told |= {"sparse": self.sparse, "top": self.top}
        else:
            told |= {"dim": self.token_dim}
            if not self._skips_its_own:
                told["skiplist_words"] = self._skiplist
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
        frame = self._frame(query=False)
        if self.long == "truncate":
            given = self._pieces.ids([frame.prompt + text for text in texts])
            if longer := sum(len(ids) > frame.room for ids in given):
                told.append(
                    f"{longer} of {len(texts)} texts are longer than the {frame.most} tokens that "
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
        windows = windows_of(texts, self._pieces, self._frame(query=query), self.long)
        rows: dict[str, list[list[Any]]] = {f: [[] for _ in texts] for f in families}
        for some, ids, mask in batched(windows, self._pieces.padding):
            outputs = self._runner(ids, mask)
            for family in families:
                given = iter(self._rows(family, some, ids, mask, outputs, query))
                for window in some:
                    for part in window.parts:
                        rows[family][part.text].append(next(given))
        return {family: self._joined(family, found) for family, found in rows.items()}

    def _frame(self, *, query: bool) -> Frame:
        colbert, most = self.folder.colbert, self.max_tokens
        if colbert:
            most = min(most, colbert["query_tokens" if query else "document_tokens"])
        return Frame(
            [*self._pieces.before, *self._marks[query]],
            self._pieces.behind,
            most,
            self.query_prompt if query else self.document_prompt,
            self.folder.pools_prompt,
            self._pieces.mask if colbert and query else None,
            bool(colbert and colbert["attend_to_masks"]),
        )

    def _rows(
        self,
        family: str,
        some: Sequence[Window],
        ids: Ids,
        mask: Ids,
        outputs: Sequence[Floats],
        query: bool,
    ) -> Sequence[Any]:
        """One for every part of every window, in their order."""
        head, hidden = self._head(family), outputs[0]
        if family == "dense":
            return self._pooled(head, some, mask, hidden)
        if family == "sparse" and self.sparse == "mlm":
            outputs[1][:, self._pieces.special] = 0
            return [heaviest(row, self.top) for row in outputs[1]]
        spans = [
            (i, slice(part.start, part.stop))
            for i, window in enumerate(some)
            for part in window.parts
        ]
        if family == "sparse" and self.sparse == "tokens":
            said = ~np.isin(ids, self._pieces.special)
            words = [(hidden[i, at][said[i, at]], ids[i, at][said[i, at]]) for i, at in spans]
            rows: list[Row] = head.rows(words, self.top, query=query)
            return rows
        tokens = [(hidden[i, at], ids[i, at]) for i, at in spans]
        if family == "multivector":
            vectors: list[Floats] = head.rows(tokens, query=query)
            return vectors
        return [head.row(states, own, self.top) for states, own in tokens]

    def _pooled(
        self, head: DenseHead, some: Sequence[Window], mask: Ids, hidden: Floats
    ) -> Sequence[Floats]:
        if all(window.whole for window in some):
            kept = mask > 0
            for row, window in enumerate(some):
                if 0 < window.prompt < window.attended:
                    kept[row, : window.prompt] = False
            return list(head.rows(hidden, kept))
        found = []
        for row, window in enumerate(some):
            for part in window.parts:
                states = hidden[row : row + 1, part.start : part.stop]
                kept = mask[row : row + 1, part.start : part.stop] > 0
                if window.whole and 0 < window.prompt < window.attended:
                    kept[:, : window.prompt] = False
                found.append(head.rows(states, kept)[0])
        return found

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

    def token_places(self, texts: Sequence[str], *, query: bool = False) -> list[Ids] | None:
        """Where the tokens stand; None where the tokeniser does not tell (no tokenizer.json)."""
        if not self._pieces.tells_places:
            return None
        frame, head = self._frame(query=query), self._head("multivector")
        return token_places(texts, self._pieces, frame, self.long, head, query=query)

    # -- loading ----------------------------------------------------------------------------

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
                return VocabularyHead(networks.input_embeddings(self._runner.network), special)
            if self.sparse == "bge-m3":
                linear = networks.load_linear(folder.path, folder.hidden, "sparse_linear.pt")
                return TokenWeights(*linear, special)
            return None
        skipped = self._pieces.single(self._skiplist)
        if folder.kind == "bge-m3":
            linear = networks.load_linear(folder.path, folder.hidden, "colbert_linear.pt")
            first = np.array(self._pieces.before[:1], np.int64)
            skipped = np.concatenate([first, skipped])
            return TokenHead(linear, skipped, first, self._token_weights)
        if folder.kind == "colbert":
            nothing = np.empty(0, np.int64)
            return TokenHead(self._projection(), skipped, nothing, self._token_weights)
        skipped = np.concatenate([special, skipped])
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
