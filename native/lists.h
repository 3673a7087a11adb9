// Inverted lists as they are stored: see `encode_lists` in kernels/inverted.py for the layout.
#pragma once
#include <string>
#include <vector>

#include "kernels.h"

namespace bigrain {

constexpr size_t kPostings = 128;  // in a block, but for the last
constexpr size_t kOverread = 128;  // bytes after the last block that a level may read

struct PostingBlock {
  uint64_t place;  // of the packed gaps
  uint32_t last;   // row
  uint8_t largest, gap_bits, value_bits;
};

// A list whose bytes have been checked: rows rise and are below n_rows, everything lies inside.
class PostingList {
 public:
  // What is wrong with the bytes, or nothing.
  std::string load(const Level&, const uint8_t* data, size_t size, size_t n, size_t n_rows);

  size_t size() const { return n_; }
  size_t n_rows() const { return n_rows_; }
  size_t bytes() const;
  uint8_t largest() const { return largest_; }
  uint32_t first() const { return first_; }
  const std::vector<PostingBlock>& blocks() const { return blocks_; }
  size_t length(size_t block) const {
    return block + 1 < blocks_.size() ? kPostings : n_ - block * kPostings;
  }
  uint32_t before(size_t block) const { return block ? blocks_[block - 1].last : first_ - 1; }
  const uint8_t* impacts(size_t block) const {
    const PostingBlock& b = blocks_[block];
    return data_.data() + b.place + (length(block) * b.gap_bits + 7) / 8;
  }
  PackedBlock packed(size_t block) const {
    const PostingBlock& b = blocks_[block];
    return {data_.data() + b.place, impacts(block), length(block), b.gap_bits, before(block)};
  }
  void read_rows(const Level& level, size_t block, uint32_t* rows) const {
    const PostingBlock& b = blocks_[block];
    level.unpack_rows(data_.data() + b.place, b.gap_bits, length(block), before(block), rows);
  }
  void read_values(const Level& level, size_t block, uint32_t* values) const {
    const PostingBlock& b = blocks_[block];
    level.unpack(impacts(block) + length(block), b.value_bits, length(block), values);
  }
  uint32_t value(size_t block, size_t at) const;
  void decode(const Level&, uint32_t* rows, uint32_t* values) const;  // (n,) each
  // The first block, from `from` on, whose last row is not below `row`.
  size_t seek(uint32_t row, size_t from = 0) const;

 private:
  std::vector<uint8_t> data_;
  std::vector<PostingBlock> blocks_;
  size_t n_ = 0, n_rows_ = 0;
  uint32_t first_ = 0;
  uint8_t largest_ = 0;
};

// Packs lists: list i holds the postings starts[i] to starts[i + 1], none of them empty.
struct EncodedLists {
  std::vector<uint8_t> data;
  std::vector<int64_t> ends;
  std::vector<uint32_t> checksums;
};
EncodedLists encode_lists(const uint32_t* rows, const uint8_t* impacts, const uint32_t* values,
                          const int64_t* starts, size_t n_lists);

uint32_t crc32(const uint8_t* data, size_t n);  // as in zlib

}  // namespace bigrain
