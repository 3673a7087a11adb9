// Lists of impacts in blocks of rows, and the search in them (kernels/impacts.py).
#pragma once
#include <vector>

#include "kernels.h"

namespace bigrain {

constexpr size_t kImpactRows = 32;             // in a block
constexpr uint32_t kLargestImpact = 2040;      // 11 bits; an eighth of it fits into a byte
constexpr size_t kImpactBlocks = 1 << 14;      // at most: 2^19 rows
constexpr size_t kBoundedColumns = 4096;       // of a query; of more no bounds are made
constexpr uint64_t kLargestSum = 0xE6666666;   // 0.9 * 2^32: so that sums of bounds fit 16 bits

// Entries of blocks that hold a posting: of all blocks if at least a quarter of them do.
struct ImpactLayout {
  size_t n_blocks, entries, n_postings;  // entries: padded
  bool every_block;
  ImpactLayout(size_t n_rows, size_t filled, size_t n_postings);
  size_t bytes() const;
};

struct ImpactList {
  bool every_block;
  size_t filled, n_postings;
  const uint8_t* maxima;
  const uint8_t* counts;
  const uint32_t* bases;  // where the postings of every 16th entry begin
  const uint16_t* ids;    // of the blocks, if they are not all there
  const uint16_t* postings;
  ImpactList(const uint8_t* data, const ImpactLayout&, size_t filled);
};

size_t filled_blocks(const uint32_t* postings, size_t n);
void pack_impacts(const uint32_t* postings, size_t n, const ImpactLayout&, uint8_t* out);
bool sound_impacts(const ImpactList&, const ImpactLayout&, size_t n_rows);

struct ImpactQuery {
  const int32_t* lists;
  const uint32_t* factors;
  size_t n_columns;
  uint64_t slack;
};
struct Bounded {
  uint32_t bound, row;
};
std::vector<Bounded> search_impacts(const Level&, const std::vector<ImpactList>&, size_t n_rows,
                                    const ImpactQuery&, size_t keep, const uint8_t* live);

// Rows of weights as they are stored: see `encode_weights` in kernels/impacts.py.
size_t weights_bytes(size_t n, size_t width);
void encode_weights(const Level&, const uint32_t* columns, const float* weights,
                    const int64_t* ends, size_t n_rows, size_t width, uint8_t* out);
void decode_weights(const uint8_t* records, const int64_t* places, size_t n, size_t width,
                    uint32_t* columns, float* weights);
int64_t first_unsound_weights(const Level&, const uint8_t* records, const int64_t* places,
                              size_t n);  // -1: none
// Pairs of a record and a query, a query's columns all different.
void score_weights(const uint8_t* records, const int64_t* places, size_t width,
                   const uint32_t* columns, const float* weights, const int64_t* queries,
                   const int32_t* record_of, const int32_t* query_of, size_t n_pairs, float* out);

}  // namespace bigrain
