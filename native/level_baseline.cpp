// Plain C++: no special instructions, valid on every processor.
#include "simd/baseline.h"

namespace {

constexpr size_t kQueries = 1;

template <size_t N>
inline void block_sums(const uint8_t* codes, size_t groups, const uint8_t* luts, size_t stride,
                       int32_t (*sums)[32]) {
  for (size_t k = 0; k < N; ++k) {
    for (size_t j = 0; j < 32; ++j) sums[k][j] = 0;
    for (size_t g = 0; g < groups; ++g) {
      const uint8_t* lut = luts + k * stride + 16 * g;
      for (size_t j = 0; j < 16; ++j) {
        sums[k][j] += lut[codes[16 * g + j] & 15];
        sums[k][j + 16] += lut[codes[16 * g + j] >> 4];
      }
    }
  }
}

}  // namespace

#include "level/table.h"

BIGRAIN_LEVEL(baseline)
