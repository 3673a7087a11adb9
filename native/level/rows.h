// Exact scores and checksums of byte records.
#pragma once
#include "../kernels.h"

namespace {

using bigrain::Metric;

template <bool Half>
inline V load_numbers(const uint8_t* p, size_t i) {
  if (Half) return load_half(p + 2 * i);
  return load(reinterpret_cast<const float*>(p + 4 * i));
}

template <bool Half>
inline V load_last(const uint8_t* p, size_t i, size_t n) {
  if (Half) return load_half_part(p + 2 * i, n);
  return load_part(reinterpret_cast<const float*>(p + 4 * i), n);
}

template <bool L2>
inline V accumulate(V x, V q, V total) {
  if (!L2) return fma(x, q, total);
  const V difference = sub(x, q);
  return fma(difference, difference, total);
}

template <bool Half, bool L2>
inline float score_row(const uint8_t* record, size_t dim, const float* query) {
  V s[4] = {zero(), zero(), zero(), zero()};
  size_t i = 0;
  for (; i + 4 * L <= dim; i += 4 * L)
    for (size_t k = 0; k < 4; ++k)
      s[k] = accumulate<L2>(load_numbers<Half>(record, i + k * L), load(query + i + k * L), s[k]);
  for (; i + L <= dim; i += L)
    s[0] = accumulate<L2>(load_numbers<Half>(record, i), load(query + i), s[0]);
  if (i < dim)
    s[1] = accumulate<L2>(load_last<Half>(record, i, dim - i), load_part(query + i, dim - i), s[1]);
  const float total = sum(add(add(s[0], s[1]), add(s[2], s[3])));
  return L2 ? -total : total;
}

void score_rows(const uint8_t* records, size_t n, size_t stride, size_t dim, bool half,
                const float* query, Metric metric, float* out) {
  const bool l2 = metric == Metric::l2;
  const auto score = half ? (l2 ? score_row<true, true> : score_row<true, false>)
                          : (l2 ? score_row<false, true> : score_row<false, false>);
  for (size_t r = 0; r < n; ++r) out[r] = score(records + r * stride, dim, query);
}

inline uint64_t word(const uint8_t* p) {  // little-endian
  uint32_t w;
  memcpy(&w, p, 4);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  w = __builtin_bswap32(w);
#endif
  return w;
}

void row_checksums(const uint8_t* records, size_t n, size_t n_bytes, const uint64_t* keys,
                   uint32_t* out) {
  const size_t words = n_bytes / 4, rest = n_bytes % 4;
  for (size_t r = 0; r < n; ++r) {
    const uint8_t* p = records + r * n_bytes;
    uint64_t h[8] = {keys[0]};
    const uint64_t* key = keys + 1;
    size_t i = 0;
    for (; i + 8 <= words; i += 8)
      for (size_t k = 0; k < 8; ++k) h[k] += key[i + k] * word(p + 4 * (i + k));
    for (; i < words; ++i) h[0] += key[i] * word(p + 4 * i);
    if (rest) {
      uint8_t last[4] = {};
      memcpy(last, p + 4 * i, rest);
      h[0] += key[i++] * word(last);
    }
    h[0] += key[i] * static_cast<uint64_t>(n_bytes);
    for (size_t k = 1; k < 8; ++k) h[0] += h[k];
    out[r] = static_cast<uint32_t>(h[0] >> 32);
  }
}

}  // namespace
