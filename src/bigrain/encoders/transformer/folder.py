"""What a model folder says of itself: its kind, its modules, prompts, window and licence.

Read are the layouts of Sentence-Transformers (`modules.json`: Transformer, Pooling, Dense,
Normalize; SPLADE; PyLate's ColBERT), of ColBERT (`artifact.metadata`), of BGE-M3
(`sparse_linear.pt`, `colbert_linear.pt`), and plain Transformers folders (mean pooling). Nothing of
the weights is loaded here but the names and shapes in their header.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import string
import struct
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from bigrain.errors import ConfigError, DamagedError

__all__ = [
    "POOLING",
    "DenseLayer",
    "ModelFolder",
    "is_words",
    "not_commercial",
    "read_folder",
    "tensor_names",
    "weight_files",
]

HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+\Z")
POOLING = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_lasttoken": "last",
}
OTHER_NAMES = {"lasttoken": "last"}
ACTIVATIONS = ("Identity", "Tanh", "ReLU", "GELU")
TABLES = ("word_embeddings.weight", "embed_tokens.weight", "tok_embeddings.weight", "wte.weight")
LONGEST_WINDOW = 8192
LEAST_KNOWN = 0.9  # of the rows of a table that the tokeniser has tokens for
RESERVED = 1024
NOT_COMMERCIAL = re.compile(r"(^|[-_ ])nc([-_ ]|$)|non-?commercial", re.IGNORECASE)
UNUSED = ["onnx/*", "openvino/*", "coreml/*", "*.h5", "*.msgpack", "*.ot", "*.gguf", "*.onnx"]


@dataclass(frozen=True)
class DenseLayer:
    """A linear layer behind the pooling: its folder, whether it has a bias, its activation."""

    folder: Path
    width: int
    activation: str


@dataclass(frozen=True)
class ModelFolder:
    """`kind` is "sentence", "splade", "colbert" or "bge-m3"."""

    path: Path
    kind: str
    config: Mapping[str, Any]
    pooling: str
    pools_prompt: bool
    layers: tuple[DenseLayer, ...]
    normalise: bool
    query_prompt: str
    document_prompt: str
    max_tokens: int
    colbert: Mapping[str, Any]
    licence: str

    @property
    def architecture(self) -> str:
        return str(self.config.get("model_type", "unknown"))

    @property
    def hidden(self) -> int:
        """The width of the last layer."""
        for key in ("hidden_size", "dim", "d_model", "n_embd"):
            if isinstance(self.config.get(key), int):
                return int(self.config[key])
        raise ConfigError(f"{self.path}: config.json tells no hidden_size")

    def fingerprint(self) -> dict[str, Any]:
        """What decides the vectors of a token: weights, tokeniser, shape of the network."""
        untold = ("_name_or_path", "transformers_version", "torch_dtype", "dtype", "use_cache")
        shape = {key: value for key, value in self.config.items() if key not in untold}
        return {
            "name": f"transformer/{self.architecture}",
            "config": hashlib.sha256(json.dumps(shape, sort_keys=True).encode()).hexdigest()[:16],
            "tokeniser": _digest(self._tokeniser_files()),
            "weights": _digest(weight_files(self.path)),
        }

    def _tokeniser_files(self) -> list[Path]:
        names = ("tokenizer.json", "vocab.txt", "vocab.json", "merges.txt", "spiece.model",
                 "sentencepiece.bpe.model", "tokenizer.model")  # fmt: skip
        found = [self.path / name for name in names if (self.path / name).is_file()]
        return found[:1] if found and found[0].name == "tokenizer.json" else found


def read_folder(name: str | os.PathLike[str]) -> ModelFolder:
    """The model of a folder or of a hub name; `ConfigError` says what is missing or unfit."""
    path = _find(os.fspath(name))
    config = _read_json(path / "config.json", "is no model folder")
    if config.get("is_encoder_decoder"):
        raise ConfigError(
            f"{path}: {config.get('model_type')} is an encoder-decoder, which is not supported; "
            "use a model that is an encoder alone"
        )
    weights = weight_files(path)
    told = _sentence_settings(path)
    modules = _modules(path)
    kinds = [kind for kind, _ in modules]
    pooling, pools_prompt = "mean", True
    layers = []
    for kind, folder in modules:
        if kind == "Pooling":
            pooling, pools_prompt = _pooling(folder)
        elif kind == "Dense":
            layers.append(_layer(folder))
        elif kind not in ("Transformer", "MLMTransformer", "SpladePooling", "Normalize"):
            raise ConfigError(
                f"{path}: modules.json names a {kind}, which is not supported; Transformer, "
                "Pooling, Dense, Normalize, MLMTransformer and SpladePooling are"
            )
    colbert = _colbert(path, told)
    kind = "sentence"
    if (path / "colbert_linear.pt").is_file() or (path / "sparse_linear.pt").is_file():
        kind = "bge-m3"
        for file in ("colbert_linear.pt", "sparse_linear.pt"):
            if not (path / file).is_file():
                raise ConfigError(f"{path}: {file} is missing beside the other head of BGE-M3")
    elif "SpladePooling" in kinds:
        kind = "splade"
    elif colbert:
        kind = "colbert"
    query_prompt, document_prompt = _prompts(told)
    _check_table(path, weights)
    return ModelFolder(
        path=path,
        kind=kind,
        config=config,
        pooling="cls" if kind == "bge-m3" and not modules else pooling,
        pools_prompt=pools_prompt,
        layers=tuple(layers),
        normalise=not modules or kind == "bge-m3" or "Normalize" in kinds,
        query_prompt="" if colbert else query_prompt,
        document_prompt="" if colbert else document_prompt,
        max_tokens=_window(path, config),
        colbert=colbert,
        licence=_licence(path),
    )


def not_commercial(licence: str) -> bool:
    """Whether a licence, as a model card names it, forbids commercial use."""
    return NOT_COMMERCIAL.search(licence) is not None


# -- finding it ---------------------------------------------------------------------------------


def _find(name: str) -> Path:
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    if path.exists():
        raise ConfigError(f"{name} is a file; name the model's folder")
    if not HUB_NAME.match(name):
        raise ConfigError(f"{name}: there is no such folder, and it is no name of a model hub")
    return _from_hub(name)


def _from_hub(name: str) -> Path:
    """The local copy of a repository; downloaded unless HF_HUB_OFFLINE forbids it."""
    from bigrain.encoders.transformer.needs import needed

    hub = needed("huggingface_hub", name)
    try:
        found = Path(hub.snapshot_download(name, ignore_patterns=[*UNUSED, "*.bin"]))
        if not any(found.glob("*.safetensors")):
            found = Path(hub.snapshot_download(name, ignore_patterns=UNUSED))
    except Exception as error:  # of many kinds: offline, unknown, gated, the network
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ConfigError(
            f"encoder {name!r} is neither registered, nor a folder here, nor to be had from the "
            f"model hub ({type(error).__name__}: {reason[0][:200]}); pass the path of the model's "
            "folder, or register your own with bigrain.register_encoder(name, factory)"
        ) from error
    return found


def weight_files(path: Path) -> list[Path]:
    """The files of weights, `ConfigError` where there is none or one of several is missing."""
    index = path / "model.safetensors.index.json"
    if index.is_file():
        names = sorted(set(_read_json(index, "is no index of weights")["weight_map"].values()))
        missing = [name for name in names if not (path / name).is_file()]
        if missing:
            raise ConfigError(f"{path}: {missing[0]}, a part of the weights, is missing")
        return [path / name for name in names]
    for name in ("model.safetensors", "pytorch_model.bin"):
        if (path / name).is_file():
            return [path / name]
    raise ConfigError(
        f"{path} holds no weights: model.safetensors (or pytorch_model.bin) is missing"
    )


# -- reading it ---------------------------------------------------------------------------------


def _read_json(path: Path, without: str) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path.parent} {without}: {path.name} is missing") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error


def _modules(path: Path) -> list[tuple[str, Path]]:
    if not (path / "modules.json").is_file():
        return []
    listed = _read_json(path / "modules.json", "")
    try:
        return [(str(one["type"]).rsplit(".")[-1], path / one.get("path", "")) for one in listed]
    except (KeyError, TypeError):
        raise ConfigError(
            f"{path / 'modules.json'} does not list modules with their type"
        ) from None


def _sentence_settings(path: Path) -> dict[str, Any]:
    file = path / "config_sentence_transformers.json"
    told = _read_json(file, "") if file.is_file() else {}
    return told if isinstance(told, dict) else {}


def _pooling(folder: Path) -> tuple[str, bool]:
    told = _read_json(folder / "config.json", "is no pooling module")
    modes = [name for key, name in POOLING.items() if told.get(key)]
    if isinstance(named := told.get("pooling_mode"), str):
        modes = [OTHER_NAMES.get(named, named)]
    known = set(POOLING.values())
    others = [
        k for k, v in told.items() if k.startswith("pooling_mode_") and v and k not in POOLING
    ]
    if len(modes) != 1 or modes[0] not in known or others:
        raise ConfigError(
            f"{folder}: pooling by {' and '.join([*modes, *others]) or 'nothing'} is not "
            "supported; one of mean, cls, max and last is. pooling=... overrides it"
        )
    return modes[0], bool(told.get("include_prompt", True))


def _layer(folder: Path) -> DenseLayer:
    told = _read_json(folder / "config.json", "is no Dense module")
    activation = str(told.get("activation_function", "Tanh")).rsplit(".", 1)[-1]
    if activation not in ACTIVATIONS:
        raise ConfigError(
            f"{folder}: activation {activation} is not one of {', '.join(ACTIVATIONS)}"
        )
    if not any((folder / name).is_file() for name in ("model.safetensors", "pytorch_model.bin")):
        raise ConfigError(f"{folder} holds no weights: model.safetensors is missing")
    return DenseLayer(folder, int(told["out_features"]), activation)


def _prompts(told: Mapping[str, Any]) -> tuple[str, str]:
    """What is put before queries and documents."""
    prompts = told.get("prompts") or {}
    usual = prompts.get(told.get("default_prompt_name") or "", "")
    query = prompts.get("query", usual)
    documents = (prompts[name] for name in ("document", "passage", "corpus") if name in prompts)
    return str(query or ""), str(next(documents, usual) or "")


def _colbert(path: Path, told: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a late-interaction model, by the names of ColBERT; {} of another."""
    if (path / "artifact.metadata").is_file():
        given = _read_json(path / "artifact.metadata", "")
        return {
            "query_mark": given.get("query_token_id", "[unused0]"),
            "document_mark": given.get("doc_token_id", "[unused1]"),
            "query_tokens": int(given.get("query_maxlen", 32)),
            "document_tokens": int(given.get("doc_maxlen", 220)),
            "skiplist": list(string.punctuation) if given.get("mask_punctuation", True) else [],
            "attend_to_masks": bool(given.get("attend_to_mask_tokens", False)),
        }
    if "query_length" in told and "document_length" in told:
        words = told.get("skiplist_words")
        if words is not None and not is_words(words):
            raise ConfigError(f"{path}: its skiplist_words are no list of words")
        return {
            "query_mark": str(told.get("query_prefix") or "").strip(),
            "document_mark": str(told.get("document_prefix") or "").strip(),
            "query_tokens": int(told["query_length"] or 32),
            "document_tokens": int(told["document_length"] or 180),
            "skiplist": list(string.punctuation) if words is None else words,
            "attend_to_masks": bool(told.get("attend_to_expansion_tokens", False)),
        }
    return {}


