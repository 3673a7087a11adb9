// The same of tokens in bytes, with AVX512-VNNI. Query tokens are whole numbers 256 h + l in two
// planes of signed bytes, four dimensions of 16 query tokens in a register; a token's bytes are 128
// more than its numbers, so sums begin with -128 times the sum of a plane.
#pragma once
#include "../kernels.h"

namespace {

template <size_t T, size_t P>
inline void byte_dots(const bigrain::BytePanels& panels, size_t first, const uint8_t* tokens,
                      size_t stride, float* out, size_t width) {
  __m512i s[T][P][2];
  for (size_t p = 0; p < P; ++p)
    for (size_t half = 0; half < 2; ++half) {
      const __m512i begin = _mm512_loadu_si512(panels.begin + 16 * (2 * (first + p) + half));
      for (size_t t = 0; t < T; ++t) s[t][p][half] = begin;
    }
  const int8_t* planes = panels.planes + first * panels.groups * 128;
  for (size_t g = 0; g < panels.groups; ++g) {
    __m512i q[P][2];
    for (size_t p = 0; p < P; ++p)
      for (size_t half = 0; half < 2; ++half)
        q[p][half] = _mm512_load_si512(planes + (p * panels.groups + g) * 128 + 64 * half);
    for (size_t t = 0; t < T; ++t) {
      int32_t four;
      memcpy(&four, tokens + t * stride + 4 * g, 4);
      const __m512i x = _mm512_set1_epi32(four);
      for (size_t p = 0; p < P; ++p)
        for (size_t half = 0; half < 2; ++half)
          s[t][p][half] = _mm512_dpbusd_epi32(s[t][p][half], x, q[p][half]);
    }
  }
  for (size_t p = 0; p < P; ++p) {
    const V scale = load(panels.scale + 16 * (first + p));
    for (size_t t = 0; t < T; ++t) {
      const V high = _mm512_cvtepi32_ps(s[t][p][0]), low = _mm512_cvtepi32_ps(s[t][p][1]);
      store(out + t * width + 16 * p, mul(fma(high, set1(256), low), scale));
    }
  }
}

void score_bytes(const bigrain::BytePanels& panels, size_t n_panels, const uint8_t* tokens,
                 size_t stride, size_t n, float* out) {
  const size_t width = 16 * n_panels;
  size_t p = 0;
  for (; p + 2 <= n_panels; p += 2)
    for (size_t t = 0; t < n; t += 4)
      byte_dots<4, 2>(panels, p, tokens + t * stride, stride, out + t * width + 16 * p, width);
  if (p < n_panels)
    for (size_t t = 0; t < n; t += 8)
      byte_dots<8, 1>(panels, p, tokens + t * stride, stride, out + t * width + 16 * p, width);
}

}  // namespace
