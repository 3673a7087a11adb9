// Bounds of blocks of rows: sums of block maxima, as the compiler vectorises them for the level.
#pragma once
#include "../kernels.h"

namespace {

// bounds[b] = sum over columns of floor(maxima[column][b] * factors[column] / 256), 16 bits.
void add_maxima(const uint8_t* const* maxima, const uint16_t* factors, size_t n_columns,
                size_t n_blocks, uint16_t* bounds) {
  constexpr size_t kTile = 64;
  for (size_t b = 0; b < n_blocks; b += kTile) {
    uint16_t total[kTile] = {};
    for (size_t c = 0; c < n_columns; ++c) {
      const uint8_t* m = maxima[c] + b;
      const uint16_t factor = factors[c];
      for (size_t i = 0; i < kTile; ++i)
        total[i] = static_cast<uint16_t>(
            total[i] + (static_cast<uint32_t>(static_cast<uint16_t>(m[i] << 8)) * factor >> 16));
    }
    memcpy(bounds + b, total, sizeof total);
  }
}

// The largest of every 32 numbers; `n` is a multiple of 32.
void largest_of_32(const uint16_t* numbers, size_t n, uint16_t* out) {
  for (size_t i = 0; i < n; i += 32) {
    uint16_t largest[32];
    memcpy(largest, numbers + i, sizeof largest);
    for (size_t half = 16; half; half /= 2)
      for (size_t j = 0; j < half; ++j)
        largest[j] = largest[j] > largest[j + half] ? largest[j] : largest[j + half];
    out[i / 32] = largest[0];
  }
}

// Of every 1024 numbers the largest of the first of each 32, of the second of each 32, and so on;
// `n` is a multiple of 1024.
void largest_across_32(const uint16_t* numbers, size_t n, uint16_t* out) {
  for (; n; n -= 1024, numbers += 1024, out += 32) {
    uint16_t largest[32];
    memcpy(largest, numbers, sizeof largest);
    for (size_t i = 32; i < 1024; i += 32)
      for (size_t j = 0; j < 32; ++j)
        largest[j] = largest[j] > numbers[i + j] ? largest[j] : numbers[i + j];
    memcpy(out, largest, sizeof largest);
  }
}

}  // namespace
