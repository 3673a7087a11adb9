// Posting lists. Additions are made one by one, in order: a row may occur twice.
#pragma once
#include "../kernels.h"

namespace {

uint32_t max_id(const uint32_t* ids, size_t n) {
  uint32_t largest = 0;
  for (size_t i = 0; i < n; ++i) largest = ids[i] > largest ? ids[i] : largest;
  return largest;
}

template <class T>
void bm25(const uint32_t* rows, const T* tfs, size_t m, const float* norms, float idf, float* acc) {
  size_t i = 0;
  for (; i + L <= m; i += L) {
    float tf[L], norm[L], gain[L];
    for (size_t l = 0; l < L; ++l) tf[l] = static_cast<float>(tfs[i + l]);
    for (size_t l = 0; l < L; ++l) norm[l] = norms[rows[i + l]];
    const V t = load(tf);
    store(gain, mul(set1(idf), div(t, add(t, load(norm)))));
    for (size_t l = 0; l < L; ++l) acc[rows[i + l]] += gain[l];
  }
  for (; i < m; ++i) {
    const float t = static_cast<float>(tfs[i]);
    acc[rows[i]] += idf * (t / (t + norms[rows[i]]));
  }
}

template <class T>
void weights(const uint32_t* rows, const T* values, size_t m, float factor, float* acc) {
  for (size_t i = 0; i < m; ++i) acc[rows[i]] += factor * static_cast<float>(values[i]);
}

size_t count_live(const uint32_t* rows, size_t n, const uint8_t* live) {
  size_t total = 0;
  for (size_t i = 0; i < n; ++i) total += live[rows[i] >> 3] >> (rows[i] & 7) & 1;
  return total;
}

}  // namespace
