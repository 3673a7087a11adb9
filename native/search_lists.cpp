// MaxScore, a window of rows after another, with the sums of a window in the nearest cache.
//
// In a window, a list adds at most the largest impact of its blocks there. Lists whose bounds
// together stay below the k-th best score so far are not essential: a row that only they hold
// cannot win. The impacts of the essential lists are added up. What the others hold is added, too,
// or looked up for the rows that can still win, from the largest bound down, whichever is less
// work. Rows that nothing rules out are scored exactly.
//
// Sums are whole numbers, rounded up, in units of `unit_`; rows are ruled out by them only.
//
// Turtle & Flood, "Query evaluation: strategies and optimizations" (MaxScore); Ding & Suel, "Faster
// top-k document retrieval using block-max indexes".
#include "search_lists.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>

#include "drivers.h"

namespace bigrain {

namespace {

constexpr uint32_t kWindow = 1 << 14;     // rows: 32 KiB of sums
constexpr size_t kPlainSums = 1 << 12;    // with more lists, sums saturate
constexpr size_t kFew = 384;              // postings that are added in the time of one collection
constexpr size_t kSeeds = 64;             // rows more than are wanted, which are scored as they come
constexpr size_t kLookUp = 128;           // postings that are added in the time of one look-up
constexpr double kSlack = 1 - 1e-6;       // more than double and float rounding take together
constexpr uint32_t kMostSum = 0xffff;     // no row that can win has more, were it not saturated

uint64_t key_of(float score, uint32_t row) {  // larger is better; as in level/select.h
  uint32_t bits;
  score += 0.0f;  // -0 becomes +0
  std::memcpy(&bits, &score, 4);
  bits ^= static_cast<uint32_t>(static_cast<int32_t>(bits) >> 31) | 0x80000000u;
  return static_cast<uint64_t>(bits) << 32 | static_cast<uint32_t>(~row);
}

float score_of(uint64_t key) {
  uint32_t bits = static_cast<uint32_t>(key >> 32);
  bits ^= bits >> 31 ? 0x80000000u : 0xffffffffu;
  float score;
  std::memcpy(&score, &bits, 4);
  return score;
}

double norm_of(const Lengths& lengths, uint32_t row) {
  if (!lengths.lengths) return 0;
  const auto* p = static_cast<const uint8_t*>(lengths.lengths);
  const double length = lengths.item_size == 1   ? p[row]
                        : lengths.item_size == 2 ? reinterpret_cast<const uint16_t*>(p)[row]
                                                 : reinterpret_cast<const uint32_t*>(p)[row];
  return lengths.flat + lengths.slope * length;
}

// What a value stands for.
double part_of(const Lengths& lengths, double norm, uint32_t value) {
  if (lengths.lengths) {
    const double count = static_cast<double>(value) + 1;
    return count / (count + norm);
  }
  float number;
  std::memcpy(&number, &value, 4);
  return number;
}

// One list, read at rising rows.
class Cursor {
 public:
  explicit Cursor(const PostingList* list) : list_(list) {}

  void open_window(uint32_t low) {
    seek(low);
    first_ = block_;
  }
  void rewind() { block_ = first_; }

  // The largest impact, and about how many postings, of the blocks that reach into a window.
  uint8_t largest(const Window& window, size_t& n) const {
    uint8_t largest = 0;
    n = 0;
    const auto& blocks = list_->blocks();
    const uint32_t end = window.low + window.width;
    for (size_t b = block_; b < blocks.size() && list_->before(b) + 1 < end; ++b, n += kPostings)
      largest = std::max(largest, blocks[b].largest);
    return largest;
  }
  void add(const Level& level, uint16_t factor, bool saturate, const Window& window) {
    const auto& blocks = list_->blocks();
    const uint32_t end = window.low + window.width;
    for (size_t b = block_; b < blocks.size() && list_->before(b) + 1 < end; ++b) {
      const uint32_t begin = list_->before(b) + 1;
      if (begin >= window.low && blocks[b].last < end) {
        level.add_postings(list_->packed(b), factor, saturate, window);
        continue;
      }
      const uint32_t* rows = hold(level, b);
      const size_t n = list_->length(b);
      const size_t from = begin >= window.low ? 0 : level.count_below(rows, n, window.low);
      const size_t to = blocks[b].last < end ? n : level.count_below(rows, n, end);
      level.add_some(rows + from, list_->impacts(b) + from, to - from, factor, saturate, window);
    }
  }
  // The largest impact of the block that would hold a row, 0 if none would.
  uint8_t largest_at(uint32_t row) {
    seek(row);
    return block_ < list_->blocks().size() && list_->before(block_) + 1 <= row
               ? list_->blocks()[block_].largest
               : 0;
  }
  // The place of a row in the block found by `largest_at`; false if it is not there.
  bool find(const Level& level, uint32_t row, size_t& at) {
    at = level.find_row(hold(level, block_), list_->length(block_), row);
    return at < list_->length(block_);
  }
  uint8_t impact(size_t at) const { return list_->impacts(block_)[at]; }
  uint32_t value(size_t at) const { return list_->value(block_, at); }