def is_words(value: object) -> bool:
    """Whether it is a collection of words, each a `str` that is not empty."""
    return (
        isinstance(value, Collection)
        and not isinstance(value, str | bytes | Mapping)
        and all(isinstance(word, str) and word for word in value)
    )


def _window(path: Path, config: Mapping[str, Any]) -> int:
    """The most tokens of a text, those that the model adds included."""
    for name in ("sentence_bert_config.json", "sentence_xlm-roberta_config.json"):
        if (path / name).is_file():
            told = _read_json(path / name, "").get("max_seq_length")
            if isinstance(told, int) and told > 0:
                return told
    places = config.get("max_position_embeddings") or config.get("n_positions") or 512
    if config.get("model_type") in ("roberta", "xlm-roberta", "camembert"):
        places -= 2  # positions begin after the padding token's
    limit = places
    if (path / "tokenizer_config.json").is_file():
        told = _read_json(path / "tokenizer_config.json", "").get("model_max_length")
        if isinstance(told, int | float) and 0 < told < limit:
            limit = int(told)
    return min(int(limit), LONGEST_WINDOW)


def _licence(path: Path) -> str:
    """As the model card says in its head."""
    try:
        text = (path / "README.md").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    head = text.split("\n---", 1)[0] if text.startswith("---") else ""
    found = re.findall(r"^licen[cs]e(?:_name)?:\s*(.+)$", head, re.MULTILINE)
    return ", ".join(one.strip().strip("\"'") for one in found)


