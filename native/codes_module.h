// The kernels of codes, rows and tables as Python sees them (kernels/codes.py, records.py).
#pragma once
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <string>

namespace bigrain {

struct Level;

nanobind::object rotate_(const Level& level, nanobind::handle vectors, nanobind::handle signs);
nanobind::object sign_encode_(const Level& level, nanobind::handle vectors);
nanobind::object build_luts_(const Level&, nanobind::handle queries);
nanobind::object quantise_tables_(const Level&, nanobind::handle tables);
nanobind::object scan_lists_(const Level& level, nanobind::handle blocks, nanobind::handle starts,
                             nanobind::handle luts, nanobind::handle scale, nanobind::handle bias,
                             nanobind::handle row_scale, nanobind::handle row_offset,
                             nanobind::handle live, nanobind::handle probes,
                             nanobind::handle lists, nanobind::handle bases, int64_t keep,
                             int64_t rank, nanobind::handle doubt);
nanobind::object dot_table_(const Level& level, nanobind::handle panels, int64_t n,
                            nanobind::handle vectors);
nanobind::object route_lists_(const Level& level, nanobind::handle panels, nanobind::handle sizes,
                              nanobind::handle counted, nanobind::handle scale,
                              nanobind::handle radius, nanobind::handle offset, double outward,
                              nanobind::handle vectors, nanobind::handle vector_scale,
                              nanobind::handle length, double margin, int64_t least);
nanobind::object nearest_(const Level& level, nanobind::handle panels, nanobind::handle scale,
                          nanobind::handle offset, nanobind::handle vectors,
                          nanobind::handle weight);
nanobind::object score_rows_(const Level& level, nanobind::handle records, int64_t dim,
                             const std::string& dtype, nanobind::handle query,
                             const std::string& metric);
nanobind::object score_pairs_(const Level& level, nanobind::handle records, int64_t dim,
                              const std::string& dtype, nanobind::handle queries,
                              nanobind::handle record_of, nanobind::handle query_of,
                              const std::string& metric);
nanobind::object row_checksums_(const Level& level, nanobind::handle records);
int64_t first_damaged_(const Level& level, nanobind::handle records);
nanobind::object quantise_rows_(const Level&, nanobind::handle vectors);

}  // namespace bigrain
