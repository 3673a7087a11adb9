// Plain C++: no special instructions, valid on every processor.
#include "kernels.h"
#include "simd/baseline.h"

namespace {

constexpr size_t kQueries = 1;

template <size_t N>
inline void block_sums(const uint8_t* codes, size_t groups,
                       const bigrain::ScanQuery* queries, const uint8_t*, V (*sums)[8]) {
  for (size_t k = 0; k < N; ++k) {
    int32_t s[32] = {};
    for (size_t g = 0; g < groups; ++g) {
      const uint8_t* lut = queries[k].luts + 16 * g;
      for (size_t j = 0; j < 16; ++j) {
        s[j] += lut[codes[16 * g + j] & 15];
        s[j + 16] += lut[codes[16 * g + j] >> 4];
      }
    }
    for (size_t i = 0; i < 8; ++i) sums[k][i] = load_int(s + L * i);
  }
}

void dot_panel(const uint8_t* panel, size_t groups, const int8_t* vectors, size_t count,
               int32_t* out) {
  for (size_t i = 0; i < count; ++i, vectors += 4 * groups, out += bigrain::kPanel) {
    for (size_t j = 0; j < bigrain::kPanel; ++j) out[j] = 0;
    for (size_t g = 0; g < groups; ++g)
      for (size_t j = 0; j < 4 * bigrain::kPanel; ++j)
        out[j / 4] += panel[4 * bigrain::kPanel * g + j] * vectors[4 * g + j % 4];
  }
}

constexpr decltype(bigrain::Level::score_bytes) score_bytes = nullptr;

}  // namespace

#include "level/table.h"

BIGRAIN_LEVEL(baseline)
