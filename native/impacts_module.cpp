// The kernels of impacts and of rows of weights as Python sees them:
// checks arguments, allocates results, releases the GIL.
#include "impacts_module.h"

#include <nanobind/ndarray.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cmath>

#include "arguments.h"
#include "drivers.h"
#include "impacts.h"
#include "ordered.h"

namespace bigrain {

static size_t rows_of_impacts(int64_t n_rows) {
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

static ImpactList impact_list(const Array<uint8_t>& data, const ImpactLayout& layout,
                              size_t filled) {
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
static nb::tuple bounded_rows(const std::vector<std::vector<Bounded>>& found) {
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

static size_t width_of(int64_t width) {
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

}  // namespace bigrain
