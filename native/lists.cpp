#include "lists.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace bigrain {

namespace {

uint32_t little_32(const uint8_t* p) {
  return p[0] | p[1] << 8 | p[2] << 16 | static_cast<uint32_t>(p[3]) << 24;
}

unsigned width(uint32_t largest) { return largest ? 32u - __builtin_clz(largest) : 0u; }

size_t packed(size_t n, unsigned bits) { return (n * bits + 7) / 8; }

template <class Get>
void pack(std::vector<uint8_t>& out, size_t n, unsigned bits, Get get) {
  uint64_t held = 0;
  unsigned filled = 0;
  for (size_t i = 0; i < n; ++i) {
    held |= static_cast<uint64_t>(get(i)) << filled;
    for (filled += bits; filled >= 8; filled -= 8, held >>= 8)
      out.push_back(static_cast<uint8_t>(held));
  }
  if (filled) out.push_back(static_cast<uint8_t>(held));
}

void encode(std::vector<uint8_t>& out, const uint32_t* rows, const uint8_t* impacts,
            const uint32_t* values, size_t n) {
  for (int shift = 0; shift < 32; shift += 8) out.push_back(static_cast<uint8_t>(rows[0] >> shift));
  uint32_t before = rows[0] - 1;
  for (size_t start = 0; start < n; start += kPostings) {
    const size_t m = std::min(n - start, kPostings);
    const uint32_t *row = rows + start, *value = values + start;
    uint32_t gaps[kPostings], widest = 0, largest = 0;
    for (size_t i = 0; i < m; ++i) {
      gaps[i] = row[i] - before - 1;
      before = row[i];
      widest |= gaps[i];
      largest |= value[i];
    }
    const unsigned gap_bits = width(widest), value_bits = width(largest);
    out.push_back(static_cast<uint8_t>(gap_bits));
    out.push_back(static_cast<uint8_t>(value_bits));
    pack(out, m, gap_bits, [&](size_t i) { return gaps[i]; });
    out.insert(out.end(), impacts + start, impacts + start + m);
    pack(out, m, value_bits, [&](size_t i) { return value[i]; });
  }
}

// Eight bytes a step: Kounavis & Berry, "Novel table lookup-based algorithms for high-performance
// CRC generation".
using CrcTables = std::array<std::array<uint32_t, 256>, 8>;

CrcTables crc_tables() {
  CrcTables t{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t c = i;
    for (int bit = 0; bit < 8; ++bit) c = c >> 1 ^ (c & 1 ? 0xEDB88320u : 0u);
    t[0][i] = c;
  }
  for (size_t k = 1; k < 8; ++k)
    for (size_t i = 0; i < 256; ++i) t[k][i] = t[k - 1][i] >> 8 ^ t[0][t[k - 1][i] & 255];
  return t;
}

}  // namespace

uint32_t crc32(const uint8_t* data, size_t n) {
  static const CrcTables t = crc_tables();
  uint32_t c = ~0u;
  for (; n >= 8; n -= 8, data += 8) {
    const uint32_t a = little_32(data) ^ c, b = little_32(data + 4);
    c = t[7][a & 255] ^ t[6][a >> 8 & 255] ^ t[5][a >> 16 & 255] ^ t[4][a >> 24] ^
        t[3][b & 255] ^ t[2][b >> 8 & 255] ^ t[1][b >> 16 & 255] ^ t[0][b >> 24];
  }
  for (; n; --n) c = c >> 8 ^ t[0][(c ^ *data++) & 255];
  return ~c;
}

EncodedLists encode_lists(const uint32_t* rows, const uint8_t* impacts, const uint32_t* values,
                          const int64_t* starts, size_t n_lists) {
  EncodedLists lists;
  lists.data.reserve(static_cast<size_t>(starts[n_lists]) * 3 + 8 * n_lists);
  for (size_t i = 0; i < n_lists; ++i) {
    const size_t begin = lists.data.size(), at = static_cast<size_t>(starts[i]);
    encode(lists.data, rows + at, impacts + at, values + at,
           static_cast<size_t>(starts[i + 1] - starts[i]));
    lists.ends.push_back(static_cast<int64_t>(lists.data.size()));
    lists.checksums.push_back(crc32(lists.data.data() + begin, lists.data.size() - begin));
  }
  return lists;
}

std::string PostingList::load(const Level& level, const uint8_t* data, size_t size, size_t n,
                              size_t n_rows) {
  if (size < 4) return "ends before its first row";
  data_.reserve(size + kOverread);
  data_.assign(data, data + size);
  data_.resize(size + kOverread);
  n_ = n, n_rows_ = n_rows, first_ = little_32(data);
  size_t place = 4;
  uint64_t last = static_cast<uint64_t>(first_) - 1;
  alignas(64) uint32_t gaps[kPostings];
  for (size_t start = 0; start < n; start += kPostings) {
    const size_t m = std::min(n - start, kPostings);
    if (size - place < 2) return "ends before its last block";
    PostingBlock b{place + 2, 0, 0, data[place], data[place + 1]};
    if (b.gap_bits > 32 || b.value_bits > 32) return "has numbers of more than 32 bits";
    const size_t gap_bytes = packed(m, b.gap_bits);
    place += 2;
    if (size - place < gap_bytes + m + packed(m, b.value_bits)) return "ends inside a block";
    level.unpack(data_.data() + place, b.gap_bits, m, gaps);
    if (!start && gaps[0]) return "begins with two different rows";
    last += m;
    for (size_t i = 0; i < m; ++i) last += gaps[i];
    if (last >= n_rows) return "names a row that is not there";
    b.last = static_cast<uint32_t>(last);
    const uint8_t* impacts = data + place + gap_bytes;
    b.largest = *std::max_element(impacts, impacts + m);
    largest_ = std::max(largest_, b.largest);
    blocks_.push_back(b);
    place += gap_bytes + m + packed(m, b.value_bits);
  }
  return place == size ? "" : "goes on after its last block";
}

size_t PostingList::bytes() const {
  return sizeof *this + data_.capacity() + blocks_.capacity() * sizeof(PostingBlock);
}

uint32_t PostingList::value(size_t block, size_t at) const {
  const PostingBlock& b = blocks_[block];
  const size_t bit = at * b.value_bits;
  const uint8_t* p = impacts(block) + length(block) + bit / 8;
  const uint64_t bits = static_cast<uint64_t>(little_32(p + 4)) << 32 | little_32(p);
  return static_cast<uint32_t>(bits >> bit % 8 & ((uint64_t{1} << b.value_bits) - 1));
}

size_t PostingList::seek(uint32_t row, size_t from) const {
  return static_cast<size_t>(
      std::lower_bound(blocks_.begin() + static_cast<ptrdiff_t>(from), blocks_.end(), row,
                       [](const PostingBlock& b, uint32_t r) { return b.last < r; }) -
      blocks_.begin());
}

}  // namespace bigrain
