// Four numbers in the compiler's own vector type: SSE2, NEON or whatever the processor always has.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace {

constexpr size_t L = 4;
typedef float V __attribute__((vector_size(16)));

inline V zero() { return V{}; }
inline V set1(float x) { return V{x, x, x, x}; }
inline V load(const float* p) {
  V a;
  memcpy(&a, p, sizeof a);
  return a;
}
inline V load_part(const float* p, size_t n) {
  V a{};
  memcpy(&a, p, 4 * n);
  return a;
}
template <class T>
inline V convert(const T* p) {
  return V{static_cast<float>(p[0]), static_cast<float>(p[1]), static_cast<float>(p[2]),
           static_cast<float>(p[3])};
}
inline V load_int(const int32_t* p) { return convert(p); }
inline V load_i8(const int8_t* p) {
  typedef int32_t I __attribute__((vector_size(16)));
  uint32_t four;
  memcpy(&four, p, 4);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  four = __builtin_bswap32(four);
#endif
  const I x = {static_cast<int32_t>(four << 24), static_cast<int32_t>(four << 16),
               static_cast<int32_t>(four << 8), static_cast<int32_t>(four)};
  return __builtin_convertvector(x >> 24, V);
}
inline void store(float* p, V a) { memcpy(p, &a, sizeof a); }
inline V add(V a, V b) { return a + b; }
inline V sub(V a, V b) { return a - b; }
inline V mul(V a, V b) { return a * b; }
inline V div(V a, V b) { return a / b; }
inline V max(V a, V b) { return a > b ? a : b; }
inline V fma(V a, V b, V c) { return a * b + c; }
inline float sum(V a) { return (a[0] + a[2]) + (a[1] + a[3]); }

inline uint32_t greater(V a, float threshold) {  // one bit a lane
  const auto mask = a > set1(threshold);
  return static_cast<uint32_t>((mask[0] & 1) | (mask[1] & 2) | (mask[2] & 4) | (mask[3] & 8));
}

inline V load_i8_part(const int8_t* p, size_t n) {
  int8_t part[L] = {};
  memcpy(part, p, n);
  return load_i8(part);
}
inline V load_bf16_part(const uint8_t* p, size_t n) {
  typedef uint32_t U __attribute__((vector_size(16)));
  uint16_t half[L] = {};
  memcpy(half, p, 2 * n);
  const U h = {half[0], half[1], half[2], half[3]};
  return reinterpret_cast<V>(h << 16);
}
inline V load_bf16(const uint8_t* p) { return load_bf16_part(p, L); }

inline V load_half_part(const uint8_t* p, size_t n) {
  typedef int32_t I __attribute__((vector_size(16)));
  uint16_t half[L] = {};
  memcpy(half, p, 2 * n);
  const I h = {half[0], half[1], half[2], half[3]};
  const V magnitude = reinterpret_cast<V>((h & 0x7fff) << 13) * 0x1p112f;  // moves the exponent
  const I infinite = ((h & 0x7c00) == 0x7c00) & 0x7f800000;                // or NaN
  return reinterpret_cast<V>(reinterpret_cast<I>(magnitude) | infinite | (h & 0x8000) << 16);
}
inline V load_half(const uint8_t* p) { return load_half_part(p, L); }

struct Sixteen {
  uint32_t each[16];
};
using Last = uint32_t;

inline Last last_of(uint32_t x) { return x; }
inline void store16(uint32_t* p, const Sixteen& a) { memcpy(p, a.each, sizeof a); }

// Numbers of `bits` each, the lowest bit first; up to 128 bytes are read.
inline Sixteen unpack16(const uint8_t* packed, unsigned bits) {
  Sixteen out;
  for (unsigned i = 0; i < 16; ++i) {
    uint64_t word;
    memcpy(&word, packed + i * bits / 8, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    out.each[i] = static_cast<uint32_t>(word >> i * bits % 8 & ((uint64_t{1} << bits) - 1));
  }
  return out;
}

// gaps[i] becomes last + (gaps[0] + 1) + ... + (gaps[i] + 1); `last` becomes the last of them.
inline Sixteen add_up16(Sixteen gaps, Last& last) {
  for (uint32_t& x : gaps.each) last = x += last + 1;
  return gaps;
}

// One bit a number.
template <class T, class Test>
inline uint64_t bits_where(const T* p, unsigned n, Test test) {
  uint64_t mask = 0;
  for (unsigned i = 0; i < n; ++i) mask |= static_cast<uint64_t>(test(p[i])) << i;
  return mask;
}
inline uint32_t above32(const uint16_t* p, uint16_t limit) {
  return static_cast<uint32_t>(bits_where(p, 32, [limit](uint16_t x) { return x > limit; }));
}
inline bool any_above128(const uint16_t* p, uint16_t limit) {
  uint16_t most = 0;
  for (unsigned i = 0; i < 128; ++i) most = p[i] > most ? p[i] : most;
  return most > limit;
}
inline uint32_t below16(const uint32_t* p, uint32_t x) {
  return static_cast<uint32_t>(bits_where(p, 16, [x](uint32_t y) { return y < x; }));
}
inline uint32_t equal16(const uint32_t* p, uint32_t x) {
  return static_cast<uint32_t>(bits_where(p, 16, [x](uint32_t y) { return y == x; }));
}

// The weights (16,) of 64 numbers of 1, 2 or 4 bits each, the lowest first.
inline void expand64(const uint8_t* packed, unsigned bits, const uint8_t* weights, uint8_t* out) {
  for (unsigned i = 0; i < 64; ++i)
    out[i] = weights[packed[i * bits / 8] >> i * bits % 8 & ((1u << bits) - 1)];
}

inline int lowest_bit(uint32_t x) { return __builtin_ctz(x); }

}  // namespace
