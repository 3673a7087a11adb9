// Rows of compressed embedding tables of which some numbers are kept, or which are narrow.
#pragma once
#include "../kernels.h"

namespace {

constexpr size_t kAskedAhead = 16;  // rows whose memory is asked for together
constexpr size_t kChunk = 16;  // numbers of a row at once

inline size_t ones(uint64_t x) {
#ifdef __POPCNT__
  return static_cast<size_t>(__builtin_popcountll(x));
#else
  x -= x >> 1 & 0x5555555555555555;
  x = (x & 0x3333333333333333) + (x >> 2 & 0x3333333333333333);
  x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0f;
  return static_cast<size_t>(x * 0x0101010101010101 >> 56);
#endif
}

// How many bits are set before a place.
inline size_t before(const bigrain::Ranks& ranks, size_t place) {
  const size_t block = place >> 8, last = place >> 6 & 3;
  size_t count = ranks.counts[block];
  for (size_t w = 0; w < 4; ++w) {
    uint64_t word;
    memcpy(&word, ranks.bits + 32 * block + 8 * w, 8);
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    const uint64_t below = (uint64_t{1} << (place & 63)) - 1;
    count += ones(word & (w < last ? ~uint64_t{0} : w == last ? below : 0));
  }
  return count;
}

inline void ask(const bigrain::Ranks& ranks, size_t place) {
  __builtin_prefetch(ranks.counts + (place >> 8));
  __builtin_prefetch(ranks.bits + (place >> 8) * 32);
}

inline float half_to_float(uint16_t half) {  // finite ones
  const uint32_t magnitude = static_cast<uint32_t>(half & 0x7fff) << 13;
  float value;
  memcpy(&value, &magnitude, 4);
  value *= 0x1p112f;
  return half & 0x8000 ? -value : value;
}

inline float number(const bigrain::Cells& cells, size_t at) {
  const uint8_t* p = cells.data + cells.item * at;
  if (cells.item == 1) return static_cast<float>(static_cast<int8_t>(*p));
  if (cells.item == 2) {
    uint16_t half;
    memcpy(&half, p, 2);
    return half_to_float(half);
  }
  float value;
  memcpy(&value, p, 4);
  return value;
}

#ifdef __AVX512F__

// Up to 16 numbers; none after the last of the cells is read.
inline __m512 numbers(const bigrain::Cells& cells, size_t at, size_t n) {
  const auto mask = static_cast<__mmask16>((1u << n) - 1);
  const uint8_t* p = cells.data + cells.item * at;
  if (cells.item == 4) return _mm512_maskz_loadu_ps(mask, p);
  if (cells.item == 2) return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, p));
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(mask, p)));
}

// Numbers one after the other where bits are set, zeros elsewhere; `width` of them.
inline void expand(const bigrain::Cells& cells, size_t at, uint32_t set, size_t width, float* out) {
  const __m512 all = _mm512_maskz_expand_ps(static_cast<__mmask16>(set),
                                            numbers(cells, at, ones(set)));
  _mm512_mask_storeu_ps(out, static_cast<__mmask16>((1u << width) - 1), all);
}

// `width` of up to 16 numbers, times a scale, and zeros up to `dim` of them.
inline void spread(const bigrain::Cells& cells, size_t at, size_t width, float scale, size_t dim,
                   float* out) {
  _mm512_mask_storeu_ps(out, static_cast<__mmask16>((1u << dim) - 1),
                        _mm512_mul_ps(numbers(cells, at, width), _mm512_set1_ps(scale)));
}

#else

inline void expand(const bigrain::Cells& cells, size_t at, uint32_t set, size_t width, float* out) {
  if (width == kChunk) {
    memset(out, 0, sizeof(float) * kChunk);
  } else {
    for (size_t j = 0; j < width; ++j) out[j] = 0;
  }
  for (; set; set &= set - 1) out[__builtin_ctz(set)] = number(cells, at++);
}

inline void spread(const bigrain::Cells& cells, size_t at, size_t width, float scale, size_t dim,
                   float* out) {
  if (dim == kChunk) {
    memset(out, 0, sizeof(float) * kChunk);
  } else {
    for (size_t j = 0; j < dim; ++j) out[j] = 0;
  }
  for (size_t j = 0; j < width; ++j) out[j] = number(cells, at + j) * scale;
}

#endif

