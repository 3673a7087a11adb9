#include <algorithm>
#include <cmath>

#include "drivers.h"

namespace bigrain {

constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to whole numbers, half to even

static void quantise(const float* values, size_t n, float step, uint8_t* out) {
  for (size_t i = 0; i < n; ++i) {
    const int32_t x = static_cast<int32_t>(values[i] / step + kRound - kRound);
    out[i] = static_cast<uint8_t>(x < 255 ? x : 255);
  }
}

size_t build_luts(const float* queries, size_t n, size_t dim, uint8_t* luts, float* scale,
                  float* bias) {
  const size_t groups = (dim + 3) / 4;
  std::vector<float> table(groups * 16);
  for (size_t q = 0; q < n; ++q, queries += dim, luts += groups * 16) {
    double total = 0;
    for (size_t d = 0; d < dim; ++d) total += std::fabs(static_cast<double>(queries[d]));
    bias[q] = static_cast<float>(-total);
    if (!std::isfinite(bias[q])) return q;
    float widest = 0;
    for (size_t g = 0; g < groups; ++g) {
      float x[4] = {};
      std::copy(queries + 4 * g, queries + std::min(dim, 4 * g + 4), x);
      float least = 0, most = 0;  // of the table: rounding keeps the order of sums
      for (const float one : x) {
        least += one < 0 ? one : 0.0f;
        most += one < 0 ? 0.0f : one;
      }
      widest = std::max(widest, most - least);
      float* t = &table[16 * g];
      const float low[4] = {0, x[0], x[1], x[0] + x[1]};
      for (size_t j = 0; j < 4; ++j) {
        t[j] = low[j] - least;
        t[j + 4] = (low[j] + x[2]) - least;
        t[j + 8] = (low[j] + x[3]) - least;
        t[j + 12] = ((low[j] + x[2]) + x[3]) - least;
      }
    }
    float step = widest / 255.0f;
    if (!(step > 0)) step = 1;
    scale[q] = step * 2;
    quantise(table.data(), table.size(), step, luts);
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
