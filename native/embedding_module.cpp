#include "embedding_module.h"

#include <algorithm>

#include "arguments.h"
#include "embedding.h"

namespace bigrain {
namespace {

// float32, float16 or int8, held for as long as this object lives.
struct Numbers_ : AnyArray {
  Numbers_(const char* name, nb::handle value)
      : AnyArray(name, value, 1, {{'f', 4}, {'f', 2}, {'i', 1}}) {}
  Cells cells() const { return {as<const uint8_t>(), size(), item_size()}; }
};

struct Bitmap {
  Array<uint8_t> bits;
  Array<uint32_t> counts;
  Bitmap(const char* name, nb::handle bits_, nb::handle counts_)
      : bits(name, bits_, 1), counts("counts", counts_, 1) {
    if (bits.size() % 32) fail(name, ": bytes: expected a multiple of 32, got ", bits.size());
    expect("counts: length", counts.size(), bits.size() / 32);
  }
  Ranks ranks() const { return {bits.data(), counts.data()}; }
};

size_t positive(const char* name, int64_t value) {
  if (value < 1 || value > 1 << 24) fail(name, ": expected 1 to ", 1 << 24, ", got ", value);
  return static_cast<size_t>(value);
}

void below(const char* name, const Array<int64_t>& ids, size_t limit) {
  uint64_t largest = 0;
  for (size_t i = 0; i < ids.size(); ++i)
    largest = std::max(largest, static_cast<uint64_t>(ids.data()[i]));
  if (ids.size() && largest >= limit) fail(name, ": an id is outside [0, ", limit, ")");
}

void rising(const char* name, const Array<int64_t>& starts) {
  bool good = starts.size() && starts.data()[0] == 0;
  for (size_t i = 1; i < starts.size(); ++i) good &= starts.data()[i - 1] <= starts.data()[i];
  if (!good) fail(name, ": must rise from 0");
}

void all_found(size_t found, const Array<int64_t>& ids, const char* name) {
  if (found < ids.size()) fail(name, ": hold no row of id ", ids.data()[found]);
}

}  // namespace

nb::object mapped_rows_(const Level& level, nb::handle values_, nb::handle bits_, nb::handle counts_,
                        nb::handle ids_, int64_t dim_) {
  const Numbers_ values("values", values_);
  const Bitmap map("bits", bits_, counts_);
  const Array<int64_t> ids("ids", ids_, 1);
  const size_t dim = positive("dim", dim_);
  below("ids", ids, 8 * map.bits.size() / dim);
  Result<float> out({ids.size(), dim});
  size_t found;
  {
    Released released;
    found = level.mapped_rows(values.cells(), map.ranks(), ids.data(), ids.size(), dim, out.data());
  }
  all_found(found, ids, "values");
  return out.take();
}

nb::object listed_rows_(const Level&, nb::handle values_, nb::handle places_, nb::handle first_,
                        int64_t step_, nb::handle ids_, int64_t dim_) {
  const Numbers_ values("values", values_);
  const AnyArray places("places", places_, 1, {{'u', 4}, {'u', 8}});
  const Array<int64_t> first("first", first_, 1), ids("ids", ids_, 1);
  const size_t dim = positive("dim", dim_), step = positive("step", step_);
  expect("places: length", places.size(), values.size());
  rising("first", first);
  expect("first: end", static_cast<size_t>(first.data()[first.size() - 1]), places.size());
  below("ids", ids, (first.size() - 1) * step);
  Result<float> out({ids.size(), dim});
  size_t found;
  {
    Released released;
    found = places.item_size() == 4
                ? listed_rows(values.cells(), places.as<const uint32_t>(), first.data(), step,
                              ids.data(), ids.size(), dim, out.data())
                : listed_rows(values.cells(), places.as<const uint64_t>(), first.data(), step,
                              ids.data(), ids.size(), dim, out.data());
  }
  all_found(found, ids, "places");
  return out.take();
}

nb::object code_rows_(const Level&, nb::handle books_, nb::handle packed_, nb::handle bits_,
                      nb::handle starts_, nb::handle ids_) {
  const Array<float> books("books", books_, 3);
  const Array<int64_t> bits("bits", bits_, 1), starts("starts", starts_, 1), ids("ids", ids_, 1);
  rising("starts", starts);
  expect("bits: length", bits.size(), starts.size());
  if (!PyList_Check(packed_.ptr())) {
    PyErr_Format(PyExc_TypeError, "packed: expected a list, got %s", Py_TYPE(packed_.ptr())->tp_name);
    throw nb::python_error();
  }
  const auto list = nb::borrow<nb::list>(packed_);
  expect("packed: length", list.size(), starts.size());
  std::vector<std::unique_ptr<Array<uint8_t>>> packed;
  std::vector<Band> bands;
  for (size_t b = 0; b < starts.size(); ++b) {
    const int64_t width = bits.data()[b];
    if (width < 1 || width > 8) fail("bits: expected 1 to 8, got ", width);
    if (books.dim(1) < size_t{1} << width) fail("books: words: expected at least ", 1 << width);
    packed.push_back(std::make_unique<Array<uint8_t>>("packed", list[b], 1));
    bands.push_back({starts.data()[b], packed[b]->data(), packed[b]->size(),
                     static_cast<size_t>(width)});
  }
  below("ids", ids, size_t{1} << 40);
  const size_t parts = books.dim(0), size = books.dim(2);
  Result<float> out({ids.size(), parts * size});
  size_t found;
  {
    Released released;
    found = code_rows(books.data(), parts, books.dim(1), size, bands.data(), bands.size(),
                      ids.data(), ids.size(), out.data());
  }
  all_found(found, ids, "packed");
  return out.take();
}

nb::object narrow_rows_(const Level& level, nb::handle cells_, nb::handle scales_, nb::handle starts_,
                        nb::handle sizes_, nb::handle widths_, nb::handle projections_,
                        nb::handle kept_, nb::handle counts_, nb::handle places_, int64_t dim_) {
  const Numbers_ cells("cells", cells_);
  const Array<float> scales("scales", scales_, 1);
  const Array<int64_t> starts("starts", starts_, 1), sizes("sizes", sizes_, 1),
      widths("widths", widths_, 1), places("places", places_, 1);
  const size_t dim = positive("dim", dim_), n = starts.size();
  rising("starts", starts);
  expect("sizes: length", sizes.size(), n);
  expect("widths: length", widths.size(), n);
  expect("scales: length", scales.size(), n);
  std::optional<Array<float>> projections;
  if (!projections_.is_none()) {
    projections.emplace("projections", projections_, 2);
    expect("projections: dimension", projections->dim(1), dim);
  }
  std::optional<Bitmap> kept;
  if (!kept_.is_none()) {
    kept.emplace("kept", kept_, counts_);
    below("places", places, 8 * kept->bits.size());
    if (static_cast<uint64_t>(starts.data()[n - 1]) >= 8 * kept->bits.size())
      fail("kept: bytes: expected more than ", kept->bits.size());
  } else {
    below("places", places, size_t{1} << 40);
  }
  std::vector<Group> groups;
  size_t cell = 0, line = 0;
  for (size_t g = 0; g < n; ++g) {
    const size_t width = non_negative("widths", widths.data()[g]);
    const size_t rows = non_negative("sizes", sizes.data()[g]);
    if (width > dim) fail("widths: expected at most ", dim, ", got ", width);
    if (rows > cells.size()) fail("sizes: expected at most ", cells.size(), ", got ", rows);
    const float* projection = nullptr;
    if (projections && width < dim) {
      if (line + width > projections->dim(0)) fail("projections: rows: expected more than ", line);
      projection = projections->data() + line * dim;
      line += width;
    }
    groups.push_back({rows, width, cell, scales.data()[g], projection,
                      kept ? level.count_before(kept->ranks(), static_cast<size_t>(starts.data()[g])) : 0});
    cell += rows * width;
  }
  expect("cells: length", cells.size(), cell);
  Result<float> out({places.size(), dim});
  size_t found;
  {
    Released released;
    const Ranks ranks = kept ? kept->ranks() : Ranks{};
    found = level.narrow_rows(cells.cells(), kept ? &ranks : nullptr, groups.data(), starts.data(), n, places.data(),
                        places.size(), dim, out.data());
  }
  all_found(found, places, "cells");
  return out.take();
}

}  // namespace bigrain
