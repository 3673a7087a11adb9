// Sketches of documents, and MaxSim estimated from them (kernels/tokens.py).
#pragma once
#include "drivers.h"

namespace bigrain {

struct Sketches {
  const int8_t* table;  // (n_centroids, width)
  const int32_t* sums;  // of each row of the table
  size_t n_centroids, width;
  const uint16_t* ids;
  size_t n_ids;
  const uint32_t* starts;  // (n_rows + 1,)
};

// Of `n` rows for each query; a row of -1 scores -inf. Returns the first place in `rows` whose
// sketch is not sound, or n_queries * n.
size_t sketch_scores(const Level&, const Sketches&, const int64_t* rows, size_t n,
                     const int8_t* tokens, const float* scale, const int64_t* offsets,
                     size_t n_queries, float* out);

}  // namespace bigrain
