#include "drivers.h"

namespace bigrain {

std::vector<uint64_t> checksum_keys(size_t count) {  // splitmix64, lowest bit set
  std::vector<uint64_t> keys(count);
  uint64_t state = 0x6269677261696E31;
  for (uint64_t& key : keys) {
    uint64_t z = state += 0x9E3779B97F4A7C15;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
    z = (z ^ z >> 27) * 0x94D049BB133111EB;
    key = (z ^ z >> 31) | 1;
  }
  return keys;
}

}  // namespace bigrain
