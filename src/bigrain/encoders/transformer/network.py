"""The network of a model folder as a torch module: token ids in, last layer out.

With a masked-language-model head, also the SPLADE maxima over the tokens of a text
(Formal et al., 2021):  w_j = max_i log(1 + relu(logit_ij)).
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from bigrain.encoders.transformer.folder import ModelFolder
from bigrain.encoders.transformer.needs import needed
from bigrain.encoders.transformer.stretching import sharpen, stretched
from bigrain.errors import ConfigError

__all__ = ["input_embeddings", "load_array", "load_linear", "load_network", "quiet"]


def load_network(
    folder: ModelFolder,
    *,
    vocabulary: bool,
    temperature: float = 1.0,
    positions: str | None = None,
) -> Any:
    """The module in float32; `vocabulary`: with the maxima of its MLM head; the other two as
    `stretching` has them."""
    torch = needed("torch", str(folder.path))
    transformers = needed("transformers", str(folder.path))
    kind = transformers.AutoModelForMaskedLM if vocabulary else transformers.AutoModel
    try:
        with quiet(transformers):
            model, told = kind.from_pretrained(
                str(folder.path), local_files_only=True, attn_implementation="eager",
                dtype=torch.float32, output_loading_info=True,
            )  # fmt: skip
    except Exception as error:  # Transformers answers damage with errors of many kinds
        raise ConfigError(
            f"{folder.path}: the model cannot be loaded ({type(error).__name__}: {error})"
        ) from error
    missing = [name for name in told["missing_keys"] if "pooler" not in name]
    if missing:
        head = " for the head of a masked language model" if vocabulary else ""
        raise ConfigError(
            f"{folder.path}: the weights{head} are incomplete; {missing[0]} is missing"
            + ("; choose sparse='tokens', which needs no such head" if vocabulary else "")
        )
    name = str(folder.path)
    if temperature != 1:
        sharpen(model, temperature, name)
    arguments = None if positions is None else stretched(model, positions, name)
    return _network(torch, model.eval(), vocabulary, arguments)


def _network(torch: Any, model: Any, vocabulary: bool, arguments: Any) -> Any:
    class Network(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            told = {} if arguments is None else arguments(input_ids, attention_mask)
            told["attention_mask"] = attention_mask
            if not vocabulary:
                return (self.model(input_ids, **told).last_hidden_state,)
            out = self.model(input_ids, output_hidden_states=True, **told)
            weights = torch.log1p(torch.relu(out.logits))
            weights = weights * attention_mask.unsqueeze(-1).to(weights.dtype)
            return out.hidden_states[-1], weights.amax(dim=1)

    return Network().eval()


def input_embeddings(network: Any) -> npt.NDArray[np.float32]:
    """(vocabulary, width): the table that tokens come from."""
    weight = network.model.get_input_embeddings().weight
    return np.asarray(weight.detach().float().cpu().numpy(), np.float32)


def load_array(folder: Any, *names: str) -> dict[str, npt.NDArray[np.float32]]:
    """The arrays of the first of these files that is there, as float32."""
    torch = needed("torch", str(folder))
    for name in names:
        file = folder / name
        if not file.is_file():
            continue
        try:
            if file.suffix == ".safetensors":
                found = needed("safetensors.torch", str(folder)).load_file(str(file))
            else:
                found = torch.load(str(file), map_location="cpu", weights_only=True)
        except Exception as error:
            raise ConfigError(f"{file} cannot be read: {error}") from error
        return {key: np.asarray(value.float().numpy(), np.float32) for key, value in found.items()}
    raise ConfigError(f"{folder}: {names[0]} is missing")


def load_linear(
    folder: Any, width: int, *names: str
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """(weight (out, width), bias (out,)) of a linear layer; a bias that is not there is 0."""
    arrays = load_array(folder, *names)
    weights = [a for key, a in arrays.items() if key.endswith("weight") and a.ndim == 2]
    if len(weights) != 1 or weights[0].shape[1] != width:
        shapes = ", ".join(f"{key} {a.shape}" for key, a in arrays.items())
        raise ConfigError(f"{folder / names[0]}: expected one weight (n, {width}), found {shapes}")
    bias = [a for key, a in arrays.items() if key.endswith("bias")]
    return weights[0], bias[0] if bias else np.zeros(len(weights[0]), np.float32)


@contextlib.contextmanager
def quiet(transformers: Any) -> Iterator[None]:
    """Without bars and reports of what a checkpoint holds besides."""
    logger = logging.getLogger("transformers")
    level, shown = logger.level, transformers.utils.logging.is_progress_bar_enabled()
    logger.setLevel(logging.ERROR)
    transformers.utils.logging.disable_progress_bar()
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)
        if shown:
            transformers.utils.logging.enable_progress_bar()
