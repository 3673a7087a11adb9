// Sixteen numbers in an AVX-512 register.
#pragma once
#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace {

constexpr size_t L = 16;
using V = __m512;

inline __mmask16 first(size_t n) { return static_cast<__mmask16>((1u << n) - 1); }

inline V zero() { return _mm512_setzero_ps(); }
inline V set1(float x) { return _mm512_set1_ps(x); }
inline V load(const float* p) { return _mm512_loadu_ps(p); }
inline V load_part(const float* p, size_t n) { return _mm512_maskz_loadu_ps(first(n), p); }
inline V load_int(const int32_t* p) { return _mm512_cvtepi32_ps(_mm512_loadu_si512(p)); }
inline V load_i8(const int8_t* p) {
  return _mm512_cvtepi32_ps(
      _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}
inline V load_i8_part(const int8_t* p, size_t n) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(first(n), p)));
}
inline V widen_bf16(__m256i half) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}
inline V load_bf16(const uint8_t* p) {
  return widen_bf16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
inline V load_bf16_part(const uint8_t* p, size_t n) {
  return widen_bf16(_mm256_maskz_loadu_epi16(first(n), p));
}
inline V load_half(const uint8_t* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
inline V load_half_part(const uint8_t* p, size_t n) {
  return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first(n), p));
}
inline void store(float* p, V a) { _mm512_storeu_ps(p, a); }
inline V add(V a, V b) { return _mm512_add_ps(a, b); }
inline V sub(V a, V b) { return _mm512_sub_ps(a, b); }
inline V mul(V a, V b) { return _mm512_mul_ps(a, b); }
inline V div(V a, V b) { return _mm512_div_ps(a, b); }
inline V max(V a, V b) { return _mm512_max_ps(a, b); }
inline V fma(V a, V b, V c) { return _mm512_fmadd_ps(a, b, c); }
inline float sum(V a) { return _mm512_reduce_add_ps(a); }

inline uint32_t greater(V a, float threshold) {  // one bit a lane
  return _mm512_cmp_ps_mask(a, _mm512_set1_ps(threshold), _CMP_GT_OQ);
}

using Sixteen = __m512i;  // numbers of 32 bits
using Last = __m512i;     // one of them, sixteen times

inline Last last_of(uint32_t x) { return _mm512_set1_epi32(static_cast<int>(x)); }
inline void store16(uint32_t* p, Sixteen a) { _mm512_storeu_si512(p, a); }

// Numbers of `bits` each, the lowest bit first; up to 128 bytes are read.
inline Sixteen unpack16(const uint8_t* packed, unsigned bits) {
  if (bits <= 25) {  // and at most 7 bits before: in four bytes
    const __m512i i = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    const __m512i bit = _mm512_mullo_epi32(i, _mm512_set1_epi32(static_cast<int>(bits)));
    const __m512i bytes =
        _mm512_add_epi8(_mm512_shuffle_epi8(_mm512_srli_epi32(bit, 3),
                                            _mm512_set4_epi32(0x0c0c0c0c, 0x08080808, 0x04040404, 0)),
                        _mm512_set1_epi32(0x03020100));
    const __m512i words = _mm512_permutexvar_epi8(bytes, _mm512_loadu_si512(packed));
    const __m512i shifted = _mm512_srlv_epi32(words, _mm512_and_si512(bit, _mm512_set1_epi32(7)));
    return _mm512_and_si512(shifted, _mm512_set1_epi32(static_cast<int>((1u << bits) - 1)));
  }
  __m256i half[2];
  for (int h = 0; h < 2; ++h, packed += bits) {
    const __m512i i = _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0);
    const __m512i bit = _mm512_mullo_epi64(i, _mm512_set1_epi64(bits));
    const __m512i words = _mm512_i64gather_epi64(_mm512_srli_epi64(bit, 3), packed, 1);
    const __m512i shifted = _mm512_srlv_epi64(words, _mm512_and_si512(bit, _mm512_set1_epi64(7)));
    const __m512i mask = _mm512_set1_epi64(static_cast<int64_t>((uint64_t{1} << bits) - 1));
    half[h] = _mm512_cvtepi64_epi32(_mm512_and_si512(shifted, mask));
  }
  return _mm512_inserti64x4(_mm512_castsi256_si512(half[0]), half[1], 1);
}

