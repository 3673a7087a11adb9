#include "maxsim_module.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "buffer.h"
#include "maxsim.h"
#include "sketch.h"

namespace bigrain {
namespace {

using Released = nb::gil_scoped_release;

constexpr size_t kMostDim = 1 << 16, kMostCentroids = 1 << 24;

// A kind of record and its tables, kept alive.
class Tables {
 public:
  Tables(const std::string& kind, size_t dim, nb::handle centroids, nb::handle centroid_scale,
         nb::handle weights, double weight_scale) {
    const bool listed = kind == "residual4" || kind == "residual2" || kind == "residual1";
    const bool coded = listed || kind == "sign";
    if (coded)
      code_.kind = TokenKind::coded;
    else if (kind == "float32")
      code_.kind = TokenKind::f32;
    else if (kind == "float16")
      code_.kind = TokenKind::f16;
    else if (kind == "int8")
      code_.kind = TokenKind::i8;
    else
      fail("kind: expected one of float32, float16, int8, residual4, residual2, residual1, sign, "
           "got '", kind, "'");
    if (!dim || dim > kMostDim)
      fail("queries: dimension: expected 1 to ", kMostDim, ", got ", dim);
    code_.dim = dim;
    needed("centroids", kind, centroids, listed);
    needed("centroid_scale", kind, centroid_scale, listed);
    needed("weights", kind, weights, coded);
    if (coded) {
      code_.bits = kind == "residual4" ? 4 : kind == "residual2" ? 2 : 1;
      weights_.emplace("weights", weights, 1);
      expect("weights: length", weights_->size(), size_t{1} << code_.bits);
      code_.weights = weights_->data();
      code_.weight_scale = static_cast<float>(weight_scale);
    }
    if (!listed) return;
    centroids_.emplace("centroids", centroids, 2);
    scale_.emplace("centroid_scale", centroid_scale, 1);
    code_.n_centroids = centroids_->dim(0);
    if (!code_.n_centroids || code_.n_centroids > kMostCentroids)
      fail("centroids: rows: expected 1 to ", kMostCentroids, ", got ", code_.n_centroids);
    expect("centroids: columns", centroids_->dim(1), dim);
    expect("centroid_scale: length", scale_->size(), code_.n_centroids);
    code_.centroids = centroids_->data();
    code_.centroid_scale = scale_->data();
  }
  const TokenCode& code() const { return code_; }

 private:
  static void needed(const char* name, const std::string& kind, nb::handle value, bool wanted) {
    if (value.is_none() == wanted)
      fail(name, ": ", wanted ? "needed by " : "not used by ", kind);
  }

  TokenCode code_{};
  std::optional<Array<int8_t>> centroids_, weights_;
  std::optional<Array<float>> scale_;
};

void expect_finite(const char* name, const Array<float>& queries) {
  const size_t dim = queries.dim(1);
  for (size_t i = 0; i < queries.size(); ++i)
    if (!std::isfinite(queries.data()[i])) fail(name, ": row ", i / dim, " is not finite");
}

}  // namespace

nb::object maxsim_pairs_(const Level& level, nb::handle records_, nb::handle starts_,
                         nb::handle counts_, nb::handle query_of_, nb::handle queries_,
                         nb::handle offsets_, const std::string& kind, nb::handle centroids,
                         nb::handle centroid_scale, nb::handle weights, double weight_scale) {
  const Array<uint8_t> records("records", records_, 1);
  const Array<int64_t> starts("starts", starts_, 1);
  const Array<int32_t> counts("counts", counts_, 1), query_of("query_of", query_of_, 1);
  const Array<float> queries("queries", queries_, 2);
  expect_finite("queries", queries);
  const Tables tables(kind, queries.dim(1), centroids, centroid_scale, weights, weight_scale);
  const Offsets offsets("offsets", offsets_, queries.dim(0));
  const size_t n = starts.size(), each = tables.code().token_bytes();
  expect("counts: length", counts.size(), n);
  expect("query_of: length", query_of.size(), n);
  const int64_t n_queries = static_cast<int64_t>(offsets.size()) - 1;
  for (size_t p = 0; p < n; ++p) {
    const int64_t start = starts.data()[p], count = counts.data()[p], q = query_of.data()[p];
    if (q < 0 || q >= n_queries) fail("query_of: ", q, " is outside [0, ", n_queries, ")");
    const auto limit = static_cast<int64_t>(records.size());
    if (start < 0 || count < 0 || start > limit ||
        count > (limit - start) / static_cast<int64_t>(each))
      fail("starts: pair ", p, ": ", count, " tokens from byte ", start, " on are not within ",
           limit, " bytes");
  }
  Result<float> out({n});
  size_t wrong = n;
  {
    Released released;
    std::vector<uint32_t> order(n);
    std::iota(order.begin(), order.end(), 0u);
    std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
      return query_of.data()[a] < query_of.data()[b];
    });
    TokenScorer scorer(level, tables.code());
    int32_t current = -1;
    for (const uint32_t p : order) {
      if (query_of.data()[p] != current) {
        current = query_of.data()[p];
        const int64_t first = offsets.data()[current];
        scorer.set_query(queries.data() + static_cast<size_t>(first) * queries.dim(1),
                         static_cast<size_t>(offsets.data()[current + 1] - first));
      }
      if (!scorer.score(records.data() + starts.data()[p], static_cast<size_t>(counts.data()[p]),
                        out.data() + p)) {
        wrong = p;
        break;
      }
    }
  }
  if (wrong < n)
    fail("records: pair ", wrong, ": a centroid number is outside [0, ",
         tables.code().n_centroids, ")");
  return out.take();
}

