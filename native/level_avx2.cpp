// AVX2, FMA, F16C: table lookups with pshufb, two groups of four dimensions at a time.
#include "kernels.h"
#include "simd/avx2.h"

namespace {

constexpr size_t kQueries = 2;  // 8 accumulators of 16 registers

// Sums of 16 rows from `all` (16-bit sums of byte pairs, odd rows in the upper byte) and `odd`.
inline void add_rows(__m256i all, __m256i odd, int32_t* sums) {
  const __m256i even = _mm256_sub_epi16(all, _mm256_slli_epi16(odd, 8));
  const auto widen = [](__m256i x) {
    return _mm256_add_epi32(_mm256_cvtepu16_epi32(_mm256_castsi256_si128(x)),
                            _mm256_cvtepu16_epi32(_mm256_extracti128_si256(x, 1)));
  };
  const __m256i e = widen(even), o = widen(odd);
  const __m256i low = _mm256_unpacklo_epi32(e, o), high = _mm256_unpackhi_epi32(e, o);
  __m256i* out = reinterpret_cast<__m256i*>(sums);
  const __m256i a = _mm256_permute2x128_si256(low, high, 0x20);
  const __m256i b = _mm256_permute2x128_si256(low, high, 0x31);
  _mm256_store_si256(out, _mm256_add_epi32(_mm256_load_si256(out), a));
  _mm256_store_si256(out + 1, _mm256_add_epi32(_mm256_load_si256(out + 1), b));
}

template <size_t N>
inline void block_sums(const uint8_t* codes, size_t groups,
                       const bigrain::ScanQuery* queries, const uint8_t* ahead, V (*sums)[4]) {
  alignas(32) int32_t totals[N][32] = {};
  const __m256i nibble = _mm256_set1_epi8(15);
  for (size_t start = 0; start < groups; start += 512) {  // 256 additions of 255 fit in 16 bits
    const size_t end = groups - start < 512 ? groups : start + 512;
    __m256i all[N][2], odd[N][2];
    for (size_t k = 0; k < N; ++k)
      all[k][0] = all[k][1] = odd[k][0] = odd[k][1] = _mm256_setzero_si256();
    for (size_t g = start; g < end; g += 2) {
      _mm_prefetch(ahead + 16 * g, _MM_HINT_T0);
      const __m128i* p = reinterpret_cast<const __m128i*>(codes + 16 * g);
      const __m256i c = g + 2 <= end ? _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))
                                     : _mm256_zextsi128_si256(_mm_loadu_si128(p));
      const __m256i low = _mm256_and_si256(c, nibble);
      const __m256i high = _mm256_and_si256(_mm256_srli_epi16(c, 4), nibble);
      for (size_t k = 0; k < N; ++k) {
        const __m256i lut = _mm256_loadu_si256(
            reinterpret_cast<const __m256i*>(queries[k].luts + 16 * g));
        const __m256i x = _mm256_shuffle_epi8(lut, low), y = _mm256_shuffle_epi8(lut, high);
        all[k][0] = _mm256_add_epi16(all[k][0], x);
        all[k][1] = _mm256_add_epi16(all[k][1], y);
        odd[k][0] = _mm256_add_epi16(odd[k][0], _mm256_srli_epi16(x, 8));
        odd[k][1] = _mm256_add_epi16(odd[k][1], _mm256_srli_epi16(y, 8));
      }
    }
    for (size_t k = 0; k < N; ++k) {
      add_rows(all[k][0], odd[k][0], totals[k]);
      add_rows(all[k][1], odd[k][1], totals[k] + 16);
    }
  }
  for (size_t k = 0; k < N; ++k)
    for (size_t i = 0; i < 4; ++i) sums[k][i] = load_int(totals[k] + L * i);
}

// Four rows of four columns in 16-bit numbers: vpmaddwd leaves two partial sums a row.
template <size_t N>
inline void dot_panels(const uint8_t* panel, size_t groups, const int8_t* vectors, int32_t* out) {
  __m256i s[N][4];
  for (size_t k = 0; k < N; ++k)
    for (size_t r = 0; r < 4; ++r) s[k][r] = _mm256_setzero_si256();
  for (size_t g = 0; g < groups; ++g) {
    __m256i rows[4];
    for (size_t r = 0; r < 4; ++r)
      rows[r] = _mm256_cvtepu8_epi16(
          _mm_loadu_si128(reinterpret_cast<const __m128i*>(panel + 64 * g + 16 * r)));
    for (size_t k = 0; k < N; ++k) {
      int32_t four;
      memcpy(&four, vectors + 4 * (k * groups + g), 4);
      const __m256i x = _mm256_broadcastq_epi64(_mm_cvtepi8_epi16(_mm_cvtsi32_si128(four)));
      for (size_t r = 0; r < 4; ++r)
        s[k][r] = _mm256_add_epi32(s[k][r], _mm256_madd_epi16(rows[r], x));
    }
  }
  for (size_t k = 0; k < N; ++k)
    for (size_t r = 0; r < 4; r += 2) {  // rows 4r..4r+3 and 4r+4..4r+7, partial sums in pairs
      const __m256i pairs = _mm256_hadd_epi32(s[k][r], s[k][r + 1]);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + 16 * k + 4 * r),
                          _mm256_permute4x64_epi64(pairs, 0xD8));
    }
}

void dot_panel(const uint8_t* panel, size_t groups, const int8_t* vectors, size_t count,
               int32_t* out) {
  size_t i = 0;
  for (; i + 2 <= count; i += 2) dot_panels<2>(panel, groups, vectors + 4 * groups * i, out + 16 * i);
  for (; i < count; ++i) dot_panels<1>(panel, groups, vectors + 4 * groups * i, out + 16 * i);
}

constexpr decltype(bigrain::Level::score_bytes) score_bytes = nullptr;

}  // namespace

#include "level/table.h"

BIGRAIN_LEVEL(avx2)
