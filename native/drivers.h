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

struct Codes {
  const uint8_t* blocks;
  size_t n_rows, groups;
  const float* row_scale;
  const float* row_offset;  // may be null
  const uint8_t* live;      // may be null
};
struct Queries {
  const uint8_t* luts;
  size_t count;
  const float* scale;
  const float* bias;
};
void scan_codes(const Level&, const Codes&, const Queries&, size_t keep, int64_t* rows,
                float* estimates, int64_t* counts);

// A Selection and its buffer.
class Best {
 public:
  Best(size_t keep, float floor);
  Selection& selection() { return selection_; }
  size_t finish(int64_t* rows, float* scores);  // best first; returns how many

 private:
  std::vector<uint64_t> keys_;
  Selection selection_;
};

std::vector<uint64_t> checksum_keys(size_t count);

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