def _check_table(path: Path, weights: list[Path]) -> None:
    """Refuse a tokeniser that is another model's, by the rows of the embedding table."""
    tokens, rows = _n_tokens(path), _n_rows(weights)
    if tokens is None or rows is None:
        return
    if tokens > rows or tokens + RESERVED < LEAST_KNOWN * rows:
        raise ConfigError(
            f"{path}: the tokeniser has {tokens:,} tokens, but the model's table of embeddings "
            f"{rows:,} rows; they belong to different models"
        )


def _n_tokens(path: Path) -> int | None:
    """One more than the largest id."""
    if (path / "tokenizer.json").is_file():
        told = _read_json(path / "tokenizer.json", "")
        try:
            vocabulary = told["model"]["vocab"]
            named = isinstance(vocabulary, dict)
            largest = max(vocabulary.values()) if named else len(vocabulary) - 1
            return int(max([largest, *(one["id"] for one in told.get("added_tokens") or ())])) + 1
        except (KeyError, TypeError, ValueError):
            raise ConfigError(f"{path / 'tokenizer.json'} holds no vocabulary") from None
    if (path / "vocab.txt").is_file():
        with (path / "vocab.txt").open(encoding="utf-8") as lines:
            return sum(1 for _ in lines)
    for name in ("vocab.json", "spiece.model", "sentencepiece.bpe.model", "tokenizer.model"):
        if (path / name).is_file():
            return None  # counted when it is loaded
    raise ConfigError(f"{path} holds no tokeniser: tokenizer.json is missing")


