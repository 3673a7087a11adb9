// AMX: where tables of a query are sums of its numbers, codes as bytes of 0 and 1 are multiplied
// with these, 16 codes and 16 queries at a time. All else of this level is that of AVX-512.
#include "level_amx.h"

#include <cstring>

#include "simd/avx512.h"
// After the type of a vector.
#include "level/select.h"

namespace {

using bigrain::ScanQuery;
using bigrain::ScanTile;
using bigrain::kBlock;

constexpr size_t kTogether = 32;  // queries
constexpr size_t kFew = 24;       // for no more of them tables are as fast
constexpr size_t kBlocks = 2;     // with the numbers of the queries they stay in the closest cache
constexpr size_t kStep = 64;      // dimensions in a product of tiles
constexpr size_t kTile = 1024;    // bytes
constexpr size_t kProducts = kTogether * kBlock * sizeof(int32_t);

// Of a block with some queries, 32 numbers a query.
struct Products {
  size_t block;
  const ScanQuery* queries;
  size_t count;
  int32_t* numbers;
};

struct alignas(64) Configuration {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t bytes[16] = {};
  uint8_t rows[16] = {};
};

inline size_t steps(size_t groups) { return (4 * groups + kStep - 1) / kStep; }
inline size_t block_room(size_t groups) { return 2 * steps(groups) * kTile; }

// For each step the tiles of rows 0..15 and 16..31: line g has the four bits of each row's group g.
inline void expand(const uint8_t* codes, size_t groups, uint8_t* out) {
  const __m512i bits = _mm512_set_epi32(
      0x01010101, 0x01010100, 0x01010001, 0x01010000, 0x01000101, 0x01000100, 0x01000001,
      0x01000000, 0x00010101, 0x00010100, 0x00010001, 0x00010000, 0x00000101, 0x00000100,
      0x00000001, 0x00000000);
  const size_t whole = 16 * steps(groups);
  for (size_t g = 0; g < whole; ++g) {
    uint8_t* line = out + g / 16 * (2 * kTile) + g % 16 * 64;
    __m512i low = _mm512_setzero_si512(), high = low;
    if (g < groups) {
      const __m512i c = _mm512_cvtepu8_epi32(
          _mm_loadu_si128(reinterpret_cast<const __m128i*>(codes + 16 * g)));
      low = _mm512_permutexvar_epi32(c, bits);
      high = _mm512_permutexvar_epi32(_mm512_srli_epi32(c, 4), bits);
    }
    _mm512_store_si512(line, low);
    _mm512_store_si512(line + kTile, high);
  }
}

// Numbers of 32 queries, as tiles of 16 queries and 64 dimensions: for each step the first 16, then
// the others. Those of no query are zero.
inline void gather(const ScanQuery* queries, size_t count, size_t n_steps, int8_t* out) {
  for (size_t q = 0; q < kTogether; ++q)
    for (size_t t = 0; t < n_steps; ++t) {
      const __m512i x = q < count ? _mm512_loadu_si512(queries[q].numbers + kStep * t)
                                  : _mm512_setzero_si512();
      _mm512_store_si512(out + 2 * kTile * t + q / 16 * kTile + q % 16 * kStep, x);
    }
}

// products[q][r], 32 a query, of 32 rows.
inline void multiply(const uint8_t* codes, const int8_t* numbers, size_t n_steps,
                     int32_t* products) {
  constexpr size_t kLine = kBlock * sizeof(int32_t);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (size_t t = 0; t < n_steps; ++t, numbers += 2 * kTile, codes += 2 * kTile) {
    _tile_loadd(4, numbers, kStep);
    _tile_loadd(6, codes, kStep);
    _tile_dpbsud(0, 4, 6);
    _tile_loadd(7, codes + kTile, kStep);
    _tile_dpbsud(1, 4, 7);
    _tile_loadd(5, numbers + kTile, kStep);
    _tile_dpbsud(2, 5, 6);
    _tile_dpbsud(3, 5, 7);
  }
  _tile_stored(0, products, kLine);
  _tile_stored(1, products + 16, kLine);
  _tile_stored(2, products + 16 * kBlock, kLine);
  _tile_stored(3, products + 16 * kBlock + 16, kLine);
}

// As `scan_queries` of level/scan.h, operation by operation.
inline void settle(const ScanTile& tile, const Products& products) {
  const uint32_t live = tile.live[products.block];
  const size_t first_row = products.block * kBlock;
  V scales[2], offsets[2];
  for (size_t h = 0; h < 2; ++h) {
    scales[h] = load_half(tile.row_scale + 2 * (first_row + L * h));
    offsets[h] = tile.row_offset ? load(tile.row_offset + first_row + L * h) : zero();
  }
  for (size_t q = 0; q < products.count; ++q) {
    const ScanQuery& query = products.queries[q];
    const V scale = set1(query.scale), bias = set1(query.bias), base = set1(query.base);
    const __m512i least = _mm512_set1_epi32(query.least);
    Selection& selection = *query.selection;
    for (size_t h = 0; h < 2; ++h) {
      const __m512i sums = _mm512_load_si512(products.numbers + q * kBlock + L * h);
      V x = _mm512_cvtepi32_ps(_mm512_add_epi32(sums, least));
      x = add(mul(scales[h], add(mul(scale, x), bias)), base);
      if (tile.row_offset) x = add(x, offsets[h]);
      const uint32_t hits = greater(x, selection.threshold) & (live >> (L * h));
      const uint32_t row = tile.first_row + static_cast<uint32_t>(first_row + L * h);
      if (hits) offer(selection, x, hits, row);
    }
  }
}

}  // namespace

