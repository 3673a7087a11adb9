#pragma once
#include <cstddef>
#include <cstdint>

namespace bigrain {

// Reads n stretches (offset, length) one after another into `out`. What the system has in memory is
// copied at once; the rest is announced together before the first of it is waited for. Returns the
// bytes read up to the first stretch that the file does not hold, or -1 with errno.
int64_t read_stretches(int fd, const int64_t* stretches, size_t n, uint8_t* out);

}  // namespace bigrain
