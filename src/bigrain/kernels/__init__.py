"""Fast arithmetic on plain arrays: bytes and floats in, bytes and floats out.

The modules `codes`, `records`, `impacts`, `inverted`, `tokens`, `substrings` and `embedding` are
the manual. Arrays are C-contiguous and of the dtype given; anything else is refused with TypeError
(wrong dtype) or ValueError (wrong shape, id out of range), naming the argument.

`reference.py` says what each kernel computes, in NumPy. The native module computes the same with
the best instructions the processor has; `BIGRAIN_KERNELS=reference|baseline|avx2|avx512|amx`
chooses.
"""

from bigrain.kernels.codes import (
    build_luts,
    dot_table,
    nearest,
    pack_table,
    quantise_tables,
    rotate,
    route_lists,
    scan_lists,
    sign_encode,
    top_k,
    unpack_signs,
    unpack_table,
)
from bigrain.kernels.embedding import (
    WordPiece,
    code_rows,
    listed_rows,
    mapped_rows,
    narrow_rows,
    pool_tokens,
)
from bigrain.kernels.impacts import (
    deal_postings,
    decode_weights,
    encode_weights,
    first_unsound_weights,
    order_impacts,
    pack_impacts,
    score_weights,
    search_impacts,
    search_ordered,
    sound_impacts,
)
from bigrain.kernels.inverted import (
    decode_lists,
    encode_lists,
    posting_list,
    score_lists,
    search_lists,
)
from bigrain.kernels.levels import (
    PostingList,
    available_levels,
    level,
)
from bigrain.kernels.records import (
    first_damaged,
    quantise_rows,
    read_stretches,
    row_checksums,
    score_pairs,
    score_rows,
)
from bigrain.kernels.substrings import (
    fm_blocks,
    fm_ranks,
    fm_steps,
    suffix_array,
)
from bigrain.kernels.token_records import (
    TokenTables,
    token_bytes,
)
from bigrain.kernels.tokens import (
    maxsim,
    maxsim_pairs,
    sketch_scores,
    token_scores,
)

__all__ = [
    "PostingList",
    "TokenTables",
    "WordPiece",
    "available_levels",
    "build_luts",
    "code_rows",
    "deal_postings",
    "decode_lists",
    "decode_weights",
    "dot_table",
    "encode_lists",
    "encode_weights",
    "first_damaged",
    "first_unsound_weights",
    "fm_blocks",
    "fm_ranks",
    "fm_steps",
    "level",
    "listed_rows",
    "mapped_rows",
    "maxsim",
    "maxsim_pairs",
    "narrow_rows",
    "nearest",
    "order_impacts",
    "pack_impacts",
    "pack_table",
    "pool_tokens",
    "posting_list",
    "quantise_rows",
    "quantise_tables",
    "read_stretches",
    "rotate",
    "route_lists",
    "row_checksums",
    "scan_lists",
    "score_lists",
    "score_pairs",
    "score_rows",
    "score_weights",
    "search_impacts",
    "search_lists",
    "search_ordered",
    "sign_encode",
    "sketch_scores",
    "sound_impacts",
    "suffix_array",
    "token_bytes",
    "token_scores",
    "top_k",
    "unpack_signs",
    "unpack_table",
]
