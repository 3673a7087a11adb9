#include "fm_module.h"

#include <algorithm>

#include "buffer.h"
#include "fm.h"

namespace bigrain {
namespace {

using Released = nb::gil_scoped_release;

int32_t length_of(const Array<uint8_t>& text) {
  if (text.size() > 0x7fffffff) fail("text: length: expected less than 2**31, got ", text.size());
  return static_cast<int32_t>(text.size());
}

// The records of a list of bytes, kept alive; and (slot, offset) pairs that lie in them.
class Places {
 public:
  Places(nb::handle records, nb::handle slots, nb::handle offsets, size_t limit)
      : slots_("slots", slots, 1), offsets_("offsets", offsets, 1) {
    if (!PyList_Check(records.ptr())) {
      PyErr_Format(PyExc_TypeError, "records: expected a list, got %s",
                   Py_TYPE(records.ptr())->tp_name);
      throw nb::python_error();
    }
    owner_ = nb::steal(PyList_AsTuple(records.ptr()));
    const Py_ssize_t n = PyTuple_GET_SIZE(owner_.ptr());
    for (Py_ssize_t i = 0; i < n; ++i) {
      PyObject* record = PyTuple_GET_ITEM(owner_.ptr(), i);
      if (!PyBytes_Check(record)) {
        PyErr_Format(PyExc_TypeError, "records: number %zd is %s, not bytes", i,
                     Py_TYPE(record)->tp_name);
        throw nb::python_error();
      }
      if (PyBytes_GET_SIZE(record) != static_cast<Py_ssize_t>(kFmRecord))
        fail("records: bytes: expected ", kFmRecord, ", got ", PyBytes_GET_SIZE(record));
      records_.push_back(reinterpret_cast<const uint8_t*>(PyBytes_AS_STRING(record)));
    }
    if (offsets_.size() != slots_.size())
      fail("offsets: length: expected ", slots_.size(), ", got ", offsets_.size());
    for (size_t i = 0; i < slots_.size(); ++i) {
      if (static_cast<uint64_t>(slots_.data()[i]) >= records_.size())
        fail("slots: ", slots_.data()[i], " is outside [0, ", records_.size(), ")");
      if (static_cast<uint64_t>(offsets_.data()[i]) >= limit)
        fail("offsets: ", offsets_.data()[i], " is outside [0, ", limit, ")");
    }
  }

  size_t size() const { return slots_.size(); }
  const uint8_t* record(size_t i) const { return records_[static_cast<size_t>(slots_.data()[i])]; }
  size_t offset(size_t i) const { return static_cast<size_t>(offsets_.data()[i]); }

 private:
  Array<int64_t> slots_, offsets_;
  nb::object owner_;
  std::vector<const uint8_t*> records_;
};

}  // namespace

nb::object suffix_array_(const Level&, nb::handle text_) {
  const Array<uint8_t> text("text", text_, 1);
  const int32_t n = length_of(text);
  Result<int32_t> out({text.size()});
  {
    Released released;
    suffix_array(text.data(), n, out.data());
  }
  return out.take();
}

nb::object fm_blocks_(const Level&, nb::handle text_, nb::handle suffixes_, nb::handle ends_) {
  const Array<uint8_t> text("text", text_, 1);
  const Array<int32_t> suffixes("suffixes", suffixes_, 1);
  const Array<int64_t> ends("ends", ends_, 1);
  const int32_t n = length_of(text);
  if (suffixes.size() != text.size())
    fail("suffixes: length: expected ", n, ", got ", suffixes.size());
  for (size_t i = 0; i < suffixes.size(); ++i)
    if (suffixes.data()[i] < 0 || suffixes.data()[i] >= n)
      fail("suffixes: ", suffixes.data()[i], " is outside [0, ", n, ")");
  bool rising = ends.size() ? ends.data()[0] >= 0 && ends.data()[ends.size() - 1] == n : n == 0;
  for (size_t i = 1; i < ends.size(); ++i) rising &= ends.data()[i - 1] <= ends.data()[i];
  if (!rising) fail("ends: must rise to ", n);
  if (ends.size() > 0x7fffffff) fail("ends: length: expected less than 2**31, got ", ends.size());
  const size_t n_blocks = (text.size() + kFmBlock - 1) / kFmBlock;
  Result<uint8_t> records({n_blocks, kFmRecord});
  Result<int32_t> samples({fm_n_samples(text.data(), n)});
  {
    Released released;
    std::fill_n(records.data(), n_blocks * kFmRecord, uint8_t{0});
    fm_blocks(text.data(), suffixes.data(), n, ends.data(), ends.size(), records.data(),
              samples.data());
  }
  return nb::make_tuple(records.take(), samples.take());
}

nb::object fm_ranks_(const Level&, nb::handle records, nb::handle slots, nb::handle offsets,
                     nb::handle symbols_) {
  const Places places(records, slots, offsets, kFmBlock + 1);
  const Array<uint8_t> symbols("symbols", symbols_, 1);
  if (symbols.size() != places.size())
    fail("symbols: length: expected ", places.size(), ", got ", symbols.size());
  Result<int64_t> out({places.size()});
  {
    Released released;
    for (size_t i = 0; i < places.size(); ++i)
      out.data()[i] = fm_rank(places.record(i), places.offset(i), symbols.data()[i]);
  }
  return out.take();
}

nb::object fm_steps_(const Level&, nb::handle records, nb::handle slots, nb::handle offsets) {
  const Places places(records, slots, offsets, kFmBlock);
  Result<uint8_t> symbols({places.size()});
  Result<int64_t> ranks({places.size()}), marks({places.size()});
  {
    Released released;
    const uint8_t* last = nullptr;  // marks are counted on from the place before, in its block
    size_t done = 0, count = 0;
    for (size_t i = 0; i < places.size(); ++i) {
      const uint8_t* record = places.record(i);
      const size_t offset = places.offset(i);
      symbols.data()[i] = record[kFmText + offset];
      if (!fm_marked(record, offset)) {
        ranks.data()[i] = fm_rank(record, offset, symbols.data()[i]);
        marks.data()[i] = -1;
        continue;
      }
      if (record != last || offset < done) last = record, done = 0, count = fm_marks_before(record);
      count += fm_marks(record, done, offset);
      done = offset;
      ranks.data()[i] = 0;
      marks.data()[i] = static_cast<int64_t>(count);
    }
  }
  return nb::make_tuple(symbols.take(), ranks.take(), marks.take());
}

}  // namespace bigrain
