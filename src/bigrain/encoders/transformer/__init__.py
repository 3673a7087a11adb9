"""Transformer models as encoders of dense, sparse and token vectors. Needs the extra."""

from bigrain.encoders.transformer.model import TransformerEncoder

__all__ = ["TransformerEncoder"]
