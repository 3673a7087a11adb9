// Sixteen tokens of a query at a time: their products with all centroids, then the largest of those
// that a document names.
#include "sketch.h"

#include <algorithm>
#include <limits>

namespace bigrain {
namespace {

constexpr size_t kTogether = 64;  // centroids multiplied at a time
constexpr size_t kAhead = 8;      // documents whose sketches are asked for in advance

// The least shift that brings every product of `width` numbers into 16 bits.
unsigned shift_for(size_t width) {
  uint64_t most = uint64_t{128} * 128 * width;
  unsigned shift = 0;
  for (; most > 32767; most >>= 1) ++shift;
  return shift;
}

// Products (n_centroids, 16) of up to 16 tokens with the centroids.
class Products {
 public:
  Products(const Level& level, const Sketches& s)
      : level_(level),
        s_(s),
        shift_(shift_for(s.width)),
        excess_(s.n_centroids),
        panel_(kPanel * s.width),
        table_(s.n_centroids * kPanel) {
    for (size_t c = 0; c < s.n_centroids; ++c) 
      excess_[c] = static_cast<int32_t>(128 * static_cast<uint32_t>(s.sums[c]));
  }

  void multiply(const int8_t* tokens, const float* scale, size_t n) {
    std::fill_n(panel_.data(), kPanel * s_.width, uint8_t{128});
    for (size_t j = 0; j < n; ++j)
      for (size_t d = 0; d < s_.width; ++d)
        panel_.data()[(d / 4 * kPanel + j) * 4 + d % 4] =
            static_cast<uint8_t>(tokens[j * s_.width + d] + 128);
    for (size_t j = 0; j < kPanel; ++j)
      scale_[j] = j < n ? scale[j] * static_cast<float>(uint32_t{1} << shift_) : 0.0f;
    alignas(64) int32_t dots[kTogether * kPanel];
    for (size_t c = 0; c < s_.n_centroids; c += kTogether) {
      const size_t count = std::min(kTogether, s_.n_centroids - c);
      level_.dot_panel(panel_.data(), s_.width / 4, s_.table + c * s_.width, count, dots);
      level_.narrow_dots(dots, &excess_[c], count, shift_, table_.data() + c * kPanel);
    }
  }

  float score(const uint16_t* ids, size_t n) { return level_.best_sum(table_.data(), ids, n, scale_); }

 private:
  const Level& level_;
  const Sketches& s_;
  unsigned shift_;
  std::vector<int32_t> excess_;
  Aligned<uint8_t> panel_;
  Aligned<int16_t> table_;
  float scale_[kPanel];
};

bool sound(const Sketches& s, size_t row) {
  const size_t start = s.starts[row], stop = s.starts[row + 1];
  if (start > stop || stop > s.n_ids) return false;
  uint16_t most = 0;
  for (size_t i = start; i < stop; ++i) most = std::max(most, s.ids[i]);
  return start == stop || most < s.n_centroids;
}

}  // namespace

size_t sketch_scores(const Level& level, const Sketches& s, const int64_t* rows, size_t n,
                     const int8_t* tokens, const float* scale, const int64_t* offsets,
                     size_t n_queries, float* out) {
  Products products(level, s);
  for (size_t q = 0; q < n_queries; ++q, rows += n, out += n) {
    for (size_t i = 0; i < n; ++i) {
      if (i + kAhead < n && rows[i + kAhead] >= 0)
        __builtin_prefetch(s.ids + s.starts[rows[i + kAhead]]);
      if (rows[i] >= 0 && !sound(s, static_cast<size_t>(rows[i]))) return q * n + i;
    }
    std::fill_n(out, n, 0.0f);
    for (int64_t first = offsets[q]; first < offsets[q + 1]; first += kPanel) {
      const auto count = std::min<int64_t>(kPanel, offsets[q + 1] - first);
      products.multiply(tokens + static_cast<size_t>(first) * s.width, scale + first,
                        static_cast<size_t>(count));
      for (size_t i = 0; i < n; ++i) {
        if (rows[i] < 0) continue;
        const size_t start = s.starts[rows[i]], stop = s.starts[rows[i] + 1];
        if (start < stop) out[i] += products.score(s.ids + start, stop - start);
      }
    }
    for (size_t i = 0; i < n; ++i)
      if (rows[i] < 0 || s.starts[rows[i]] == s.starts[rows[i] + 1])
        out[i] = -std::numeric_limits<float>::infinity();
  }
  return n_queries * n;
}

}  // namespace bigrain
