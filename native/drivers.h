// Loops around the level functions: tiles, buffers, tails. Compiled for every processor.
// Arguments have been checked (bindings.cpp).
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "kernels.h"

namespace bigrain {

void rotate(const Level&, const float* vectors, size_t n, size_t dim, const int8_t* signs,
            float* out);
void sign_encode(const Level&, const float* vectors, size_t n, size_t dim, uint8_t* blocks,
                 float* abs_sum);

// Returns the first row that is not finite, or n.
size_t build_luts(const float* queries, size_t n, size_t dim, uint8_t* luts, float* scale,
                  float* bias);
// The same from tables (n, groups, 16) of any code; returns the first query that is not finite.
size_t quantise_tables(const float* tables, size_t n, size_t groups, uint8_t* luts, float* step,
                       float* bias);

// Rows in the order of their lists: list l holds rows starts[l] to starts[l + 1].
struct Codes {
  const uint8_t* blocks;
  size_t n_rows, groups;
  const uint16_t* row_scale;  // float16
  const float* row_offset;    // may be null
  const uint8_t* live;        // may be null
  const int64_t* starts;
  size_t n_lists;
};
struct Queries {
  const uint8_t* luts;
  size_t count;
  const float* scale;
  const float* bias;
};
// Query q wants the lists at offsets[q] to offsets[q + 1].
struct Probes {
  const int64_t* offsets;
  const int32_t* lists;
  const float* bases;
};
// How many are found for each query, and how far below the estimate number `rank` (from 1).
struct Wanted {
  size_t keep, rank;
  const float* doubt;  // may be null: without end
};
void scan_lists(const Level&, const Codes&, const Queries&, const Probes&, const Wanted&,
                int64_t* rows, float* estimates, int64_t* counts);

struct Table {
  const uint8_t* panels;
  size_t n_rows, groups;
};
void dot_table(const Level&, const Table&, const int8_t* vectors, size_t n, size_t dim,
               int32_t* out);
// How lists are chosen (see kernels/codes.py): all within `margin`, and until enough rows are seen.
struct Routing {
  const int64_t* sizes;
  const int64_t* counted;
  const float* scale;
  const float* radius;
  const float* offset;  // may be null
  float outward;
  double margin;
  int64_t least;
};
struct Routes {
  std::vector<int64_t> probes;
  std::vector<int32_t> lists;
  std::vector<float> bases;
};
Routes route_lists(const Level&, const Table&, const Routing&, const int8_t* vectors, size_t n,
                   size_t dim, const float* vector_scale, const float* length);
void nearest(const Level&, const Table&, const float* scale, const float* offset,
             const int8_t* vectors, size_t n, size_t dim, const float* weight, int32_t* out);

// A Selection and its buffer.
class Best {
 public:
  Best(size_t keep, float floor, bool rows_rise = true);
  // Without those more than `doubt` below the score number `rank`; rows may come in any order.
  Best(size_t keep, float floor, size_t rank, float doubt);
  Selection& selection() { return selection_; }
  void settle();  // the threshold is what must be exceeded from now on, if enough has been seen
  size_t finish(int64_t* rows, float* scores);  // best first; returns how many

 private:
  std::vector<uint64_t> keys_;
  Selection selection_;
};

std::vector<uint64_t> checksum_keys(size_t count);
// The first record whose last four bytes are not the checksum of the others, or n.
size_t first_damaged(const Level&, const uint8_t* records, size_t n, size_t stride);
// Rounds rows to a grid of 255 steps each; returns the first row that is not finite, or n.
size_t quantise_rows(const float* vectors, size_t n, size_t dim, int8_t* rows, float* scale);

void pool_tokens(const Level&, const int32_t* ids, const int64_t* offsets, size_t n,
                 const int8_t* table, size_t dim, const float* scales, float power, bool normalise,
                 float* out);
void maxsim(const Level&, const float* query, size_t m, size_t dim, const float* tokens,
            const int64_t* offsets, size_t n, float* out);

// Memory aligned to a cache line.
template <class T>
class Aligned {
 public:
  explicit Aligned(size_t n) : bytes_(n * sizeof(T) + 64) {}
  T* data() {
    const auto address = reinterpret_cast<uintptr_t>(bytes_.data());
    return reinterpret_cast<T*>((address + 63) & ~uintptr_t{63});
  }

 private:
  std::vector<uint8_t> bytes_;
};

}  // namespace bigrain
