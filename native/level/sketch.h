// Sketches of documents: the numbers of the centroids that their tokens lie nearest to.
#pragma once
#include <cstring>

#include "../kernels.h"

namespace {

// Sixteen dot products of each of `count` centroids, less what the tokens' offset of 128 has added.
void narrow_dots(const int32_t* dots, const int32_t* excess, size_t count, unsigned shift,
                 int16_t* out) {
  for (size_t c = 0; c < count; ++c)
    for (size_t j = 0; j < bigrain::kPanel; ++j)
      out[c * bigrain::kPanel + j] =
          static_cast<int16_t>(static_cast<int32_t>(static_cast<uint32_t>(dots[c * bigrain::kPanel + j]) -
                                                    static_cast<uint32_t>(excess[c])) >>
                               shift);
}

// Kept in registers whatever their width: the compiler would store an array in every round.
typedef int16_t Lanes __attribute__((vector_size(2 * bigrain::kPanel)));

inline Lanes row_of(const int16_t* table, uint16_t id) {
  Lanes row;
  memcpy(&row, table + static_cast<size_t>(id) * bigrain::kPanel, sizeof row);
  return row;
}

float best_sum(const int16_t* table, const uint16_t* ids, size_t n, const float* scale) {
  Lanes best = row_of(table, ids[0]);
  for (size_t i = 1; i < n; ++i) {
    const Lanes row = row_of(table, ids[i]);
    best = row > best ? row : best;
  }
  float sums[bigrain::kPanel];
  for (size_t j = 0; j < bigrain::kPanel; ++j) sums[j] = scale[j] * static_cast<float>(best[j]);
  for (size_t half = bigrain::kPanel / 2; half; half /= 2)
    for (size_t j = 0; j < half; ++j) sums[j] += sums[j + half];
  return sums[0];
}

}  // namespace
