// The MaxSim kernels as Python sees them (kernels/tokens.py).
#pragma once
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <string>

namespace bigrain {

struct Level;

nanobind::object maxsim_pairs_(const Level&, nanobind::handle records, nanobind::handle starts,
                               nanobind::handle counts, nanobind::handle query_of,
                               nanobind::handle queries, nanobind::handle offsets,
                               const std::string& kind, nanobind::handle centroids,
                               nanobind::handle centroid_scale, nanobind::handle weights,
                               double weight_scale);
nanobind::object token_scores_(const Level&, nanobind::handle record, nanobind::handle query,
                               const std::string& kind, nanobind::handle centroids,
                               nanobind::handle centroid_scale, nanobind::handle weights,
                               double weight_scale);

nanobind::object sketch_scores_(const Level&, nanobind::handle table, nanobind::handle sums,
                                nanobind::handle ids, nanobind::handle starts,
                                nanobind::handle rows, nanobind::handle tokens,
                                nanobind::handle scale, nanobind::handle offsets);

}  // namespace bigrain
