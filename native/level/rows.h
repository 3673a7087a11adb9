// Exact scores and checksums of byte records.
#pragma once
#include "../kernels.h"

namespace {

using bigrain::Metric;
using bigrain::Numbers;

inline uint32_t word(const uint8_t* p) {  // little-endian
  uint32_t w;
  memcpy(&w, p, 4);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  w = __builtin_bswap32(w);
#endif
  return w;
}

// The numbers of a row as a level reads them, `i` from the first, `n` the rest of the row.
template <Numbers kind>
struct Row {
  const uint8_t* p;
  V scale;
  explicit Row(const uint8_t* record) : p(record), scale(zero()) {
    if (kind != Numbers::i8) return;
    const uint32_t bits = word(record);
    float s;
    memcpy(&s, &bits, 4);
    scale = set1(s);
    p = record + 4;
  }
  V at(size_t i) const {
    if (kind == Numbers::f16) return load_half(p + 2 * i);
    if (kind == Numbers::bf16) return load_bf16(p + 2 * i);
    if (kind == Numbers::i8) return mul(scale, load_i8(reinterpret_cast<const int8_t*>(p + i)));
    return load(reinterpret_cast<const float*>(p + 4 * i));
  }
  V last(size_t i, size_t n) const {
    if (kind == Numbers::f16) return load_half_part(p + 2 * i, n);
    if (kind == Numbers::bf16) return load_bf16_part(p + 2 * i, n);
    if (kind == Numbers::i8)
      return mul(scale, load_i8_part(reinterpret_cast<const int8_t*>(p + i), n));
    return load_part(reinterpret_cast<const float*>(p + 4 * i), n);
  }
};

template <bool L2>
inline V accumulate(V x, V q, V total) {
  if (!L2) return fma(x, q, total);
  const V difference = sub(x, q);
  return fma(difference, difference, total);
}

template <Numbers kind, bool L2>
void score_kind(const uint8_t* records, size_t n, size_t stride, size_t dim, const float* query,
                float* out) {
  for (size_t r = 0; r < n; ++r) {
    const Row<kind> row(records + r * stride);
    V s[4] = {zero(), zero(), zero(), zero()};
    size_t i = 0;
    for (; i + 4 * L <= dim; i += 4 * L)
      for (size_t k = 0; k < 4; ++k)
        s[k] = accumulate<L2>(row.at(i + k * L), load(query + i + k * L), s[k]);
    for (; i + L <= dim; i += L) s[0] = accumulate<L2>(row.at(i), load(query + i), s[0]);
    if (i < dim)
      s[1] = accumulate<L2>(row.last(i, dim - i), load_part(query + i, dim - i), s[1]);
    const float total = sum(add(add(s[0], s[1]), add(s[2], s[3])));
    out[r] = L2 ? -total : total;
  }
}

template <bool L2>
void score_metric(const uint8_t* records, size_t n, size_t stride, size_t dim, Numbers kind,
                  const float* query, float* out) {
  switch (kind) {
    case Numbers::f16: return score_kind<Numbers::f16, L2>(records, n, stride, dim, query, out);
    case Numbers::f32: return score_kind<Numbers::f32, L2>(records, n, stride, dim, query, out);
    case Numbers::bf16: return score_kind<Numbers::bf16, L2>(records, n, stride, dim, query, out);
    case Numbers::i8: return score_kind<Numbers::i8, L2>(records, n, stride, dim, query, out);
  }
}

void score_rows(const uint8_t* records, size_t n, size_t stride, size_t dim, Numbers kind,
                const float* query, Metric metric, float* out) {
  const auto score = metric == Metric::l2 ? score_metric<true> : score_metric<false>;
  score(records, n, stride, dim, kind, query, out);
}

void row_checksums(const uint8_t* records, size_t n, size_t stride, size_t n_bytes,
                   const uint64_t* keys, uint32_t* out) {
  const size_t words = n_bytes / 4, rest = n_bytes % 4;
  for (size_t r = 0; r < n; ++r) {
    const uint8_t* p = records + r * stride;
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