nb::object token_scores_(const Level& level, nb::handle record_, nb::handle query_,
                         const std::string& kind, nb::handle centroids, nb::handle centroid_scale,
                         nb::handle weights, double weight_scale) {
  const Array<uint8_t> record("record", record_, 1);
  const Array<float> query("query", query_, 2);
  expect_finite("query", query);
  const Tables tables(kind, query.dim(1), centroids, centroid_scale, weights, weight_scale);
  const size_t each = tables.code().token_bytes(), t = record.size() / each;
  if (record.size() % each)
    fail("record: expected whole tokens of ", each, " bytes, got ", record.size(), " bytes");
  Result<float> out({t, query.dim(0)});
  bool good;
  {
    Released released;
    TokenScorer scorer(level, tables.code());
    scorer.set_query(query.data(), query.dim(0));
    float total;
    good = scorer.score(record.data(), t, &total, out.data());
  }
  if (!good)
    fail("record: a centroid number is outside [0, ", tables.code().n_centroids, ")");
  return out.take();
}

nb::object sketch_scores_(const Level& level, nb::handle table_, nb::handle sums_, nb::handle ids_,
                          nb::handle starts_, nb::handle rows_, nb::handle tokens_,
                          nb::handle scale_, nb::handle offsets_) {
  const Array<int8_t> table("table", table_, 2), tokens("tokens", tokens_, 2);
  const Array<int32_t> sums("sums", sums_, 1);
  const Array<uint16_t> ids("ids", ids_, 1);
  const Array<uint32_t> starts("starts", starts_, 1);
  const Array<int64_t> rows("rows", rows_, 2);
  const Array<float> scale("scale", scale_, 1);
  const size_t width = table.dim(1), n_queries = rows.dim(0), n = rows.dim(1);
  if (!width || width % 4 || width > kMostDim)
    fail("table: columns: expected a multiple of 4 up to ", kMostDim, ", got ", width);
  if (!table.dim(0) || table.dim(0) > 1 << 16)
    fail("table: rows: expected 1 to 65536, got ", table.dim(0));
  expect("sums: length", sums.size(), table.dim(0));
  expect("tokens: columns", tokens.dim(1), width);
  expect("scale: length", scale.size(), tokens.dim(0));
  const Offsets offsets("offsets", offsets_, tokens.dim(0));
  expect("offsets: length", offsets.size(), n_queries + 1);
  if (!starts.size()) fail("starts: length: expected at least 1, got 0");
  const auto n_rows = static_cast<int64_t>(starts.size()) - 1;
  for (size_t i = 0; i < n_queries * n; ++i)
    if (rows.data()[i] < -1 || rows.data()[i] >= n_rows)
      fail("rows: ", rows.data()[i], " is outside [-1, ", n_rows, ")");
  Result<float> out({n_queries, n});
  size_t wrong;
  {
    Released released;
    wrong = sketch_scores(level,
                          {table.data(), sums.data(), table.dim(0), width, ids.data(), ids.size(),
                           starts.data()},
                          rows.data(), n, tokens.data(), scale.data(), offsets.data(), n_queries,
                          out.data());
  }
  if (wrong < n_queries * n)
    fail("ids: those of row ", rows.data()[wrong], " are not numbers of centroids");
  return out.take();
}

}  // namespace bigrain