// out += x @ lines, of `Dim` columns where that is known
template <size_t Dim>
inline void add_lines(const float* x, size_t n, const float* lines, size_t dim, float* out) {
  const size_t columns = Dim ? Dim : dim;
  for (size_t j = 0; j < n; ++j)
    for (size_t d = 0; d < columns; ++d) out[d] += x[j] * lines[j * columns + d];
}

size_t mapped_rows(const bigrain::Cells& cells, const bigrain::Ranks& ranks, const int64_t* ids,
                   size_t n, size_t dim, float* out) {
  size_t first_value[kAskedAhead];
  for (size_t start = 0; start < n; start += kAskedAhead) {
    const size_t count = n - start < kAskedAhead ? n - start : kAskedAhead;
    for (size_t i = 0; i < count; ++i) ask(ranks, static_cast<size_t>(ids[start + i]) * dim);
    for (size_t i = 0; i < count; ++i) {
      first_value[i] = before(ranks, static_cast<size_t>(ids[start + i]) * dim);
      __builtin_prefetch(cells.data + first_value[i] * cells.item);
    }
    for (size_t i = 0; i < count; ++i) {
      size_t place = static_cast<size_t>(ids[start + i]) * dim, at = first_value[i];
      for (size_t left = dim; left;) {
        const size_t width = left < kChunk ? left : kChunk, skipped = place & 7;
        const uint8_t* byte = ranks.bits + (place >> 3);
        uint32_t set = byte[0];
        if (skipped + width > 8) set |= static_cast<uint32_t>(byte[1]) << 8;
        if (skipped + width > 16) set |= static_cast<uint32_t>(byte[2]) << 16;
        set = set >> skipped & ((1u << width) - 1);
        const size_t kept = ones(set);
        if (at + kept > cells.size) return start + i;
        expand(cells, at, set, width, out);
        at += kept, place += width, out += width, left -= width;
      }
    }
  }
  return n;
}

size_t narrow_rows(const bigrain::Cells& cells, const bigrain::Ranks* kept,
                   const bigrain::Group* groups, const int64_t* starts, size_t n_groups,
                   const int64_t* places, size_t n, size_t dim, float* out) {
  constexpr size_t kNone = SIZE_MAX;
  const bigrain::Group* group[kAskedAhead];
  size_t cell[kAskedAhead];
  for (size_t start = 0; start < n; start += kAskedAhead) {
    const size_t count = n - start < kAskedAhead ? n - start : kAskedAhead;
    const int64_t* mine = places + start;
    for (size_t i = 0; kept && i < count; ++i) ask(*kept, static_cast<size_t>(mine[i]));
    for (size_t i = 0; i < count; ++i) {
      const auto place = static_cast<size_t>(mine[i]);
      size_t last = 0;
      for (size_t g = 1; g < n_groups; ++g) last += starts[g] <= mine[i];
      group[i] = groups + last;
      const bool there = !kept || (kept->bits[place >> 3] >> (place & 7) & 1);
      const size_t row = kept ? before(*kept, place) - group[i]->before
                              : place - static_cast<size_t>(starts[last]);
      if (there && row >= group[i]->rows) return start + i;
      cell[i] = there ? group[i]->cell + row * group[i]->width : kNone;
      __builtin_prefetch(cells.data + (there ? cell[i] * cells.item : 0));
    }
    for (size_t i = 0; i < count; ++i, out += dim) {
      const bigrain::Group& g = *group[i];
      const size_t width = cell[i] == kNone ? 0 : g.width, at = width ? cell[i] : 0;
      if (g.projection) {
        float x[kChunk];
        for (size_t d = 0; d < dim; ++d) out[d] = 0;
        for (size_t j = 0; j < width; j += kChunk) {
          const size_t some = width - j < kChunk ? width - j : kChunk;
          spread(cells, at + j, some, g.scale, kChunk, x);
          const float* lines = g.projection + j * dim;
          if (dim == kChunk) {
            add_lines<kChunk>(x, some, lines, dim, out);
          } else {
            add_lines<0>(x, some, lines, dim, out);
          }
        }
        continue;
      }
      for (size_t d = 0; d < dim; d += kChunk) {
        const size_t here = width <= d ? 0 : width - d < kChunk ? width - d : kChunk;
        spread(cells, at + (here ? d : 0), here, g.scale, dim - d < kChunk ? dim - d : kChunk,
               out + d);
      }
    }
  }
  return n;
}

}  // namespace
