// The kernels of codes, rows and tables as Python sees them:
// checks arguments, allocates results, releases the GIL.
#include "codes_module.h"

#include <nanobind/ndarray.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cmath>

#include "arguments.h"
#include "drivers.h"

namespace bigrain {

nb::object rotate_(const Level& level, nb::handle vectors_, nb::handle signs_) {
  const Array<float> vectors("vectors", vectors_, 2);
  const Array<int8_t> signs("signs", signs_, 2);
  if (!vectors.dim(1)) fail("vectors: dimension: expected at least 1, got 0");
  expect("signs: rows", signs.dim(0), 4);
  expect("signs: columns", signs.dim(1), vectors.dim(1));
  for (size_t i = 0; i < signs.size(); ++i)
    if (signs.data()[i] != 1 && signs.data()[i] != -1)
      fail("signs: every entry must be +1 or -1");
  Result<float> out({vectors.dim(0), vectors.dim(1)});
  {
    Released released;
    rotate(level, vectors.data(), vectors.dim(0), vectors.dim(1), signs.data(), out.data());
  }
  return out.take();
}

nb::object sign_encode_(const Level& level, nb::handle vectors_) {
  const Array<float> vectors("vectors", vectors_, 2);
  const size_t n = vectors.dim(0), dim = vectors.dim(1);
  Result<uint8_t> blocks({(n + kBlock - 1) / kBlock, (dim + 3) / 4, 16});
  Result<float> abs_sum({n});
  {
    Released released;
    sign_encode(level, vectors.data(), n, dim, blocks.data(), abs_sum.data());
  }
  return nb::make_tuple(blocks.take(), abs_sum.take());
}

nb::object build_luts_(const Level&, nb::handle queries_) {
  const Array<float> queries("queries", queries_, 2);
  const size_t n = queries.dim(0), dim = queries.dim(1);
  Result<uint8_t> luts({n, (dim + 3) / 4, 16});
  Result<float> scale({n}), bias({n});
  size_t done;
  {
    Released released;
    done = build_luts(queries.data(), n, dim, luts.data(), scale.data(), bias.data());
  }
  if (done < n) fail("queries: row ", done, " is not finite");
  return nb::make_tuple(luts.take(), scale.take(), bias.take());
}

nb::object quantise_tables_(const Level&, nb::handle tables_) {
  const Array<float> tables("tables", tables_, 3);
  const size_t n = tables.dim(0), groups = tables.dim(1);
  expect("tables: entries per group", tables.dim(2), 16);
  Result<uint8_t> luts({n, groups, 16});
  Result<float> step({n}), bias({n});
  size_t done;
  {
    Released released;
    done = quantise_tables(tables.data(), n, groups, luts.data(), step.data(), bias.data());
  }
  if (done < n) fail("tables: query ", done, " is not finite");
  return nb::make_tuple(luts.take(), step.take(), bias.take());
}

// A number of at least 0 for each query, or none at all.
class Doubts {
 public:
  Doubts(nb::handle value, size_t n_queries) {
    if (value.is_none()) return;
    numbers_.emplace("doubt", value, 1);
    expect("doubt: length", numbers_->size(), n_queries);
    for (size_t q = 0; q < n_queries; ++q)
      if (!(data()[q] >= 0)) fail("doubt: expected at least 0, got ", data()[q]);
  }
  const float* data() const { return numbers_ ? numbers_->data() : nullptr; }

