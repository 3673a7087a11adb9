#include <algorithm>

#include "drivers.h"

namespace bigrain {

void rotate(const Level& level, const float* vectors, size_t n, size_t dim, const int8_t* signs,
            float* out) {
  const std::vector<float> turns(signs, signs + 4 * dim);
  Aligned<float> memory(dim * kTileRows);
  float* tile = memory.data();
  for (size_t first = 0; first < n; first += kTileRows) {
    const size_t rows = std::min(kTileRows, n - first);
    for (size_t r = 0; r < rows; ++r)
      for (size_t d = 0; d < dim; ++d) tile[d * kTileRows + r] = vectors[(first + r) * dim + d];
    level.rotate(tile, dim, turns.data());
    for (size_t r = 0; r < rows; ++r)
      for (size_t d = 0; d < dim; ++d) out[(first + r) * dim + d] = tile[d * kTileRows + r];
  }
}

void sign_encode(const Level& level, const float* vectors, size_t n, size_t dim, uint8_t* blocks,
                 float* abs_sum) {
  const size_t block_bytes = (dim + 3) / 4 * 16;
  for (size_t first = 0; first < n; first += kBlock)
    level.sign_encode(vectors + first * dim, std::min(kBlock, n - first), dim,
                      blocks + first / kBlock * block_bytes, abs_sum + first);
}

}  // namespace bigrain
