// The kernels of embedding tables as Python sees them (kernels/embedding.py).
#pragma once
#include <nanobind/nanobind.h>

namespace bigrain {

struct Level;

nanobind::object mapped_rows_(const Level&, nanobind::handle values, nanobind::handle bits,
                              nanobind::handle counts, nanobind::handle ids, int64_t dim);
nanobind::object listed_rows_(const Level&, nanobind::handle values, nanobind::handle places,
                              nanobind::handle first, int64_t step, nanobind::handle ids,
                              int64_t dim);
nanobind::object code_rows_(const Level&, nanobind::handle books, nanobind::handle packed,
                            nanobind::handle bits, nanobind::handle starts, nanobind::handle ids);
nanobind::object narrow_rows_(const Level&, nanobind::handle cells, nanobind::handle scales,
                              nanobind::handle starts, nanobind::handle sizes,
                              nanobind::handle widths, nanobind::handle projections,
                              nanobind::handle kept, nanobind::handle counts,
                              nanobind::handle places, int64_t dim);

}  // namespace bigrain
