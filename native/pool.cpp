#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "drivers.h"

namespace bigrain {

void pool_tokens(const Level& level, const int32_t* ids, const int64_t* offsets, size_t n,
                 const int8_t* table, size_t dim, const float* scales, float power, bool normalise,
                 float* out) {
  std::vector<int32_t> distinct;
  std::vector<float> weights;
  for (size_t i = 0; i < n; ++i) {
    distinct.assign(ids + offsets[i], ids + offsets[i + 1]);
    std::sort(distinct.begin(), distinct.end());
    weights.clear();
    size_t kept = 0;
    for (size_t t = 0, next; t < distinct.size(); t = next) {
      for (next = t + 1; next < distinct.size() && distinct[next] == distinct[t];) ++next;
      const float count = static_cast<float>(next - t);
      weights.push_back(scales[distinct[t]] * (count == 1 ? 1 : std::pow(count, power)));
      distinct[kept++] = distinct[t];
    }
    level.pool_tokens(distinct.data(), kept, table, dim, weights.data(), normalise, out + i * dim);
  }
}

void maxsim(const Level& level, const float* query, size_t m, size_t dim, const float* tokens,
            const int64_t* offsets, size_t n, float* out) {
  const size_t width = 2 * level.lanes, n_panels = (m + width - 1) / width;
  Aligned<float> memory(n_panels * width * dim);
  float* panels = memory.data();
  for (size_t q = 0; q < m; ++q)
    for (size_t d = 0; d < dim; ++d)
      panels[(q / width * dim + d) * width + q % width] = query[q * dim + d];
  for (size_t i = 0; i < n; ++i) {
    const size_t count = static_cast<size_t>(offsets[i + 1] - offsets[i]);
    out[i] = count ? level.maxsim(panels, m, tokens + static_cast<size_t>(offsets[i]) * dim, count,
                                  dim)
                   : -std::numeric_limits<float>::infinity();
  }
}

}  // namespace bigrain
