// AVX-512 with VBMI and VNNI: the four tables of 16 dimensions fit in one register, so vpermb looks
// up 64 nibbles and vpdpbusd adds the four results of each row into 32 bits.
#include <cstring>

#include "simd/avx512.h"

namespace {

constexpr size_t kQueries = 8;  // 16 accumulators of 32 registers

// Byte 4 r + g of the result is byte 16 g + r: the four groups of a row come together.
inline __m512i by_row(__m512i codes) {
  const __m512i row = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  const __m512i index = _mm512_add_epi8(_mm512_mullo_epi32(row, _mm512_set1_epi32(0x01010101)),
                                        _mm512_set1_epi32(0x30201000));
  return _mm512_permutexvar_epi8(index, codes);
}

template <size_t N>
struct Sums {
  __m512i low[N], high[N];  // rows 0..15 and 16..31
};

template <size_t N>
inline void add_groups(__m512i codes, const uint8_t* luts, size_t stride, Sums<N>& s) {
  const __m512i nibble = _mm512_set1_epi8(15), one = _mm512_set1_epi8(1);
  const __m512i group = _mm512_set1_epi32(0x30201000);
  const __m512i c = by_row(codes);
  const int and_or = 0xEA;  // (a & b) | c
  const __m512i low = _mm512_ternarylogic_epi32(c, nibble, group, and_or);
  const __m512i high = _mm512_ternarylogic_epi32(_mm512_srli_epi16(c, 4), nibble, group, and_or);
  for (size_t k = 0; k < N; ++k) {
    const __m512i lut = _mm512_load_si512(luts + k * stride);
    s.low[k] = _mm512_dpbusd_epi32(s.low[k], _mm512_permutexvar_epi8(low, lut), one);
    s.high[k] = _mm512_dpbusd_epi32(s.high[k], _mm512_permutexvar_epi8(high, lut), one);
  }
}

template <size_t N>
inline void block_sums(const uint8_t* codes, size_t groups, const uint8_t* luts, size_t stride,
                       int32_t (*sums)[32]) {
  constexpr size_t kChains = N == 1 ? 2 : 1;  // hide the latency of vpdpbusd
  Sums<N> s[kChains];
  for (size_t c = 0; c < kChains; ++c)
    for (size_t k = 0; k < N; ++k) s[c].low[k] = s[c].high[k] = _mm512_setzero_si512();
  size_t g = 0;
  for (; g + 4 * kChains <= groups; g += 4 * kChains)
    for (size_t c = 0; c < kChains; ++c) {
      const size_t at = 16 * (g + 4 * c);
      add_groups<N>(_mm512_loadu_si512(codes + at), luts + at, stride, s[c]);
    }
  for (; g < groups; g += 4) {
    const size_t left = 16 * (groups - g);
    const __mmask64 mask = left >= 64 ? ~0ull : (1ull << left) - 1;
    add_groups<N>(_mm512_maskz_loadu_epi8(mask, codes + 16 * g), luts + 16 * g, stride, s[0]);
  }
  for (size_t k = 0; k < N; ++k) {
    __m512i low = s[0].low[k], high = s[0].high[k];
    if (kChains == 2) {
      low = _mm512_add_epi32(low, s[kChains - 1].low[k]);
      high = _mm512_add_epi32(high, s[kChains - 1].high[k]);
    }
    _mm512_store_si512(sums[k], low);
    _mm512_store_si512(sums[k] + 16, high);
  }
}

}  // namespace

#include "level/table.h"

BIGRAIN_LEVEL(avx512)
