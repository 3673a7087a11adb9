#include <algorithm>
#include <cstring>
#include <limits>

#include "drivers.h"

namespace bigrain {

constexpr size_t kTileBytes = 65536;  // codes that stay in a close cache while all queries run

// Live rows of the block at `first`, but none before `begin` or from `end` on.
static uint32_t live_mask(const Codes& codes, size_t first, size_t begin, size_t end) {
  uint32_t mask = ~0u;
  if (first < begin) mask &= ~0u << (begin - first);
  if (first + kBlock > end) mask &= ~0u >> (first + kBlock - end);
  if (!codes.live) return mask;
  uint32_t live = 0;
  const size_t rows = std::min(kBlock, codes.n_rows - first);
  for (size_t i = 0; i < rows; i += 8)
    live |= static_cast<uint32_t>(codes.live[(first + i) / 8]) << i;
  return mask & live;
}

namespace {

struct ListScan {
  const Level& level;
  const Codes& codes;
  size_t block_bytes, tile_blocks;
  std::vector<uint32_t> live;

  ListScan(const Level& level, const Codes& codes)
      : level(level),
        codes(codes),
        block_bytes(codes.groups * 16),
        tile_blocks(std::max<size_t>(1, kTileBytes / std::max<size_t>(block_bytes, 64))),
        live(tile_blocks) {}

  void list(size_t begin, size_t end, const ScanQuery* queries, size_t count) {
    const size_t last = (end + kBlock - 1) / kBlock, whole = codes.n_rows / kBlock;
    for (size_t block = begin / kBlock; block < last;) {
      const size_t n = block < whole ? std::min({tile_blocks, last - block, whole - block}) : 1;
      for (size_t b = 0; b < n; ++b)
        live[b] = live_mask(codes, (block + b) * kBlock, begin, end);
      if (block < whole) {
        tile(block, n, codes.row_scale + block * kBlock,
             codes.row_offset ? codes.row_offset + block * kBlock : nullptr, queries, count);
      } else {  // levels read whole blocks
        const size_t rest = codes.n_rows % kBlock;
        uint16_t scale[kBlock] = {};
        float offset[kBlock] = {};
        std::copy_n(codes.row_scale + whole * kBlock, rest, scale);
        if (codes.row_offset) std::copy_n(codes.row_offset + whole * kBlock, rest, offset);
        tile(block, 1, scale, codes.row_offset ? offset : nullptr, queries, count);
      }
      block += n;
    }
  }

  void tile(size_t block, size_t n, const uint16_t* scale, const float* offset,
            const ScanQuery* queries, size_t count) {
    level.scan({codes.blocks + block * block_bytes, n, codes.groups, live.data(),
                reinterpret_cast<const uint8_t*>(scale), offset,
                static_cast<uint32_t>(block * kBlock)},
               queries, count);
  }
};

// Every list once for all queries that want it, but for the most promising list of each.
template <class At, class List>
void scan_together(const Codes& codes, const Queries& queries, const Probes& probes,
                   const std::vector<int64_t>& promising, const At& at, const List& list) {
  const size_t n_probes = static_cast<size_t>(probes.offsets[queries.count]);
  std::vector<uint32_t> wanting(n_probes);
  std::vector<float> bases(n_probes);
  std::vector<size_t> ends(codes.n_lists + 1);
  std::vector<ScanQuery> scanned;
  for (const bool first : {true, false}) {
    const auto each = [&](auto&& use) {
      for (size_t q = 0; q < queries.count; ++q)
        for (auto p = probes.offsets[q]; p < probes.offsets[q + 1]; ++p)
          if ((p == promising[q]) == first) use(q, static_cast<size_t>(probes.lists[p]), p);
    };
    std::fill(ends.begin(), ends.end(), 0);
    each([&](size_t, size_t l, int64_t) { ++ends[l + 1]; });
    for (size_t l = 0; l < codes.n_lists; ++l) ends[l + 1] += ends[l];
    each([&](size_t q, size_t l, int64_t p) {
      wanting[ends[l]] = static_cast<uint32_t>(q);
      bases[ends[l]++] = probes.bases[p];
    });
    for (size_t l = 0, p = 0; l < codes.n_lists; ++l) {
      if (p == ends[l]) continue;
      scanned.clear();
      for (; p < ends[l]; ++p) scanned.push_back(at(wanting[p], bases[p]));
      list(l, scanned.data(), scanned.size());
    }
  }
}

}  // namespace

void scan_lists(const Level& level, const Codes& codes, const Queries& queries,
                const Probes& probes, size_t keep, int64_t* rows, float* estimates,
                int64_t* counts) {
  const float floor = -std::numeric_limits<float>::infinity();
  std::fill_n(rows, queries.count * keep, int64_t{-1});
  std::fill_n(estimates, queries.count * keep, floor);
  std::fill_n(counts, queries.count, int64_t{0});
  if (!keep || !codes.n_rows || !queries.count) return;

  std::vector<Best> best;
  best.reserve(queries.count);
  for (size_t q = 0; q < queries.count; ++q) best.emplace_back(std::min(keep, codes.n_rows), floor);

  const size_t lut_bytes = codes.groups * 16, stride = (lut_bytes + 63) & ~size_t{63};
  Aligned<uint8_t> memory(queries.count * stride + 64);
  uint8_t* luts = memory.data();
  for (size_t q = 0; q < queries.count; ++q)
    std::memcpy(luts + q * stride, queries.luts + q * lut_bytes, lut_bytes);

  // The most promising list of each query first, so that of the others few codes are good enough to
  // be kept; otherwise by list, which is then read once for all queries that want it.
  const size_t n_probes = static_cast<size_t>(probes.offsets[queries.count]);
  std::vector<int64_t> promising(queries.count);
  for (size_t q = 0; q < queries.count; ++q)
    promising[q] = std::max_element(probes.bases + probes.offsets[q],
                                    probes.bases + probes.offsets[q + 1]) - probes.bases;
  const auto at = [&](size_t q, float base) {
    return ScanQuery{luts + q * stride, queries.scale[q], queries.bias[q], base,
                     &best[q].selection()};
  };
  ListScan scan(level, codes);
  const auto list = [&](size_t l, const ScanQuery* some, size_t count) {
    scan.list(static_cast<size_t>(codes.starts[l]), static_cast<size_t>(codes.starts[l + 1]), some,
              count);
  };
  if (queries.count == 1) {
    for (const bool first : {true, false})
      for (size_t p = 0; p < n_probes; ++p) {
        if ((static_cast<int64_t>(p) == promising[0]) != first) continue;
        const ScanQuery query = at(0, probes.bases[p]);
        list(static_cast<size_t>(probes.lists[p]), &query, 1);
      }
  } else {
    scan_together(codes, queries, probes, promising, at, list);
  }

  for (size_t q = 0; q < queries.count; ++q)
    counts[q] = static_cast<int64_t>(best[q].finish(rows + q * keep, estimates + q * keep));
}

}  // namespace bigrain
