// AVX-512 with VBMI and VNNI: the four tables of 16 dimensions fit in one register, so vpermb looks
// up 64 nibbles and vpdpbusd adds the four results of each row into 32 bits.
#include <cstring>

#include "kernels.h"
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
inline void add_groups(__m512i codes, const bigrain::ScanQuery* queries, size_t at, Sums<N>& s) {
  const __m512i nibble = _mm512_set1_epi8(15), one = _mm512_set1_epi8(1);
  const __m512i group = _mm512_set1_epi32(0x30201000);
  const __m512i c = by_row(codes);
  const int and_or = 0xEA;  // (a & b) | c
  const __m512i low = _mm512_ternarylogic_epi32(c, nibble, group, and_or);
  const __m512i high = _mm512_ternarylogic_epi32(_mm512_srli_epi16(c, 4), nibble, group, and_or);
  for (size_t k = 0; k < N; ++k) {
    const __m512i lut = _mm512_load_si512(queries[k].luts + at);
    s.low[k] = _mm512_dpbusd_epi32(s.low[k], _mm512_permutexvar_epi8(low, lut), one);
    s.high[k] = _mm512_dpbusd_epi32(s.high[k], _mm512_permutexvar_epi8(high, lut), one);
  }
}

template <size_t N>
inline void block_sums(const uint8_t* codes, size_t groups,
                       const bigrain::ScanQuery* queries, int32_t (*sums)[32]) {
  constexpr size_t kChains = N == 1 ? 2 : 1;  // hide the latency of vpdpbusd
  Sums<N> s[kChains];
  for (size_t c = 0; c < kChains; ++c)
    for (size_t k = 0; k < N; ++k) s[c].low[k] = s[c].high[k] = _mm512_setzero_si512();
  size_t g = 0;
  for (; g + 4 * kChains <= groups; g += 4 * kChains)
    for (size_t c = 0; c < kChains; ++c) {
      const size_t at = 16 * (g + 4 * c);
      add_groups<N>(_mm512_loadu_si512(codes + at), queries, at, s[c]);
    }
  for (; g < groups; g += 4) {
    const size_t left = 16 * (groups - g);
    const __mmask64 mask = left >= 64 ? ~0ull : (1ull << left) - 1;
    add_groups<N>(_mm512_maskz_loadu_epi8(mask, codes + 16 * g), queries, 16 * g, s[0]);
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

template <size_t N>
inline void dot_panels(const uint8_t* panel, size_t groups, const int8_t* vectors, int32_t* out) {
  constexpr size_t kChains = N == 1 ? 4 : 1;
  __m512i s[kChains][N];
  for (size_t c = 0; c < kChains; ++c)
    for (size_t k = 0; k < N; ++k) s[c][k] = _mm512_setzero_si512();
  const auto add = [&](size_t g, __m512i* sums) {
    const __m512i rows = _mm512_loadu_si512(panel + 64 * g);
    for (size_t k = 0; k < N; ++k) {
      int32_t four;
      memcpy(&four, vectors + 4 * (k * groups + g), 4);
      sums[k] = _mm512_dpbusd_epi32(sums[k], rows, _mm512_set1_epi32(four));
    }
  };
  size_t g = 0;
  for (; g + kChains <= groups; g += kChains)
    for (size_t c = 0; c < kChains; ++c) add(g + c, s[c]);
  for (; g < groups; ++g) add(g, s[0]);
  for (size_t k = 0; k < N; ++k) {
    __m512i total = s[0][k];
    for (size_t c = 1; c < kChains; ++c) total = _mm512_add_epi32(total, s[c][k]);
    _mm512_storeu_si512(out + 16 * k, total);
  }
}

void dot_panel(const uint8_t* panel, size_t groups, const int8_t* vectors, size_t count,
               int32_t* out) {
  size_t i = 0;
  for (; i + 16 <= count; i += 16)
    dot_panels<16>(panel, groups, vectors + 4 * groups * i, out + 16 * i);
  for (; i + 4 <= count; i += 4)
    dot_panels<4>(panel, groups, vectors + 4 * groups * i, out + 16 * i);
  for (; i < count; ++i) dot_panels<1>(panel, groups, vectors + 4 * groups * i, out + 16 * i);
}

}  // namespace

#include "level/maxsim_bytes.h"
#include "level/table.h"

BIGRAIN_LEVEL(avx512)
