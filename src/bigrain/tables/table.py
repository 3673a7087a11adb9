"""The torch module that every compressed table is."""

from __future__ import annotations

import hashlib
from os import PathLike
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from bigrain.errors import ConfigError, InvalidInputError, shown
from bigrain.tables.exported import file_bytes, write
from bigrain.tables.forms.base import Form
from bigrain.tables.groups import group_starts
from bigrain.tables.schedule import Phase, Schedule
from bigrain.tables.spec import TableSpec

__all__ = ["INITIAL_STD", "Table", "to_numpy", "with_loss"]

INITIAL_STD = 0.01  # of the entries of a row that nothing was learned of, whatever the method
FRACTION = 0.5  # of the bytes of a full table, where no budget is given


class Table(nn.Module):
    """Ids of any shape to rows (..., dim). Methods fill in the part below the line.

    A gradient that is not finite is refused with InvalidInputError in `backward`, before it reaches
    a weight.
    """

    form_type: ClassVar[type[Form]]

    def __init__(self, name: str, spec: TableSpec) -> None:
        super().__init__()
        self.name, self.spec = name, spec
        self.num_embeddings, self.embedding_dim = spec.num_embeddings, spec.embedding_dim
        self.generator = torch.Generator().manual_seed(spec.seed)

    def forward(self, ids: Tensor) -> Tensor:
        if not isinstance(ids, Tensor):
            raise InvalidInputError(
                f"{self.name}: ids must be a torch tensor of whole numbers, not "
                f"{type(ids).__name__}: pass torch.as_tensor(ids)"
            )
        if ids.dtype not in (torch.int64, torch.int32, torch.int16, torch.uint8, torch.int8):
            raise InvalidInputError(f"ids must be whole numbers (torch.int64), not {ids.dtype}")
        flat = ids.reshape(-1).long()
        if flat.numel():
            low, high = (int(end) for end in torch.aminmax(flat))
            if low < 0 or high >= self.num_embeddings:
                raise InvalidInputError(
                    f"{self.name}: ids must be from 0 to {self.num_embeddings - 1:,}; given were "
                    f"{low:,} to {high:,}"
                )
        out = self.rows(flat)
        if out.requires_grad:
            out.register_hook(self._check_gradient)
        return out.reshape(*ids.shape, self.embedding_dim)

    def _check_gradient(self, gradient: Tensor) -> None:
        if not torch.isfinite(gradient).all():
            raise InvalidInputError(
                f"{self.name}: the gradient is not finite (NaN or infinity), so nothing was "
                "updated; a smaller learning rate or clipped gradients usually help"
            )

    def bytes(self) -> int:
        """What `export` would write now, everything that inference needs included."""
        return self.bytes_of(self.knobs())

    def bytes_of(self, knobs: dict[str, Any]) -> int:
        return file_bytes(self.form_type, self.num_embeddings, self.embedding_dim, knobs)

    @torch.no_grad()
    def form(self) -> Form:
        """The inference form of the table as it is now: `lookup(ids)`, NumPy only."""
        knobs, arrays = self.knobs(), self.arrays()
        odd = [name for name, array in arrays.items() if not np.isfinite(array).all()]
        if odd:
            raise InvalidInputError(f"{self.name}: {odd[0]} holds numbers that are not finite")
        values = [*self.parameters(), *self.buffers()]
        floats = {value.dtype for value in values if value.is_floating_point()}
        wide = [str(dtype) for dtype in floats if dtype is not torch.float32]
        if wide:
            raise InvalidInputError(
                f"{self.name} is exported from torch.float32, not {wide[0]}: call table.float()"
            )
        return self.form_type(self.num_embeddings, self.embedding_dim, knobs, arrays)

    def export(self, path: str | PathLike[str]) -> int:
        """Write the inference form to `path`; returns its bytes. `bigrain.tables.load` reads it."""
        return write(path, self.form())

    def schedule(self, steps: int, *, search_steps: int | None = None) -> Schedule:
        """The steps of training, phase by phase; see `Schedule` for the loop.

        Args:
            steps: of the training that the exported table comes from.
            search_steps: of the search before it, where the method has one; default steps // 2.
        """
        search = max(1, steps // 2) if search_steps is None else search_steps
        for given in (steps, search):
            if not isinstance(given, int) or given < 1:
                raise ConfigError(f"steps must be whole numbers from 1, not {given!r}")
        return Schedule(self, self.phases(steps, search))

    # -- what a method says -----------------------------------------------------------------------

    def rows(self, ids: Tensor) -> Tensor:
        """(m, dim) of ids (m,) int64 that are in range."""
        raise NotImplementedError

    def knobs(self) -> dict[str, Any]:
        """The knobs of the inference form; the size follows from them."""
        raise NotImplementedError

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The arrays of the inference form."""
        raise NotImplementedError

    def phases(self, steps: int, search_steps: int) -> list[Phase]:
        return [Phase("train", steps)]

    def begin_phase(self, phase: str) -> None:
        """Called before the first step of a phase."""

    def after_step(self, phase: str, share: float) -> None:
        """Called after each step; `share` of the phase is done, 1 after the last one."""

    def end_phase(self, phase: str) -> None:
        """Called after the last step of a phase."""

    architecture_kinds: ClassVar[tuple[str, ...]] = ("validate",)  # steps that train them

    def architecture_parameters(self) -> list[nn.Parameter]:
        """What the schedule trains, not the user's optimiser: widths, thresholds and the like."""
        return []

    def architecture_optimiser(self) -> torch.optim.Optimizer | None:
        """A new optimiser of those, for the phase that begins; None where there are none."""
        return None

    def shape_gradients(self) -> None:
        """Called before that optimiser's step."""

    def after_architecture(self) -> None:
        """Called after that optimiser's step."""

    def scored(self, score: float) -> None:
        """The score of the model as the table is now."""

    def structure(self) -> dict[str, Any]:
        """What `restructure` needs to give the module the shape it has now."""
        return {}

    def restructure(self, structure: dict[str, Any]) -> None:
        """Bring the parameters into the shapes that `structure` told."""

    # -- for methods ------------------------------------------------------------------------------

    def budget(self, fraction: float = FRACTION) -> int:
        """The budget, or a fraction of the bytes of a full table where none was given."""
        if self.spec.budget_bytes is not None:
            return self.spec.budget_bytes
        return int(4 * self.num_embeddings * self.embedding_dim * fraction)

    def drawn(self, *shape: int, std: float = INITIAL_STD) -> nn.Parameter:
        """A parameter drawn from a normal distribution."""
        return nn.Parameter(torch.randn(*shape, generator=self.generator).mul_(std))

    def keep_order(self, wanted: bool = True) -> bool:
        """Keep the ranks of ids as a buffer, where ids are not numbered by falling frequency."""
        order = self.spec.order if wanted else None
        ranks = None if order is None else torch.from_numpy(order.astype(np.int32))
        self.register_buffer("order", ranks, persistent=False)
        return ranks is not None

    def keep_groups(self) -> list[int]:
        """Keep the first places of the groups of ids, and their order, as buffers."""
        starts, by_frequency = group_starts(self.spec, self.name)
        self.register_buffer("starts", torch.tensor(starts), persistent=False)
        self.keep_order(by_frequency)
        return starts

    def places(self, ids: Tensor) -> Tensor:
        """Ranks of ids where the table keeps an order, else the ids."""
        return ids if self.order is None else self.order[ids].long()

    def groups_of(self, places: Tensor) -> Tensor:
        return torch.bucketize(places, self.starts, right=True) - 1

    def unfinished(self) -> ConfigError:
        """What to raise where there is nothing to export yet."""
        return ConfigError(
            f"{self.name} is not ready to be exported: go through table.schedule(...) to its end"
        )

    def order_arrays(self) -> dict[str, npt.NDArray[Any]]:
        return {} if self.order is None else {"order": self.spec.order}  # type: ignore[dict-item]

    # -- saving and loading -----------------------------------------------------------------------

    def placing(self) -> dict[str, Any]:
        """What a method's options say of where rows lie, beyond the shapes of its parameters."""
        return {}

    def _made(self) -> dict[str, Any]:
        """What rows depend on beside the state: a state is loaded only where all of it is alike."""
        order = getattr(self, "order", None)
        ranks = b"" if order is None else np.ascontiguousarray(order.cpu().numpy(), "<i4").tobytes()
        return {
            "method": self.name,
            "num_embeddings": self.num_embeddings,
            "embedding_dim": self.embedding_dim,
            "seed": self.spec.seed,
            "fields": None if self.spec.fields is None else list(self.spec.fields),
            "frequencies": hashlib.sha256(ranks).hexdigest()[:16],
            **self.placing(),
        }

    def get_extra_state(self) -> dict[str, Any]:
        return {
            "made": self._made(),
            "structure": self.structure(),
            "generator": self.generator.get_state(),
        }

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self.generator.set_state(state["generator"])

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *others: Any) -> None:
        extra = state_dict.get(f"{prefix}_extra_state")
        if extra is not None:
            self._check_made(extra)
            self.restructure(extra["structure"])
        super()._load_from_state_dict(state_dict, prefix, *others)

    def _check_made(self, extra: dict[str, Any]) -> None:
        here, there = self._made(), extra.get("made")
        if there == here:
            return
        told = "it does not say how"
        if there is not None:
            name = next((n for n in here if there.get(n) != here[n]), "its options")
            told = f"{name} is {shown(there.get(name))} there and {shown(here.get(name))} here"
            if name == "frequencies":
                told = "the order of ids by frequencies is another"
        raise ConfigError(
            f"{self.name}: this is the state of a table that was made otherwise ({told}), and its "
            "rows would be others here: make it with the same seed and frequencies, fields and "
            "options"
        )

    def extra_repr(self) -> str:
        return (
            f"{self.name}, {self.num_embeddings:,} x {self.embedding_dim}, {self.bytes():,} bytes"
        )


class _AddLoss(torch.autograd.Function):
    """Rows as they are; going backward, `loss` counts as if it were added to the user's loss."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, loss: Tensor) -> Tensor:
        return rows.view_as(rows)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        return gradient, torch.ones((), dtype=gradient.dtype)


def with_loss(rows: Tensor, loss: Tensor) -> Tensor:
    """Rows that bring a loss of the method's own with them."""
    return _AddLoss.apply(rows, loss)


def to_numpy(tensor: Tensor) -> npt.NDArray[Any]:
    """A contiguous copy of a tensor."""
    return np.array(tensor.detach().cpu().numpy(), order="C")
