"""What an adapter is, here: an index of token vectors.

Documents are `Tokens`, their numbers are their places. A query is its token vectors, (m, d)
float32. All vectors have unit length. One thread throughout.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from system import System

Array = np.ndarray[Any, Any]


class Adapter(System):
    """One system."""

    def build(self, documents: Any, folder: Path) -> None:
        """Write the index of all documents into an empty folder."""
        raise NotImplementedError
