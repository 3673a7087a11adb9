// Eight numbers in an AVX2 register.
#pragma once
#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace {

constexpr size_t L = 8;
using V = __m256;

inline V zero() { return _mm256_setzero_ps(); }
inline V set1(float x) { return _mm256_set1_ps(x); }
inline V load(const float* p) { return _mm256_loadu_ps(p); }
inline V load_part(const float* p, size_t n) {
  float part[L] = {};
  memcpy(part, p, 4 * n);
  return load(part);
}
inline V load_int(const int32_t* p) {
  return _mm256_cvtepi32_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
inline V load_i8(const int8_t* p) {
  return _mm256_cvtepi32_ps(
      _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
}
inline V load_i8_part(const int8_t* p, size_t n) {
  int8_t part[L] = {};
  memcpy(part, p, n);
  return load_i8(part);
}
inline V load_bf16(const uint8_t* p) {
  const __m128i half = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
}
inline V load_bf16_part(const uint8_t* p, size_t n) {
  uint8_t part[2 * L] = {};
  memcpy(part, p, 2 * n);
  return load_bf16(part);
}
inline V load_half(const uint8_t* p) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
inline V load_half_part(const uint8_t* p, size_t n) {
  uint8_t part[2 * L] = {};
  memcpy(part, p, 2 * n);
  return load_half(part);
}
inline void store(float* p, V a) { _mm256_storeu_ps(p, a); }
inline V add(V a, V b) { return _mm256_add_ps(a, b); }
inline V sub(V a, V b) { return _mm256_sub_ps(a, b); }
inline V mul(V a, V b) { return _mm256_mul_ps(a, b); }
inline V div(V a, V b) { return _mm256_div_ps(a, b); }
inline V max(V a, V b) { return _mm256_max_ps(a, b); }
inline V fma(V a, V b, V c) { return _mm256_fmadd_ps(a, b, c); }

inline float sum(V a) {
  __m128 x = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  x = _mm_add_ps(x, _mm_movehl_ps(x, x));
  return _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)));
}

inline uint32_t greater(V a, float threshold) {  // one bit a lane
  return static_cast<uint32_t>(
      _mm256_movemask_ps(_mm256_cmp_ps(a, _mm256_set1_ps(threshold), _CMP_GT_OQ)));
}

struct Sixteen {  // numbers of 32 bits
  __m256i half[2];
};
using Last = __m256i;  // one of them, eight times

inline Last last_of(uint32_t x) { return _mm256_set1_epi32(static_cast<int>(x)); }
inline void store16(uint32_t* p, Sixteen a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), a.half[0]);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p + 8), a.half[1]);
}

// Numbers of `bits` each, the lowest bit first; up to 128 bytes are read.
inline Sixteen unpack16(const uint8_t* packed, unsigned bits) {
  Sixteen out;
  for (int h = 0; bits <= 25 && h < 2; ++h, packed += bits) {  // and at most 7 bits before: 32
    const __m256i i = _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0);
    const __m256i bit = _mm256_mullo_epi32(i, _mm256_set1_epi32(static_cast<int>(bits)));
    const __m256i words = _mm256_i32gather_epi32(reinterpret_cast<const int*>(packed),
                                                 _mm256_srli_epi32(bit, 3), 1);
    const __m256i shifted = _mm256_srlv_epi32(words, _mm256_and_si256(bit, _mm256_set1_epi32(7)));
    out.half[h] =
        _mm256_and_si256(shifted, _mm256_set1_epi32(static_cast<int>((1u << bits) - 1)));
  }
  if (bits > 25) {
    uint32_t each[16];
    for (unsigned i = 0; i < 16; ++i) {
      uint64_t word;
      memcpy(&word, packed + i * bits / 8, 8);
      each[i] = static_cast<uint32_t>(word >> i * bits % 8 & ((uint64_t{1} << bits) - 1));
    }
    memcpy(&out, each, sizeof each);
  }
  return out;
}

