// Dot products of a document's tokens with query tokens, side by side in panels of L.
#pragma once
#include "../kernels.h"

namespace {

template <size_t T, size_t P>  // T tokens, P panels
inline void float_dots(const float* panels, size_t dim, const float* tokens, size_t stride,
                       float* out, size_t width) {
  V s[T][P];
  for (size_t t = 0; t < T; ++t)
    for (size_t p = 0; p < P; ++p) s[t][p] = zero();
  for (size_t d = 0; d < dim; ++d) {
    V q[P];
    for (size_t p = 0; p < P; ++p) q[p] = load(panels + (p * dim + d) * L);
    for (size_t t = 0; t < T; ++t) {
      const V x = set1(tokens[t * stride + d]);
      for (size_t p = 0; p < P; ++p) s[t][p] = fma(x, q[p], s[t][p]);
    }
  }
  for (size_t t = 0; t < T; ++t)
    for (size_t p = 0; p < P; ++p) store(out + t * width + p * L, s[t][p]);
}

void score_floats(const float* panels, size_t n_panels, size_t dim, const float* tokens,
                  size_t stride, size_t n, float* out) {
  constexpr size_t kTogether = L == 16 ? 8 : 4;
  const size_t width = n_panels * L;
  size_t p = 0;
  for (; p + 2 <= n_panels; p += 2)
    for (size_t t = 0; t < n; t += kTogether)
      float_dots<kTogether, 2>(panels + p * dim * L, dim, tokens + t * stride, stride,
                               out + t * width + p * L, width);
  if (p < n_panels)
    for (size_t t = 0; t < n; t += 8)
      float_dots<8, 1>(panels + p * dim * L, dim, tokens + t * stride, stride,
                       out + t * width + p * L, width);
}

template <bool kBase>
inline void settle_tokens(float* scores, size_t n, size_t width, const float* factors, float unit,
                          const float* const* bases, float* best) {
  for (size_t t = 0; t < n; ++t, scores += width) {
    const V factor = set1(kBase ? factors[t] : factors[t] * unit), u = set1(unit);
    for (size_t j = 0; j < width; j += L) {
      V x = load(scores + j);
      if (kBase) x = fma(x, u, load(bases[t] + j));
      x = mul(x, factor);
      store(scores + j, x);
      store(best + j, max(load(best + j), x));
    }
  }
}

void settle(float* scores, size_t n, size_t width, const float* factors, float unit,
            const float* const* bases, float* best) {
  if (bases)
    settle_tokens<true>(scores, n, width, factors, unit, bases, best);
  else if (factors)
    settle_tokens<false>(scores, n, width, factors, unit, bases, best);
  else
    for (size_t t = 0; t < n; ++t)
      for (size_t j = 0; j < width; j += L)
        store(best + j, max(load(best + j), load(scores + t * width + j)));
}

void expand_codes(const uint8_t* codes, size_t dim, unsigned bits, const uint8_t* weights,
                  uint8_t* out) {
  size_t i = 0;
  for (; i + 64 <= dim; i += 64) expand64(codes + i * bits / 8, bits, weights, out + i);
  if (i == dim) return;
  uint8_t last[32] = {};
  memcpy(last, codes + i * bits / 8, ((dim - i) * bits + 7) / 8);
  expand64(last, bits, weights, out + i);
}

void widen_i8(const int8_t* numbers, size_t dim, float* out) {
  for (size_t i = 0; i < dim; i += L) store(out + i, load_i8(numbers + i));
}

void widen_half(const uint8_t* numbers, size_t dim, float* out) {
  size_t i = 0;
  for (; i + L <= dim; i += L) store(out + i, load_half(numbers + 2 * i));
  if (i < dim) store(out + i, load_half_part(numbers + 2 * i, dim - i));
}

}  // namespace
