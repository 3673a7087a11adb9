// Row numbers.
#pragma once
#include "../kernels.h"

namespace {

uint32_t max_id(const uint32_t* ids, size_t n) {
  uint32_t largest = 0;
  for (size_t i = 0; i < n; ++i) largest = ids[i] > largest ? ids[i] : largest;
  return largest;
}

size_t count_live(const uint32_t* rows, size_t n, const uint8_t* live) {
  size_t total = 0;
  for (size_t i = 0; i < n; ++i) total += live[rows[i] >> 3] >> (rows[i] & 7) & 1;
  return total;
}

}  // namespace
