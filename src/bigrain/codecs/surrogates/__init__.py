from dataclasses import dataclass
from typing import Any, ClassVar
import numpy as np
@dataclass(frozen=True)
class Mean:
    name: ClassVar[str] = "mean"
    dim: int
    fitted_on: int = 0
    @property
    def width(self): return self.dim
    @classmethod
    def fit(cls, values, offsets, *, queries=None, seed=0): return cls(values.shape[1])
    def documents(self, values, offsets):
        return (np.add.reduceat(values, offsets[:-1], axis=0)/np.diff(offsets)[:,None]).astype(np.float32)
    def queries(self, values, offsets):
        return np.add.reduceat(values, offsets[:-1], axis=0).astype(np.float32)
    def arrays(self): return {}
    def numbers(self): return {"name":"mean","dim":self.dim,"fitted_on":0}
    @staticmethod
    def shapes(numbers): return {}
    @classmethod
    def read(cls, numbers, arrays): return cls(numbers["dim"])
Surrogate=Any
SURROGATES={"mean":Mean,"regression":Mean,"fde":Mean}
def read_surrogate(numbers, arrays): return Mean.read(numbers, arrays)
def surrogate_shapes(numbers): return {}
