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

constexpr size_t kSample = 64;
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

Best::Best(size_t keep, float floor, bool rows_rise)
    : keys_(2 * keep + 48 + kOffered),
      selection_{floor,        keep, 0, keys_.size() - kOffered,
                 keys_.data(), rows_rise ? shrink : shrink_unordered} {}

void Best::settle() {
  if (selection_.count >= selection_.keep) selection_.shrink(selection_);
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
