// Block-max pruning (Mallia, Suel, Tonellotto: Faster learned sparse retrieval with block-max
// pruning, SIGIR 2024) over posting lists: blocks are visited by falling bound, and left again as
// soon as what is known of them rules them out.
#include "impacts.h"

#include <algorithm>
#include <cstring>
#include <functional>

#include "drivers.h"

namespace bigrain {
namespace {

constexpr size_t kEntryBase = 16;   // entries for every base
constexpr size_t kVisited = 4096;   // blocks scored together
constexpr size_t kRecheck = 6;      // columns after which hopeless blocks are left
constexpr size_t kLeast = 24;       // blocks of the first round
constexpr uint16_t kNone = 0xffff;

size_t padded(size_t n, size_t to) { return (n + to - 1) / to * to; }

// Where the postings of an entry begin.
inline size_t place(const ImpactList& list, size_t entry) {
  const uint8_t* counts = list.counts + entry / kEntryBase * kEntryBase;
  const size_t before = entry % kEntryBase;
  uint64_t low, high;
  memcpy(&low, counts, 8);
  memcpy(&high, counts + 8, 8);
  if (before < 8) {
    low &= (uint64_t{1} << 8 * before) - 1;
    high = 0;
  } else {
    high &= (uint64_t{1} << 8 * (before - 8)) - 1;
  }
  // Counts are at most 32: pairs of bytes add up without a carry, then four sums of 16 bits.
  const uint64_t bytes = 0x00ff00ff00ff00ff;
  const uint64_t sums = (low & bytes) + (low >> 8 & bytes) + (high & bytes) + (high >> 8 & bytes);
  return list.bases[entry / kEntryBase] + (sums * 0x0001000100010001 >> 48);
}

struct Term {
  const ImpactList* list;
  uint32_t factor, bound_factor;
};

struct Visited {
  uint16_t block, slot;
};

struct Scratch {
  std::vector<uint16_t> bounds, largest, ordered, slots, chosen;
  std::vector<uint8_t> seen;
  std::vector<uint32_t> sums;
  std::vector<int32_t> left;  // what the columns to come can add, at most
  std::vector<Visited> visited;
};

Scratch& scratch() {
  static thread_local Scratch mine;
  return mine;
}

class Search {
 public:
  Search(const Level& level, size_t n_rows, size_t keep, uint64_t slack, const uint8_t* live)
      : level_(level),
        n_rows_(n_rows),
        n_blocks_((n_rows + kImpactRows - 1) / kImpactRows),
        keep_(keep),
        slack_(slack),
        live_(live),
        s_(scratch()) {}

  std::vector<Bounded> run(const std::vector<ImpactList>& lists, const ImpactQuery& query) {
    for (size_t i = 0; i < query.n_columns; ++i)
      if (query.factors[i])
        terms_.push_back({&lists[static_cast<size_t>(query.lists[i])], query.factors[i],
                          (query.factors[i] + 31) / 32});
    std::sort(terms_.begin(), terms_.end(),
              [](const Term& a, const Term& b) { return a.factor > b.factor; });
    bound_blocks();
    size_t want = std::max(kLeast, 2 * keep_);
    for (;; want *= 4) {
      const uint16_t least = choose(want);
      for (size_t i = 0; i < s_.chosen.size(); i += kVisited)
        score(s_.chosen.data() + i, std::min(kVisited, s_.chosen.size() - i));
      raise();
      if (least <= needed()) break;
    }
    std::sort(best_.begin(), best_.end(), better);
    return std::move(best_);
  }

 private:
  static bool better(const Bounded& a, const Bounded& b) {
    return a.bound != b.bound ? a.bound > b.bound : a.row < b.row;
  }

  // The least bound of a block that may hold a row to be kept.
  uint16_t needed() const {
    const uint64_t least = threshold_ >> 16;
    return static_cast<uint16_t>(least > terms_.size() ? least - terms_.size() : 0);
  }

  uint32_t live_mask(size_t block) const {
    const size_t first = block * kImpactRows, n = std::min(kImpactRows, n_rows_ - first);
    uint32_t mask = n == 32 ? ~0u : (1u << n) - 1;
    if (live_) {
      uint32_t bits = 0;
      for (size_t i = 0; i < (n + 7) / 8; ++i)
        bits |= static_cast<uint32_t>(live_[first / 8 + i]) << 8 * i;
      mask &= bits;
    }
    return mask;
  }

