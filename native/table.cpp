// Dot products with a table of int8 rows, kept as panels of 16 rows (see kernels/codes.py).
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "drivers.h"

namespace bigrain {

constexpr size_t kChunk = 64;  // vectors that share a panel while it is in the closest cache
constexpr size_t kRouted = 16;  // queries whose routes are kept while a table passes by

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

namespace {

constexpr float kNothing = -std::numeric_limits<float>::infinity();

// The lists of one query, given (padded to whole panels) the base and the route of each.
class Chooser {
 public:
  Chooser(const Routing& how, size_t n_lists)
      : how_(how),
        n_(n_lists),
        all_(std::accumulate(how.counted, how.counted + n_lists, int64_t{0})),
        chosen_(n_lists) {}

  void choose(const float* bases, const float* routes, Routes& out) {
    const float limit = threshold(routes);
    int64_t held = 0, seen = 0;
    for (size_t l = 0; l < n_; ++l) {
      chosen_[l] = routes[l] >= limit;
      held += chosen_[l] ? how_.sizes[l] : 0;
      seen += chosen_[l] ? how_.counted[l] : 0;
    }
    widen(routes, seen, std::min(std::max(held, how_.least), all_));
    for (size_t l = 0; l < n_; ++l)
      if (chosen_[l] && how_.counted[l]) {
        out.lists.push_back(static_cast<int32_t>(l));
        out.bases.push_back(bases[l]);
      }
    out.probes.push_back(static_cast<int64_t>(out.lists.size()));
  }

 private:
  // best - margin * (best - mean); the mean is summed in sixteen lanes.
  float threshold(const float* routes) const {
    float best[kPanel];
    double sum[kPanel] = {};
    std::fill_n(best, kPanel, kNothing);
    size_t l = 0;
    for (; l + kPanel <= n_; l += kPanel)
      for (size_t j = 0; j < kPanel; ++j) {
        best[j] = routes[l + j] > best[j] ? routes[l + j] : best[j];
        sum[j] += static_cast<double>(routes[l + j]);
      }
    for (size_t j = 0; l + j < n_; ++j) {
      best[j] = std::max(best[j], routes[l + j]);
      sum[j] += static_cast<double>(routes[l + j]);
    }
    const double most = static_cast<double>(*std::max_element(best, best + kPanel));
    double total = 0;
    for (const double lane : sum) total += lane;
    const double limit = most - how_.margin * (most - total / static_cast<double>(n_));
    return std::isfinite(limit) ? static_cast<float>(limit) : kNothing;
  }

  // Adds the best of the other lists, the first of equals, until `least` rows that count are seen.
  void widen(const float* routes, int64_t seen, int64_t least) {
    if (seen >= least) return;
    others_.clear();
    for (size_t l = 0; l < n_; ++l)
      if (!chosen_[l]) others_.push_back(l);
    const auto worse = [routes](size_t a, size_t b) {
      return routes[a] != routes[b] ? routes[a] < routes[b] : a > b;
    };
    std::make_heap(others_.begin(), others_.end(), worse);
    while (seen < least && !others_.empty()) {
      std::pop_heap(others_.begin(), others_.end(), worse);
      chosen_[others_.back()] = true;
      seen += how_.counted[others_.back()];
      others_.pop_back();
    }
  }

  const Routing& how_;
  size_t n_;
  int64_t all_;
  std::vector<uint8_t> chosen_;
  std::vector<size_t> others_;
};

}  // namespace

Routes route_lists(const Level& level, const Table& table, const Routing& how,
                   const int8_t* vectors, size_t n, size_t dim, const float* vector_scale,
                   const float* length) {
  const size_t panel_bytes = table.groups * 4 * kPanel;
  const size_t width = (table.n_rows + kPanel - 1) / kPanel * kPanel;
  std::vector<float> scale(width), radius(width), offset(width);
  std::copy_n(how.scale, table.n_rows, scale.data());
  std::copy_n(how.radius, table.n_rows, radius.data());
  if (how.offset) std::copy_n(how.offset, table.n_rows, offset.data());
  const size_t chunk = std::min(n, kRouted);
  std::vector<float> bases(chunk * width), routes(chunk * width);
  std::vector<int32_t> dots(chunk * kPanel);
  Chooser chooser(how, table.n_rows);
  Routes out;
  out.probes.push_back(0);
  for (size_t start = 0; start < n; start += chunk) {
    const size_t count = std::min(chunk, n - start);
    const Padded padded(vectors + start * dim, count, dim, table.groups);
    for (size_t row = 0; row < width; row += kPanel) {
      level.dot_panel(table.panels + row / kPanel * panel_bytes, table.groups, padded.row(0),
                      count, dots.data());
      for (size_t i = 0; i < count; ++i) {
        const float one = vector_scale[start + i], reach = length[start + i], half = reach / 2;
        const int32_t excess = padded.excess(i);
        float* base = &bases[i * width + row];
        float* route = &routes[i * width + row];
        for (size_t j = 0; j < kPanel; ++j) {
          const float x =
              static_cast<float>(dots[i * kPanel + j] - excess) * one * scale[row + j];
          base[j] = x;
          const float out = how.outward * radius[row + j];
          float y = x + reach * out;
          if (how.offset) {
            const float mean = x + offset[row + j];
            const float apart = half * half - mean - radius[row + j] * radius[row + j];
            y = mean + 2 * out * std::sqrt(apart > 0 ? apart : 0.0f);
          }
          route[j] = y == y ? y : kNothing;
        }
      }
    }
    for (size_t i = 0; i < count; ++i) chooser.choose(&bases[i * width], &routes[i * width], out);
  }
  return out;
}

}  // namespace bigrain
