// The best rows of some inverted lists.
#pragma once
#include <vector>

#include "lists.h"

namespace bigrain {

// How values are read: counts less 1 of words in rows of these lengths, or float32 numbers.
struct Lengths {
  const void* lengths;  // null: values are float32 numbers
  size_t item_size;     // 1, 2 or 4 bytes
  double flat, slope;   // a count c adds c / (c + flat + slope * length)
};

// One list of a query. An exact value v adds weight * v, a posting of impact i at most bound * i.
struct QueryList {
  const PostingList* list;
  double weight, bound;
};

struct Found {
  std::vector<int64_t> rows;
  std::vector<float> scores;
};

// Best first; only scores above `floor`; ties by smaller row. Everything has been checked.
Found search_lists(const Level&, const std::vector<QueryList>&, const Lengths&,
                   const uint8_t* live, size_t n_rows, size_t k, float floor);

// The scores of single rows; what `search_lists` gives them.
void score_lists(const Level&, const std::vector<QueryList>&, const Lengths&, const uint32_t* rows,
                 size_t n, float* scores);

}  // namespace bigrain
