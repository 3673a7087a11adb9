// Impact-ordered lists, and the search in them: see `search_ordered` in kernels/impacts.py.
#pragma once
#include <vector>

#include "impacts.h"

namespace bigrain {

// Postings row << 11 | impact of a list, by falling impact, then by row.
void order_impacts(const ImpactList&, size_t n_rows, uint32_t least, std::vector<uint32_t>& out);

struct OrderedList {
  const uint32_t* postings;
  size_t n;
};
struct OrderedQuery {
  const int32_t* lists;
  const uint32_t* factors;
  const uint32_t* least;  // impact looked at
  size_t n_columns;
};
constexpr uint32_t kOrderedFactor = 1 << 21;  // factors are smaller

// What a posting of the largest impact adds to a sum of 16 bits, at most.
inline uint32_t largest_gain(uint32_t factor) { return 2047 * factor >> 16; }

// The postings looked at are added to `looked`.
std::vector<Bounded> search_ordered(const Level&, const std::vector<OrderedList>&, size_t n_rows,
                                    const OrderedQuery&, size_t keep, const uint8_t* live,
                                    int64_t& looked);

}  // namespace bigrain
