// Rows of compressed embedding tables. The same at all levels; reference_embedding.py says what.
#pragma once
#include <cstddef>
#include <cstdint>

namespace bigrain {

// Numbers of 4 (float), 2 (half) or 1 (int8) bytes each.
struct Cells {
  const uint8_t* data;
  size_t size, item;
};

// A bitmap, and how many of its bits are set before each 256 of them.
struct Ranks {
  const uint8_t* bits;
  const uint32_t* counts;
  bool at(size_t place) const { return bits[place >> 3] >> (place & 7) & 1; }
  size_t before(size_t place) const;
};

// All return the first id whose row is not in the arrays; n where there is none.
size_t mapped_rows(const Cells&, const Ranks&, const int64_t* ids, size_t n, size_t dim, float* out);

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

struct Group {  // of ids whose rows are equally wide
  int64_t start;
  size_t rows, width, cell;  // how many, how wide, where they begin
  float scale;
  const float* projection;  // (width, dim), or null
  size_t before;            // of its first place, where rows are pruned
};
size_t narrow_rows(const Cells&, const Ranks* kept, const Group*, size_t n_groups,
                   const int64_t* places, size_t n, size_t dim, float* out);

}  // namespace bigrain
