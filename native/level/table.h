// The table of functions of a level; included last by each level file.
#pragma once
#include "lists.h"
#include "impacts.h"
#include "pool.h"
#include "postings.h"
#include "rotate.h"
#include "rows.h"
#include "scan.h"
#include "table_dot.h"

#define BIGRAIN_LEVEL(name)                                                                      \
  extern const bigrain::Level bigrain::level_##name;                                             \
  const bigrain::Level bigrain::level_##name = {                                                 \
      #name,         L,           ::rotate,           ::sign_encode,   ::scan,                   \
      ::dot_panel,   ::fold_nearest,                                                             \
      ::score_rows,  ::row_checksums, ::max_id,       ::bm25<uint8_t>, ::bm25<uint16_t>,         \
      ::bm25<uint32_t>, ::weights<float>, ::weights<uint8_t>, ::weights<uint16_t>,                \
      ::unpack,      ::unpack_rows,  ::add_maxima, ::largest_of_32, ::count_live,                                                \
      ::select_scores, ::pool_tokens, ::maxsim};
