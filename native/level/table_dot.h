// What a table of int8 rows is asked: dot products of a panel (by hand in each level), the best row.
#pragma once
#include "../kernels.h"

namespace {

void fold_nearest(const int32_t* dots, int32_t excess, const float* scale, const float* offset,
                  float weight, int32_t panel, float* best, int32_t* winner) {
  for (size_t i = 0; i < bigrain::kPanel; ++i) {
    const float x =
        scale[i] * static_cast<float>(dots[i] - excess) + weight * offset[i];
    const bool better = x > best[i];
    best[i] = better ? x : best[i];
    winner[i] = better ? panel : winner[i];
  }
}

}  // namespace