  void bound_blocks() {
    const size_t n = padded(n_blocks_, 64);
    s_.bounds.resize(1 << 16);  // whatever an id says lies inside
    s_.slots.resize(1 << 16, kNone);
    s_.seen.assign(n_blocks_, 0);
    uint16_t* bounds = s_.bounds.data();
    bounded_ = terms_.size() <= kBoundedColumns;
    if (bounded_) {
      std::vector<const uint8_t*> maxima;
      std::vector<uint16_t> factors;
      for (const Term& t : terms_)
        if (t.list->every_block) {
          maxima.push_back(t.list->maxima);
          factors.push_back(static_cast<uint16_t>(t.bound_factor));
        }
      level_.add_maxima(maxima.data(), factors.data(), maxima.size(), n, bounds);
      for (const Term& t : terms_)
        if (!t.list->every_block) add_filled(*t.list, t.bound_factor, bounds);
    } else {
      std::fill_n(bounds, n_blocks_, kNone);
    }
    std::fill(bounds + n_blocks_, bounds + n, 0);
    if (live_)
      for (size_t b = 0; b < n_blocks_; ++b)
        if (!live_mask(b)) {
          bounds[b] = 0;
          s_.seen[b] = 1;
        }
    s_.largest.resize(n / 32);
  }

  static void add_filled(const ImpactList& list, uint32_t factor, uint16_t* bounds) {
    const uint16_t* ids = list.ids;
    const uint8_t* maxima = list.maxima;
    const auto add = [&](size_t e) {
      bounds[ids[e]] = static_cast<uint16_t>(bounds[ids[e]] + (maxima[e] * factor >> 8));
    };
    size_t e = 0;
    for (; e + 4 <= list.filled; e += 4) add(e), add(e + 1), add(e + 2), add(e + 3);
    for (; e < list.filled; ++e) add(e);
  }

  // Puts about `want` blocks of the highest bounds, or all that are needed, into `chosen`, and
  // returns the least bound that was taken.
  uint16_t choose(size_t want) {
    uint16_t* bounds = s_.bounds.data();
    level_.largest_of_32(bounds, padded(n_blocks_, 64), s_.largest.data());
    uint16_t least = needed();
    if (s_.largest.size() > want) {
      s_.ordered = s_.largest;
      const auto at = s_.ordered.begin() + static_cast<std::ptrdiff_t>(want - 1);
      std::nth_element(s_.ordered.begin(), at, s_.ordered.end(), std::greater<>());
      least = std::max(least, *at);
    }
    s_.chosen.clear();
    for (size_t g = 0; g < s_.largest.size(); ++g)
      if (s_.largest[g] >= least)
        for (size_t b = 32 * g; b < std::min(n_blocks_, 32 * g + 32); ++b)
          if (bounds[b] >= least && !s_.seen[b]) {
            s_.chosen.push_back(static_cast<uint16_t>(b));
            s_.seen[b] = 1;
          }
    return least;
  }

  void add(const ImpactList& list, size_t entry, uint32_t factor, uint32_t* sums) const {
    const size_t begin = place(list, entry), n = list.counts[entry];
    if (begin + n > list.n_postings) return;  // not what `pack_impacts` wrote
    for (const uint16_t *p = list.postings + begin, *end = p + n; p < end; ++p)
      sums[*p >> 11] += (*p & 2047) * factor;
  }

  // Blocks, ascending: the sums of their rows, and of these the ones to be kept.
  void score(const uint16_t* blocks, size_t n) {
    s_.sums.assign(n * kImpactRows, 0);
    s_.left.resize(n);
    s_.visited.clear();
    for (size_t slot = 0; slot < n; ++slot) {
      s_.visited.push_back({blocks[slot], static_cast<uint16_t>(slot)});
      s_.slots[blocks[slot]] = static_cast<uint16_t>(slot);
      s_.left[slot] = s_.bounds[blocks[slot]];
      s_.bounds[blocks[slot]] = 0;
    }
    for (size_t i = 0; i < terms_.size(); ++i) {
      if (i % kRecheck == 0 && bounded_ && threshold_) leave_hopeless();
      if (s_.visited.empty()) break;
      add_column(terms_[i]);
    }
    for (const Visited v : s_.visited) keep_rows(v);
    for (size_t slot = 0; slot < n; ++slot) s_.slots[blocks[slot]] = kNone;
  }

