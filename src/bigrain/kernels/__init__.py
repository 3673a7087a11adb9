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
    level,
    maxsim,
    pool_tokens,
    rotate,
    row_checksums,
    scan_codes,
    score_rows,
    sign_encode,
    top_k,
    unpack_signs,
)

__all__ = [
    "WordPiece",
    "accumulate_bm25",
    "accumulate_weights",
    "available_levels",
    "build_luts",
    "count_live",
    "level",
    "maxsim",
    "pool_tokens",
    "rotate",
    "row_checksums",
    "scan_codes",
    "score_rows",
    "sign_encode",
    "top_k",
    "unpack_signs",
]
