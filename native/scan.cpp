#include <algorithm>
#include <cstring>
#include <limits>

#include "drivers.h"

namespace bigrain {

constexpr size_t kTileBytes = 65536;  // codes that stay in a close cache while all queries run

static uint32_t live_mask(const Codes& codes, size_t first) {
  const size_t rows = std::min(kBlock, codes.n_rows - first);
  uint32_t mask = rows == kBlock ? ~0u : (1u << rows) - 1;
  if (!codes.live) return mask;
  uint32_t live = 0;
  for (size_t i = 0; i < rows; i += 8)
    live |= static_cast<uint32_t>(codes.live[(first + i) / 8]) << i;
  return mask & live;
}

void scan_codes(const Level& level, const Codes& codes, const Queries& queries, size_t keep,
                int64_t* rows, float* estimates, int64_t* counts) {
  std::fill_n(rows, queries.count * keep, int64_t{-1});
  std::fill_n(estimates, queries.count * keep, -std::numeric_limits<float>::infinity());
  std::fill_n(counts, queries.count, int64_t{0});
  if (!keep || !codes.n_rows || !queries.count) return;

  std::vector<Best> best;
  std::vector<Selection> selections;
  best.reserve(queries.count);
  for (size_t q = 0; q < queries.count; ++q) {
    best.emplace_back(std::min(keep, codes.n_rows), -std::numeric_limits<float>::infinity());
    selections.push_back(best[q].selection());
  }

  const size_t lut_bytes = codes.groups * 16, stride = (lut_bytes + 63) & ~size_t{63};
  Aligned<uint8_t> memory(queries.count * stride + 64);
  uint8_t* luts = memory.data();
  for (size_t q = 0; q < queries.count; ++q)
    std::memcpy(luts + q * stride, queries.luts + q * lut_bytes, lut_bytes);
  const ScanQueries scanned{luts,         stride,       queries.count,
                            queries.scale, queries.bias, selections.data()};

  const size_t whole = codes.n_rows / kBlock;
  const size_t tile_blocks = std::max<size_t>(1, kTileBytes / std::max<size_t>(lut_bytes, 64));
  std::vector<uint32_t> live(tile_blocks);
  const auto scan = [&](size_t block, size_t n, const float* scale, const float* offset) {
    for (size_t b = 0; b < n; ++b) live[b] = live_mask(codes, (block + b) * kBlock);
    level.scan({codes.blocks + block * lut_bytes, n, codes.groups, live.data(), scale, offset,
                static_cast<uint32_t>(block * kBlock)},
               scanned);
  };
  for (size_t block = 0; block < whole; block += tile_blocks)
    scan(block, std::min(tile_blocks, whole - block), codes.row_scale + block * kBlock,
         codes.row_offset ? codes.row_offset + block * kBlock : nullptr);
  if (const size_t rest = codes.n_rows % kBlock) {  // levels read whole blocks
    float scale[kBlock] = {}, offset[kBlock] = {};
    std::copy_n(codes.row_scale + whole * kBlock, rest, scale);
    if (codes.row_offset) std::copy_n(codes.row_offset + whole * kBlock, rest, offset);
    scan(whole, 1, scale, codes.row_offset ? offset : nullptr);
  }

  for (size_t q = 0; q < queries.count; ++q) {
    best[q].selection() = selections[q];
    counts[q] = static_cast<int64_t>(best[q].finish(rows + q * keep, estimates + q * keep));
  }
}

}  // namespace bigrain
