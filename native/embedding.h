// Rows of compressed embedding tables that need no special instructions; reference_embedding.py
// says what they are. Those that do are in level/embedding.h.
#pragma once
#include "kernels.h"

namespace bigrain {

// Both return the number of the first id whose row is not in the arrays; n where there is none.

// places[first[b]] is the first place of ids step b and above.
template <class Place>
size_t listed_rows(const Cells&, const Place* places, const int64_t* first, size_t step,
                   const int64_t* ids, size_t n, size_t dim, float* out);

struct Band {  // of ids whose codes are equally long
  int64_t start;
  const uint8_t* packed;
  size_t n_bytes, bits;
};
size_t code_rows(const float* books, size_t parts, size_t words, size_t size, const Band* bands,
                 size_t n_bands, const int64_t* ids, size_t n, float* out);

}  // namespace bigrain