 private:
  // Moves to the first block that does not end before a row.
  void seek(uint32_t row) {
    const auto& blocks = list_->blocks();
    for (int step = 0; block_ < blocks.size() && blocks[block_].last < row; ++block_)
      if (++step == 8) {
        block_ = list_->seek(row, block_);
        break;
      }
  }
  const uint32_t* hold(const Level& level, size_t block) {
    if (held_ != block) list_->read_rows(level, held_ = block, rows_);
    return rows_;
  }

  const PostingList* list_;
  size_t block_ = 0, first_ = 0, held_ = SIZE_MAX;
  alignas(64) uint32_t rows_[kPostings];
};

// What a window needs, kept by each thread: fresh memory would cost more than the sums.
struct Buffers {
  alignas(64) uint16_t sums[kWindow] = {};  // 0 between windows
  uint16_t places[kWindow], found[kWindow];
};

class Search {
 public:
  Search(const Level& level, Buffers& buffers, const std::vector<QueryList>& lists,
         const Lengths& lengths, const uint8_t* live, size_t n_rows, size_t k, float floor)
      : level_(level), lengths_(lengths), live_(live), n_rows_(n_rows), k_(k), floor_(floor),
        sums_(buffers.sums), places_(buffers.places), found_(buffers.found),
        window_{buffers.sums, 0, 0} {
    double most = 0, widest = 0;
    for (const QueryList& q : lists)
      if (q.weight > 0) {
        lists_.push_back({Cursor(q.list), q.weight, q.bound, 0});
        most += q.bound * q.list->largest();
        widest = std::max(widest, q.bound);
      }
    saturate_ = lists_.size() > kPlainSums;
    const double room = saturate_ ? kMostSum / 2 : kMostSum - 2.0 * (lists_.size() + 1);
    // Factors are below 2^16.
    unit_ = std::max({most / room, 256 * widest / 65534, std::numeric_limits<double>::min()});
    for (List& list : lists_)
      list.factor = static_cast<uint16_t>(std::ceil(256 * (list.bound / unit_)));
    raise();
  }

  Found run() {
    for (size_t low = 0; low < n_rows_ && !lists_.empty(); low += kWindow) {
      window_.low = static_cast<uint32_t>(low);
      window_.width = static_cast<uint32_t>(std::min<size_t>(kWindow, n_rows_ - low));
      if (!live_ || any_live()) search_window();
    }
    std::sort(best_.begin(), best_.end(), std::greater<>());
    Found found;
    for (const uint64_t key : best_) {
      found.rows.push_back(static_cast<uint32_t>(~key));
      found.scores.push_back(score_of(key));
    }
    return found;
  }

 private:
  struct List {
    Cursor cursor;
    double weight, bound;
    uint16_t factor;
    uint32_t gain(uint32_t impact) const { return (impact * factor >> 8) + 1; }
  };
  struct Present {  // a list in a window
    uint32_t gain, list;
    size_t postings;
    bool operator<(const Present& other) const { return gain < other.gain; }
  };

  // Rows have to exceed this sum; what is below cannot be among the best.
  void raise() {
    const double score = best_.size() == k_ ? score_of(best_.front()) : floor_;
    const double least =
        std::min(score, static_cast<double>(std::numeric_limits<float>::max())) * kSlack;
    above_ = least <= 0 ? 0 : static_cast<uint32_t>(std::min(least / unit_, 4e9));
  }

  bool any_live() const {
    const uint8_t* from = live_ + window_.low / 8;
    return std::any_of(from, from + (window_.width + 7) / 8, [](uint8_t byte) { return byte; });
  }

  void search_window() {
    present_.clear();
    for (size_t t = 0; t < lists_.size(); ++t) {
      lists_[t].cursor.open_window(window_.low);
      size_t n;
      if (const uint8_t largest = lists_[t].cursor.largest(window_, n))
        present_.push_back({lists_[t].gain(largest), static_cast<uint32_t>(t), n});
    }
    std::sort(present_.begin(), present_.end());
    uint32_t rest = 0;  // what the lists that are not essential can add
    size_t others = 0;  // how many these are
    while (others < present_.size() && rest + present_[others].gain <= above_)
      rest += present_[others++].gain;
    if (others == present_.size()) return;
    for (size_t i = others; i < present_.size(); ++i) add(present_[i].list);
    if (!above_) seed(others, rest);
    while (others && present_[others - 1].postings <= kFew) {
      rest -= present_[--others].gain;
      add(present_[others].list);
    }
    size_t count;
    for (;;) {
      const size_t worth = others ? present_[others - 1].postings / kLookUp : kWindow;
      count = level_.collect(window_, limit(rest), worth, places_, found_);
      if (count <= worth) break;
      rest -= present_[--others].gain;
      add(present_[others].list);
    }
    std::memset(sums_, 0, kWindow * sizeof *sums_);
    for (size_t i = 0; i < count; ++i) consider(window_.low + places_[i], found_[i], others, rest);
  }