// gaps[i] becomes last + (gaps[0] + 1) + ... + (gaps[i] + 1); `last` becomes the last of them.
inline Sixteen add_up16(Sixteen gaps, Last& last) {
  const __m512i none = _mm512_setzero_si512();
  __m512i x = _mm512_add_epi32(gaps, _mm512_set1_epi32(1));
  x = _mm512_add_epi32(x, _mm512_alignr_epi32(x, none, 15));
  x = _mm512_add_epi32(x, _mm512_alignr_epi32(x, none, 14));
  x = _mm512_add_epi32(x, _mm512_alignr_epi32(x, none, 12));
  x = _mm512_add_epi32(x, _mm512_alignr_epi32(x, none, 8));
  x = _mm512_add_epi32(x, last);
  last = _mm512_permutexvar_epi32(_mm512_set1_epi32(15), x);
  return x;
}

// One bit a number.
inline uint32_t above32(const uint16_t* p, uint16_t limit) {
  return _mm512_cmpgt_epu16_mask(_mm512_loadu_si512(p),
                                 _mm512_set1_epi16(static_cast<short>(limit)));
}
inline bool any_above128(const uint16_t* p, uint16_t limit) {
  const __m512i a = _mm512_max_epu16(_mm512_loadu_si512(p), _mm512_loadu_si512(p + 32));
  const __m512i b = _mm512_max_epu16(_mm512_loadu_si512(p + 64), _mm512_loadu_si512(p + 96));
  return _mm512_cmpgt_epu16_mask(_mm512_max_epu16(a, b),
                                 _mm512_set1_epi16(static_cast<short>(limit)));
}
inline uint32_t below16(const uint32_t* p, uint32_t x) {
  return _mm512_cmplt_epu32_mask(_mm512_loadu_si512(p), _mm512_set1_epi32(static_cast<int>(x)));
}
inline uint32_t equal16(const uint32_t* p, uint32_t x) {
  return _mm512_cmpeq_epi32_mask(_mm512_loadu_si512(p), _mm512_set1_epi32(static_cast<int>(x)));
}

// The weights (16,) of 64 numbers of 1, 2 or 4 bits each, the lowest first.
inline void expand64(const uint8_t* packed, unsigned bits, const uint8_t* weights, uint8_t* out) {
  const __m512i table =
      _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(weights)));
  __m512i x;
  if (bits == 4) {
    x = _mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(packed)));
    x = _mm512_or_si512(x, _mm512_slli_epi16(x, 4));
    x = _mm512_and_si512(x, _mm512_set1_epi8(15));
  } else if (bits == 2) {
    x = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(packed)));
    x = _mm512_or_si512(x, _mm512_slli_epi32(x, 6));
    x = _mm512_or_si512(x, _mm512_slli_epi32(x, 12));
    x = _mm512_and_si512(x, _mm512_set1_epi8(3));
  } else {
    uint64_t mask;
    memcpy(&mask, packed, 8);
    x = _mm512_maskz_set1_epi8(mask, 1);
  }
  _mm512_storeu_si512(out, _mm512_shuffle_epi8(table, x));
}

// As `add_keys` of level/select.h.
inline size_t add_keys(V scores, uint32_t lanes, uint32_t row, uint64_t* keys) {
  const __m512i lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  const __m512i bits = _mm512_castps_si512(scores);
  const __m512i flip = _mm512_or_si512(_mm512_srai_epi32(bits, 31), _mm512_set1_epi32(INT32_MIN));
  const __mmask16 some = static_cast<__mmask16>(lanes);
  const __m512i high = _mm512_maskz_compress_epi32(some, _mm512_xor_si512(bits, flip));
  const __m512i low = _mm512_maskz_compress_epi32(
      some, _mm512_sub_epi32(_mm512_set1_epi32(static_cast<int>(~row)), lane));
  const auto wide = [](__m256i x) { return _mm512_cvtepu32_epi64(x); };
  const auto key = [&](__m256i h, __m256i l) {
    return _mm512_or_si512(_mm512_slli_epi64(wide(h), 32), wide(l));
  };
  const size_t n = static_cast<size_t>(__builtin_popcount(lanes));
  _mm512_storeu_si512(keys, key(_mm512_castsi512_si256(high), _mm512_castsi512_si256(low)));
  if (n > 8)
    _mm512_storeu_si512(keys + 8, key(_mm512_extracti64x4_epi64(high, 1),
                                      _mm512_extracti64x4_epi64(low, 1)));
  return n;
}

inline int lowest_bit(uint32_t x) { return __builtin_ctz(x); }

}  // namespace
