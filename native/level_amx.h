// What level_amx.cpp has instead of level_avx512.cpp's.
#pragma once
#include "kernels.h"

namespace bigrain {
void amx_scan(const ScanTile&, const ScanQuery*, size_t count);
size_t amx_scan_room(size_t groups, size_t n_queries);
}  // namespace bigrain
