// The scan of 4-bit codes, but for `block_sums<N>(codes, groups, queries, sums)`, which each level
// writes by hand: the sum of table entries of 32 rows for N queries.
#pragma once
#include "select.h"

namespace {

using bigrain::ScanQuery;
using bigrain::ScanTile;
using bigrain::kBlock;

template <size_t N>
inline void scan_queries(const ScanTile& tile, const ScanQuery* queries) {
  alignas(64) int32_t sums[N][kBlock];
  for (size_t b = 0; b < tile.n_blocks; ++b) {
    const uint32_t live = tile.live[b];
    if (!live) continue;
    block_sums<N>(tile.codes + b * tile.groups * 16, tile.groups, queries, sums);
    for (size_t k = 0; k < N; ++k) {
      const V scale = set1(queries[k].scale), bias = set1(queries[k].bias);
      const V base = set1(queries[k].base);
      Selection& selection = *queries[k].selection;
      for (size_t r = 0; r < kBlock; r += L) {
        const size_t row = b * kBlock + r;
        V x = add(mul(load_half(tile.row_scale + 2 * row),
                      add(mul(scale, load_int(sums[k] + r)), bias)),
                  base);
        if (tile.row_offset) x = add(x, load(tile.row_offset + row));
        const uint32_t hits = greater(x, selection.threshold) & (live >> r);
        if (hits) offer(selection, x, hits, tile.first_row + static_cast<uint32_t>(row));
      }
    }
  }
}

void scan(const ScanTile& tile, const ScanQuery* queries, size_t count) {
  size_t q = 0;
  for (; q + kQueries <= count; q += kQueries) scan_queries<kQueries>(tile, queries + q);
  if (kQueries > 4)
    for (; q + 4 <= count; q += 4) scan_queries<4>(tile, queries + q);
  if (kQueries > 2)
    for (; q + 2 <= count; q += 2) scan_queries<2>(tile, queries + q);
  for (; q < count; ++q) scan_queries<1>(tile, queries + q);
}

}  // namespace
