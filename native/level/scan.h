// The scan of 4-bit codes, but for `block_sums<N>(codes, groups, luts, stride, sums)`, which each
// level writes by hand: the sum of table entries of 32 rows for N queries.
#pragma once
#include "select.h"

namespace {

using bigrain::ScanQueries;
using bigrain::ScanTile;
using bigrain::kBlock;

template <size_t N>
inline void scan_queries(const ScanTile& tile, const ScanQueries& queries, size_t q) {
  alignas(64) int32_t sums[N][kBlock];
  for (size_t b = 0; b < tile.n_blocks; ++b) {
    const uint32_t live = tile.live[b];
    if (!live) continue;
    block_sums<N>(tile.codes + b * tile.groups * 16, tile.groups,
                  queries.luts + q * queries.stride, queries.stride, sums);
    for (size_t k = 0; k < N; ++k) {
      const V scale = set1(queries.scale[q + k]), bias = set1(queries.bias[q + k]);
      Selection& selection = queries.selections[q + k];
      for (size_t r = 0; r < kBlock; r += L) {
        const size_t row = b * kBlock + r;
        V x = mul(load(tile.row_scale + row), add(mul(scale, load_int(sums[k] + r)), bias));
        if (tile.row_offset) x = add(x, load(tile.row_offset + row));
        const uint32_t hits = greater(x, selection.threshold) & (live >> r);
        if (hits) offer(selection, x, hits, tile.first_row + static_cast<uint32_t>(row));
      }
    }
  }
}

void scan(const ScanTile& tile, const ScanQueries& queries) {
  size_t q = 0;
  for (; q + kQueries <= queries.count; q += kQueries) scan_queries<kQueries>(tile, queries, q);
  if (kQueries > 4)
    for (; q + 4 <= queries.count; q += 4) scan_queries<4>(tile, queries, q);
  if (kQueries > 2)
    for (; q + 2 <= queries.count; q += 2) scan_queries<2>(tile, queries, q);
  for (; q < queries.count; ++q) scan_queries<1>(tile, queries, q);
}

}  // namespace