namespace bigrain {

size_t amx_scan_room(size_t groups, size_t n_queries) {
  const size_t chunks = (n_queries + kTogether - 1) / kTogether;
  return (kBlocks + chunks) * block_room(groups) + 2 * kProducts;
}

void amx_scan(const ScanTile& tile, const ScanQuery* queries, size_t count) {
  if (count <= kFew || !tile.room) {
    level_avx512.scan(tile, queries, count);
    return;
  }
  const size_t n_steps = steps(tile.groups), each = block_room(tile.groups);
  uint8_t* codes = tile.room;
  int32_t* products[2];
  for (size_t i = 0; i < 2; ++i)
    products[i] = reinterpret_cast<int32_t*>(codes + kBlocks * each + i * kProducts);
  int8_t* numbers = reinterpret_cast<int8_t*>(codes + kBlocks * each + 2 * kProducts);
  for (size_t q = 0; q < count; q += kTogether)
    gather(queries + q, count - q, n_steps, numbers + q / kTogether * each);

  Configuration configuration;
  for (size_t i = 0; i < 8; ++i) {
    configuration.bytes[i] = kStep;
    configuration.rows[i] = 16;
  }
  _tile_loadconfig(&configuration);
  for (size_t b = 0; b < tile.n_blocks; b += kBlocks) {
    const size_t n = tile.n_blocks - b < kBlocks ? tile.n_blocks - b : kBlocks;
    for (size_t i = 0; i < n; ++i)
      expand(tile.codes + (b + i) * tile.groups * 16, tile.groups, codes + i * each);
    // While tiles are multiplied, the products before them are settled.
    Products last{};
    for (size_t q = 0; q < count; q += kTogether)
      for (size_t i = 0; i < n; ++i) {
        const Products next{b + i, queries + q, count - q < kTogether ? count - q : kTogether,
                            last.numbers == products[0] ? products[1] : products[0]};
        multiply(codes + i * each, numbers + q / kTogether * each, n_steps, next.numbers);
        if (last.count) settle(tile, last);
        last = next;
      }
    settle(tile, last);
  }
  _tile_release();
}

}  // namespace bigrain