  void leave_hopeless() {
    const uint64_t least = threshold_ >> 16;
    size_t kept = 0;
    for (const Visited v : s_.visited) {
      const uint32_t* sums = s_.sums.data() + v.slot * kImpactRows;
      uint32_t largest = 0;
      for (size_t r = 0; r < kImpactRows; ++r) largest = std::max(largest, sums[r]);
      const int64_t most = (largest >> 16) + 1 + s_.left[v.slot] +
                           static_cast<int64_t>(terms_.size());
      if (most >= static_cast<int64_t>(least))
        s_.visited[kept++] = v;
      else
        s_.slots[v.block] = kNone;
    }
    s_.visited.resize(kept);
  }

  void add_column(const Term& t) {
    const ImpactList& list = *t.list;
    const auto take = [&](size_t entry, size_t slot) {
      s_.left[slot] -= static_cast<int32_t>(list.maxima[entry] * t.bound_factor >> 8);
      add(list, entry, t.factor, s_.sums.data() + slot * kImpactRows);
    };
    if (list.every_block) {
      for (const Visited v : s_.visited)
        if (list.maxima[v.block]) take(v.block, v.slot);
    } else if (list.filled < 12 * s_.visited.size()) {
      for (size_t e = 0; e < list.filled; ++e)
        if (s_.slots[list.ids[e]] != kNone) take(e, s_.slots[list.ids[e]]);
    } else {
      const uint16_t* from = list.ids;
      const uint16_t* const end = list.ids + list.filled;
      for (const Visited v : s_.visited) {
        from = std::lower_bound(from, end, v.block);
        if (from == end) break;
        if (*from == v.block) take(static_cast<size_t>(from - list.ids), v.slot);
      }
    }
  }

  void keep_rows(Visited v) {
    const uint32_t* sums = s_.sums.data() + v.slot * kImpactRows;
    const uint64_t least = std::max<uint64_t>(threshold_, 1);
    for (uint32_t mask = live_mask(v.block); mask; mask &= mask - 1) {
      const auto r = static_cast<uint32_t>(__builtin_ctz(mask));
      if (sums[r] >= least)
        best_.push_back({sums[r], v.block * static_cast<uint32_t>(kImpactRows) + r});
    }
    if (best_.size() >= 8 * keep_ + 256) raise();
  }

  // Raises the threshold to the bound of the best `keep` less the slack.
  void raise() {
    if (best_.size() < keep_) return;
    const auto last = best_.begin() + static_cast<std::ptrdiff_t>(keep_ - 1);
    std::nth_element(best_.begin(), last, best_.end(), better);
    if (last->bound > slack_ + threshold_) threshold_ = last->bound - slack_;
    best_.erase(std::remove_if(best_.begin(), best_.end(),
                               [&](const Bounded& b) { return b.bound < threshold_; }),
                best_.end());
  }

