// What every level provides, and the plain structures passed to it. Included by level files, which
// are compiled with special instructions: no standard library templates here (see README.md).
#pragma once
#include <cstddef>
#include <cstdint>

namespace bigrain {

// The best `keep` scores seen so far, in a buffer that is cut back when it fills. A key holds the
// score (order-preserving bits) above the complement of the row, so larger keys are better and a
// tie goes to the smaller row. Scores must exceed `threshold` to enter. Those more than `doubt`
// below the score number `rank` are not kept. The buffer is cut back when it holds `capacity` keys,
// which may change up to `room`; the memory is for kOffered more.
struct Selection {
  float threshold;
  size_t keep, count, capacity;
  uint64_t* keys;
  void (*shrink)(Selection&);
  size_t room, rank;
  float doubt;
};

constexpr size_t kOffered = 16;    // keys at most that are added at once
constexpr size_t kBlock = 32;      // rows in a block of codes
constexpr size_t kTileRows = 16;   // vectors rotated side by side

// Some whole blocks of codes. Row arrays are readable for 32 rows a block.
struct ScanTile {
  const uint8_t* codes;
  size_t n_blocks, groups;
  const uint32_t* live;     // one mask a block
  const uint8_t* const* ahead;  // for each block another that is scanned soon, to fetch meanwhile
  const uint8_t* row_scale;  // float16
  const float* row_offset;  // may be null
  uint32_t first_row;
  uint8_t* room;  // as much as `scan_room` says, on a cache line; may be null
};

// A query at one list: its lookup table, zero-padded to a multiple of four groups, and what its
// estimates there begin with. Where each entry is the sum of the numbers of its bits and of the
// group's first entry, `numbers` has these, one a dimension, `least` the sum of all first entries.
struct ScanQuery {
  const uint8_t* luts;
  float scale, bias, base;
  Selection* selection;
  const int8_t* numbers;  // zero-padded to 64 dimensions; null where there are none
  int32_t least;
};

constexpr size_t kPanel = 16;  // rows of an int8 table that lie side by side, four columns each

// A block of an inverted list as it is stored. At least 128 bytes follow it.
struct PackedBlock {
  const uint8_t* gaps;
  const uint8_t* impacts;
  size_t n;
  unsigned gap_bits;
  uint32_t before;  // the row before the first
};
// Sums of the rows low to low + width.
struct Window {
  uint16_t* sums;
  uint32_t low, width;
};

// Query tokens as whole numbers 256 h + l, times a scale each: 16 side by side, in planes of h and l.
struct BytePanels {
  const int8_t* planes;   // (panels, groups, 2, 16, 4), on a cache line
  const int32_t* begin;   // (panels, 2, 16)
  const float* scale;     // (panels, 16)
  size_t groups;
};

// Numbers of 4 (float), 2 (half) or 1 (int8) bytes each.
struct Cells {
  const uint8_t* data;
  size_t size, item;
};
// A bitmap, and how many of its bits are set before each 256 of them.
struct Ranks {
  const uint8_t* bits;
  const uint32_t* counts;
};
// Ids whose rows are equally wide.
struct Group {
  size_t rows, width, cell;  // how many, how wide, where they begin
  float scale;
  const float* projection;  // (width, dim), or null
  size_t before;            // bits that are set before its first place, where rows are pruned
};

enum class Metric { ip, l2 };
enum class Numbers { f16, f32, bf16, i8 };  // of a row; i8: a float scale first

struct Level {
  const char* name;
  size_t lanes;  // float32 numbers in a vector
  // tile (dim, 16): 16 vectors side by side; signs (4, dim)
  void (*rotate)(float* tile, size_t dim, const float* signs);
  // one block of up to 32 rows
  void (*sign_encode)(const float* rows, size_t n, size_t dim, uint8_t* block, float* abs_sum);
  void (*scan)(const ScanTile&, const ScanQuery*, size_t count);
  // bytes that `scan` with so many queries works in, if it wants `numbers`; null where it does not
  size_t (*scan_room)(size_t groups, size_t n_queries);
  // panel (groups, 16, 4) uint8, vectors (count, 4 * groups); out (count, 16)
  void (*dot_panel)(const uint8_t* panel, size_t groups, const int8_t* vectors, size_t count,
                    int32_t* out);
  // keeps the best of scale * (dots - excess) + weight * offset so far, and the panel it is in
  void (*fold_nearest)(const int32_t* dots, int32_t excess, const float* scale,
                       const float* offset, float weight, int32_t panel, float* best,
                       int32_t* winner);
  // dots (count, 16) less `excess` (count,), in 16 bits
  void (*narrow_dots)(const int32_t* dots, const int32_t* excess, size_t count, unsigned shift,
                      int16_t* out);
  // over 16 columns, scale times the largest number in the rows `ids` of a table; n > 0
  float (*best_sum)(const int16_t* table, const uint16_t* ids, size_t n, const float* scale);
  void (*score_rows)(const uint8_t* records, size_t n, size_t stride, size_t dim, Numbers,
                     const float* query, Metric, float* out);
  // of the first `n_bytes` of every `stride`
  void (*row_checksums)(const uint8_t* records, size_t n, size_t stride, size_t n_bytes,
                        const uint64_t* keys, uint32_t* out);
  uint32_t (*max_id)(const uint32_t* ids, size_t n);
  // n numbers of `bits` each, the lowest bit first; whole groups of 16 are written, and up to
  // 128 bytes after the last are read
  void (*unpack)(const uint8_t* packed, unsigned bits, size_t n, uint32_t* out);
  // the same of gaps: out[i] = out[i - 1] + 1 + gap, with out[-1] = before
  void (*unpack_rows)(const uint8_t* packed, unsigned bits, size_t n, uint32_t before,
                      uint32_t* out);
  // sums[row] += 1 + impact * factor / 256, of rows in the window; saturating or known to fit
  void (*add_postings)(const PackedBlock&, uint16_t factor, bool saturate, const Window&);
  void (*add_some)(const uint32_t* rows, const uint8_t* impacts, size_t n, uint16_t factor,
                   bool saturate, const Window&);
  size_t (*count_above)(const Window&, uint16_t limit);
  // where sums are above a limit, and what they are; given up when more than `most` are found
  size_t (*collect)(const Window&, uint16_t limit, size_t most, uint16_t* places, uint16_t* found);
  size_t (*count_below)(const uint32_t* rows, size_t n, uint32_t row);  // of a block's
  size_t (*find_row)(const uint32_t* rows, size_t n, uint32_t row);
  void (*add_maxima)(const uint8_t* const* maxima, const uint16_t* factors, size_t n_columns,
                     size_t n_blocks, uint16_t* bounds);
  void (*largest_of_32)(const uint16_t* numbers, size_t n, uint16_t* out);
  // of every 1024 numbers 32: out[32 t + j] is the largest of numbers[1024 t + 32 i + j]
  void (*largest_across_32)(const uint16_t* numbers, size_t n, uint16_t* out);
  // sums[row] += impact * factor / 65536, of postings row << 11 | impact; rows up to `limit`
  void (*add_ordered)(const uint32_t* postings, size_t n, uint32_t factor, uint32_t limit,
                      uint16_t* sums);
  size_t (*count_live)(const uint32_t* rows, size_t n, const uint8_t* live);
  void (*select)(const float* scores, size_t n, const uint8_t* live, Selection&);
  void (*pool_tokens)(const int32_t* ids, size_t n, const int8_t* table, size_t dim,
                      const float* weights, bool normalise, float* out);
  // panels: ceil(m / (2 * lanes)) of (dim, 2 * lanes), transposed query tokens, zero-padded
  float (*maxsim)(const float* panels, size_t m, const float* tokens, size_t n, size_t dim);
  // dot products (n, n_panels * lanes) of tokens with panels (dim, lanes); n is taken as a multiple of 8
  void (*score_floats)(const float* panels, size_t n_panels, size_t dim, const float* tokens,
                       size_t stride, size_t n, float* out);
  // the same of bytes that are 128 more than the numbers; null where floats are as fast
  void (*score_bytes)(const BytePanels&, size_t n_panels, const uint8_t* tokens, size_t stride,
                      size_t n, float* out);
  // scores become factor * (unit * score + base), and go into the best; bases and factors may be null
  void (*settle)(float* scores, size_t n, size_t width, const float* factors, float unit,
                 const float* const* bases, float* best);
  // bytes of bucket numbers of 1, 2 or 4 bits; weights (16,); whole 64 are written
  void (*expand_codes)(const uint8_t* codes, size_t dim, unsigned bits, const uint8_t* weights,
                       uint8_t* out);
  void (*widen_i8)(const int8_t* numbers, size_t dim, float* out);     // whole vectors are read
  void (*widen_half)(const uint8_t* numbers, size_t dim, float* out);  // and written
  // rows (n, dim) of an embedding table; the number of the first id whose row is not there, or n
  size_t (*mapped_rows)(const Cells&, const Ranks&, const int64_t* ids, size_t n, size_t dim,
                        float* out);
  size_t (*narrow_rows)(const Cells&, const Ranks* kept, const Group*, const int64_t* starts,
                        size_t n_groups, const int64_t* places, size_t n, size_t dim, float* out);
  size_t (*count_before)(const Ranks&, size_t place);
};

extern const Level level_baseline, level_avx2, level_avx512;

}  // namespace bigrain
