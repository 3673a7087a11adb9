// FM-index: suffix sorting, blocks of the Burrows-Wheeler transform, and steps through them.
// The layout of a block is in kernels/substrings.py (`fm_blocks`).
#pragma once
#include <cstddef>
#include <cstdint>

namespace bigrain {

constexpr size_t kFmBlock = 8192;                              // characters
constexpr size_t kFmCounts = 8, kFmMarks = kFmCounts + 4 * 256;  // where they begin in a record
constexpr size_t kFmText = kFmMarks + kFmBlock / 8;
constexpr size_t kFmRecord = kFmText + kFmBlock;
constexpr int32_t kFmSample = 16;  // every position that is a multiple of it is marked

// SA-IS: the suffixes of a text in order, in time O(n). sa has room for n < 2^31 numbers.
void suffix_array(const uint8_t* text, int32_t n, int32_t* sa);

// How many suffixes are marked.
size_t fm_n_samples(const uint8_t* text, int32_t n);

// ends: where each row of the text ends, rising to n. Fills ceil(n / kFmBlock) zeroed records, and
// the row of each marked suffix in order.
void fm_blocks(const uint8_t* text, const int32_t* sa, int32_t n, const int64_t* ends,
               size_t n_rows, uint8_t* records, int32_t* samples);

// Occurrences of a symbol before `offset` characters of this block.
int64_t fm_rank(const uint8_t* record, size_t offset, uint8_t symbol);

// Marks on the characters from start to stop of this block; those in the blocks before it.
size_t fm_marks(const uint8_t* record, size_t start, size_t stop);
size_t fm_marks_before(const uint8_t* record);
bool fm_marked(const uint8_t* record, size_t offset);

}  // namespace bigrain
