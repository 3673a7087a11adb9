// NumPy arrays at the border: checked views of arguments, and results.
#pragma once
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <initializer_list>
#include <memory>
#include <new>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

namespace nb = nanobind;

namespace bigrain {

template <class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
  std::ostringstream message;
  (message << ... << parts);
  throw nb::value_error(message.str().c_str());
}

struct ItemType {
  char kind;  // f, i, u
  size_t size;
};

template <class T>
constexpr ItemType item_type() {
  return {std::is_floating_point_v<T> ? 'f' : std::is_signed_v<T> ? 'i' : 'u', sizeof(T)};
}

// An array of one of several types, held for as long as this object lives.
class AnyArray {
 public:
  AnyArray(const char* name, nb::handle value, int ndim, std::initializer_list<ItemType> types,
           bool writable = false) {
    if (PyObject_GetBuffer(value.ptr(), &view_, PyBUF_FULL_RO)) {
      PyErr_Clear();
      PyErr_Format(PyExc_TypeError, "%s: expected an array, got %s", name,
                   Py_TYPE(value.ptr())->tp_name);
      throw nb::python_error();
    }
    try {
      check(name, ndim, types, writable);
    } catch (...) {
      PyBuffer_Release(&view_);
      throw;
    }
  }
  AnyArray(const AnyArray&) = delete;
  ~AnyArray() { PyBuffer_Release(&view_); }

  template <class T>
  T* as() const { return static_cast<T*>(view_.buf); }
  size_t item_size() const { return static_cast<size_t>(view_.itemsize); }
  size_t dim(int axis) const { return static_cast<size_t>(view_.shape[axis]); }
  size_t size() const { return static_cast<size_t>(view_.len / view_.itemsize); }

 private:
  ItemType type() const {
    const char* f = view_.format ? view_.format : "B";
    if (*f == '=' || *f == '@') ++f;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    if (*f == '<') ++f;
#endif
    const std::string format(f);
    const size_t size = item_size();
    if (format == "f" || format == "e" || format == "d") return {'f', size};
    if (format.size() == 1 && std::string("bhilq").find(format) != std::string::npos)
      return {'i', size};
    if (format.size() == 1 && std::string("BHILQ").find(format) != std::string::npos)
      return {'u', size};
    return {'?', size};
  }

  void check(const char* name, int ndim, std::initializer_list<ItemType> types, bool writable) {
    const ItemType got = type();
    std::string accepted;
    for (const ItemType t : types) {
      if (t.kind == got.kind && t.size == got.size) accepted = "*";
      if (accepted != "*")
        accepted += (accepted.empty() ? "" : " or ") + spell(t);
    }
    if (accepted != "*") {
      PyErr_Format(PyExc_TypeError, "%s: expected %s, got format '%s'", name, accepted.c_str(),
                   view_.format ? view_.format : "B");
      throw nb::python_error();
    }
    if (view_.ndim != ndim) fail(name, ": expected ", ndim, " axes, got ", view_.ndim);
    if (!PyBuffer_IsContiguous(&view_, 'C'))
      fail(name, ": must be C-contiguous; np.ascontiguousarray makes it so");
    if (reinterpret_cast<uintptr_t>(view_.buf) % item_size())
      fail(name, ": must be aligned in memory; np.require(..., requirements='A') makes it so");
    if (writable && view_.readonly) fail(name, ": must be writable");
  }

  static std::string spell(ItemType t) {
    return (t.kind == 'f' ? "float" : t.kind == 'i' ? "int" : "uint") + std::to_string(8 * t.size);
  }

  Py_buffer view_;
};

template <class T>
class Array : public AnyArray {
 public:
  Array(const char* name, nb::handle value, int ndim)
      : AnyArray(name, value, ndim, {item_type<T>()}) {}
  const T* data() const { return as<const T>(); }
};

inline void expect(const char* name, size_t got, size_t expected) {
  if (got != expected) fail(name, ": expected ", expected, ", got ", got);
}

// The start of each item and the end of the last.
struct Offsets : Array<int64_t> {
  Offsets(const char* name, nb::handle value, size_t total) : Array(name, value, 1) {
    const size_t n = size();
    if (n < 1) fail(name, ": length: expected at least 1, got 0");
    bool good = data()[0] == 0 && data()[n - 1] == static_cast<int64_t>(total);
    for (size_t i = 1; i < n; ++i) good &= data()[i - 1] <= data()[i];
    if (!good) fail(name, ": must rise from 0 to ", total);
  }
};

// A new NumPy array, filled before it is handed over.
template <class T>
class Result {
 public:
  explicit Result(std::vector<size_t> shape) : shape_(std::move(shape)) {
    size_t n = 1;
    for (const size_t d : shape_)
      if (__builtin_mul_overflow(n, d, &n) || n > PTRDIFF_MAX / sizeof(T)) throw std::bad_alloc();
    memory_.reset(new (std::nothrow) T[n]);
    if (!memory_) throw std::bad_alloc();
  }
  T* data() { return memory_.get(); }
  nb::object take() {
    T* p = memory_.release();
    nb::capsule owner(p, [](void* q) noexcept { delete[] static_cast<T*>(q); });
    return nb::cast(nb::ndarray<nb::numpy, T>(p, shape_.size(), shape_.data(), owner));
  }

 private:
  std::vector<size_t> shape_;
  std::unique_ptr<T[]> memory_;
};

}  // namespace bigrain
