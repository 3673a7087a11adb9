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

// Sixteen numbers of `bits` each, the lowest bit first; up to 128 bytes are read.
inline void unpack16(const uint8_t* packed, unsigned bits, uint32_t* out) {
  for (int part = 0; bits <= 25 && part < 2; ++part, packed += bits) {  // with the bits before: 32
    const __m256i i = _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0);
    const __m256i bit = _mm256_mullo_epi32(i, _mm256_set1_epi32(static_cast<int>(bits)));
    const __m256i words = _mm256_i32gather_epi32(reinterpret_cast<const int*>(packed),
                                                 _mm256_srli_epi32(bit, 3), 1);
    const __m256i shifted = _mm256_srlv_epi32(words, _mm256_and_si256(bit, _mm256_set1_epi32(7)));
    _mm256_storeu_si256(
        reinterpret_cast<__m256i*>(out + 8 * part),
        _mm256_and_si256(shifted, _mm256_set1_epi32(static_cast<int>((1u << bits) - 1))));
  }
  for (unsigned i = 0; bits > 25 && i < 16; ++i) {
    uint64_t word;
    memcpy(&word, packed + i * bits / 8, 8);
    out[i] = static_cast<uint32_t>(word >> i * bits % 8 & ((uint64_t{1} << bits) - 1));
  }
}

// values[i] becomes before + (values[0] + 1) + ... + (values[i] + 1); returns the last.
inline uint32_t add_up16(uint32_t* values, uint32_t before) {
  for (int part = 0; part < 2; ++part, values += 8) {
    __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(values));
    x = _mm256_add_epi32(x, _mm256_set1_epi32(1));
    x = _mm256_add_epi32(x, _mm256_slli_si256(x, 4));
    x = _mm256_add_epi32(x, _mm256_slli_si256(x, 8));
    const __m256i low = _mm256_permutevar8x32_epi32(x, _mm256_set1_epi32(3));
    x = _mm256_add_epi32(x, _mm256_blend_epi32(_mm256_setzero_si256(), low, 0xf0));
    x = _mm256_add_epi32(x, _mm256_set1_epi32(static_cast<int>(before)));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(values), x);
    before = values[7];
  }
  return before;
}

inline int lowest_bit(uint32_t x) { return __builtin_ctz(x); }

}  // namespace
