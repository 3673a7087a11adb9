// Packed numbers of inverted lists: sixteen at a time, by each level's `unpack16`.
#pragma once
#include "../kernels.h"

namespace {

void unpack(const uint8_t* packed, unsigned bits, size_t n, uint32_t* out) {
  for (size_t i = 0; i < n; i += 16, packed += 2 * bits) unpack16(packed, bits, out + i);
}

// Gaps to rows: each is the one before, plus 1, plus its gap.
void unpack_rows(const uint8_t* packed, unsigned bits, size_t n, uint32_t before, uint32_t* out) {
  for (size_t i = 0; i < n; i += 16, packed += 2 * bits) {
    unpack16(packed, bits, out + i);
    before = add_up16(out + i, before);
  }
}

}  // namespace