// gaps[i] becomes last + (gaps[0] + 1) + ... + (gaps[i] + 1); `last` becomes the last of them.
inline Sixteen add_up16(Sixteen gaps, Last& last) {
  for (__m256i& x : gaps.half) {
    x = _mm256_add_epi32(x, _mm256_set1_epi32(1));
    x = _mm256_add_epi32(x, _mm256_slli_si256(x, 4));
    x = _mm256_add_epi32(x, _mm256_slli_si256(x, 8));
    const __m256i low = _mm256_permutevar8x32_epi32(x, _mm256_set1_epi32(3));
    x = _mm256_add_epi32(x, _mm256_blend_epi32(_mm256_setzero_si256(), low, 0xf0));
    x = _mm256_add_epi32(x, last);
    last = _mm256_permutevar8x32_epi32(x, _mm256_set1_epi32(7));
  }
  return gaps;
}

// One bit a number.
inline uint32_t above32(const uint16_t* p, uint16_t limit) {
  __m256i over[2];
  for (int half = 0; half < 2; ++half)
    over[half] = _mm256_cmpeq_epi16(
        _mm256_setzero_si256(),
        _mm256_subs_epu16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 16 * half)),
                          _mm256_set1_epi16(static_cast<short>(limit))));
  const __m256i packed = _mm256_permute4x64_epi64(_mm256_packs_epi16(over[0], over[1]), 0xd8);
  return ~static_cast<uint32_t>(_mm256_movemask_epi8(packed));
}
inline bool any_above128(const uint16_t* p, uint16_t limit) {
  __m256i most = _mm256_setzero_si256();
  for (int i = 0; i < 128; i += 16)
    most = _mm256_max_epu16(most, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + i)));
  const __m256i over = _mm256_subs_epu16(most, _mm256_set1_epi16(static_cast<short>(limit)));
  return !_mm256_testz_si256(over, over);
}
inline uint32_t below16(const uint32_t* p, uint32_t x) {
  uint32_t mask = 0;
  const __m256i top = _mm256_set1_epi32(INT32_MIN), least = _mm256_set1_epi32(static_cast<int>(x));
  for (int half = 0; half < 2; ++half) {
    const __m256i y = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 8 * half));
    const __m256i hit = _mm256_cmpgt_epi32(_mm256_xor_si256(least, top), _mm256_xor_si256(y, top));
    mask |= static_cast<uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(hit))) << 8 * half;
  }
  return mask;
}
inline uint32_t equal16(const uint32_t* p, uint32_t x) {
  uint32_t mask = 0;
  for (int half = 0; half < 2; ++half) {
    const __m256i y = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 8 * half));
    const __m256i hit = _mm256_cmpeq_epi32(y, _mm256_set1_epi32(static_cast<int>(x)));
    mask |= static_cast<uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(hit))) << 8 * half;
  }
  return mask;
}

// The weights (16,) of 64 numbers of 1, 2 or 4 bits each, the lowest first.
inline void expand64(const uint8_t* packed, unsigned bits, const uint8_t* weights, uint8_t* out) {
  const __m256i table =
      _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(weights)));
  for (int half = 0; half < 2; ++half, packed += 4 * bits, out += 32) {
    __m256i x;
    if (bits == 4) {
      x = _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(packed)));
      x = _mm256_or_si256(x, _mm256_slli_epi16(x, 4));
      x = _mm256_and_si256(x, _mm256_set1_epi8(15));
    } else if (bits == 2) {
      x = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(packed)));
      x = _mm256_or_si256(x, _mm256_slli_epi32(x, 6));
      x = _mm256_or_si256(x, _mm256_slli_epi32(x, 12));
      x = _mm256_and_si256(x, _mm256_set1_epi8(3));
    } else {
      int32_t word;
      memcpy(&word, packed, 4);
      const __m256i byte = _mm256_set_epi64x(0x0303030303030303, 0x0202020202020202,
                                             0x0101010101010101, 0);
      const __m256i bit = _mm256_set1_epi64x(static_cast<long long>(0x8040201008040201));
      x = _mm256_and_si256(_mm256_shuffle_epi8(_mm256_set1_epi32(word), byte), bit);
      x = _mm256_and_si256(_mm256_cmpeq_epi8(x, bit), _mm256_set1_epi8(1));
    }
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), _mm256_shuffle_epi8(table, x));
  }
}

inline int lowest_bit(uint32_t x) { return __builtin_ctz(x); }

}  // namespace
