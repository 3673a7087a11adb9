"""The codec in a dense segment: its arrays as sections `codec_...`, its numbers in meta `codec`.

1-bit RaBitQ is written as it always was, under the name `rabitq1`. Nothing that is read is
believed: every shape follows from a few bounded numbers, and every number is finite and of a sane
size.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bigrain.codecs.codebooks import ENTRIES, section_edges
from bigrain.codecs.dense import QUANTISERS, DenseCodec
from bigrain.codecs.frame import REDUCTIONS, Frame
from bigrain.codecs.planes import Planes
from bigrain.codecs.quantiser import Quantiser
from bigrain.codecs.rabitq import Rabitq
from bigrain.codecs.scalar import Scalar
from bigrain.codecs.signs import Signs
from bigrain.errors import DamagedError
from bigrain.index.base import Floats
from bigrain.storage.segment import SegmentFile, SegmentWriter

__all__ = ["FURTHEST", "read_bounded", "read_codec", "write_codec"]

FURTHEST = 1e16  # a centre: beyond every vector that is let in
ORTHONORMAL, SPHERED, ENTRY = 2.0, 1e4, 1e3  # the largest numbers in projections and books
ONE_BIT = "rabitq1"
MAX_GROUPS = 1 << 13


def write_codec(writer: SegmentWriter, codec: DenseCodec) -> dict[str, Any]:
    """Write the arrays; returns what belongs into the segment's meta."""
    frame, quantiser = codec.frame, codec.quantiser
    writer.add("codec_centre", frame.centre.astype("<f4"))
    if frame.projection is not None:
        writer.add("codec_projection", frame.projection.astype("<f4"))
    if frame.query_projection is not None:
        writer.add("codec_query_projection", frame.query_projection.astype("<f4"))
    for name, array in quantiser.arrays().items():
        writer.add(f"codec_{name}", array.astype("<f4"))
    told = {
        "name": quantiser.code,
        "metric": frame.metric,
        "width": frame.width,
        "seed": frame.seed,
        "fitted_on": frame.fitted_on,
    }
    plain = codec.reduction == "pca" and frame.query_projection is None and not codec.learned_from
    if quantiser.code == Rabitq.code and quantiser.bits == 1 and plain:
        return {"codec": {**told, "name": ONE_BIT}}
    return {
        "codec": {
            **told,
            "bits": quantiser.bits,
            "reduction": codec.reduction,
            "projections": (frame.projection is not None) + (frame.query_projection is not None),
            **({"queries": frame.n_queries} if frame.n_queries else {}),
            **({"learned_from": codec.learned_from} if codec.learned_from else {}),
            **quantiser.numbers(),
        }
    }


def read_codec(file: SegmentFile, dim: int, metric: str) -> DenseCodec:
    """The codec of a segment of vectors (n, dim)."""
    told = file.meta.get("codec")
    told = told if isinstance(told, dict) else {}
    if told.get("metric") != metric:
        raise _damaged(file, f"metric {metric}", told.get("metric"))
    width = file.number("codec", "width", high=dim)
    if width < 1:
        raise _damaged(file, f"a width from 1 to {dim}", width)
    code, bits, reduction, projections = Rabitq.code, 1, "pca", int(width < dim)
    if told.get("name") != ONE_BIT:
        code, reduction = told.get("name"), told.get("reduction")  # type: ignore[assignment]
        if not isinstance(code, str) or code not in QUANTISERS:
            raise _damaged(file, f"a code of {', '.join(QUANTISERS)}", code)
        if reduction not in REDUCTIONS:
            raise _damaged(file, f"a reduction of {', '.join(REDUCTIONS)}", reduction)
        bits = file.number("codec", "bits", high=8)
        projections = file.number("codec", "projections", high=2)
    rows = columns = None
    if projections:
        largest = SPHERED if projections == 2 else ORTHONORMAL
        rows = read_bounded(file, "codec_projection", (width, dim), largest)
    if projections == 2:
        columns = read_bounded(file, "codec_query_projection", (width, dim), SPHERED)
    frame = Frame(
        metric=metric,
        width=width,
        seed=file.number("codec", "seed", high=2**64 - 1),
        centre=read_bounded(file, "codec_centre", (dim,), FURTHEST),
        projection=rows,
        query_projection=columns,
        fitted_on=file.number("codec", "fitted_on"),
        n_queries=file.number("codec", "queries") if "queries" in told else 0,
    )
    learned_from = file.number("codec", "learned_from") if "learned_from" in told else 0
    return DenseCodec(frame, _read_quantiser(file, code, width, bits), reduction, learned_from)


def _read_quantiser(file: SegmentFile, code: str, width: int, bits: int) -> Quantiser:
    kind: Any = QUANTISERS[code]
    if kind is Signs:
        if bits != 1:
            raise _damaged(file, "1 bit", bits)
        return Signs(width, 1, read_bounded(file, "codec_common", (1,), FURTHEST))
    if issubclass(kind, Planes):
        if bits < 1:
            raise _damaged(file, "1 to 8 bits", bits)
        return kind(width, bits)  # type: ignore[no-any-return]
    if kind is Scalar:
        if bits not in (4, 8):
            raise _damaged(file, "4 or 8 bits", bits)
        return Scalar(width, bits)
    sections = file.number("codec", "sections", high=width)
    stages = file.number("codec", "stages", high=MAX_GROUPS)
    if bits != 4 or not 1 <= sections * stages <= MAX_GROUPS:
        raise _damaged(file, f"1 to {MAX_GROUPS} symbols of 4 bits", (sections, stages, bits))
    longest = int(np.diff(section_edges(width, sections)).max())
    shape = (sections, stages, ENTRIES, longest)
    return kind(width, read_bounded(file, "codec_books", shape, ENTRY))  # type: ignore[no-any-return]


def read_bounded(file: SegmentFile, name: str, shape: tuple[int, ...], largest: float) -> Floats:
    """A section of float32 numbers of at most that size."""
    values: Floats = file.read(name, "<f4", shape)
    if not (np.abs(values) <= largest).all():
        raise DamagedError(file.name, name, f"numbers up to {largest:g}", "others")
    return values


def _damaged(file: SegmentFile, expected: str, found: object) -> DamagedError:
    return DamagedError(file.name, "table", expected, found)
