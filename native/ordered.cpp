// Score at a time (Lin, Trotman: Anytime ranking for impact-ordered indexes, ICTIR 2015): only
// postings that add much are added up, and the rows with the largest sums are kept.
#include "ordered.h"

#include <algorithm>
#include <cstring>
#include <functional>

namespace bigrain {
namespace {

constexpr size_t kTile = 1024;  // rows in 32 groups of 32, whose largest sums are known
constexpr size_t kStride = 32;  // from a row to the next of its group
constexpr size_t kEnough = 8;   // groups for each row to be kept

struct Scratch {
  std::vector<uint16_t> sums;  // 0 between searches
  std::vector<uint16_t> largest, folded, groups, found;
};

Scratch& scratch() {
  static thread_local Scratch mine;
  return mine;
}

void drop_dead(uint16_t* sums, size_t n_rows, const uint8_t* live) {
  for (size_t i = 0; i < (n_rows + 7) / 8; ++i) {
    const uint32_t dead = static_cast<uint8_t>(~live[i]);
    if (dead == 0xff)
      memset(sums + 8 * i, 0, 16);
    else
      for (uint32_t left = dead; left; left &= left - 1) sums[8 * i + __builtin_ctz(left)] = 0;
  }
}

// A sum that at least `keep` rows reach, nearly the largest such; 1 if none is known.
uint16_t reached(Scratch& s, size_t n, size_t keep) {
  s.folded.assign(s.largest.begin(), s.largest.begin() + static_cast<std::ptrdiff_t>(n));
  while (n / 4 >= kEnough * keep) {  // largest of four groups: fewer numbers to choose from
    const size_t part = n / 4, first = n - 3 * part;
    for (size_t i = 0; i < part; ++i) {
      const uint16_t a = std::max(s.folded[i], s.folded[first + i]);
      const uint16_t b = std::max(s.folded[first + part + i], s.folded[first + 2 * part + i]);
      s.folded[i] = std::max(a, b);
    }
    n = first;
  }
  if (n < keep) return 1;
  const auto at = s.folded.begin() + static_cast<std::ptrdiff_t>(keep - 1);
  std::nth_element(s.folded.begin(), at, s.folded.begin() + static_cast<std::ptrdiff_t>(n),
                   std::greater<>());
  return std::max<uint16_t>(*at, 1);
}

bool better(const Bounded& a, const Bounded& b) {
  return a.bound != b.bound ? a.bound > b.bound : a.row < b.row;
}

}  // namespace

void order_impacts(const ImpactList& list, size_t n_rows, uint32_t least,
                   std::vector<uint32_t>& out) {
  const size_t entries = list.every_block ? (n_rows + kImpactRows - 1) / kImpactRows : list.filled;
  std::vector<uint32_t> places(2049, 0);  // by 2047 - impact
  const auto each = [&](const auto& take) {
    size_t at = 0;
    for (size_t e = 0; e < entries; ++e) {
      const size_t block = list.every_block ? e : list.ids[e];
      for (size_t i = 0; i < list.counts[e] && at < list.n_postings; ++i, ++at) {
        const uint32_t posting = list.postings[at], impact = posting & 2047;
        const size_t row = block * kImpactRows + (posting >> 11);
        if (impact >= least && row < n_rows) take(static_cast<uint32_t>(row), impact);
      }
    }
  };
  each([&](uint32_t, uint32_t impact) { ++places[2048 - impact]; });
  for (size_t i = 1; i < places.size(); ++i) places[i] += places[i - 1];
  out.resize(places.back());
  each([&](uint32_t row, uint32_t impact) { out[places[2047 - impact]++] = row << 11 | impact; });
}

std::vector<Bounded> search_ordered(const Level& level, const std::vector<OrderedList>& lists,
                                    size_t n_rows, const OrderedQuery& query, size_t keep,
                                    const uint8_t* live, int64_t& looked) {
  std::vector<Bounded> best;
  if (!keep || !n_rows) return best;
  Scratch& s = scratch();
  const size_t n = (n_rows + kTile - 1) / kTile * kTile, n_groups = n / kStride;
  if (s.sums.size() <= n) s.sums.resize(n + 1);
  uint16_t* sums = s.sums.data();
  for (size_t i = 0; i < query.n_columns; ++i) {
    const OrderedList& list = lists[static_cast<size_t>(query.lists[i])];
    const uint32_t least = query.least[i];
    const uint32_t* end =
        std::partition_point(list.postings, list.postings + list.n,
                             [least](uint32_t posting) { return (posting & 2047) >= least; });
    looked += end - list.postings;
    // What lies beyond the rows is added to one number after them.
    level.add_ordered(list.postings, static_cast<size_t>(end - list.postings), query.factors[i],
                      static_cast<uint32_t>(n), sums);
  }
  if (live) drop_dead(sums, n_rows, live);
  s.largest.assign((n_groups + 127) / 128 * 128, 0);
  level.largest_across_32(sums, n, s.largest.data());
  const uint16_t least = reached(s, n_groups, keep);
  s.groups.resize(s.largest.size());
  s.found.resize(s.largest.size());
  const size_t hit = level.collect({s.largest.data(), 0, s.largest.size()},
                                   static_cast<uint16_t>(least - 1), s.largest.size(),
                                   s.groups.data(), s.found.data());
  for (size_t i = 0; i < hit; ++i) {
    const size_t first = s.groups[i] / kStride * kTile + s.groups[i] % kStride;
    for (size_t row = first; row < std::min(n_rows, first + kTile); row += kStride)
      if (sums[row] >= least) best.push_back({sums[row], static_cast<uint32_t>(row)});
  }
  memset(sums, 0, 2 * (n + 1));
  if (best.size() > keep) {
    std::nth_element(best.begin(), best.begin() + static_cast<std::ptrdiff_t>(keep), best.end(),
                     better);
    best.resize(keep);
  }
  std::sort(best.begin(), best.end(), better);
  return best;
}

}  // namespace bigrain
