#include "fm.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace bigrain {
namespace {

uint32_t number_at(const uint8_t* p) {
  uint32_t value;
  std::memcpy(&value, p, sizeof value);
  return value;
}

bool marked(int32_t position, uint8_t before) {
  return position % kFmSample == 0 || before == ' ' || before == 0 || before == 0xff;
}

}  // namespace

size_t fm_n_samples(const uint8_t* text, int32_t n) {
  size_t count = n > 0;
  for (int32_t i = 1; i < n; ++i) count += marked(i, text[i - 1]);
  return count;
}

void fm_blocks(const uint8_t* text, const int32_t* sa, int32_t n, const int64_t* ends,
               size_t n_rows, uint8_t* records, int32_t* samples) {
  constexpr int kShift = 8;
  std::vector<uint32_t> first(static_cast<size_t>(n >> kShift) + 1);  // the row of each stretch
  for (size_t i = 0, row = 0; i < first.size(); ++i) {
    while (row + 1 < n_rows && ends[row] <= static_cast<int64_t>(i) << kShift) ++row;
    first[i] = static_cast<uint32_t>(row);
  }
  uint32_t counts[256] = {};
  size_t n_samples = 0;
  for (int32_t i = 0; i < n; ++i) {
    const size_t offset = static_cast<size_t>(i) % kFmBlock;
    uint8_t* record = records + static_cast<size_t>(i) / kFmBlock * kFmRecord;
    if (!offset) {
      const uint32_t before = static_cast<uint32_t>(n_samples);
      std::memcpy(record + 4, &before, 4);
      std::memcpy(record + kFmCounts, counts, sizeof counts);
    }
    const int32_t position = sa[i];
    const uint8_t symbol = text[position ? position - 1 : n - 1];
    record[kFmText + offset] = symbol;
    ++counts[symbol];
    if (!marked(position, symbol)) continue;
    record[kFmMarks + offset / 8] |= static_cast<uint8_t>(1u << (offset % 8));
    uint32_t row = first[static_cast<size_t>(position >> kShift)];
    while (ends[row] <= position) ++row;
    samples[n_samples++] = static_cast<int32_t>(row);
  }
}

int64_t fm_rank(const uint8_t* record, size_t offset, uint8_t symbol) {
  const uint8_t* text = record + kFmText;
  int64_t count = number_at(record + kFmCounts + 4 * symbol);
  for (size_t i = 0; i < offset;) {  // bytes do not overflow in 255 rounds of 64
    uint8_t sums[64] = {};
    const size_t rounds = std::min<size_t>((offset - i) / 64, 255);
    if (!rounds) {
      for (; i < offset; ++i) count += text[i] == symbol;
      break;
    }
    for (size_t r = 0; r < rounds; ++r, i += 64)
      for (size_t j = 0; j < 64; ++j) sums[j] = static_cast<uint8_t>(sums[j] + (text[i + j] == symbol));
    for (size_t j = 0; j < 64; ++j) count += sums[j];
  }
  return count;
}

size_t fm_marks(const uint8_t* record, size_t start, size_t stop) {
  const uint8_t* marks = record + kFmMarks;
  size_t count = 0;
  for (; start < stop && start % 64; ++start) count += marks[start / 8] >> (start % 8) & 1;
  for (; start + 64 <= stop; start += 64) {
    uint64_t word;
    std::memcpy(&word, marks + start / 8, 8);
    count += static_cast<size_t>(__builtin_popcountll(word));
  }
  for (; start < stop; ++start) count += marks[start / 8] >> (start % 8) & 1;
  return count;
}

size_t fm_marks_before(const uint8_t* record) { return number_at(record + 4); }

bool fm_marked(const uint8_t* record, size_t offset) {
  return record[kFmMarks + offset / 8] >> (offset % 8) & 1;
}

}  // namespace bigrain
