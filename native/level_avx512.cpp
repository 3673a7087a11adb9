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

// Where the 64 codes' entries are in the tables of four groups: rows 0..15 and 16..31.
struct Places {
  __m512i low, high;
};

inline Places places(__m512i codes) {
  const __m512i nibble = _mm512_set1_epi8(15), group = _mm512_set1_epi32(0x30201000);
  const int and_or = 0xEA;  // (a & b) | c
  const __m512i c = by_row(codes), shifted = _mm512_srli_epi16(c, 4);
  return {_mm512_ternarylogic_epi32(c, nibble, group, and_or),
          _mm512_ternarylogic_epi32(shifted, nibble, group, and_or)};
}

struct Sums {
  __m512i low = _mm512_setzero_si512(), high = _mm512_setzero_si512();

  void add(const Places& at, const uint8_t* luts) {
    const __m512i lut = _mm512_load_si512(luts), one = _mm512_set1_epi8(1);
    low = _mm512_dpbusd_epi32(low, _mm512_permutexvar_epi8(at.low, lut), one);
    high = _mm512_dpbusd_epi32(high, _mm512_permutexvar_epi8(at.high, lut), one);
  }
  void add(const Sums& other) {
    low = _mm512_add_epi32(low, other.low);
    high = _mm512_add_epi32(high, other.high);
  }
};

template <size_t N>
inline void block_sums(const uint8_t* codes, size_t groups, const bigrain::ScanQuery* queries,
                       const uint8_t* ahead, V (*sums)[2]) {
  constexpr size_t kChains = N == 1 ? 2 : 1;  // hide the latency of vpdpbusd
  Sums s[N][kChains];
  size_t g = 0;
  for (; g + 4 * kChains <= groups; g += 4 * kChains)
    for (size_t c = 0; c < kChains; ++c) {
      const size_t at = 16 * (g + 4 * c);
      _mm_prefetch(ahead + at, _MM_HINT_T0);
      const Places p = places(_mm512_loadu_si512(codes + at));
      for (size_t k = 0; k < N; ++k) s[k][c].add(p, queries[k].luts + at);
    }
  for (; g < groups; g += 4) {
    const size_t left = 16 * (groups - g);
    const __mmask64 mask = left >= 64 ? ~0ull : (1ull << left) - 1;
    const Places p = places(_mm512_maskz_loadu_epi8(mask, codes + 16 * g));
    for (size_t k = 0; k < N; ++k) s[k][0].add(p, queries[k].luts + 16 * g);
  }
  for (size_t k = 0; k < N; ++k) {
    for (size_t c = 1; c < kChains; ++c) s[k][0].add(s[k][c]);
    sums[k][0] = _mm512_cvtepi32_ps(s[k][0].low);
    sums[k][1] = _mm512_cvtepi32_ps(s[k][0].high);
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
