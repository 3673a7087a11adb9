// The table of functions of a level; included last by each level file.
#pragma once
#include "bounds.h"
#include "embedding.h"
#include "impacts.h"
#include "lists.h"
#include "maxsim.h"
#include "pool.h"
#include "postings.h"
#include "rotate.h"
#include "rows.h"
#include "scan.h"
#include "sketch.h"
#include "table_dot.h"

#define BIGRAIN_LEVEL(name)                                                                      \
  extern const bigrain::Level bigrain::level_##name;                                             \
  const bigrain::Level bigrain::level_##name = {                                                 \
      #name,         L,               ::rotate,       ::sign_encode, ::scan, nullptr,              \
      ::dot_panel,   ::fold_nearest,  ::narrow_dots,  ::best_sum,    ::score_rows, ::row_checksums,   \
      ::max_id,      ::unpack,        ::unpack_rows,  ::add_postings, ::add_some,                \
      ::count_above, ::collect,       ::count_below,  ::find_row,     ::add_maxima,              \
      ::largest_of_32, ::largest_across_32, ::add_ordered, ::count_live,                           \
      ::select_scores, ::pool_tokens, ::maxsim,   ::score_floats, ::score_bytes,                   \
      ::settle,      ::expand_codes, ::widen_i8,     ::widen_half,                      \
      ::mapped_rows, ::narrow_rows, ::before};
