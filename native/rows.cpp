#include <algorithm>
#include <cmath>

#include "drivers.h"

namespace bigrain {

constexpr size_t kHashed = 64;  // records at a time
constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to whole numbers, half to even

std::vector<uint64_t> checksum_keys(size_t count) {  // splitmix64, lowest bit set
  std::vector<uint64_t> keys(count);
  uint64_t state = 0x6269677261696E31;
  for (uint64_t& key : keys) {
    uint64_t z = state += 0x9E3779B97F4A7C15;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
    z = (z ^ z >> 27) * 0x94D049BB133111EB;
    key = (z ^ z >> 31) | 1;
  }
  return keys;
}

size_t first_damaged(const Level& level, const uint8_t* records, size_t n, size_t stride) {
  const size_t n_bytes = stride - 4;
  const auto keys = checksum_keys((n_bytes + 3) / 4 + 2);
  uint32_t sums[kHashed];
  for (size_t first = 0; first < n; first += kHashed) {
    const size_t count = std::min(kHashed, n - first);
    level.row_checksums(records + first * stride, count, stride, n_bytes, keys.data(), sums);
    for (size_t i = 0; i < count; ++i) {
      const uint8_t* p = records + (first + i) * stride + n_bytes;
      uint32_t stored = 0;  // little-endian
      for (size_t b = 0; b < 4; ++b) stored |= static_cast<uint32_t>(p[b]) << 8 * b;
      if (stored != sums[i]) return first + i;
    }
  }
  return n;
}

size_t quantise_rows(const float* vectors, size_t n, size_t dim, int8_t* rows, float* scale) {
  for (size_t r = 0; r < n; ++r, vectors += dim, rows += dim) {
    float widest = 0;
    bool finite = true;
    for (size_t d = 0; d < dim; ++d) {
      const float size = std::fabs(vectors[d]);
      finite &= std::isfinite(vectors[d]);
      widest = size > widest ? size : widest;
    }
    if (!finite) return r;
    float step = widest / 127.0f;
    if (!(step > 0)) step = 1.0f / 127.0f;
    scale[r] = step;
    for (size_t d = 0; d < dim; ++d) {
      const float x = vectors[d] / step + kRound - kRound;
      rows[d] = static_cast<int8_t>(x > 127.0f ? 127.0f : x < -127.0f ? -127.0f : x);
    }
  }
  return n;
}

}  // namespace bigrain
