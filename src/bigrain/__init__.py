"""bigrain: bi-granular retrieval over collections larger than memory.

A light, learned code of every document stands in memory and finds candidates; its heavy original on
disk verifies them.

>>> import bigrain
>>> col = bigrain.create("docs.grain")
>>> col.add(["Grain is stored in silos.", "The moon orbits the earth."])
AddCounts(added=2, replaced=0, passages=2, warnings=())
>>> col.commit()
1
>>> col.search("where is wheat kept?")[0].text
'Grain is stored in silos.'
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from bigrain.config import (
    DenseField,
    LexicalField,
    MultiVectorField,
    SparseField,
    SubstringField,
)
from bigrain.errors import *  # noqa: F403
from bigrain.errors import __all__ as _errors
from bigrain.presets import fields_of
from bigrain.progress import ProgressUpdate
from bigrain.registry import encoder_names, register_encoder
from bigrain.types import AddCounts, Document, Hit, Part, Passage, Span, SparseMatrix

if TYPE_CHECKING:
    from bigrain import tables
    from bigrain.collection import Collection, create, open, rebind, repair  # noqa: A004
    from bigrain.encoders.base import Encoder, Head, Model
    from bigrain.encoders.callable import CallableEncoder
    from bigrain.encoders.transformer import TransformerEncoder
    from bigrain.learning.report import LearnReport
    from bigrain.search.audit_report import AuditReport, FieldAudit
    from bigrain.search.expansion import HyDE, MultiQuery
    from bigrain.search.feedback import Feedback
    from bigrain.search.fuse import Fusion
    from bigrain.search.heat_map import HeatMap
    from bigrain.search.occurrences import Occurrences
    from bigrain.search.query import Query
    from bigrain.text.chunk import Chunking
    from bigrain.tuning.report import TuneReport, TuneRow

__version__ = "0.1.0"

__all__ = [
    "AddCounts",
    "AuditReport",
    "CallableEncoder",
    "Chunking",
    "Collection",
    "DenseField",
    "Document",
    "Encoder",
    "Feedback",
    "FieldAudit",
    "Fusion",
    "Head",
    "HeatMap",
    "Hit",
    "HyDE",
    "LearnReport",
    "LexicalField",
    "Model",
    "MultiQuery",
    "MultiVectorField",
    "Occurrences",
    "Part",
    "Passage",
    "ProgressUpdate",
    "Query",
    "Span",
    "SparseField",
    "SparseMatrix",
    "SubstringField",
    "TransformerEncoder",
    "TuneReport",
    "TuneRow",
    "create",
    "encoder_names",
    "fields_of",
    "open",
    "rebind",
    "register_encoder",
    "repair",
    "tables",
    *_errors,
]

# Loaded when first used, so that `import bigrain` is quick.
_LATER = {
    "AuditReport": "bigrain.search.audit_report",
    "CallableEncoder": "bigrain.encoders.callable",
    "Chunking": "bigrain.text.chunk",
    "Collection": "bigrain.collection",
    "Encoder": "bigrain.encoders.base",
    "Head": "bigrain.encoders.base",
    "HeatMap": "bigrain.search.heat_map",
    "Model": "bigrain.encoders.base",
    "FieldAudit": "bigrain.search.audit_report",
    "Feedback": "bigrain.search.feedback",
    "Fusion": "bigrain.search.fuse",
    "HyDE": "bigrain.search.expansion",
    "MultiQuery": "bigrain.search.expansion",
    "Query": "bigrain.search.query",
    "LearnReport": "bigrain.learning.report",
    "Occurrences": "bigrain.search.occurrences",
    "TransformerEncoder": "bigrain.encoders.transformer",
    "TuneReport": "bigrain.tuning.report",
    "TuneRow": "bigrain.tuning.report",
    "create": "bigrain.collection",
    "open": "bigrain.collection",
    "rebind": "bigrain.collection",
    "repair": "bigrain.collection",
}


def __getattr__(name: str) -> Any:
    if name == "tables":
        return import_module("bigrain.tables")
    if name in _LATER:
        value = globals()[name] = getattr(import_module(_LATER[name]), name)
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
