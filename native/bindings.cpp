// The Python module: checks arguments, allocates results, releases the GIL.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cmath>

#include "buffer.h"
#include "cpu.h"
#include "drivers.h"
#include "impacts.h"
#include "lists.h"
#include "fm_module.h"
#include "maxsim_module.h"
#include "ordered.h"
#include "reading.h"
#include "search_lists.h"
#include "wordpiece.h"

using namespace bigrain;

namespace {

using Released = nb::gil_scoped_release;

size_t non_negative(const char* name, int64_t value) {
  if (value < 0) fail(name, ": expected at least 0, got ", value);
  return static_cast<size_t>(value);
}

void check_ids(const char* name, const Level& level, const void* ids, size_t n, size_t limit) {
  if (!n) return;
  const auto* p = static_cast<const uint32_t*>(ids);  // a negative id is a very large one
  if (level.max_id(p, n) < limit) return;
  fail(name, ": an id is outside [0, ", limit, ")");
}

struct Live {  // an optional bitmap
  std::optional<Array<uint8_t>> array;
  Live(nb::handle value, size_t n_rows) {
    if (value.is_none()) return;
    array.emplace("live", value, 1);
    if (array->size() < (n_rows + 7) / 8)
      fail("live: bytes: expected at least ", (n_rows + 7) / 8, ", got ", array->size());
  }
  const uint8_t* data() const { return array ? array->data() : nullptr; }
};

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

nb::object scan_lists_(const Level& level, nb::handle blocks_, nb::handle starts_,
                       nb::handle luts_, nb::handle scale_, nb::handle bias_,
                       nb::handle row_scale_, nb::handle row_offset_, nb::handle live_,
                       nb::handle probes_, nb::handle lists_, nb::handle bases_, int64_t keep_) {
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
  Result<int64_t> rows({n_queries, keep}), counts({n_queries});
  Result<float> estimates({n_queries, keep});
  {
    Released released;
    scan_lists(level,
               {blocks.data(), n_rows, groups, row_scale.as<const uint16_t>(),
                row_offset ? row_offset->data() : nullptr, live.data(), starts.data(), n_lists},
               {luts.data(), n_queries, scale.data(), bias.data()},
               {probes.data(), lists.data(), bases.data()}, keep, rows.data(), estimates.data(),
               counts.data());
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
Numbers check_records(const Array<uint8_t>& records, int64_t dim_, const std::string& dtype,
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

nb::object top_k_(const Level& level, nb::handle scores_, int64_t k_, nb::handle live_,
                  double floor) {
  const Array<float> scores("scores", scores_, 1);
  const size_t n = scores.size(), k = std::min(non_negative("k", k_), n);
  const Live live(live_, n);
  if (std::isnan(floor)) fail("floor: must not be NaN");
  if (n > 0xfffffffe) fail("scores: length: expected less than 2**32 - 1, got ", n);
  std::vector<int64_t> rows(k);
  std::vector<float> best_scores(k);
  size_t count = 0;
  if (k) {
    Released released;
    Best best(k, static_cast<float>(floor));
    level.select(scores.data(), n, live.data(), best.selection());
    count = best.finish(rows.data(), best_scores.data());
  }
  Result<int64_t> out_rows({count});
  Result<float> out_scores({count});
  std::copy_n(rows.data(), count, out_rows.data());
  std::copy_n(best_scores.data(), count, out_scores.data());
  return nb::make_tuple(out_rows.take(), out_scores.take());
}

nb::object encode_lists_(const Level&, nb::handle rows_, nb::handle impacts_, nb::handle values_,
                         nb::handle starts_) {
  const Array<uint32_t> rows("rows", rows_, 1), values("values", values_, 1);
  const Array<uint8_t> impacts("impacts", impacts_, 1);
  expect("impacts: length", impacts.size(), rows.size());
  expect("values: length", values.size(), rows.size());
  const Offsets starts("starts", starts_, rows.size());
  const size_t n = starts.size() - 1;
  const int64_t* at = starts.data();
  for (size_t i = 0; i < n; ++i) {
    if (at[i] == at[i + 1]) fail("starts: list ", i, " is empty");
    if (std::find(impacts.data() + at[i], impacts.data() + at[i + 1], 0) !=
        impacts.data() + at[i + 1])
      fail("impacts: list ", i, ": expected numbers from 1");
    for (int64_t j = at[i] + 1; j < at[i + 1]; ++j)
      if (rows.data()[j] <= rows.data()[j - 1]) fail("rows: list ", i, ": must rise");
  }
  EncodedLists lists;
  {
    Released released;
    lists = encode_lists(rows.data(), impacts.data(), values.data(), at, n);
  }
  Result<uint8_t> data({lists.data.size()});
  Result<int64_t> ends({n});
  Result<uint32_t> checksums({n});
  std::copy(lists.data.begin(), lists.data.end(), data.data());
  std::copy(lists.ends.begin(), lists.ends.end(), ends.data());
  std::copy(lists.checksums.begin(), lists.checksums.end(), checksums.data());
  return nb::make_tuple(data.take(), ends.take(), checksums.take());
}

struct PyPostingList {
  const Level* level;
  PostingList list;

  nb::object decode() const {
    const size_t n = list.size();
    Result<uint32_t> rows({n}), values({n});
    Result<uint8_t> impacts({n});
    {
      Released released;
      list.decode(*level, rows.data(), values.data());
      for (size_t b = 0; b < list.blocks().size(); ++b)
        std::copy_n(list.impacts(b), list.length(b), impacts.data() + b * kPostings);
    }
    return nb::make_tuple(rows.take(), impacts.take(), values.take());
  }

  nb::object look_up(nb::handle rows_) const {
    const Array<uint32_t> rows("rows", rows_, 1);
    Result<int64_t> values({rows.size()});
    {
      Released released;
      alignas(64) uint32_t part[kPostings];
      size_t held = list.blocks().size();
      for (size_t i = 0; i < rows.size(); ++i) {
        const uint32_t row = rows.data()[i];
        values.data()[i] = -1;
        const size_t b = list.seek(row);
        if (b == list.blocks().size()) continue;
        if (b != held) list.read_rows(*level, held = b, part);
        const uint32_t* end = part + list.length(b);
        const uint32_t* at = std::lower_bound(static_cast<const uint32_t*>(part), end, row);
        if (at != end && *at == row)
          values.data()[i] = list.value(b, static_cast<size_t>(at - part));
      }
    }
    return values.take();
  }

  size_t count_live(nb::handle live_) const {
    const Array<uint8_t> live("live", live_, 1);
    if (8 * live.size() <= list.blocks().back().last)
      fail("live: bytes: expected at least ", list.blocks().back().last / 8 + 1, ", got ",
           live.size());
    Released released;
    alignas(64) uint32_t part[kPostings];
    size_t total = 0;
    for (size_t b = 0; b < list.blocks().size(); ++b) {
      list.read_rows(*level, b, part);
      total += level->count_live(part, list.length(b), live.data());
    }
    return total;
  }
};

nb::object posting_list_(const Level& level, nb::handle data_, int64_t n_, int64_t n_rows_) {
  const Array<uint8_t> data("data", data_, 1);
  const size_t n = non_negative("n", n_), n_rows = non_negative("n_rows", n_rows_);
  if (!n) fail("n: expected at least 1, got 0");
  PyPostingList made{&level, {}};
  std::string wrong;
  {
    Released released;
    wrong = made.list.load(level, data.data(), data.size(), n, n_rows);
  }
  if (!wrong.empty()) fail("data: the list ", wrong);
  return nb::cast(std::move(made));
}

nb::object decode_lists_(const Level& level, nb::handle data_, nb::handle ends_,
                         nb::handle counts_, nb::handle checksums_, int64_t n_rows_) {
  const Array<uint8_t> data("data", data_, 1);
  const Array<int64_t> ends("ends", ends_, 1);
  const Array<uint32_t> counts("counts", counts_, 1), checksums("checksums", checksums_, 1);
  const size_t n = ends.size(), n_rows = non_negative("n_rows", n_rows_);
  expect("counts: length", counts.size(), n);
  expect("checksums: length", checksums.size(), n);
  size_t total = 0;
  int64_t begin = 0;
  for (size_t i = 0; i < n; ++i, begin = ends.data()[i - 1]) {
    if (ends.data()[i] < begin || ends.data()[i] > static_cast<int64_t>(data.size()))
      fail("ends: must rise, up to ", data.size());
    // A posting takes a byte at least.
    if (!counts.data()[i] || counts.data()[i] > ends.data()[i] - begin)
      fail("counts: list ", i, ": expected 1 to ", ends.data()[i] - begin);
    total += counts.data()[i];
  }
  if (begin != static_cast<int64_t>(data.size())) fail("ends: must end at ", data.size());
  Result<uint32_t> rows({total}), values({total});
  std::string wrong;
  size_t bad = 0;
  {
    Released released;
    uint32_t *row = rows.data(), *value = values.data();
    size_t from = 0;
    for (size_t i = 0; i < n && wrong.empty(); ++i) {
      const size_t to = static_cast<size_t>(ends.data()[i]);
      PostingList list;
      if (crc32(data.data() + from, to - from) != checksums.data()[i])
        wrong = "does not match its checksum";
      else
        wrong = list.load(level, data.data() + from, to - from, counts.data()[i], n_rows);
      bad = i, from = to;
      if (wrong.empty()) list.decode(level, row, value);
      row += counts.data()[i], value += counts.data()[i];
    }
  }
  if (!wrong.empty()) fail("data: list ", bad, " ", wrong);
  return nb::make_tuple(rows.take(), values.take());
}

// Lists of one number of rows with their weights, and the lengths of these rows.
struct ListArguments {
  nb::object owner;  // keeps the lists alive
  std::vector<QueryList> lists;
  std::optional<AnyArray> lengths_array;
  Lengths lengths{nullptr, 0, 0, 0};

  ListArguments(nb::handle lists_, const Array<double>& weights, nb::handle lengths_, double flat,
                double slope, size_t n_rows) {
    if (n_rows > 0xfffffffe) fail("n_rows: expected less than 2**32 - 1, got ", n_rows);
    if (!PyList_Check(lists_.ptr())) {
      PyErr_Format(PyExc_TypeError, "lists: expected a list, got %s",
                   Py_TYPE(lists_.ptr())->tp_name);
      throw nb::python_error();
    }
    owner = nb::steal(PyList_AsTuple(lists_.ptr()));
    const size_t m = static_cast<size_t>(PyTuple_GET_SIZE(owner.ptr()));
    expect("weights: length", weights.size(), m);
    for (size_t i = 0; i < m; ++i) {
      const PyPostingList* one = nullptr;
      const nb::handle item = PyTuple_GET_ITEM(owner.ptr(), static_cast<Py_ssize_t>(i));
      if (!nb::try_cast(item, one) || !one) {
        PyErr_Format(PyExc_TypeError, "lists: number %zu is not a PostingList", i);
        throw nb::python_error();
      }
      if (one->list.n_rows() != n_rows)
        fail("lists: number ", i, " was opened for ", one->list.n_rows(), " rows, not ", n_rows);
      lists.push_back({&one->list, weights.data()[i], 0});
      if (!(lists[i].weight >= 0)) fail("weights: number ", i, ": expected a number from 0");
    }
    if (lengths_.is_none()) return;
    lengths_array.emplace("lengths", lengths_, 1,
                          std::initializer_list<ItemType>{{'u', 1}, {'u', 2}, {'u', 4}});
    expect("lengths: length", lengths_array->size(), n_rows);
    if (!(flat >= 0) || !(slope >= 0) || !std::isfinite(flat + slope))
      fail("flat, slope: expected finite numbers from 0");
    lengths = {lengths_array->as<const void>(), lengths_array->item_size(), flat, slope};
  }
};

nb::object search_lists_(const Level& level, nb::handle lists_, nb::handle weights_,
                         nb::handle bounds_, nb::handle lengths_, double flat, double slope,
                         nb::handle live_, int64_t n_rows_, int64_t k_, double floor) {
  const size_t n_rows = non_negative("n_rows", n_rows_), k = non_negative("k", k_);
  const Array<double> weights("weights", weights_, 1), bounds("bounds", bounds_, 1);
  ListArguments a(lists_, weights, lengths_, flat, slope, n_rows);
  expect("bounds: length", bounds.size(), a.lists.size());
  double most = 0;
  for (size_t i = 0; i < a.lists.size(); ++i) {
    a.lists[i].bound = bounds.data()[i];
    if (!(a.lists[i].bound >= 0)) fail("bounds: number ", i, ": expected a number from 0");
    most += 255 * a.lists[i].bound;
  }
  if (!std::isfinite(most)) fail("bounds: their sum must be finite");
  const Live live(live_, n_rows);
  if (std::isnan(floor)) fail("floor: must not be NaN");
  Found found;
  {
    Released released;
    found = search_lists(level, a.lists, a.lengths, live.data(), n_rows, k,
                         static_cast<float>(floor));
  }
  Result<int64_t> rows({found.rows.size()});
  Result<float> scores({found.scores.size()});
  std::copy(found.rows.begin(), found.rows.end(), rows.data());
  std::copy(found.scores.begin(), found.scores.end(), scores.data());
  return nb::make_tuple(rows.take(), scores.take());
}

nb::object score_lists_(const Level& level, nb::handle lists_, nb::handle weights_,
                        nb::handle lengths_, double flat, double slope, int64_t n_rows_,
                        nb::handle rows_) {
  const size_t n_rows = non_negative("n_rows", n_rows_);
  const Array<double> weights("weights", weights_, 1);
  const ListArguments a(lists_, weights, lengths_, flat, slope, n_rows);
  const Array<uint32_t> rows("rows", rows_, 1);
  check_ids("rows", level, rows.data(), rows.size(), n_rows);
  Result<float> scores({rows.size()});
  {
    Released released;
    score_lists(level, a.lists, a.lengths, rows.data(), rows.size(), scores.data());
  }
  return scores.take();
}

// -- impacts ---------------------------------------------------------------------------------

size_t rows_of_impacts(int64_t n_rows) {
  const size_t n = non_negative("n_rows", n_rows);
  if (n > kImpactBlocks * kImpactRows)
    fail("n_rows: expected at most ", kImpactBlocks * kImpactRows, ", got ", n);
  return n;
}

nb::object pack_impacts_(const Level&, nb::handle postings_, int64_t n_rows_) {
  const Array<uint32_t> postings("postings", postings_, 1);
  const size_t n_rows = rows_of_impacts(n_rows_), n = postings.size();
  const uint32_t* p = postings.data();
  for (size_t i = 0; i < n; ++i) {
    if (p[i] >> 11 >= n_rows) fail("postings: a row is outside [0, ", n_rows, ")");
    if (!(p[i] & 2047) || (p[i] & 2047) > kLargestImpact)
      fail("postings: an impact is outside [1, ", kLargestImpact, "]");
    if (i && p[i] >> 11 <= p[i - 1] >> 11) fail("postings: rows must rise");
  }
  const size_t filled = filled_blocks(p, n);
  const ImpactLayout layout(n_rows, filled, n);
  Result<uint8_t> out({layout.bytes()});
  {
    Released released;
    pack_impacts(p, n, layout, out.data());
  }
  return nb::make_tuple(out.take(), filled);
}

ImpactList impact_list(const Array<uint8_t>& data, const ImpactLayout& layout, size_t filled) {
  expect("data: bytes", data.size(), layout.bytes());
  if (reinterpret_cast<uintptr_t>(data.data()) % 4)
    fail("data: must be aligned to 4 bytes in memory");
  return ImpactList(data.data(), layout, filled);
}

bool sound_impacts_(const Level&, nb::handle data_, int64_t n_postings, int64_t filled_,
                    int64_t n_rows_) {
  const Array<uint8_t> data("data", data_, 1);
  const size_t n_rows = rows_of_impacts(n_rows_), filled = non_negative("filled", filled_);
  const size_t n = non_negative("n_postings", n_postings);
  if (filled > (n_rows + kImpactRows - 1) / kImpactRows || n > n_rows) return false;
  const ImpactLayout layout(n_rows, filled, n);
  const ImpactList list = impact_list(data, layout, filled);
  Released released;
  return sound_impacts(list, layout, n_rows);
}

// (ends, rows, sums) of what each query found.
nb::tuple bounded_rows(const std::vector<std::vector<Bounded>>& found) {
  Result<int64_t> ends({found.size() + 1});
  ends.data()[0] = 0;
  for (size_t q = 0; q < found.size(); ++q)
    ends.data()[q + 1] = ends.data()[q] + static_cast<int64_t>(found[q].size());
  const auto total = static_cast<size_t>(ends.data()[found.size()]);
  Result<uint32_t> rows({total}), sums({total});
  size_t at = 0;
  for (const auto& of_query : found)
    for (const Bounded& b : of_query) {
      rows.data()[at] = b.row;
      sums.data()[at++] = b.bound;
    }
  return nb::make_tuple(ends.take(), rows.take(), sums.take());
}

nb::object search_impacts_(const Level& level, nb::handle data_, nb::handle filled_,
                           nb::handle sizes_, int64_t n_rows_, nb::handle offsets_,
                           nb::handle lists_, nb::handle factors_, nb::handle slack_,
                           int64_t keep_, nb::handle live_) {
  if (!PyList_Check(data_.ptr())) {
    PyErr_Format(PyExc_TypeError, "data: expected a list, got %s", Py_TYPE(data_.ptr())->tp_name);
    throw nb::python_error();
  }
  const size_t n_rows = rows_of_impacts(n_rows_), keep = non_negative("keep", keep_);
  const Array<uint32_t> filled("filled", filled_, 1), sizes("sizes", sizes_, 1);
  const nb::object owner = nb::steal(PyList_AsTuple(data_.ptr()));
  const size_t n_lists = static_cast<size_t>(PyTuple_GET_SIZE(owner.ptr()));
  expect("filled: length", filled.size(), n_lists);
  expect("sizes: length", sizes.size(), n_lists);
  std::vector<std::unique_ptr<Array<uint8_t>>> held;
  std::vector<ImpactList> lists;
  held.reserve(n_lists);
  lists.reserve(n_lists);
  for (size_t i = 0; i < n_lists; ++i) {
    if (filled.data()[i] > (n_rows + kImpactRows - 1) / kImpactRows || sizes.data()[i] > n_rows)
      fail("data: list ", i, " has more postings than there are rows");
    held.push_back(std::make_unique<Array<uint8_t>>(
        "data", PyTuple_GET_ITEM(owner.ptr(), static_cast<Py_ssize_t>(i)), 1));
    lists.push_back(impact_list(*held.back(),
                                ImpactLayout(n_rows, filled.data()[i], sizes.data()[i]),
                                filled.data()[i]));
  }
  const Array<int32_t> wanted("lists", lists_, 1);
  check_ids("lists", level, wanted.data(), wanted.size(), n_lists);
  const Array<uint32_t> factors("factors", factors_, 1);
  expect("factors: length", factors.size(), wanted.size());
  const Offsets offsets("offsets", offsets_, wanted.size());
  const size_t n_queries = offsets.size() - 1;
  const Array<uint64_t> slack("slack", slack_, 1);
  expect("slack: length", slack.size(), n_queries);
  for (size_t q = 0; q < n_queries; ++q) {
    uint64_t total = 0;
    for (int64_t i = offsets.data()[q]; i < offsets.data()[q + 1]; ++i)
      total += uint64_t{kLargestImpact} * factors.data()[i];
    if (total > kLargestSum)
      fail("factors: query ", q, ": their sum times ", kLargestImpact, " is beyond ", kLargestSum);
    if (slack.data()[q] > kLargestSum) fail("slack: query ", q, ": beyond ", kLargestSum);
  }
  const Live live(live_, n_rows);
  std::vector<std::vector<Bounded>> found(n_queries);
  {
    Released released;
    for (size_t q = 0; q < n_queries; ++q) {
      const auto begin = static_cast<size_t>(offsets.data()[q]);
      const auto end = static_cast<size_t>(offsets.data()[q + 1]);
      found[q] = search_impacts(level, lists, n_rows,
                                {wanted.data() + begin, factors.data() + begin, end - begin,
                                 slack.data()[q]},
                                keep, live.data());
    }
  }
  return bounded_rows(found);
}

nb::object order_impacts_(const Level&, nb::handle data_, int64_t n_postings, int64_t filled_,
                          int64_t n_rows_, int64_t least_) {
  const Array<uint8_t> data("data", data_, 1);
  const size_t n_rows = rows_of_impacts(n_rows_), filled = non_negative("filled", filled_);
  const size_t n = non_negative("n_postings", n_postings), least = non_negative("least", least_);
  if (filled > (n_rows + kImpactRows - 1) / kImpactRows || n > n_rows)
    fail("data: the list has more postings than there are rows");
  const ImpactList list = impact_list(data, ImpactLayout(n_rows, filled, n), filled);
  std::vector<uint32_t> found;
  {
    Released released;
    order_impacts(list, n_rows, static_cast<uint32_t>(std::min<size_t>(least, 2048)), found);
  }
  Result<uint32_t> out({found.size()});
  std::copy(found.begin(), found.end(), out.data());
  return out.take();
}

nb::object search_ordered_(const Level& level, nb::handle data_, int64_t n_rows_,
                           nb::handle offsets_, nb::handle lists_, nb::handle factors_,
                           nb::handle least_, int64_t keep_, nb::handle live_) {
  if (!PyList_Check(data_.ptr())) {
    PyErr_Format(PyExc_TypeError, "data: expected a list, got %s", Py_TYPE(data_.ptr())->tp_name);
    throw nb::python_error();
  }
  const size_t n_rows = rows_of_impacts(n_rows_), keep = non_negative("keep", keep_);
  const nb::object owner = nb::steal(PyList_AsTuple(data_.ptr()));
  const size_t n_lists = static_cast<size_t>(PyTuple_GET_SIZE(owner.ptr()));
  std::vector<std::unique_ptr<Array<uint32_t>>> held;
  std::vector<OrderedList> lists;
  held.reserve(n_lists);
  lists.reserve(n_lists);
  for (size_t i = 0; i < n_lists; ++i) {
    held.push_back(std::make_unique<Array<uint32_t>>(
        "data", PyTuple_GET_ITEM(owner.ptr(), static_cast<Py_ssize_t>(i)), 1));
    lists.push_back({held.back()->data(), held.back()->size()});
  }
  const Array<int32_t> wanted("lists", lists_, 1);
  check_ids("lists", level, wanted.data(), wanted.size(), n_lists);
  const Array<uint32_t> factors("factors", factors_, 1), least("least", least_, 1);
  expect("factors: length", factors.size(), wanted.size());
  expect("least: length", least.size(), wanted.size());
  const Offsets offsets("offsets", offsets_, wanted.size());
  const size_t n_queries = offsets.size() - 1;
  for (size_t q = 0; q < n_queries; ++q) {
    uint64_t total = 0;
    for (int64_t i = offsets.data()[q]; i < offsets.data()[q + 1]; ++i) {
      if (factors.data()[i] >= kOrderedFactor)
        fail("factors: query ", q, ": expected numbers below ", kOrderedFactor);
      total += largest_gain(factors.data()[i]);
    }
    if (total > 0xffff) fail("factors: query ", q, ": sums may be beyond 65535");
  }
  const Live live(live_, n_rows);
  std::vector<std::vector<Bounded>> found(n_queries);
  int64_t looked = 0;
  {
    Released released;
    for (size_t q = 0; q < n_queries; ++q) {
      const auto begin = static_cast<size_t>(offsets.data()[q]);
      const auto end = static_cast<size_t>(offsets.data()[q + 1]);
      found[q] = search_ordered(level, lists, n_rows,
                                {wanted.data() + begin, factors.data() + begin,
                                 least.data() + begin, end - begin},
                                keep, live.data(), looked);
    }
  }
  nb::tuple rows = bounded_rows(found);
  return nb::make_tuple(rows[0], rows[1], rows[2], looked);
}

void deal_postings_(const Level&, nb::handle lists_, nb::handle weights_, nb::handle offsets_,
                    int64_t first_row_, nb::handle largest_, nb::handle places_, nb::handle out_) {
  const Array<uint32_t> lists("lists", lists_, 1);
  const Array<float> weights("weights", weights_, 1), largest("largest", largest_, 1);
  const size_t first_row = rows_of_impacts(first_row_), n_lists = largest.size();
  expect("weights: length", weights.size(), lists.size());
  const Offsets offsets("offsets", offsets_, lists.size());
  rows_of_impacts(static_cast<int64_t>(first_row + offsets.size() - 1));
  const AnyArray places("places", places_, 1, {{'i', 8}}, true);
  const AnyArray out("out", out_, 1, {{'u', 4}}, true);
  expect("places: length", places.size(), n_lists);
  auto* place = places.as<int64_t>();
  auto* to = out.as<uint32_t>();
  Released released;
  for (size_t row = 0; row + 1 < offsets.size(); ++row)
    for (int64_t i = offsets.data()[row]; i < offsets.data()[row + 1]; ++i) {
      const uint32_t list = lists.data()[i];
      if (list >= n_lists) continue;
      const double share = static_cast<double>(weights.data()[i]) * kLargestImpact /
                           static_cast<double>(largest.data()[list]);
      const double impact = share > 1 ? std::ceil(share) : 1;
      const int64_t at = place[list];
      if (at < 0 || static_cast<size_t>(at) >= out.size()) continue;
      to[at] = static_cast<uint32_t>((first_row + row) << 11) |
               static_cast<uint32_t>(impact < kLargestImpact ? impact : kLargestImpact);
      place[list] = at + 1;
    }
}

// -- rows of weights -------------------------------------------------------------------------

size_t width_of(int64_t width) {
  if (width != 2 && width != 4) fail("width: expected 2 or 4, got ", width);
  return static_cast<size_t>(width);
}

struct WeightRecords {
  Array<uint8_t> bytes;
  Offsets places;
  WeightRecords(nb::handle records, nb::handle places_, bool words = true)
      : bytes("records", records, 1), places("places", places_, bytes.size()) {
    for (size_t i = 0; i < size(); ++i) {
      if (length(i) < 4) fail("places: record ", i, ": expected a checksum");
      if (words && length(i) % 4) fail("places: record ", i, ": expected whole words");
    }
  }
  size_t size() const { return places.size() - 1; }
  size_t length(size_t i) const {
    return static_cast<size_t>(places.data()[i + 1] - places.data()[i]);
  }
};

nb::object encode_weights_(const Level& level, nb::handle columns_, nb::handle weights_,
                           nb::handle offsets_, int64_t width_) {
  const Array<uint32_t> columns("columns", columns_, 1);
  const Array<float> weights("weights", weights_, 1);
  const size_t width = width_of(width_);
  expect("weights: length", weights.size(), columns.size());
  const Offsets offsets("offsets", offsets_, columns.size());
  if (width == 2) check_ids("columns", level, columns.data(), columns.size(), 1 << 16);
  size_t total = 0;
  for (size_t i = 0; i + 1 < offsets.size(); ++i)
    total += weights_bytes(static_cast<size_t>(offsets.data()[i + 1] - offsets.data()[i]), width);
  Result<uint8_t> out({total});
  {
    Released released;
    encode_weights(level, columns.data(), weights.data(), offsets.data(), offsets.size() - 1,
                   width, out.data());
  }
  return out.take();
}

nb::object decode_weights_(const Level&, nb::handle records_, nb::handle places_, int64_t width_) {
  const WeightRecords records(records_, places_);
  const size_t width = width_of(width_), n = records.size();
  Result<int64_t> offsets({n + 1});
  offsets.data()[0] = 0;
  for (size_t i = 0; i < n; ++i)
    offsets.data()[i + 1] =
        offsets.data()[i] + static_cast<int64_t>((records.length(i) - 4) / (4 + width));
  const auto total = static_cast<size_t>(offsets.data()[n]);
  Result<uint32_t> columns({total});
  Result<float> weights({total});
  {
    Released released;
    decode_weights(records.bytes.data(), records.places.data(), n, width, columns.data(),
                   weights.data());
  }
  return nb::make_tuple(columns.take(), weights.take(), offsets.take());
}

int64_t first_unsound_weights_(const Level& level, nb::handle records_, nb::handle places_) {
  const WeightRecords records(records_, places_, false);
  Released released;
  return first_unsound_weights(level, records.bytes.data(), records.places.data(),
                               records.size());
}

nb::object score_weights_(const Level& level, nb::handle records_, nb::handle places_,
                          int64_t width_, nb::handle columns_, nb::handle weights_,
                          nb::handle queries_, nb::handle record_of_, nb::handle query_of_) {
  const WeightRecords records(records_, places_);
  const size_t width = width_of(width_);
  const Array<uint32_t> columns("columns", columns_, 1);
  const Array<float> weights("weights", weights_, 1);
  expect("weights: length", weights.size(), columns.size());
  const Offsets queries("queries", queries_, columns.size());
  const Array<int32_t> record_of("record_of", record_of_, 1), query_of("query_of", query_of_, 1);
  expect("query_of: length", query_of.size(), record_of.size());
  check_ids("record_of", level, record_of.data(), record_of.size(), records.size());
  check_ids("query_of", level, query_of.data(), query_of.size(), queries.size() - 1);
  Result<float> out({record_of.size()});
  {
    Released released;
    score_weights(records.bytes.data(), records.places.data(), width, columns.data(),
                  weights.data(), queries.data(), record_of.data(), query_of.data(),
                  record_of.size(), out.data());
  }
  return out.take();
}

nb::object pool_tokens_(const Level& level, nb::handle ids_, nb::handle offsets_, nb::handle table_,
                        nb::handle scales_, float power, bool normalise) {
  const Array<int32_t> ids("ids", ids_, 1);
  const Offsets offsets("offsets", offsets_, ids.size());
  const Array<int8_t> table("table", table_, 2);
  const Array<float> scales("scales", scales_, 1);
  expect("scales: length", scales.size(), table.dim(0));
  check_ids("ids", level, ids.data(), ids.size(), std::min<size_t>(table.dim(0), 0x80000000u));
  Result<float> out({offsets.size() - 1, table.dim(1)});
  {
    Released released;
    pool_tokens(level, ids.data(), offsets.data(), offsets.size() - 1, table.data(), table.dim(1),
                scales.data(), power, normalise, out.data());
  }
  return out.take();
}

nb::object maxsim_(const Level& level, nb::handle query_, nb::handle tokens_,
                   nb::handle offsets_) {
  const Array<float> query("query", query_, 2), tokens("tokens", tokens_, 2);
  expect("tokens: dimension", tokens.dim(1), query.dim(1));
  const Offsets offsets("offsets", offsets_, tokens.dim(0));
  Result<float> out({offsets.size() - 1});
  {
    Released released;
    maxsim(level, query.data(), query.dim(0), query.dim(1), tokens.data(), offsets.data(),
           offsets.size() - 1, out.data());
  }
  return out.take();
}

int64_t read_stretches_(int fd, nb::handle stretches_, nb::handle buffer_) {
  const Array<int64_t> stretches("stretches", stretches_, 2);
  const AnyArray buffer("buffer", buffer_, 1, {{'u', 1}}, true);
  expect("stretches: columns", stretches.dim(1), 2);
  size_t left = buffer.size();
  for (size_t i = 0; i < stretches.dim(0); ++i) {
    const int64_t offset = stretches.data()[2 * i], length = stretches.data()[2 * i + 1];
    if (offset < 0 || length < 0) fail("stretches: row ", i, ": expected numbers from 0");
    if (offset > INT64_MAX - length) fail("stretches: row ", i, ": expected an end below 2**63");
    if (static_cast<uint64_t>(length) > left) fail("buffer: bytes: expected more than ", buffer.size());
    left -= static_cast<size_t>(length);
  }
  int64_t got;
  {
    Released released;
    got = read_stretches(fd, stretches.data(), stretches.dim(0), buffer.as<uint8_t>());
  }
  if (got < 0) {
    PyErr_SetFromErrno(PyExc_OSError);
    throw nb::python_error();
  }
  return got;
}

// UTF-8 of the strings of a list; `owner` keeps them alive.
std::vector<std::string_view> utf8(const char* name, const char* item, nb::handle list,
                                   nb::object& owner) {
  if (!PyList_Check(list.ptr())) {
    PyErr_Format(PyExc_TypeError, "%s: expected a list, got %s", name, Py_TYPE(list.ptr())->tp_name);
    throw nb::python_error();
  }
  owner = nb::steal(PyList_AsTuple(list.ptr()));
  const Py_ssize_t n = PyTuple_GET_SIZE(owner.ptr());
  std::vector<std::string_view> views(static_cast<size_t>(n));
  for (Py_ssize_t i = 0; i < n; ++i) {
    PyObject* text = PyTuple_GET_ITEM(owner.ptr(), i);
    Py_ssize_t size = 0;
    const char* data = PyUnicode_Check(text) ? PyUnicode_AsUTF8AndSize(text, &size) : nullptr;
    if (data) {
      views[static_cast<size_t>(i)] = {data, static_cast<size_t>(size)};
    } else if (PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_UnicodeError)) {
      throw nb::python_error();
    } else if (PyErr_Occurred()) {
      PyErr_Clear();
      fail(name, ": ", item, " ", i, " contains a lone surrogate");
    } else {
      PyErr_Format(PyExc_TypeError, "%s: %s %zd is not a string", name, item, i);
      throw nb::python_error();
    }
  }
  return views;
}

struct PyWordPiece {
  WordPiece wordpiece;
  nb::object encode(nb::handle texts_) const {
    nb::object owner;
    const auto texts = utf8("texts", "number", texts_, owner);
    std::vector<int32_t> ids;
    Result<int64_t> offsets({texts.size() + 1});
    {
      Released released;
      offsets.data()[0] = 0;
      for (size_t i = 0; i < texts.size(); ++i) {
        wordpiece.encode(texts[i], ids);
        offsets.data()[i + 1] = static_cast<int64_t>(ids.size());
      }
    }
    Result<int32_t> out({ids.size()});
    std::copy(ids.begin(), ids.end(), out.data());
    return nb::make_tuple(out.take(), offsets.take());
  }
};

struct Kernels {
  const Level* level;
};

auto any(const char* name) { return nb::arg(name).none(); }  // checked by the function itself

template <auto Function>
struct Method;
template <class R, class... Arguments, R (*Function)(const Level&, Arguments...)>
struct Method<Function> {
  static R call(const Kernels& self, Arguments... arguments) {
    return Function(*self.level, arguments...);
  }
};

}  // namespace

NB_MODULE(_native, m) {
  nb::set_leak_warnings(false);  // the chosen level is kept until the process ends
  m.def("levels", [] {
    std::vector<std::string> names;
    for (const Level* level : supported_levels()) names.push_back(level->name);
    return names;
  });

  m.def("read_stretches", &read_stretches_, nb::arg("fd"), any("stretches"), any("buffer"));

  nb::class_<PyWordPiece>(m, "WordPiece").def("encode", &PyWordPiece::encode, nb::arg("texts"));

  nb::class_<PyPostingList>(m, "PostingList")
      .def_prop_ro("n", [](const PyPostingList& p) { return p.list.size(); })
      .def_prop_ro("largest", [](const PyPostingList& p) { return p.list.largest(); })
      .def_prop_ro("n_bytes", [](const PyPostingList& p) { return p.list.bytes(); })
      .def("decode", &PyPostingList::decode)
      .def("look_up", &PyPostingList::look_up, any("rows"))
      .def("count_live", &PyPostingList::count_live, any("live"));

  nb::class_<Kernels>(m, "Kernels")
      .def("__init__",
           [](Kernels* self, const std::string& name) {
             for (const Level* level : supported_levels())
               if (name == level->name) {
                 new (self) Kernels{level};
                 return;
               }
             fail("level: '", name, "' is not available");
           })
      .def("rotate", &Method<rotate_>::call, any("vectors"), any("signs"))
      .def("sign_encode", &Method<sign_encode_>::call, any("vectors"))
      .def("build_luts", &Method<build_luts_>::call, any("queries"))
      .def("quantise_tables", &Method<quantise_tables_>::call, any("tables"))
      .def("scan_lists", &Method<scan_lists_>::call, any("blocks"), any("starts"), any("luts"),
           any("scale"), any("bias"), any("row_scale"), any("row_offset"), any("live"),
           any("probes"), any("lists"), any("bases"), nb::arg("keep"))
      .def("dot_table", &Method<dot_table_>::call, any("panels"), nb::arg("n"), any("vectors"))
      .def("route_lists", &Method<route_lists_>::call, any("panels"), any("sizes"),
           any("counted"), any("scale"), any("radius"), any("offset"), nb::arg("outward"),
           any("vectors"), any("vector_scale"), any("length"), nb::arg("margin"),
           nb::arg("least"))
      .def("nearest", &Method<nearest_>::call, any("panels"), any("scale"), any("offset"),
           any("vectors"), any("weight"))
      .def("score_rows", &Method<score_rows_>::call, any("records"), nb::arg("dim"),
           nb::arg("dtype"), any("query"), nb::arg("metric"))
      .def("score_pairs", &Method<score_pairs_>::call, any("records"), nb::arg("dim"),
           nb::arg("dtype"), any("queries"), any("record_of"), any("query_of"), nb::arg("metric"))
      .def("row_checksums", &Method<row_checksums_>::call, any("records"))
      .def("first_damaged", &Method<first_damaged_>::call, any("records"))
      .def("quantise_rows", &Method<quantise_rows_>::call, any("vectors"))
      .def("encode_lists", &Method<encode_lists_>::call, any("rows"), any("impacts"),
           any("values"), any("starts"))
      .def("PostingList", &Method<posting_list_>::call, any("data"), nb::arg("n"),
           nb::arg("n_rows"))
      .def("decode_lists", &Method<decode_lists_>::call, any("data"), any("ends"), any("counts"),
           any("checksums"), nb::arg("n_rows"))
      .def("search_lists", &Method<search_lists_>::call, any("lists"), any("weights"),
           any("bounds"), any("lengths"), nb::arg("flat"), nb::arg("slope"), any("live"),
           nb::arg("n_rows"), nb::arg("k"), nb::arg("floor"))
      .def("score_lists", &Method<score_lists_>::call, any("lists"), any("weights"),
           any("lengths"), nb::arg("flat"), nb::arg("slope"), nb::arg("n_rows"), any("rows"))
      .def("pack_impacts", &Method<pack_impacts_>::call, any("postings"), nb::arg("n_rows"))
      .def("sound_impacts", &Method<sound_impacts_>::call, any("data"), nb::arg("n_postings"),
           nb::arg("filled"), nb::arg("n_rows"))
      .def("search_impacts", &Method<search_impacts_>::call, any("data"), any("filled"),
           any("sizes"), nb::arg("n_rows"), any("offsets"), any("lists"), any("factors"),
           any("slack"), nb::arg("keep"), any("live"))
      .def("order_impacts", &Method<order_impacts_>::call, any("data"), nb::arg("n_postings"),
           nb::arg("filled"), nb::arg("n_rows"), nb::arg("least"))
      .def("search_ordered", &Method<search_ordered_>::call, any("data"), nb::arg("n_rows"),
           any("offsets"), any("lists"), any("factors"), any("least"), nb::arg("keep"),
           any("live"))
      .def("deal_postings", &Method<deal_postings_>::call, any("lists"), any("weights"),
           any("offsets"), nb::arg("first_row"), any("largest"), any("places"), any("out"))
      .def("encode_weights", &Method<encode_weights_>::call, any("columns"), any("weights"),
           any("offsets"), nb::arg("width"))
      .def("decode_weights", &Method<decode_weights_>::call, any("records"), any("places"),
           nb::arg("width"))
      .def("first_unsound_weights", &Method<first_unsound_weights_>::call, any("records"),
           any("places"))
      .def("score_weights", &Method<score_weights_>::call, any("records"), any("places"),
           nb::arg("width"), any("columns"), any("weights"), any("queries"), any("record_of"),
           any("query_of"))
      .def("top_k", &Method<top_k_>::call, any("scores"), nb::arg("k"), any("live") = nb::none(),
           nb::arg("floor") = -INFINITY)
      .def("pool_tokens", &Method<pool_tokens_>::call, any("ids"), any("offsets"), any("table"),
           any("scales"), nb::arg("power"), nb::arg("normalise"))
      .def("maxsim", &Method<maxsim_>::call, any("query"), any("tokens"), any("offsets"))
      .def("maxsim_pairs", &Method<maxsim_pairs_>::call, any("records"), any("starts"),
           any("counts"), any("query_of"), any("queries"), any("offsets"), nb::arg("kind"),
           any("centroids"), any("centroid_scale"), any("weights"), nb::arg("weight_scale"))
      .def("token_scores", &Method<token_scores_>::call, any("record"), any("query"),
           nb::arg("kind"), any("centroids"), any("centroid_scale"), any("weights"),
           nb::arg("weight_scale"))
      .def("suffix_array", &Method<suffix_array_>::call, any("text"))
      .def("fm_blocks", &Method<fm_blocks_>::call, any("text"), any("suffixes"), any("ends"))
      .def("fm_ranks", &Method<fm_ranks_>::call, any("records"), any("slots"), any("offsets"),
           any("symbols"))
      .def("fm_steps", &Method<fm_steps_>::call, any("records"), any("slots"), any("offsets"))
      .def("WordPiece", [](const Kernels&, nb::handle vocabulary, const std::string& unk,
                           const std::string& prefix, int64_t max_chars) {
        nb::object owner;
        const auto tokens = utf8("vocabulary", "token", vocabulary, owner);
        return PyWordPiece{WordPiece(tokens, unk, prefix,
                                     non_negative("max_chars_per_word", max_chars))};
      });
}