  uint16_t limit(uint32_t rest) const {
    return static_cast<uint16_t>(above_ > rest ? std::min(above_ - rest, kMostSum) : 0);
  }

  void add(size_t t) {
    lists_[t].cursor.add(level_, lists_[t].factor, saturate_, window_);
  }

  // Scores the rows with the largest sums first, so that there is something to exceed.
  void seed(size_t others, uint32_t rest) {
    const size_t wanted = k_ - best_.size();
    uint32_t low = limit(rest), high = kMostSum;
    if (level_.count_above(window_, static_cast<uint16_t>(low)) <= wanted + kSeeds) return;
    while (low + 1 < high) {
      const uint32_t middle = (low + high) / 2;
      (level_.count_above(window_, static_cast<uint16_t>(middle)) < wanted ? high : low) = middle;
    }
    const size_t count = level_.collect(window_, static_cast<uint16_t>(low), kWindow, places_, found_);
    for (size_t i = 0; i < count; ++i) {
      sums_[places_[i]] = 0;  // what the other lists hold cannot bring it back
      consider(window_.low + places_[i], found_[i], others, rest);
    }
    for (List& list : lists_) list.cursor.rewind();
  }

  void consider(uint32_t row, uint32_t sum, size_t others, uint32_t rest) {
    if (sum + rest <= above_) return;
    if (live_ && !(live_[row / 8] >> row % 8 & 1)) return;
    while (others--) {
      List& list = lists_[present_[others].list];
      rest -= present_[others].gain;
      const uint8_t largest = list.cursor.largest_at(row);
      size_t at;
      if (largest && sum + list.gain(largest) + rest > above_ && list.cursor.find(level_, row, at))
        sum += list.gain(list.cursor.impact(at));
      if (sum + rest <= above_) return;
    }
    offer(row);
  }

  // Scores a row exactly, the lists in the order in which they were given.
  void offer(uint32_t row) {
    const double norm = norm_of(lengths_, row);
    double total = 0;
    for (List& list : lists_) {
      size_t at;
      if (!list.cursor.largest_at(row) || !list.cursor.find(level_, row, at)) continue;
      total += list.weight * part_of(lengths_, norm, list.cursor.value(at));
    }
    const float score = static_cast<float>(total);
    if (!(score > floor_)) return;
    const uint64_t key = key_of(score, row);
    if (best_.size() == k_) {
      if (key < best_.front()) return;
      std::pop_heap(best_.begin(), best_.end(), std::greater<>());
      best_.pop_back();
    }
    best_.push_back(key);
    std::push_heap(best_.begin(), best_.end(), std::greater<>());
    if (best_.size() == k_) raise();
  }

  const Level& level_;
  const Lengths& lengths_;
  const uint8_t* live_;
  size_t n_rows_, k_;
  float floor_;
  std::vector<List> lists_;
  bool saturate_ = false;
  double unit_ = 1;
  uint32_t above_ = 0;          // a row's sum has to be
  std::vector<uint64_t> best_;  // a heap, the worst in front
  std::vector<Present> present_;
  uint16_t *sums_, *places_, *found_;
  Window window_;
};

}  // namespace

Found search_lists(const Level& level, const std::vector<QueryList>& lists,
                   const Lengths& lengths, const uint8_t* live, size_t n_rows, size_t k,
                   float floor) {
  if (!k || !n_rows) return {};
  thread_local std::unique_ptr<Buffers> buffers;
  if (!buffers) buffers = std::make_unique<Buffers>();
  try {
    return Search(level, *buffers, lists, lengths, live, n_rows, k, floor).run();
  } catch (...) {
    buffers.reset();  // its sums may not be 0
    throw;
  }
}

void score_lists(const Level& level, const std::vector<QueryList>& lists, const Lengths& lengths,
                 const uint32_t* rows, size_t n, float* scores) {
  std::vector<double> totals(n);
  alignas(64) uint32_t part[kPostings];
  for (const QueryList& q : lists) {
    size_t held = SIZE_MAX;
    for (size_t i = 0; i < n; ++i) {
      const size_t b = q.list->seek(rows[i]);
      if (b == q.list->blocks().size() || q.list->before(b) + 1 > rows[i]) continue;
      if (b != held) q.list->read_rows(level, held = b, part);
      const size_t at = level.find_row(part, q.list->length(b), rows[i]);
      if (at < q.list->length(b))
        totals[i] +=
            q.weight * part_of(lengths, norm_of(lengths, rows[i]), q.list->value(b, at));
    }
  }
  for (size_t i = 0; i < n; ++i) scores[i] = static_cast<float>(totals[i]);
}

}  // namespace bigrain
