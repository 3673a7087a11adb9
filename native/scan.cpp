#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include "drivers.h"

namespace bigrain {

constexpr size_t kPromising = 8;  // rows looked at first for each that is kept
constexpr size_t kNear = 50;      // the same for each of the best ranks, where these decide
constexpr std::ptrdiff_t kFirst = 16;  // lists put in order at a time
constexpr size_t kTileBytes = 65536;  // codes that stay in a close cache while all queries run
constexpr size_t kAhead = 3;  // blocks scanned while another comes from memory
constexpr size_t kAheadBytes = 4096;  // fewer blocks, where they are larger than this together

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
  size_t block_bytes, tile_blocks, blocks_ahead;
  std::vector<uint32_t> live;
  std::vector<const uint8_t*> ahead;
  Aligned<uint8_t> room;
  bool roomy;

  ListScan(const Level& level, const Codes& codes, size_t room_bytes)
      : level(level),
        codes(codes),
        block_bytes(codes.groups * 16),
        tile_blocks(std::max<size_t>(1, kTileBytes / std::max<size_t>(block_bytes, 64))),
        blocks_ahead(std::min(kAhead, 1 + kAheadBytes / std::max<size_t>(block_bytes, 64))),
        live(tile_blocks),
        ahead(tile_blocks),
        room(room_bytes),
        roomy(room_bytes > 0) {}

  // Rows `begin` to `end`; the scan goes on at row `next`.
  void list(size_t begin, size_t end, size_t next, const ScanQuery* queries, size_t count) {
    const size_t last = (end + kBlock - 1) / kBlock, whole = codes.n_rows / kBlock;
    const size_t n_blocks = (codes.n_rows + kBlock - 1) / kBlock;
    for (size_t block = begin / kBlock; block < last;) {
      const size_t n = block < whole ? std::min({tile_blocks, last - block, whole - block}) : 1;
      for (size_t b = 0; b < n; ++b) {
        live[b] = live_mask(codes, (block + b) * kBlock, begin, end);
        const size_t on = block + b + blocks_ahead;
        const size_t soon = std::min(on < last ? on : next / kBlock + (on - last), n_blocks - 1);
        ahead[b] = codes.blocks + soon * block_bytes;
        __builtin_prefetch(codes.row_scale + soon * kBlock);
      }
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
    level.scan({codes.blocks + block * block_bytes, n, codes.groups, live.data(), ahead.data(),
                reinterpret_cast<const uint8_t*>(scale), offset,
                static_cast<uint32_t>(block * kBlock), roomy ? room.data() : nullptr},
               queries, count);
  }
};

// The numbers whose sums a query's tables are, padded to 64 dimensions, and the sum of all first
// entries; false where a table is anything else.
bool numbers_of(const uint8_t* luts, size_t groups, int8_t* numbers, int32_t* least) {
  *least = 0;
  for (size_t g = 0; g < groups; ++g, luts += 16, numbers += 4) {
    int x[4];
    for (size_t d = 0; d < 4; ++d) {
      x[d] = luts[size_t{1} << d] - luts[0];
      if (x[d] < -128 || x[d] > 127) return false;
      numbers[d] = static_cast<int8_t>(x[d]);
    }
    for (size_t j = 0; j < 16; ++j) {
      int sum = luts[0];
      for (size_t d = 0; d < 4; ++d) sum += j >> d & 1 ? x[d] : 0;
      if (sum != luts[j]) return false;
    }
    *least += luts[0];
  }
  return true;
}

// Which probes are of their query's most promising lists: as many as hold `rows` rows.
std::vector<uint8_t> promising(const Codes& codes, const Queries& queries, const Probes& probes,
                               size_t rows) {
  std::vector<uint8_t> among(static_cast<size_t>(probes.offsets[queries.count]));
  std::vector<std::pair<float, int64_t>> own;  // the least is the most promising
  for (size_t q = 0; q < queries.count; ++q) {
    own.clear();
    for (int64_t p = probes.offsets[q]; p < probes.offsets[q + 1]; ++p) {
      const float base = probes.bases[p];
      own.emplace_back(std::isnan(base) ? std::numeric_limits<float>::infinity() : -base, p);
    }
    auto at = own.begin();
    for (size_t seen = 0; at != own.end() && seen < rows;) {
      const auto next = own.end() - at > kFirst ? at + kFirst : own.end();
      std::partial_sort(at, next, own.end());
      for (; at != next && seen < rows; ++at) {
        const auto l = static_cast<size_t>(probes.lists[at->second]);
        seen += static_cast<size_t>(codes.starts[l + 1] - codes.starts[l]);
        among[static_cast<size_t>(at->second)] = 1;
      }
    }
  }
  return among;
}

// The lists of some probes, each once for all queries that want it.
template <class Some, class At, class List>
void scan_together(const Codes& codes, const Queries& queries, const Probes& probes,
                   const Some& some, const At& at, const List& list) {
  const size_t n_probes = static_cast<size_t>(probes.offsets[queries.count]);
  std::vector<uint32_t> wanting(n_probes);
  std::vector<float> bases(n_probes);
  std::vector<size_t> ends(codes.n_lists + 1);
  std::vector<ScanQuery> scanned;
  const auto each = [&](auto&& use) {
    for (size_t q = 0; q < queries.count; ++q)
      for (auto p = probes.offsets[q]; p < probes.offsets[q + 1]; ++p)
        if (some(p)) use(q, static_cast<size_t>(probes.lists[p]), p);
  };
  each([&](size_t, size_t l, int64_t) { ++ends[l + 1]; });
  for (size_t l = 0; l < codes.n_lists; ++l) ends[l + 1] += ends[l];
  each([&](size_t q, size_t l, int64_t p) {
    wanting[ends[l]] = static_cast<uint32_t>(q);
    bases[ends[l]++] = probes.bases[p];
  });
  for (size_t l = 0, next, p = 0; l < codes.n_lists; l = next) {
    for (next = l + 1; next < codes.n_lists && ends[next] == ends[l];) ++next;
    if (p == ends[l]) continue;
    scanned.clear();
    for (; p < ends[l]; ++p) scanned.push_back(at(wanting[p], bases[p]));
    list(l, next, scanned.data(), scanned.size());
  }
}

}  // namespace