 private:
  std::optional<Array<float>> numbers_;
};

nb::object scan_lists_(const Level& level, nb::handle blocks_, nb::handle starts_,
                       nb::handle luts_, nb::handle scale_, nb::handle bias_,
                       nb::handle row_scale_, nb::handle row_offset_, nb::handle live_,
                       nb::handle probes_, nb::handle lists_, nb::handle bases_, int64_t keep_,
                       int64_t rank_, nb::handle doubt_) {
  const Array<uint8_t> blocks("blocks", blocks_, 3), luts("luts", luts_, 3);
  const Array<float> scale("scale", scale_, 1), bias("bias", bias_, 1);
  const AnyArray row_scale("row_scale", row_scale_, 1, {{'f', 2}});
  const size_t keep = non_negative("keep", keep_), n_rows = row_scale.size();
  const size_t n_queries = luts.dim(0), groups = luts.dim(1);
  if (n_rows > 0xfffffffe) fail("row_scale: length: expected less than 2**32 - 1, got ", n_rows);
  expect("blocks: count", blocks.dim(0), (n_rows + kBlock - 1) / kBlock);
  expect("blocks: bytes per group", blocks.dim(2), 16);
  expect("luts: entries per group", luts.dim(2), 16);
  expect("luts: dimension groups", groups, blocks.dim(1));
  if (groups > 1 << 20) fail("luts: dimension groups: expected at most 2**20, got ", groups);
  expect("scale: length", scale.size(), n_queries);
  expect("bias: length", bias.size(), n_queries);
  const Offsets starts("starts", starts_, n_rows);
  const size_t n_lists = starts.size() - 1;
  std::optional<Array<float>> row_offset;
  if (!row_offset_.is_none()) {
    row_offset.emplace("row_offset", row_offset_, 1);
    expect("row_offset: length", row_offset->size(), n_rows);
  }
  const Live live(live_, n_rows);
  const Array<int32_t> lists("lists", lists_, 1);
  const Offsets probes("probes", probes_, lists.size());
  expect("probes: length", probes.size(), n_queries + 1);
  const Array<float> bases("bases", bases_, 1);
  expect("bases: length", bases.size(), lists.size());
  check_ids("lists", level, lists.data(), lists.size(), n_lists);
  if (rank_ < 1) fail("rank: expected at least 1, got ", rank_);
  const Doubts doubt(doubt_, n_queries);
  Result<int64_t> rows({n_queries, keep}), counts({n_queries});
  Result<float> estimates({n_queries, keep});
  {
    Released released;
    scan_lists(level,
               {blocks.data(), n_rows, groups, row_scale.as<const uint16_t>(),
                row_offset ? row_offset->data() : nullptr, live.data(), starts.data(), n_lists},
               {luts.data(), n_queries, scale.data(), bias.data()},
               {probes.data(), lists.data(), bases.data()},
               {keep, static_cast<size_t>(rank_), doubt.data()}, rows.data(),
               estimates.data(), counts.data());
  }
  return nb::make_tuple(rows.take(), estimates.take(), counts.take());
}

// An int8 table of `n` rows in panels, and vectors to multiply with it.
struct TableArguments {
  Array<uint8_t> panels;
  Array<int8_t> vectors;
  Table table;
  TableArguments(nb::handle panels_, int64_t n, nb::handle vectors_)
      : panels("panels", panels_, 4),
        vectors("vectors", vectors_, 2),
        table{panels.data(), non_negative("n", n), panels.dim(1)} {
    expect("panels: count", panels.dim(0), (table.n_rows + kPanel - 1) / kPanel);
    expect("panels: rows", panels.dim(2), kPanel);
    expect("panels: columns per group", panels.dim(3), 4);
    expect("panels: column groups", table.groups, (vectors.dim(1) + 3) / 4);
    if (table.groups > 1 << 14)
      fail("panels: column groups: expected at most 2**14, got ", table.groups);
  }
};

nb::object dot_table_(const Level& level, nb::handle panels_, int64_t n, nb::handle vectors_) {
  const TableArguments a(panels_, n, vectors_);
  Result<int32_t> out({a.vectors.dim(0), a.table.n_rows});
  {
    Released released;
    dot_table(level, a.table, a.vectors.data(), a.vectors.dim(0), a.vectors.dim(1), out.data());
  }
  return out.take();
}

nb::object route_lists_(const Level& level, nb::handle panels_, nb::handle sizes_,
                        nb::handle counted_, nb::handle scale_, nb::handle radius_,
                        nb::handle offset_, double outward, nb::handle vectors_,
                        nb::handle vector_scale_, nb::handle length_, double margin,
                        int64_t least_) {
  const Array<float> scale("scale", scale_, 1), radius("radius", radius_, 1);
  const Array<float> vector_scale("vector_scale", vector_scale_, 1), length("length", length_, 1);
  const TableArguments a(panels_, static_cast<int64_t>(scale.size()), vectors_);
  const size_t n_lists = scale.size(), n = a.vectors.dim(0);
  if (!n_lists) fail("scale: length: expected at least 1, got 0");
  const Array<int64_t> sizes("sizes", sizes_, 1), counted("counted", counted_, 1);
  expect("sizes: length", sizes.size(), n_lists);
  expect("counted: length", counted.size(), n_lists);
  for (size_t l = 0; l < n_lists; ++l)
    if (sizes.data()[l] < 0 || counted.data()[l] < 0 || sizes.data()[l] > 0xffffffff ||
        counted.data()[l] > 0xffffffff)
      fail("sizes, counted: list ", l, ": expected numbers from 0 to 2**32 - 1");
  expect("radius: length", radius.size(), n_lists);
  std::optional<Array<float>> offset;
  if (!offset_.is_none()) {
    offset.emplace("offset", offset_, 1);
    expect("offset: length", offset->size(), n_lists);
  }
  expect("vector_scale: length", vector_scale.size(), n);
  expect("length: length", length.size(), n);
  if (!(margin >= 0)) fail("margin: expected at least 0, got ", margin);
  const int64_t least = static_cast<int64_t>(non_negative("least", least_));
  Routes routes;
  {
    Released released;
    routes = route_lists(level, a.table,
                         {sizes.data(), counted.data(), scale.data(), radius.data(),
                          offset ? offset->data() : nullptr, static_cast<float>(outward), margin,
                          least},
                         a.vectors.data(), n, a.vectors.dim(1), vector_scale.data(),
                         length.data());
  }
  Result<int64_t> probes({routes.probes.size()});
  Result<int32_t> lists({routes.lists.size()});
  Result<float> bases({routes.bases.size()});
  std::copy(routes.probes.begin(), routes.probes.end(), probes.data());
  std::copy(routes.lists.begin(), routes.lists.end(), lists.data());
  std::copy(routes.bases.begin(), routes.bases.end(), bases.data());
  return nb::make_tuple(probes.take(), lists.take(), bases.take());
}

nb::object nearest_(const Level& level, nb::handle panels_, nb::handle scale_, nb::handle offset_,
                    nb::handle vectors_, nb::handle weight_) {
  const Array<float> scale("scale", scale_, 1), offset("offset", offset_, 1);
  const Array<float> weight("weight", weight_, 1);
  const TableArguments a(panels_, static_cast<int64_t>(scale.size()), vectors_);
  expect("offset: length", offset.size(), scale.size());
  expect("weight: length", weight.size(), a.vectors.dim(0));
  if (!scale.size()) fail("scale: length: expected at least 1, got 0");
  Result<int32_t> out({a.vectors.dim(0)});
  {
    Released released;
    nearest(level, a.table, scale.data(), offset.data(), a.vectors.data(), a.vectors.dim(0),
            a.vectors.dim(1), weight.data(), out.data());
  }
  return out.take();
}

// Checks what records and the kind of their numbers must be.
static Numbers check_records(const Array<uint8_t>& records, int64_t dim_, const std::string& dtype,
                             const std::string& metric) {
  Numbers kind = Numbers::f16;
  size_t width = 2, extra = 0;
  if (dtype == "float32") {
    kind = Numbers::f32, width = 4;
  } else if (dtype == "bfloat16") {
    kind = Numbers::bf16;
  } else if (dtype == "int8") {
    kind = Numbers::i8, width = 1, extra = 4;
  } else if (dtype != "float16") {
    fail("dtype: expected one of float16, float32, bfloat16, int8, got '", dtype, "'");
  }
  if (metric != "ip" && metric != "l2") fail("metric: expected 'ip' or 'l2', got '", metric, "'");
  const size_t dim = non_negative("dim", dim_), bytes = records.dim(1);
  if (bytes < extra || (bytes - extra) / width < dim)
    fail("records: bytes per record: expected at least ", dim * width + extra, ", got ", bytes);
  return kind;
}

nb::object score_rows_(const Level& level, nb::handle records_, int64_t dim_,
                       const std::string& dtype, nb::handle query_, const std::string& metric) {
  const Array<uint8_t> records("records", records_, 2);
  const Array<float> query("query", query_, 1);
  expect("query: length", query.size(), non_negative("dim", dim_));
  const Numbers kind = check_records(records, dim_, dtype, metric);
  Result<float> out({records.dim(0)});
  {
    Released released;
    level.score_rows(records.data(), records.dim(0), records.dim(1), query.size(), kind,
                     query.data(), metric == "ip" ? Metric::ip : Metric::l2, out.data());
  }
  return out.take();
}

nb::object score_pairs_(const Level& level, nb::handle records_, int64_t dim_,
                        const std::string& dtype, nb::handle queries_, nb::handle record_of_,
                        nb::handle query_of_, const std::string& metric) {
  const Array<uint8_t> records("records", records_, 2);
  const Array<float> queries("queries", queries_, 2);
  const Array<int32_t> record_of("record_of", record_of_, 1), query_of("query_of", query_of_, 1);
  const size_t dim = queries.dim(1);
  expect("queries: dimension", dim, non_negative("dim", dim_));
  const Numbers kind = check_records(records, dim_, dtype, metric);
  expect("query_of: length", query_of.size(), record_of.size());
  const auto limit = [](size_t n) { return std::min<size_t>(n, 0x80000000u); };
  check_ids("record_of", level, record_of.data(), record_of.size(), limit(records.dim(0)));
  check_ids("query_of", level, query_of.data(), query_of.size(), limit(queries.dim(0)));
  Result<float> out({record_of.size()});
  {
    Released released;
    const size_t stride = records.dim(1);
    const Metric by = metric == "ip" ? Metric::ip : Metric::l2;
    for (size_t i = 0; i < record_of.size(); ++i)
      level.score_rows(records.data() + static_cast<size_t>(record_of.data()[i]) * stride, 1,
                       stride, dim, kind,
                       queries.data() + static_cast<size_t>(query_of.data()[i]) * dim, by,
                       out.data() + i);
  }
  return out.take();
}

nb::object row_checksums_(const Level& level, nb::handle records_) {
  const Array<uint8_t> records("records", records_, 2);
  Result<uint32_t> out({records.dim(0)});
  {
    Released released;
    const auto keys = checksum_keys((records.dim(1) + 3) / 4 + 2);
    level.row_checksums(records.data(), records.dim(0), records.dim(1), records.dim(1),
                        keys.data(), out.data());
  }
  return out.take();
}

int64_t first_damaged_(const Level& level, nb::handle records_) {
  const Array<uint8_t> records("records", records_, 2);
  const size_t n = records.dim(0);
  if (records.dim(1) < 4)
    fail("records: bytes per record: expected at least 4, got ", records.dim(1));
  Released released;
  const size_t found = first_damaged(level, records.data(), n, records.dim(1));
  return found < n ? static_cast<int64_t>(found) : -1;
}

nb::object quantise_rows_(const Level&, nb::handle vectors_) {
  const Array<float> vectors("vectors", vectors_, 2);
  const size_t n = vectors.dim(0), dim = vectors.dim(1);
  Result<int8_t> rows({n, dim});
  Result<float> scale({n});
  size_t done;
  {
    Released released;
    done = quantise_rows(vectors.data(), n, dim, rows.data(), scale.data());
  }
  if (done < n) fail("vectors: row ", done, " is not finite");
  return nb::make_tuple(rows.take(), scale.take());
}

}  // namespace bigrain
