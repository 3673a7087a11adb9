// What postings add up to, in whole numbers: `1 + impact * factor / 256` each.
#pragma once
#include "../kernels.h"
#include "lists.h"

namespace {

using bigrain::PackedBlock;
using bigrain::Window;

// Rows are inside the window; 127 impacts after the last may be read.
void add_some(const uint32_t* rows, const uint8_t* impacts, size_t n, uint16_t factor,
              bool saturate, const Window& window) {
  uint16_t gains[128];
  for (size_t i = 0; i < 128; ++i) {  // the upper half of a product of 16 bits each
    const uint32_t wide = static_cast<uint32_t>(impacts[i] << 8) * factor;
    gains[i] = static_cast<uint16_t>((wide >> 16) + 1);
  }
  uint16_t* sums = window.sums - window.low;
  if (!saturate) {
    for (size_t i = 0; i < n; ++i)
      sums[rows[i]] = static_cast<uint16_t>(sums[rows[i]] + gains[i]);
    return;
  }
  for (size_t i = 0; i < n; ++i) {
    const uint32_t sum = static_cast<uint32_t>(sums[rows[i]]) + gains[i];
    sums[rows[i]] = static_cast<uint16_t>(sum > 0xffff ? 0xffff : sum);
  }
}

void add_postings(const PackedBlock& block, uint16_t factor, bool saturate, const Window& window) {
  alignas(64) uint32_t rows[128];
  unpack_rows(block.gaps, block.gap_bits, block.n, block.before, rows);
  add_some(rows, block.impacts, block.n, factor, saturate, window);
}

// sums[row] += impact * factor / 65536 for postings row << 11 | impact; rows from `limit` on count as
// row `limit`.
void add_ordered(const uint32_t* postings, size_t n, uint32_t factor, uint32_t limit,
                 uint16_t* sums) {
  constexpr size_t kTile = 64;
  uint32_t rows[kTile], gains[kTile];
  for (; n >= kTile; n -= kTile, postings += kTile) {
    for (size_t i = 0; i < kTile; ++i) {
      const uint32_t row = postings[i] >> 11;
      rows[i] = row < limit ? row : limit;
      gains[i] = (postings[i] & 2047) * factor >> 16;
    }
    for (size_t i = 0; i < kTile; ++i)
      sums[rows[i]] = static_cast<uint16_t>(sums[rows[i]] + gains[i]);
  }
  for (size_t i = 0; i < n; ++i) {
    const uint32_t row = postings[i] >> 11 < limit ? postings[i] >> 11 : limit;
    sums[row] = static_cast<uint16_t>(sums[row] + ((postings[i] & 2047) * factor >> 16));
  }
}

// Sums after the end of a window are 0.
size_t count_above(const Window& window, uint16_t limit) {
  size_t count = 0;
  for (size_t i = 0; i < window.width; i += 32)
    count += static_cast<size_t>(__builtin_popcount(above32(window.sums + i, limit)));
  return count;
}

size_t collect(const Window& window, uint16_t limit, size_t most, uint16_t* places,
               uint16_t* found) {
  size_t count = 0;
  for (size_t start = 0; start < window.width && count <= most; start += 128) {
    if (!any_above128(window.sums + start, limit)) continue;
    for (size_t i = start; i < start + 128; i += 32)
      for (uint32_t hits = above32(window.sums + i, limit); hits; hits &= hits - 1) {
        const size_t at = i + static_cast<size_t>(lowest_bit(hits));
        places[count] = static_cast<uint16_t>(at);
        found[count++] = window.sums[at];
      }
  }
  return count;
}

// How many of a block's rows are smaller.
size_t count_below(const uint32_t* rows, size_t n, uint32_t row) {
  size_t count = 0;
  for (size_t i = 0; i < n; i += 16) {
    const uint32_t inside = n - i < 16 ? (1u << (n - i)) - 1 : 0xffffu;
    count += static_cast<size_t>(__builtin_popcount(below16(rows + i, row) & inside));
  }
  return count;
}

// Where a row is among n rising ones; n if it is not.
size_t find_row(const uint32_t* rows, size_t n, uint32_t row) {
  for (size_t i = 0; i < n; i += 16)
    if (const uint32_t hit = equal16(rows + i, row)) {
      const size_t at = i + static_cast<size_t>(lowest_bit(hit));
      return at < n ? at : n;
    }
  return n;
}

}  // namespace
