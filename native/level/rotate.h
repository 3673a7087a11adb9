// FhtKac rotation of 16 vectors side by side, and the sign code. Every operation rounds as in NumPy.
#pragma once
#include "../kernels.h"

namespace {

using bigrain::kTileRows;

inline void butterfly(float* a, float* b, V factor) {
  for (size_t l = 0; l < kTileRows; l += L) {
    const V x = load(a + l), y = load(b + l);
    store(a + l, mul(add(x, y), factor));
    store(b + l, mul(sub(x, y), factor));
  }
}

// Two stages at once: distances h and 2h.
inline void butterfly4(float* p, size_t h) {
  for (size_t l = 0; l < kTileRows; l += L) {
    float* q = p + l;
    const size_t s = h * kTileRows;
    const V a = load(q), b = load(q + s), c = load(q + 2 * s), d = load(q + 3 * s);
    const V ab = add(a, b), a_b = sub(a, b), cd = add(c, d), c_d = sub(c, d);
    store(q, add(ab, cd));
    store(q + s, add(a_b, c_d));
    store(q + 2 * s, sub(ab, cd));
    store(q + 3 * s, sub(a_b, c_d));
  }
}

inline void hadamard(float* x, size_t width, float factor) {
  size_t h = 1;
  for (; 4 * h <= width; h *= 4)
    for (size_t base = 0; base < width; base += 4 * h)
      for (size_t i = base; i < base + h; ++i) butterfly4(x + i * kTileRows, h);
  if (h < width)
    for (size_t i = 0; i < h; ++i)
      butterfly(x + i * kTileRows, x + (i + h) * kTileRows, set1(1.0f));
  for (size_t i = 0; i < width * kTileRows; i += L) store(x + i, mul(load(x + i), set1(factor)));
}

void rotate(float* tile, size_t dim, const float* signs) {
  size_t width = 1;
  while (2 * width <= dim) width *= 2;
  const float factor = static_cast<float>(1.0 / __builtin_sqrt(static_cast<double>(width)));
  const V cos45 = set1(static_cast<float>(0.70710678118654752440));
  const size_t half = dim / 2;
  for (size_t turn = 0; turn < 4; ++turn) {
    for (size_t d = 0; d < dim; ++d)
      for (size_t l = 0; l < kTileRows; l += L) {
        float* p = tile + d * kTileRows + l;
        store(p, mul(load(p), set1(signs[turn * dim + d])));
      }
    hadamard(tile + (turn % 2 ? dim - width : 0) * kTileRows, width, factor);
    if (width < dim)
      for (size_t i = 0; i < half; ++i)
        butterfly(tile + i * kTileRows, tile + (i + half) * kTileRows, cos45);
  }
}

inline uint32_t sign_bits(const float* p, size_t n) {  // up to 16 dimensions
  uint32_t bits = 0;
  for (size_t i = 0; i < n; i += L)
    bits |= greater(n - i >= L ? load(p + i) : load_part(p + i, n - i), 0.0f) << i;
  return bits;
}

inline float absolute_sum(const float* p, size_t n) {
  double part[8] = {};
  size_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (size_t l = 0; l < 8; ++l) part[l] += static_cast<double>(__builtin_fabsf(p[i + l]));
  for (; i < n; ++i) part[0] += static_cast<double>(__builtin_fabsf(p[i]));
  return static_cast<float>(((part[0] + part[1]) + (part[2] + part[3])) +
                            ((part[4] + part[5]) + (part[6] + part[7])));
}

void sign_encode(const float* rows, size_t n, size_t dim, uint8_t* block, float* abs_sum) {
  for (size_t r = 0; r < n; ++r) abs_sum[r] = absolute_sum(rows + r * dim, dim);
  const size_t groups = (dim + 3) / 4;
  for (size_t g = 0; g < groups; g += 4) {
    const size_t width = dim - 4 * g < 16 ? dim - 4 * g : 16;
    uint32_t bits[bigrain::kBlock] = {};
    for (size_t r = 0; r < n; ++r) bits[r] = sign_bits(rows + r * dim + 4 * g, width);
    for (size_t k = 0; k < 4 && g + k < groups; ++k)
      for (size_t j = 0; j < 16; ++j)
        block[16 * (g + k) + j] = static_cast<uint8_t>((bits[j] >> (4 * k) & 15) |
                                                       (bits[j + 16] >> (4 * k) & 15) << 4);
  }
}

}  // namespace
