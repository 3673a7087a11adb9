// The kernels of impacts and of rows of weights as Python sees them (kernels/impacts.py).
#pragma once
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <string>

namespace bigrain {

struct Level;

nanobind::object pack_impacts_(const Level&, nanobind::handle postings, int64_t n_rows);
bool sound_impacts_(const Level&, nanobind::handle data, int64_t n_postings, int64_t filled,
                    int64_t n_rows);
nanobind::object search_impacts_(const Level& level, nanobind::handle data,
                                 nanobind::handle filled, nanobind::handle sizes, int64_t n_rows,
                                 nanobind::handle offsets, nanobind::handle lists,
                                 nanobind::handle factors, nanobind::handle slack, int64_t keep,
                                 nanobind::handle live);
nanobind::object order_impacts_(const Level&, nanobind::handle data, int64_t n_postings,
                                int64_t filled, int64_t n_rows, int64_t least);
nanobind::object search_ordered_(const Level& level, nanobind::handle data, int64_t n_rows,
                                 nanobind::handle offsets, nanobind::handle lists,
                                 nanobind::handle factors, nanobind::handle least, int64_t keep,
                                 nanobind::handle live);
void deal_postings_(const Level&, nanobind::handle lists, nanobind::handle weights,
                    nanobind::handle offsets, int64_t first_row, nanobind::handle largest,
                    nanobind::handle places, nanobind::handle out);
nanobind::object encode_weights_(const Level& level, nanobind::handle columns,
                                 nanobind::handle weights, nanobind::handle offsets,
                                 int64_t width);
nanobind::object decode_weights_(const Level&, nanobind::handle records, nanobind::handle places,
                                 int64_t width);
int64_t first_unsound_weights_(const Level& level, nanobind::handle records,
                               nanobind::handle places);
nanobind::object score_weights_(const Level& level, nanobind::handle records,
                                nanobind::handle places, int64_t width, nanobind::handle columns,
                                nanobind::handle weights, nanobind::handle queries,
                                nanobind::handle record_of, nanobind::handle query_of);

}  // namespace bigrain
