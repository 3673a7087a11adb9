#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

#include "drivers.h"

namespace bigrain {

static float score_of(uint64_t key) {  // undoes `offer` (level/select.h)
  uint32_t bits = static_cast<uint32_t>(key >> 32);
  bits ^= bits >> 31 ? 0x80000000u : 0xffffffffu;
  float score;
  std::copy_n(reinterpret_cast<const char*>(&bits), 4, reinterpret_cast<char*>(&score));
  return score;
}

static uint64_t bits_of(float score) {  // as in a key
  uint32_t bits;
  std::copy_n(reinterpret_cast<const char*>(&score), 4, reinterpret_cast<char*>(&bits));
  return bits ^ (bits >> 31 ? 0xffffffffu : 0x80000000u);
}

constexpr size_t kSample = 64;
constexpr size_t kSlack = 48;  // of a buffer, beyond twice what it keeps
constexpr size_t kDealt = 64;  // keys: fewer are sorted as they are
constexpr size_t kBuckets = 1024;

// A key that somewhat more than `keep` of `count` keys exceed, by a sample of them.
static uint64_t pivot_of(const uint64_t* keys, size_t count, size_t keep) {
  uint64_t sample[kSample];
  for (size_t i = 0; i < kSample; ++i) sample[i] = keys[i * count / kSample];
  const size_t at = std::min(kSample - 1, keep * kSample / count + kSample / 8);
  std::nth_element(sample, sample + at, sample + kSample, std::greater<>());
  return sample[at];
}

// Moves keys from `least` on to the front; returns how many. No branch that could be guessed wrong.
static size_t part(uint64_t* keys, size_t count, uint64_t least) {
  size_t left = 0;
  for (size_t i = 0; i < count; ++i) {
    const uint64_t key = keys[i];
    keys[i] = keys[left];
    keys[left] = key;
    left += key >= least;
  }
  return left;
}

static void shrink(Selection& s) {
  uint64_t pivot = pivot_of(s.keys, s.count, s.keep);
  size_t left = part(s.keys, s.count, pivot);
  if (left < s.keep || left > (s.keep + s.capacity) / 2) {
    std::nth_element(s.keys, s.keys + s.keep - 1, s.keys + s.count, std::greater<>());
    left = s.keep;
    pivot = s.keys[s.keep - 1];
  }
  s.count = left;
  s.threshold = score_of(pivot);
}

// A later row may be the smaller one of a tie, so ties must enter.
static void shrink_unordered(Selection& s) {
  shrink(s);
  s.threshold = std::nextafter(s.threshold, -std::numeric_limits<float>::infinity());
}

// What lies further below number `rank` goes first, so that the buffer fits what is left.
static void shrink_within(Selection& s) {
  std::nth_element(s.keys, s.keys + s.rank - 1, s.keys + s.count, std::greater<>());
  const float least = score_of(s.keys[s.rank - 1]) - s.doubt;
  s.count = part(s.keys, s.count, bits_of(least) << 32);
  s.threshold =
      std::max(s.threshold, std::nextafter(least, -std::numeric_limits<float>::infinity()));
  if (s.count > s.keep) shrink_unordered(s);
  s.capacity = std::min(s.room, 2 * s.count + kSlack);
}

Best::Best(size_t keep, float floor, bool rows_rise)
    : keys_(2 * keep + kSlack + kOffered),
      selection_{floor,
                 keep,
                 0,
                 2 * keep + kSlack,
                 keys_.data(),
                 rows_rise ? shrink : shrink_unordered,
                 2 * keep + kSlack,
                 keep,
                 std::numeric_limits<float>::infinity()} {}

Best::Best(size_t keep, float floor, size_t rank, float doubt) : Best(keep, floor, false) {
  if (doubt == selection_.doubt || rank >= keep) return;
  selection_.shrink = shrink_within;
  selection_.capacity = std::min(selection_.room, 2 * rank + kSlack);
  selection_.rank = rank;
  selection_.doubt = doubt;
}

void Best::settle() {
  if (selection_.count >= selection_.rank) selection_.shrink(selection_);
}

// Brings the best `wanted` keys to the front, in falling order. Many are dealt to buckets first, by
// how far they are from the best: comparisons of keys in any order are mostly guessed wrong.
static void sort_best(uint64_t* keys, size_t count, size_t wanted) {
  if (wanted < kDealt) {
    std::partial_sort(keys, keys + wanted, keys + count, std::greater<>());
    return;
  }
  const uint64_t most = *std::max_element(keys, keys + count);
  const uint64_t width = most - *std::min_element(keys, keys + count);
  unsigned shift = 0;
  while (width >> shift >= kBuckets) ++shift;
  const auto bucket = [=](uint64_t key) { return (most - key) >> shift; };
  size_t ends[kBuckets + 1] = {};
  for (size_t i = 0; i < count; ++i) ++ends[bucket(keys[i]) + 1];
  std::partial_sum(ends, ends + kBuckets, ends);
  std::vector<uint64_t> dealt(count);
  for (size_t i = 0; i < count; ++i) dealt[ends[bucket(keys[i])]++] = keys[i];
  for (size_t b = 0, at = 0; at < wanted; at = ends[b++])
    if (ends[b] - at > 1)
      std::sort(&dealt[at], dealt.data() + ends[b], std::greater<>());
  std::copy_n(dealt.data(), wanted, keys);
}

size_t Best::finish(int64_t* rows, float* scores) {
  if (selection_.shrink == shrink_within) settle();
  const size_t count = std::min(selection_.keep, selection_.count);
  uint64_t* keys = keys_.data();
  sort_best(keys, selection_.count, count);
  for (size_t i = 0; i < count; ++i) {
    rows[i] = static_cast<uint32_t>(~keys[i]);
    scores[i] = score_of(keys[i]);
  }
  return count;
}

}  // namespace bigrain
