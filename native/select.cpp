#include <algorithm>
#include <functional>

#include "drivers.h"

namespace bigrain {

static float score_of(uint64_t key) {  // undoes `offer` (level/select.h)
  uint32_t bits = static_cast<uint32_t>(key >> 32);
  bits ^= bits >> 31 ? 0x80000000u : 0xffffffffu;
  float score;
  std::copy_n(reinterpret_cast<const char*>(&bits), 4, reinterpret_cast<char*>(&score));
  return score;
}

static void shrink(Selection& s) {
  std::nth_element(s.keys, s.keys + s.keep - 1, s.keys + s.count, std::greater<>());
  s.count = s.keep;
  s.threshold = score_of(s.keys[s.keep - 1]);
}

Best::Best(size_t keep, float floor)
    : keys_(2 * keep + 64), selection_{floor, keep, 0, keys_.size(), keys_.data(), shrink} {}

size_t Best::finish(int64_t* rows, float* scores) {
  const size_t count = std::min(selection_.keep, selection_.count);
  uint64_t* keys = keys_.data();
  std::partial_sort(keys, keys + count, keys + selection_.count, std::greater<>());
  for (size_t i = 0; i < count; ++i) {
    rows[i] = static_cast<uint32_t>(~keys[i]);
    scores[i] = score_of(keys[i]);
  }
  return count;
}

}  // namespace bigrain
