"""Fast arithmetic on plain arrays: bytes and floats in, bytes and floats out.

`reference.py` says what each kernel computes, in NumPy. The native module computes the same with
the best instructions the processor has. `BIGRAIN_KERNELS=reference|baseline|avx2|avx512` chooses.
"""

from bigrain.kernels.dispatch import (
    WordPiece,
    accumulate_bm25,
    accumulate_weights,
    available_levels,
    build_luts,
    count_live,
    dot_table,
    level,
    maxsim,
    nearest,
    pack_table,
    pool_tokens,
    quantise_tables,
    read_stretches,
    rotate,
    route_lists,
    row_checksums,
    scan_lists,
    score_pairs,
    score_rows,
    sign_encode,
    top_k,
    unpack_signs,
    unpack_table,
)

__all__ = [
    "WordPiece",
    "accumulate_bm25",
    "accumulate_weights",
    "available_levels",
    "build_luts",
    "count_live",
    "dot_table",
    "level",
    "maxsim",
    "nearest",
    "pack_table",
    "pool_tokens",
    "quantise_tables",
    "read_stretches",
    "rotate",
    "route_lists",
    "row_checksums",
    "scan_lists",
    "score_pairs",
    "score_rows",
    "sign_encode",
    "top_k",
    "unpack_signs",
    "unpack_table",
]
