// The kernels of posting lists as Python sees them (kernels/inverted.py).
#pragma once
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <string>

namespace bigrain {

struct Level;

void bind_posting_list(nanobind::module_& module);

nanobind::object encode_lists_(const Level&, nanobind::handle rows, nanobind::handle impacts,
                               nanobind::handle values, nanobind::handle starts);
nanobind::object posting_list_(const Level& level, nanobind::handle data, int64_t n,
                               int64_t n_rows);
nanobind::object decode_lists_(const Level& level, nanobind::handle data, nanobind::handle ends,
                               nanobind::handle counts, nanobind::handle checksums,
                               int64_t n_rows);
nanobind::object search_lists_(const Level& level, nanobind::handle lists,
                               nanobind::handle weights, nanobind::handle bounds,
                               nanobind::handle lengths, double flat, double slope,
                               nanobind::handle live, int64_t n_rows, int64_t k, double floor);
nanobind::object score_lists_(const Level& level, nanobind::handle lists,
                              nanobind::handle weights, nanobind::handle lengths, double flat,
                              double slope, int64_t n_rows, nanobind::handle rows);

}  // namespace bigrain
