// Sums of token embeddings, and MaxSim.
#pragma once
#include "../kernels.h"

namespace {

constexpr size_t kAhead = 6;  // tokens whose rows are asked for in advance

inline void normalise_row(float* x, size_t dim) {
  double part[8] = {};
  size_t i = 0;
  for (; i + 8 <= dim; i += 8)
    for (size_t l = 0; l < 8; ++l) part[l] += static_cast<double>(x[i + l]) * x[i + l];
  for (; i < dim; ++i) part[0] += static_cast<double>(x[i]) * x[i];
  const double norm = __builtin_sqrt(((part[0] + part[1]) + (part[2] + part[3])) +
                                     ((part[4] + part[5]) + (part[6] + part[7])));
  if (!(norm > 0)) return;
  for (i = 0; i < dim; ++i) x[i] = static_cast<float>(x[i] / norm);
}

template <size_t N>  // N vectors of the sum stay in registers
inline void pool_columns(const int32_t* ids, size_t n, const int8_t* table, size_t dim,
                         const float* weights, float* out) {
  V s[N];
  for (size_t k = 0; k < N; ++k) s[k] = zero();
  for (size_t t = 0; t < n; ++t) {
    const size_t id = static_cast<size_t>(ids[t]);
    const V scale = set1(weights[t]);
    if (t + kAhead < n) {
      const int8_t* soon = table + static_cast<size_t>(ids[t + kAhead]) * dim;
      for (size_t k = 0; k < N * L; k += 64) __builtin_prefetch(soon + k);
    }
    for (size_t k = 0; k < N; ++k)
      s[k] = add(s[k], mul(scale, load_i8(table + id * dim + k * L)));
  }
  for (size_t k = 0; k < N; ++k) store(out + k * L, s[k]);
}

void pool_tokens(const int32_t* ids, size_t n, const int8_t* table, size_t dim,
                 const float* weights, bool normalise, float* out) {
  size_t d = 0;
  for (; d + 8 * L <= dim; d += 8 * L) pool_columns<8>(ids, n, table + d, dim, weights, out + d);
  for (; d + L <= dim; d += L) pool_columns<1>(ids, n, table + d, dim, weights, out + d);
  for (; d < dim; ++d) {
    float s = 0;
    for (size_t t = 0; t < n; ++t) {
      const size_t id = static_cast<size_t>(ids[t]);
      s += weights[t] * static_cast<float>(table[id * dim + d]);
    }
    out[d] = s;
  }
  if (normalise) normalise_row(out, dim);
}

// The dot products of T tokens with the 2 L query tokens of a panel, folded into their maxima.
template <size_t T>
inline void fold_tokens(const float* panel, const float* tokens, size_t dim, V* best) {
  V s[T][2];
  for (size_t t = 0; t < T; ++t) s[t][0] = s[t][1] = zero();
  for (size_t d = 0; d < dim; ++d) {
    const V q0 = load(panel + 2 * L * d), q1 = load(panel + 2 * L * d + L);
    for (size_t t = 0; t < T; ++t) {
      const V x = set1(tokens[t * dim + d]);
      s[t][0] = fma(x, q0, s[t][0]);
      s[t][1] = fma(x, q1, s[t][1]);
    }
  }
  for (size_t t = 0; t < T; ++t) {
    best[0] = max(best[0], s[t][0]);
    best[1] = max(best[1], s[t][1]);
  }
}

float maxsim(const float* panels, size_t m, const float* tokens, size_t n, size_t dim) {
  float total = 0;
  for (size_t first = 0; first < m; first += 2 * L, panels += 2 * L * dim) {
    V best[2] = {set1(-__builtin_inff()), set1(-__builtin_inff())};
    size_t t = 0;
    for (; t + 4 <= n; t += 4) fold_tokens<4>(panels, tokens + t * dim, dim, best);
    for (; t < n; ++t) fold_tokens<1>(panels, tokens + t * dim, dim, best);
    float value[2 * L];
    store(value, best[0]);
    store(value + L, best[1]);
    for (size_t q = 0; q < 2 * L && first + q < m; ++q) total += value[q];
  }
  return total;
}

}  // namespace