void scan_lists(const Level& level, const Codes& codes, const Queries& queries,
                const Probes& probes, const Wanted& wanted, int64_t* rows, float* estimates,
                int64_t* counts) {
  const size_t keep = wanted.keep;
  const float floor = -std::numeric_limits<float>::infinity();
  std::fill_n(rows, queries.count * keep, int64_t{-1});
  std::fill_n(estimates, queries.count * keep, floor);
  std::fill_n(counts, queries.count, int64_t{0});
  if (!keep || !codes.n_rows || !queries.count) return;

  std::vector<Best> best;
  best.reserve(queries.count);
  for (size_t q = 0; q < queries.count; ++q)
    best.emplace_back(std::min(keep, codes.n_rows), floor, wanted.rank,
                      wanted.doubt ? wanted.doubt[q] : std::numeric_limits<float>::infinity());

  const size_t lut_bytes = codes.groups * 16, stride = (lut_bytes + 63) & ~size_t{63};
  Aligned<uint8_t> memory(queries.count * stride + 64);
  uint8_t* luts = memory.data();
  for (size_t q = 0; q < queries.count; ++q)
    std::memcpy(luts + q * stride, queries.luts + q * lut_bytes, lut_bytes);

  // Some levels multiply with numbers in place of looking up, if all queries of a batch have them.
  const size_t width = (4 * codes.groups + 63) & ~size_t{63};
  bool multiplied = level.scan_room && queries.count > 1;
  std::vector<int8_t> numbers(multiplied ? queries.count * width : 0);
  std::vector<int32_t> least(queries.count);
  for (size_t q = 0; multiplied && q < queries.count; ++q)
    multiplied = numbers_of(queries.luts + q * lut_bytes, codes.groups, numbers.data() + q * width,
                            &least[q]);

  // The most promising lists of each query first, so that few codes of the others are good enough.
  const size_t rows_first = wanted.doubt ? kNear * wanted.rank : kPromising * keep;
  const std::vector<uint8_t> among = promising(codes, queries, probes, rows_first);
  const auto at = [&](size_t q, float base) {
    return ScanQuery{luts + q * stride, queries.scale[q], queries.bias[q], base,
                     &best[q].selection(), multiplied ? numbers.data() + q * width : nullptr,
                     least[q]};
  };
  ListScan scan(level, codes, multiplied ? level.scan_room(codes.groups, queries.count) : 0);
  const auto list = [&](size_t l, size_t next, const ScanQuery* some, size_t count) {
    const auto row = [&](size_t i) { return static_cast<size_t>(codes.starts[i]); };
    scan.list(row(l), row(l + 1), row(next), some, count);
  };
  std::vector<int64_t> own;
  for (const bool first : {true, false}) {
    const auto some = [&](int64_t p) { return among[static_cast<size_t>(p)] == first; };
    if (queries.count > 1) {
      scan_together(codes, queries, probes, some, at, list);
    } else {
      own.clear();
      for (int64_t p = 0; p < probes.offsets[1]; ++p)
        if (some(p)) own.push_back(p);
      for (size_t i = 0; i < own.size(); ++i) {
        const auto next = static_cast<size_t>(probes.lists[own[std::min(i + 1, own.size() - 1)]]);
        const ScanQuery query = at(0, probes.bases[own[i]]);
        list(static_cast<size_t>(probes.lists[own[i]]), next, &query, 1);
      }
    }
    if (first)
      for (Best& one : best) one.settle();
  }

  for (size_t q = 0; q < queries.count; ++q)
    counts[q] = static_cast<int64_t>(best[q].finish(rows + q * keep, estimates + q * keep));
}

}  // namespace bigrain
