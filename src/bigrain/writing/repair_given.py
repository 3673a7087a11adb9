"""Holding a definition that the user gave against the segments that were made by the lost one."""

from __future__ import annotations

from collections.abc import Iterator

from bigrain import config
from bigrain.codecs.dense import CodeSettings
from bigrain.errors import ConfigError
from bigrain.index.coded_codec import ONE_BIT
from bigrain.index.dense import DenseSpec
from bigrain.storage.segment import SegmentFile

__all__ = ["check_given"]


def check_given(name: str, spec: config.Field, file: SegmentFile) -> None:
    """ConfigError if the segment in `file` was not made by a field like `spec`."""
    for what, given, told in _compared(spec, file):
        if given != told:
            raise ConfigError(
                f"field {name!r} was given with {what}={given!r}, but its segment {file.name} was "
                f"made with {what}={told!r}; pass the fields as they were given to create"
            )


def _compared(spec: config.Field, file: SegmentFile) -> Iterator[tuple[str, object, object]]:
    """(setting, as given, as the segment tells it) of what a segment tells."""
    yield "family", spec.family, file.meta.get("family")
    sections = file.sections
    if isinstance(spec, config.MultiVectorField):
        tokens = file.meta.get("tokens")
        if isinstance(tokens, dict):
            yield "dim", spec.dim, tokens.get("dim")
            yield "heavy", spec.heavy, tokens.get("kind")
        elif "tokens" in sections:
            yield "dim", spec.dim, sections["tokens"].shape[-1]
    if not isinstance(spec, config.DenseField) or spec.dim is None or spec.light_bytes is None:
        return
    if "codec_centre" in sections:
        yield "dim", spec.dim, sections["codec_centre"].shape[0]
    codec = file.meta.get("codec")
    if isinstance(codec, dict):
        yield "metric", spec.metric, codec.get("metric")
        one_bit = codec.get("name") == ONE_BIT
        yield "code", spec.code, "rabitq" if one_bit else codec.get("name")
        yield "bits", spec.bits, 1 if one_bit else codec.get("bits")
        yield "reduction", spec.reduction, "pca" if one_bit else codec.get("reduction")
        assert spec.bits is not None
        settings = CodeSettings(spec.light_bytes, spec.code, spec.bits, spec.reduction)
        if "blocks" in sections:
            groups = sections["blocks"].shape[1]
            if groups != settings.groups(spec.dim):
                yield "light_bytes", spec.light_bytes, -(-groups // 2)
    if "rows" in sections:
        told = {  # by segments that do not name it
            DenseSpec(spec.dim, spec.metric, spec.light_bytes, heavy).rows.record_bytes: heavy
            for heavy in ("float32", "float16")
        }
        heavy = file.meta.get("heavy", told.get(sections["rows"].shape[-1]))
        yield "heavy", spec.heavy, heavy
