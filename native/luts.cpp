#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "drivers.h"

namespace bigrain {

constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to whole numbers, half to even

static void quantise(const float* values, size_t n, float step, uint8_t* out) {
  for (size_t i = 0; i < n; ++i) {
    const int32_t x = static_cast<int32_t>(values[i] / step + kRound - kRound);
    out[i] = static_cast<uint8_t>(x < 255 ? x : 255);
  }
}

// A number of a query in steps: its four add up to no more than a byte, and each fits in one.
constexpr float kGroup = 253.0f, kNumber = 127.0f;

size_t build_luts(const float* queries, size_t n, size_t dim, uint8_t* luts, float* scale,
                  float* bias) {
  const size_t groups = (dim + 3) / 4;
  std::vector<int32_t> numbers(groups * 4);
  for (size_t q = 0; q < n; ++q, queries += dim, luts += groups * 16) {
    double total = 0;
    float widest = 0, largest = 0;
    for (size_t g = 0; g < groups; ++g) {
      float width = 0;
      for (size_t d = 4 * g; d < std::min(dim, 4 * g + 4); ++d) {
        const float size = std::fabs(queries[d]);
        total += static_cast<double>(size);
        largest = std::max(largest, size);
        width += size;
      }
      widest = std::max(widest, width);
    }
    if (!std::isfinite(static_cast<float>(total))) return q;
    float step = std::max(widest / kGroup, largest / kNumber);
    if (!(step >= std::numeric_limits<float>::min())) step = 1;
    int64_t sum = 0;
    for (size_t d = 0; d < dim; ++d) {
      numbers[d] = static_cast<int32_t>(queries[d] / step + kRound - kRound);
      sum += std::abs(numbers[d]);
    }
    scale[q] = step * 2;
    bias[q] = -(step * static_cast<float>(sum));
    if (!std::isfinite(bias[q])) return q;
    for (size_t g = 0; g < groups; ++g) {
      const int32_t* x = &numbers[4 * g];
      int32_t least = 0;
      for (size_t d = 0; d < 4; ++d) least += std::min(x[d], 0);
      for (int32_t j = 0; j < 16; ++j) {
        int32_t entry = -least;
        for (int32_t d = 0; d < 4; ++d) entry += j >> d & 1 ? x[d] : 0;
        luts[16 * g + static_cast<size_t>(j)] = static_cast<uint8_t>(entry);
      }
    }
  }
  return n;
}

size_t quantise_tables(const float* tables, size_t n, size_t groups, uint8_t* luts, float* step,
                       float* bias) {
  std::vector<float> table(groups * 16);
  for (size_t q = 0; q < n; ++q, tables += groups * 16, luts += groups * 16) {
    double total = 0;
    float widest = 0;
    bool finite = true;
    for (size_t g = 0; g < groups; ++g) {
      const float* in = tables + 16 * g;
      float least = in[0];
      for (size_t j = 0; j < 16; ++j) {
        finite &= std::isfinite(in[j]);
        least = std::min(least, in[j]);
      }
      total += least;
      for (size_t j = 0; j < 16; ++j) {
        table[16 * g + j] = in[j] - least;
        widest = std::max(widest, table[16 * g + j]);
      }
    }
    bias[q] = static_cast<float>(total);
    if (!finite || !std::isfinite(bias[q]) || !std::isfinite(widest)) return q;
    step[q] = widest / 255.0f;
    if (!(step[q] > 0)) step[q] = 1;
    quantise(table.data(), table.size(), step[q], luts);
  }
  return n;
}

}  // namespace bigrain
