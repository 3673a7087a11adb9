// The kernels of posting lists as Python sees them:
// checks arguments, allocates results, releases the GIL.
#include "lists_module.h"

#include <nanobind/ndarray.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cmath>

#include "arguments.h"
#include "drivers.h"
#include "lists.h"
#include "search_lists.h"

namespace bigrain {

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

void bind_posting_list(nb::module_& module) {
  nb::class_<PyPostingList>(module, "PostingList")
      .def_prop_ro("n", [](const PyPostingList& p) { return p.list.size(); })
      .def_prop_ro("largest", [](const PyPostingList& p) { return p.list.largest(); })
      .def_prop_ro("n_bytes", [](const PyPostingList& p) { return p.list.bytes(); })
      .def("decode", &PyPostingList::decode)
      .def("look_up", &PyPostingList::look_up, nb::arg("rows").none())
      .def("count_live", &PyPostingList::count_live, nb::arg("live").none());
}

}  // namespace bigrain