  const Level& level_;
  const size_t n_rows_, n_blocks_, keep_;
  const uint64_t slack_;
  const uint8_t* live_;
  std::vector<Term> terms_;
  std::vector<Bounded> best_;
  uint64_t threshold_ = 0;
  bool bounded_ = true;
  Scratch& s_;
};


template <class T>
T read(const uint8_t* p) {
  T value;
  memcpy(&value, p, sizeof value);
  return value;
}

}  // namespace

ImpactLayout::ImpactLayout(size_t n_rows, size_t filled, size_t n)
    : n_blocks((n_rows + kImpactRows - 1) / kImpactRows),
      entries(0),
      n_postings(n),
      every_block(4 * filled >= n_blocks) {
  entries = every_block ? padded(n_blocks, 64) : padded(filled, kEntryBase);
}

size_t ImpactLayout::bytes() const {
  return 2 * entries + entries / 4 + (every_block ? 0 : 2 * entries) + 2 * n_postings;
}

ImpactList::ImpactList(const uint8_t* data, const ImpactLayout& layout, size_t filled_)
    : every_block(layout.every_block), filled(filled_), n_postings(layout.n_postings) {
  const size_t e = layout.entries;
  maxima = data;
  counts = data + e;
  bases = reinterpret_cast<const uint32_t*>(data + 2 * e);
  ids = reinterpret_cast<const uint16_t*>(data + 2 * e + e / 4);
  postings = ids + (every_block ? 0 : e);
}

size_t filled_blocks(const uint32_t* postings, size_t n) {
  size_t filled = 0;
  for (size_t i = 0; i < n; ++i) filled += !i || postings[i] >> 16 != postings[i - 1] >> 16;
  return filled;
}

void pack_impacts(const uint32_t* postings, size_t n, const ImpactLayout& layout, uint8_t* out) {
  memset(out, 0, layout.bytes());
  const size_t e = layout.entries;
  auto* bases = reinterpret_cast<uint32_t*>(out + 2 * e);
  auto* ids = reinterpret_cast<uint16_t*>(out + 2 * e + e / 4);
  uint16_t* packed = ids + (layout.every_block ? 0 : e);
  if (!layout.every_block) std::fill_n(ids, e, kNone);
  size_t entry = 0;
  for (size_t i = 0; i < n; ++i) {
    const uint32_t block = postings[i] >> 16, impact = postings[i] & 2047;
    if (layout.every_block)
      entry = block;
    else if (i && postings[i - 1] >> 16 != block)
      ++entry;
    if (!layout.every_block) ids[entry] = static_cast<uint16_t>(block);
    out[entry] = std::max(out[entry], static_cast<uint8_t>((impact + 7) / 8));
    ++out[e + entry];
    packed[i] = static_cast<uint16_t>(postings[i]);
  }
  uint32_t total = 0;
  for (size_t i = 0; i < e; ++i) {
    if (i % kEntryBase == 0) bases[i / kEntryBase] = total;
    total += out[e + i];
  }
}

bool sound_impacts(const ImpactList& list, const ImpactLayout& layout, size_t n_rows) {
  size_t total = 0, filled = 0;
  uint32_t before = 0;
  for (size_t i = 0; i < layout.entries; ++i) {
    if (i % kEntryBase == 0 && list.bases[i / kEntryBase] != total) return false;
    if (!list.counts[i] != !list.maxima[i]) return false;
    if (!list.counts[i]) continue;
    const size_t block = list.every_block ? i : list.ids[i];
    if (block >= layout.n_blocks || (filled && !list.every_block && block <= before)) return false;
    if (!list.every_block && i != filled) return false;
    before = static_cast<uint32_t>(block);
    ++filled;
    if (total + list.counts[i] > list.n_postings) return false;
    uint32_t largest = 0;
    for (size_t j = total; j < total + list.counts[i]; ++j) {
      const uint16_t p = list.postings[j];
      if (j > total && p >> 11 <= list.postings[j - 1] >> 11) return false;
      if (!(p & 2047) || (p & 2047) > kLargestImpact) return false;
      if (block * kImpactRows + (p >> 11) >= n_rows) return false;
      largest = std::max<uint32_t>(largest, p & 2047);
    }
    if (list.maxima[i] != (largest + 7) / 8) return false;
    total += list.counts[i];
  }
  return total == list.n_postings && filled == list.filled;
}

std::vector<Bounded> search_impacts(const Level& level, const std::vector<ImpactList>& lists,
                                    size_t n_rows, const ImpactQuery& query, size_t keep,
                                    const uint8_t* live) {
  if (!keep || !n_rows) return {};
  return Search(level, n_rows, keep, query.slack, live).run(lists, query);
}

size_t weights_bytes(size_t n, size_t width) { return 4 * n + padded(width * n, 4) + 4; }

void encode_weights(const Level& level, const uint32_t* columns, const float* weights,
                    const int64_t* ends, size_t n_rows, size_t width, uint8_t* out) {
  std::vector<uint64_t> keys;
  for (size_t row = 0; row < n_rows; ++row) {
    const auto begin = static_cast<size_t>(ends[row]), n = static_cast<size_t>(ends[row + 1]) - begin;
    const size_t size = weights_bytes(n, width) - 4;
    memset(out, 0, size);
    memcpy(out, weights + begin, 4 * n);
    for (size_t i = 0; i < n; ++i) {
      const uint32_t column = columns[begin + i];
      const uint16_t narrow = static_cast<uint16_t>(column);
      if (width == 2)
        memcpy(out + 4 * n + 2 * i, &narrow, 2);
      else
        memcpy(out + 4 * n + 4 * i, &column, 4);
    }
    if (keys.size() < size / 4 + 2) keys = checksum_keys(size / 4 + 2);
    uint32_t checksum;
    level.row_checksums(out, 1, size, size, keys.data(), &checksum);
    memcpy(out + size, &checksum, 4);
    out += size + 4;
  }
}

void decode_weights(const uint8_t* records, const int64_t* places, size_t n, size_t width,
                    uint32_t* columns, float* weights) {
  for (size_t row = 0; row < n; ++row) {
    const uint8_t* at = records + places[row];
    const size_t size = static_cast<size_t>(places[row + 1] - places[row]);
    const size_t m = (size - 4) / (4 + width);
    memcpy(weights, at, 4 * m);
    at += 4 * m;
    for (size_t i = 0; i < m; ++i)
      columns[i] = width == 2 ? read<uint16_t>(at + 2 * i) : read<uint32_t>(at + 4 * i);
    weights += m;
    columns += m;
  }
}

int64_t first_unsound_weights(const Level& level, const uint8_t* records, const int64_t* places,
                              size_t n) {
  std::vector<uint64_t> keys;
  for (size_t row = 0; row < n; ++row) {
    const size_t size = static_cast<size_t>(places[row + 1] - places[row]) - 4;
    const size_t needed = (size + 3) / 4 + 2;
    if (keys.size() < needed) keys = checksum_keys(needed);
    uint32_t checksum;
    level.row_checksums(records + places[row], 1, size, size, keys.data(), &checksum);
    if (checksum != read<uint32_t>(records + places[row] + size)) return static_cast<int64_t>(row);
  }
  return -1;
}

void score_weights(const uint8_t* records, const int64_t* places, size_t width,
                   const uint32_t* columns, const float* weights, const int64_t* queries,
                   const int32_t* record_of, const int32_t* query_of, size_t n_pairs, float* out) {
  constexpr size_t kSlots = 4096;
  // A column's low bits name the first of the query's columns with these bits; the next ones follow.
  std::vector<uint32_t> first(kSlots, 0), next;
  int32_t known = -1;
  for (size_t p = 0; p < n_pairs; ++p) {
    const auto query = static_cast<size_t>(query_of[p]);
    const auto begin = static_cast<size_t>(queries[query]), end = static_cast<size_t>(queries[query + 1]);
    if (query_of[p] != known) {
      if (known >= 0)
        for (auto i = static_cast<size_t>(queries[known]); i < static_cast<size_t>(queries[known + 1]); ++i)
          first[columns[i] % kSlots] = 0;
      known = query_of[p];
      next.assign(end - begin + 1, 0);
      for (size_t i = end; i-- > begin;) {
        next[i - begin + 1] = first[columns[i] % kSlots];
        first[columns[i] % kSlots] = static_cast<uint32_t>(i - begin + 1);
      }
    }
    const auto record = static_cast<size_t>(record_of[p]);
    const uint8_t* at = records + places[record];
    const size_t size = static_cast<size_t>(places[record + 1] - places[record]);
    const size_t n = (size - 4) / (4 + width);
    const auto sum = [&](const auto column_at) {
      double total = 0;
      for (size_t i = 0; i < n; ++i) {
        const uint32_t column = column_at(i);
        for (uint32_t j = first[column % kSlots]; j; j = next[j])
          if (columns[begin + j - 1] == column)
            total += static_cast<double>(read<float>(at + 4 * i)) *
                     static_cast<double>(weights[begin + j - 1]);
      }
      return static_cast<float>(total);
    };
    const uint8_t* names = at + 4 * n;
    out[p] = width == 2 ? sum([names](size_t i) -> uint32_t { return read<uint16_t>(names + 2 * i); })
                        : sum([names](size_t i) { return read<uint32_t>(names + 4 * i); });
  }
}

}  // namespace bigrain
