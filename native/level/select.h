// Offering scores to a Selection.
#pragma once
#include "../kernels.h"

namespace {

using bigrain::Selection;
static_assert(L <= bigrain::kOffered, "keys of a vector");

// Writes the keys of some lanes of the scores of rows `row` and after; returns how many. Up to
// kOffered are overwritten. Vectors that can do it at once have an overload of their own.
template <class Scores>
inline size_t add_keys(Scores scores, uint32_t lanes, uint32_t row, uint64_t* keys) {
  float value[L];
  store(value, scores);
  size_t n = 0;
  for (; lanes; lanes &= lanes - 1) {
    const int lane = lowest_bit(lanes);
    uint32_t bits;
    memcpy(&bits, &value[lane], 4);
    bits ^= static_cast<uint32_t>(static_cast<int32_t>(bits) >> 31) | 0x80000000u;
    keys[n++] =
        static_cast<uint64_t>(bits) << 32 | static_cast<uint32_t>(~(row + static_cast<uint32_t>(lane)));
  }
  return n;
}

// `candidates`: the lanes of scores[0..L) that are live and above the threshold.
inline void offer(Selection& s, V scores, uint32_t candidates, uint32_t row) {
  if (!candidates) return;
  scores = add(scores, zero());  // -0 becomes +0: they are ties
  s.count += add_keys(scores, candidates, row, s.keys + s.count);
  if (s.count >= s.capacity) s.shrink(s);
}

inline uint32_t live_bits(const uint8_t* live, size_t row, size_t n) {  // up to L rows
  if (L < 8) return static_cast<uint32_t>(live[row / 8] >> row % 8);
  uint32_t bits = 0;
  for (size_t i = 0; i < n; i += 8) bits |= static_cast<uint32_t>(live[(row + i) / 8]) << i;
  return bits;
}

inline void select_scores(const float* scores, size_t n, const uint8_t* live, Selection& s) {
  for (size_t i = 0; i < n; i += L) {
    const size_t width = n - i < L ? n - i : L;
    const V x = width == L ? load(scores + i) : load_part(scores + i, width);
    uint32_t hits = greater(x, s.threshold) & static_cast<uint32_t>((1u << width) - 1);
    if (hits && live) hits &= live_bits(live, i, width);
    offer(s, x, hits, static_cast<uint32_t>(i));
  }
}

}  // namespace
