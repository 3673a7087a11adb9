// The scan of 4-bit codes, but for `block_sums<N>(codes, groups, queries, ahead, sums)`, which each
// level writes by hand: the sum of table entries of 32 rows for N queries, as floats. It may fetch
// the block at `ahead` meanwhile.
#pragma once
#include "select.h"

namespace {

using bigrain::ScanQuery;
using bigrain::ScanTile;
using bigrain::kBlock;

constexpr size_t kParts = kBlock / L;

template <size_t N>
inline void scan_queries(const ScanTile& tile, const ScanQuery* queries) {
  for (size_t b = 0; b < tile.n_blocks; ++b) {
    const uint32_t live = tile.live[b];
    if (!live) continue;
    V x[N][kParts];
    block_sums<N>(tile.codes + b * tile.groups * 16, tile.groups, queries, tile.ahead[b], x);
    for (size_t k = 0; k < N; ++k) {
      const V scale = set1(queries[k].scale), bias = set1(queries[k].bias);
      const V base = set1(queries[k].base);
      Selection& selection = *queries[k].selection;
      uint32_t hits = 0;
      for (size_t i = 0; i < kParts; ++i) {
        const size_t row = b * kBlock + L * i;
        x[k][i] = add(mul(load_half(tile.row_scale + 2 * row), add(mul(scale, x[k][i]), bias)),
                      base);
        if (tile.row_offset) x[k][i] = add(x[k][i], load(tile.row_offset + row));
        hits |= greater(x[k][i], selection.threshold) << (L * i);
      }
      hits &= live;
      if (!hits) continue;
      uint32_t row = tile.first_row + static_cast<uint32_t>(b * kBlock);
      for (size_t i = 0; i < kParts; ++i, row += L, hits >>= L)
        offer(selection, x[k][i], hits & ((1u << L) - 1), row);
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
