#include "embedding.h"

#include <algorithm>
#include <cstring>

namespace bigrain {
namespace {

inline float half_to_float(uint16_t half) {  // finite ones
  const uint32_t magnitude = static_cast<uint32_t>(half & 0x7fff) << 13;
  float value;
  std::memcpy(&value, &magnitude, 4);
  value *= 0x1p112f;
  return half & 0x8000 ? -value : value;
}

template <class T>
inline float read(const uint8_t* data, size_t at) {
  T value;
  std::memcpy(&value, data + sizeof(T) * at, sizeof(T));
  if constexpr (sizeof(T) == 2) {
    return half_to_float(value);
  } else {
    return static_cast<float>(value);
  }
}

// Calls `with` with a number of the type that the cells have.
template <class With>
inline size_t typed(const Cells& cells, With with) {
  if (cells.item == 4) return with(float{});
  if (cells.item == 2) return with(uint16_t{});
  return with(int8_t{});
}

inline size_t ones(uint64_t x) {  // without an instruction for it, which not every level has
  x -= x >> 1 & 0x5555555555555555;
  x = (x & 0x3333333333333333) + (x >> 2 & 0x3333333333333333);
  x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0f;
  return static_cast<size_t>(x * 0x0101010101010101 >> 56);
}

inline uint64_t word_at(const uint8_t* bits) {
  uint64_t word;
  std::memcpy(&word, bits, 8);
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
  word = __builtin_bswap64(word);
#endif
  return word;
}

constexpr size_t kAhead = 16;  // rows whose memory is asked for together

inline void ask(const Ranks& ranks, size_t place) {
  __builtin_prefetch(ranks.counts + (place >> 8));
  __builtin_prefetch(ranks.bits + (place >> 8) * 32);
}

// The number of the last start that is not above `place`.
template <class Item>
inline size_t last_from(const Item* items, size_t n, int64_t place) {
  size_t found = 0;
  for (size_t i = 1; i < n; ++i) found += items[i].start <= place;
  return found;
}

}  // namespace

size_t Ranks::before(size_t place) const {
  const size_t block = place >> 8;
  size_t count = counts[block];
  const uint8_t* words = bits + 32 * block;
  for (size_t w = 0; w < (place >> 6 & 3); ++w) count += ones(word_at(words + 8 * w));
  const uint64_t below = (uint64_t{1} << (place & 63)) - 1;
  return count + ones(word_at(words + 8 * (place >> 6 & 3)) & below);
}

size_t mapped_rows(const Cells& cells, const Ranks& ranks, const int64_t* ids, size_t n, size_t dim,
                   float* out) {
  return typed(cells, [&](auto number) {
    size_t before[kAhead];
    for (size_t start = 0; start < n; start += kAhead) {
      const size_t count = std::min(kAhead, n - start);
      for (size_t i = 0; i < count; ++i) ask(ranks, static_cast<size_t>(ids[start + i]) * dim);
      for (size_t i = 0; i < count; ++i) {
        before[i] = ranks.before(static_cast<size_t>(ids[start + i]) * dim);
        __builtin_prefetch(cells.data + before[i] * cells.item);
      }
      for (size_t i = 0; i < count; ++i, out += dim) {
        const size_t first = static_cast<size_t>(ids[start + i]) * dim;
        size_t at = before[i];
        for (size_t done = 0; done < dim;) {  // up to a byte of the bitmap at once
          const size_t place = first + done, skipped = place & 7;
          const size_t width = std::min<size_t>(8 - skipped, dim - done);
          unsigned set = ranks.bits[place >> 3] >> skipped & ((1u << width) - 1);
          for (size_t j = 0; j < width; ++j) out[done + j] = 0;
          for (; set; set &= set - 1) {
            if (at >= cells.size) return start + i;
            out[done + static_cast<size_t>(__builtin_ctz(set))] =
                read<decltype(number)>(cells.data, at++);
          }
          done += width;
        }
      }
    }
    return n;
  });
}

template <class Place>
size_t listed_rows(const Cells& cells, const Place* places, const int64_t* first, size_t step,
                   const int64_t* ids, size_t n, size_t dim, float* out) {
  return typed(cells, [&](auto number) {
    for (size_t i = 0; i < n; ++i, out += dim) {
      const auto id = static_cast<size_t>(ids[i]), low = id * dim;
      const Place* end = places + first[id / step + 1];
      const Place* at = std::lower_bound(places + first[id / step], end, low);
      std::fill_n(out, dim, 0.0f);
      for (; at < end && *at < low + dim; ++at) {
        if (*at < low) return i;  // not ascending
        out[*at - low] = read<decltype(number)>(cells.data, static_cast<size_t>(at - places));
      }
    }
    return n;
  });
}

template size_t listed_rows(const Cells&, const uint32_t*, const int64_t*, size_t, const int64_t*,
                            size_t, size_t, float*);
template size_t listed_rows(const Cells&, const uint64_t*, const int64_t*, size_t, const int64_t*,
                            size_t, size_t, float*);

size_t code_rows(const float* books, size_t parts, size_t words, size_t size, const Band* bands,
                 size_t n_bands, const int64_t* ids, size_t n, float* out) {
  for (size_t i = 0; i < n; ++i) {
    if (i + kAhead < n) {
      const Band& band = bands[last_from(bands, n_bands, ids[i + kAhead])];
      const auto row = static_cast<size_t>(ids[i + kAhead] - band.start);
      __builtin_prefetch(band.packed + row * parts * band.bits / 8);
    }
    const Band& band = bands[last_from(bands, n_bands, ids[i])];
    size_t bit = static_cast<size_t>(ids[i] - band.start) * parts * band.bits;
    if ((bit + parts * band.bits + 7) / 8 >= band.n_bytes) return i;  // a byte more is read
    const unsigned mask = (1u << band.bits) - 1;
    const float* book = books;
    for (size_t p = 0; p < parts; ++p, bit += band.bits, book += words * size, out += size) {
      const uint8_t* byte = band.packed + (bit >> 3);
      const unsigned both = byte[0] | static_cast<unsigned>(byte[1]) << 8;
      const float* word = book + (both >> (bit & 7) & mask) * size;
      if (size == 2) {
        std::memcpy(out, word, 8);
      } else if (size == 4) {
        std::memcpy(out, word, 16);
      } else {
        for (size_t j = 0; j < size; ++j) out[j] = word[j];
      }
    }
  }
  return n;
}

size_t narrow_rows(const Cells& cells, const Ranks* kept, const Group* groups, size_t n_groups,
                   const int64_t* places, size_t n, size_t dim, float* out) {
  constexpr size_t kNone = SIZE_MAX;
  return typed(cells, [&](auto number) {
    const Group* group[kAhead];
    size_t cell[kAhead];
    for (size_t start = 0; start < n; start += kAhead) {
      const size_t count = std::min(kAhead, n - start);
      const int64_t* mine = places + start;
      for (size_t i = 0; kept && i < count; ++i) ask(*kept, static_cast<size_t>(mine[i]));
      for (size_t i = 0; i < count; ++i) {
        const auto place = static_cast<size_t>(mine[i]);
        group[i] = groups + last_from(groups, n_groups, mine[i]);
        cell[i] = kNone;
        if (kept && !kept->at(place)) continue;
        const size_t row = kept ? kept->before(place) - group[i]->before
                                : place - static_cast<size_t>(group[i]->start);
        if (row >= group[i]->rows) return start + i;
        cell[i] = group[i]->cell + row * group[i]->width;
        __builtin_prefetch(cells.data + cell[i] * cells.item);
      }
      for (size_t i = 0; i < count; ++i, out += dim) {
        for (size_t d = 0; d < dim; ++d) out[d] = 0;
        if (cell[i] == kNone) continue;
        for (size_t j = 0; j < group[i]->width; ++j) {
          const float x = read<decltype(number)>(cells.data, cell[i] + j) * group[i]->scale;
          if (!group[i]->projection) {
            out[j] = x;
          } else {
            const float* line = group[i]->projection + j * dim;
            for (size_t d = 0; d < dim; ++d) out[d] += x * line[d];
          }
        }
      }
    }
    return n;
  });
}

}  // namespace bigrain