def _n_rows(weights: list[Path]) -> int | None:
    for file in weights:
        if file.suffix == ".safetensors":
            for name, shape in _shapes(file).items():
                if name.endswith(TABLES) and len(shape) == 2:
                    return int(shape[0])
    return None


def tensor_names(path: Path) -> dict[str, list[int]]:
    """The names and shapes of the weights; {} of files that tell them only when loaded."""
    files = [file for file in weight_files(path) if file.suffix == ".safetensors"]
    return {name: shape for file in files for name, shape in _shapes(file).items()}


def _shapes(file: Path) -> dict[str, list[int]]:
    """The arrays of a safetensors file, by its header."""
    try:
        with file.open("rb") as stream:
            (size,) = struct.unpack("<Q", stream.read(8))
            if size > file.stat().st_size:
                raise ValueError("the header is longer than the file")
            header = json.loads(stream.read(size))
            ends = [one["data_offsets"][1] for k, one in header.items() if k != "__metadata__"]
            if 8 + size + max(ends, default=0) != file.stat().st_size:
                raise ValueError("the file is cut short")
            return {k: one["shape"] for k, one in header.items() if k != "__metadata__"}
    except (OSError, ValueError, KeyError, TypeError, struct.error) as error:
        raise DamagedError(file.name, "the weights", "a safetensors file", error) from error


def _digest(files: list[Path]) -> str:
    joined = hashlib.sha256()
    for file in files:
        state = file.stat()
        joined.update(_hash(str(file), state.st_size, state.st_mtime_ns))
    return joined.hexdigest()[:32]


@lru_cache(maxsize=256)
def _hash(file: str, size: int, changed: int) -> bytes:
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()
