#include "embedding.h"

#include <algorithm>
#include <cstring>

namespace bigrain {
namespace {

constexpr size_t kAhead = 16;  // rows of which memory is asked for before its time

// Numbers widened to float where they lie; `Type` has their size.
template <class Type>
float widened(const uint8_t* data, size_t at) {
  Type value;
  std::memcpy(&value, data + sizeof(Type) * at, sizeof(Type));
  if constexpr (sizeof(Type) == 2) {  // half, finite
    const uint32_t magnitude = static_cast<uint32_t>(value & 0x7fff) << 13;
    float wide;
    std::memcpy(&wide, &magnitude, 4);
    wide *= 0x1p112f;
    return value & 0x8000 ? -wide : wide;
  } else {
    return static_cast<float>(value);
  }
}

template <class Place, class Type>
size_t listed(const Cells& cells, const Place* places, const int64_t* first, size_t step,
              const int64_t* ids, size_t n, size_t dim, float* out) {
  for (size_t i = 0; i < n; ++i, out += dim) {
    if (i + kAhead < n)
      __builtin_prefetch(places + first[static_cast<size_t>(ids[i + kAhead]) / step]);
    const auto id = static_cast<size_t>(ids[i]), low = id * dim;
    const Place* end = places + first[id / step + 1];
    const Place* at = std::lower_bound(places + first[id / step], end, low);
    std::fill_n(out, dim, 0.0f);
    for (; at < end && *at < low + dim; ++at) {
      if (*at < low) return i;  // not ascending
      out[*at - low] = widened<Type>(cells.data, static_cast<size_t>(at - places));
    }
  }
  return n;
}

const Band& band_of(const Band* bands, size_t n_bands, int64_t id) {
  size_t found = 0;
  for (size_t b = 1; b < n_bands; ++b) found += bands[b].start <= id;
  return bands[found];
}

// Rows whose codewords have `Size` numbers, where that is known.
template <size_t Size>
size_t coded(const float* books, size_t parts, size_t words, size_t size, const Band* bands,
             size_t n_bands, const int64_t* ids, size_t n, float* out) {
  const size_t width = Size ? Size : size;
  for (size_t i = 0; i < n; ++i) {
    if (i + kAhead < n) {
      const Band& band = band_of(bands, n_bands, ids[i + kAhead]);
      const auto row = static_cast<size_t>(ids[i + kAhead] - band.start);
      __builtin_prefetch(band.packed + row * parts * band.bits / 8);
    }
    const Band& band = band_of(bands, n_bands, ids[i]);
    const size_t bits = band.bits;
    size_t bit = static_cast<size_t>(ids[i] - band.start) * parts * bits;
    if ((bit + parts * bits + 7) / 8 >= band.n_bytes) return i;  // a byte more is read
    const unsigned mask = (1u << bits) - 1;
    const float* book = books;
    for (size_t p = 0; p < parts; ++p, bit += bits, book += words * width, out += width) {
      const uint8_t* byte = band.packed + (bit >> 3);
      const unsigned both = byte[0] | static_cast<unsigned>(byte[1]) << 8;
      const float* word = book + (both >> (bit & 7) & mask) * width;
      for (size_t j = 0; j < width; ++j) out[j] = word[j];
    }
  }
  return n;
}

}  // namespace

template <class Place>
size_t listed_rows(const Cells& cells, const Place* places, const int64_t* first, size_t step,
                   const int64_t* ids, size_t n, size_t dim, float* out) {
  const auto function = cells.item == 4   ? listed<Place, float>
                        : cells.item == 2 ? listed<Place, uint16_t>
                                          : listed<Place, int8_t>;
  return function(cells, places, first, step, ids, n, dim, out);
}

template size_t listed_rows(const Cells&, const uint32_t*, const int64_t*, size_t, const int64_t*,
                            size_t, size_t, float*);
template size_t listed_rows(const Cells&, const uint64_t*, const int64_t*, size_t, const int64_t*,
                            size_t, size_t, float*);

size_t code_rows(const float* books, size_t parts, size_t words, size_t size, const Band* bands,
                 size_t n_bands, const int64_t* ids, size_t n, float* out) {
  const auto function = size == 1 ? coded<1> : size == 2 ? coded<2> : size == 4 ? coded<4> : coded<0>;
  return function(books, parts, words, size, bands, n_bands, ids, n, out);
}

}  // namespace bigrain
