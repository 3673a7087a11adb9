// Checks of arguments that several files of the Python module make.
#pragma once
#include <optional>

#include "buffer.h"
#include "kernels.h"

namespace bigrain {

using Released = nb::gil_scoped_release;

inline size_t non_negative(const char* name, int64_t value) {
  if (value < 0) fail(name, ": expected at least 0, got ", value);
  return static_cast<size_t>(value);
}

inline void check_ids(const char* name, const Level& level, const void* ids, size_t n, size_t limit) {
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

}  // namespace bigrain
