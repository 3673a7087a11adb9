// Dot products with a table of int8 rows, kept as panels of 16 rows (see dispatch.py).
#include <algorithm>
#include <limits>
#include <vector>

#include "drivers.h"

namespace bigrain {

constexpr size_t kChunk = 64;  // vectors that share a panel while it is in the closest cache

namespace {

// Vectors zero-padded to whole groups of four columns; the table's offset of 128 taken back.
class Padded {
 public:
  Padded(const int8_t* vectors, size_t n, size_t dim, size_t groups)
      : width_(4 * groups), padded_(n * width_), excess_(n) {
    for (size_t i = 0; i < n; ++i) {
      std::copy_n(vectors + i * dim, dim, &padded_[i * width_]);
      for (size_t d = 0; d < dim; ++d) excess_[i] += 128 * vectors[i * dim + d];
    }
  }
  const int8_t* row(size_t i) const { return padded_.data() + i * width_; }
  int32_t excess(size_t i) const { return excess_[i]; }

 private:
  size_t width_;
  std::vector<int8_t> padded_;
  std::vector<int32_t> excess_;
};

}  // namespace

void dot_table(const Level& level, const Table& table, const int8_t* vectors, size_t n, size_t dim,
               int32_t* out) {
  const size_t panel_bytes = table.groups * 4 * kPanel;
  alignas(64) int32_t dots[kChunk * kPanel];
  for (size_t start = 0; start < n; start += kChunk) {
    const size_t count = std::min(kChunk, n - start);
    const Padded chunk(vectors + start * dim, count, dim, table.groups);
    for (size_t row = 0; row < table.n_rows; row += kPanel) {
      level.dot_panel(table.panels + row / kPanel * panel_bytes, table.groups, chunk.row(0), count,
                      dots);
      const size_t width = std::min(kPanel, table.n_rows - row);
      for (size_t i = 0; i < count; ++i)
        for (size_t j = 0; j < width; ++j)
          out[(start + i) * table.n_rows + row + j] = dots[i * kPanel + j] - chunk.excess(i);
    }
  }
}

void nearest(const Level& level, const Table& table, const float* scale, const float* offset,
             const int8_t* vectors, size_t n, size_t dim, const float* weight, int32_t* out) {
  const size_t panel_bytes = table.groups * 4 * kPanel;
  const size_t n_panels = (table.n_rows + kPanel - 1) / kPanel;
  const size_t absent = n_panels * kPanel - table.n_rows;  // rows of the last panel
  const float nothing = -std::numeric_limits<float>::infinity();
  std::vector<float> scales(n_panels * kPanel), offsets(n_panels * kPanel);
  std::copy_n(scale, table.n_rows, scales.data());
  std::copy_n(offset, table.n_rows, offsets.data());
  alignas(64) int32_t dots[kChunk * kPanel];
  alignas(64) float best[kChunk * kPanel];
  alignas(64) int32_t winner[kChunk * kPanel];
  for (size_t start = 0; start < n; start += kChunk) {
    const size_t count = std::min(kChunk, n - start);
    const Padded chunk(vectors + start * dim, count, dim, table.groups);
    std::fill_n(best, count * kPanel, nothing);
    std::fill_n(winner, count * kPanel, 0);
    for (size_t p = 0; p < n_panels; ++p) {
      level.dot_panel(table.panels + p * panel_bytes, table.groups, chunk.row(0), count, dots);
      const size_t first_absent = p + 1 == n_panels ? kPanel - absent : kPanel;
      for (size_t i = 0; i < count; ++i) {
        float* b = best + i * kPanel;
        int32_t* w = winner + i * kPanel;
        float b_before[kPanel];
        int32_t w_before[kPanel];
        std::copy(b + first_absent, b + kPanel, b_before);
        std::copy(w + first_absent, w + kPanel, w_before);
        level.fold_nearest(dots + i * kPanel, chunk.excess(i), &scales[p * kPanel],
                           &offsets[p * kPanel], weight[start + i], static_cast<int32_t>(p), b, w);
        std::copy_n(b_before, kPanel - first_absent, b + first_absent);
        std::copy_n(w_before, kPanel - first_absent, w + first_absent);
      }
    }
    for (size_t i = 0; i < count; ++i) {
      const float* b = best + i * kPanel;
      const float most = *std::max_element(b, b + kPanel);
      int32_t row = std::numeric_limits<int32_t>::max();
      for (size_t j = 0; j < kPanel; ++j)
        if (b[j] == most)
          row = std::min(row, winner[i * kPanel + j] * static_cast<int32_t>(kPanel) +
                                  static_cast<int32_t>(j));
      out[start + i] = row;
    }
  }
}

}  // namespace bigrain
