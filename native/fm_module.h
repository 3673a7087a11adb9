// The FM-index kernels as Python sees them (kernels/substrings.py).
#pragma once
#include <nanobind/nanobind.h>

namespace bigrain {

struct Level;

nanobind::object suffix_array_(const Level&, nanobind::handle text);
nanobind::object fm_blocks_(const Level&, nanobind::handle text, nanobind::handle suffixes,
                            nanobind::handle ends);
nanobind::object fm_ranks_(const Level&, nanobind::handle records, nanobind::handle slots,
                           nanobind::handle offsets, nanobind::handle symbols);
nanobind::object fm_steps_(const Level&, nanobind::handle records, nanobind::handle slots,
                           nanobind::handle offsets);

}  // namespace bigrain
