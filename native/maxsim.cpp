#include "maxsim.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace bigrain {
namespace {

constexpr size_t kAtOnce = 8;            // tokens that level functions take together
constexpr size_t kExpanded = 16384;      // bytes of expanded tokens: they stay in the first cache
constexpr size_t kTable = 4 << 20;       // bytes of products with centroids
constexpr size_t kLeastForBytes = 64;    // dimensions; with fewer, rounding the query would show
constexpr float kTop = 127 * 256 + 127;  // of a query token's numbers
constexpr float kRound = 12582912.0f;    // 1.5 * 2^23: adding it rounds to whole numbers

size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

template <class T>
T little_endian(const uint8_t* p) {
  T x = 0;
  for (size_t i = 0; i < sizeof(T); ++i) x |= static_cast<T>(static_cast<T>(p[i]) << 8 * i);
  return x;
}

float little_float(const uint8_t* p) {
  const uint32_t bits = little_endian<uint32_t>(p);
  float x;
  memcpy(&x, &bits, 4);
  return x;
}

}  // namespace

size_t TokenCode::factor_bytes() const {
  return kind == TokenKind::i8 ? 4 : kind == TokenKind::coded ? 2 : 0;
}
size_t TokenCode::number_bytes() const { return !centroids ? 0 : n_centroids <= 1 << 16 ? 2 : 4; }
size_t TokenCode::code_bytes() const {
  switch (kind) {
    case TokenKind::f32: return 4 * dim;
    case TokenKind::f16: return 2 * dim;
    case TokenKind::i8: return dim;
    case TokenKind::coded: break;
  }
  return (dim * bits + 7) / 8;
}

TokenScorer::TokenScorer(const Level& level, const TokenCode& code)
    : level_(level),
      code_(code),
      bytes_(level.score_bytes && code.dim >= kLeastForBytes &&
             (code.kind == TokenKind::i8 || code.kind == TokenKind::coded)),
      chunk_(std::clamp<size_t>(kExpanded / (bytes_ ? code.dim : 4 * code.dim) / kAtOnce * kAtOnce,
                                kAtOnce, 128)),
      stride_(round_up(code.dim, 64)),
      float_stride_(round_up(code.dim, 16)),
      tokens_(chunk_ * stride_ + 64),
      floats_(bytes_ ? 0 : chunk_ * float_stride_),
      factors_(chunk_ + 16),
      places_(code.centroids ? code.n_centroids : 0),
      bases_(chunk_),
      missing_(chunk_) {
  memset(tokens_.data(), 0, chunk_ * stride_);
  if (!bytes_) std::fill_n(floats_.data(), chunk_ * float_stride_, 0.0f);
  if (code.kind == TokenKind::coded)
    for (size_t i = 0; i < size_t{1} << code.bits; ++i)
      weights_[i] = static_cast<uint8_t>(code.weights[i] + (bytes_ ? 128 : 0));
}

void TokenScorer::set_query(const float* query, size_t m) {
  const size_t lanes = level_.lanes, dim = code_.dim;
  m_ = m;
  n_panels_ = (m + lanes - 1) / lanes;
  width_ = n_panels_ * lanes;
  best_.resize(width_);
  scores_.resize(chunk_ * width_);
  first_ = next_;
  if (code_.centroids) {
    const size_t affordable = kTable / (4 * std::max<size_t>(width_, 1));
    capacity_ = chunk_ + std::min(affordable, code_.n_centroids);
  }
  if (!bytes_) {
    panels_.assign(width_ * dim, 0);
    for (size_t q = 0; q < m; ++q)
      for (size_t d = 0; d < dim; ++d)
        panels_[(q / lanes * dim + d) * lanes + q % lanes] = query[q * dim + d];
    return;
  }
  const size_t groups = (dim + 3) / 4;
  planes_.emplace(n_panels_ * groups * 128);
  int8_t* planes = planes_->data();
  memset(planes, 0, n_panels_ * groups * 128);
  scale_.assign(width_, 0);
  begin_.assign(2 * width_, 0);
  std::vector<int8_t> rounded(8 * groups);  // what is beyond the last dimension stays 0
  for (size_t q = 0; q < m; ++q, query += dim) {
    float widest = 0;
    for (size_t d = 0; d < dim; ++d) widest = std::max(widest, std::fabs(query[d]));
    const float step = widest / kTop;
    if (!(step > 0)) continue;
    scale_[q] = step;
    const size_t panel = q / 16, lane = q % 16;
    int8_t* high = rounded.data();
    int8_t* low = high + 4 * groups;
    int32_t high_sum = 0, low_sum = 0;
    for (size_t d = 0; d < dim; ++d) {
      const float x = query[d] / step + kRound - kRound;
      const int whole = static_cast<int>(x > kTop ? kTop : x < -kTop ? -kTop : x);
      const int h = (whole + 128) >> 8, l = whole - 256 * h;
      high[d] = static_cast<int8_t>(h);
      low[d] = static_cast<int8_t>(l);
      high_sum += h;
      low_sum += l;
    }
    int8_t* at = planes + panel * groups * 128 + 4 * lane;
    for (size_t g = 0; g < groups; ++g, at += 128) {
      memcpy(at, high + 4 * g, 4);
      memcpy(at + 64, low + 4 * g, 4);
    }
    begin_[32 * panel + lane] = -128 * high_sum;
    begin_[32 * panel + 16 + lane] = -128 * low_sum;
  }
}

size_t TokenScorer::number(const uint8_t* p) const {
  return code_.number_bytes() == 2 ? little_endian<uint16_t>(p) : little_endian<uint32_t>(p);
}

// Whole numbers of a token into its row, as the products want them.
void TokenScorer::put_row(size_t row, const int8_t* numbers) {
  uint8_t* out = tokens_.data() + row * stride_;
  const size_t dim = code_.dim;
  const uint8_t flip = bytes_ ? 128 : 0;
  for (size_t d = 0; d < dim; ++d) out[d] = static_cast<uint8_t>(numbers[d]) ^ flip;
}

void TokenScorer::expand(const Parts& parts, size_t first, size_t n) {
  const size_t each = code_.code_bytes();
  const uint8_t* codes = parts.codes + first * each;
  if (code_.kind == TokenKind::f32) {
    for (size_t t = 0; t < n; ++t) {
      float* out = floats_.data() + t * float_stride_;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
      memcpy(out, codes + t * each, each);
#else
      for (size_t d = 0; d < code_.dim; ++d) out[d] = little_float(codes + t * each + 4 * d);
#endif
    }
  } else if (code_.kind == TokenKind::f16) {
    for (size_t t = 0; t < n; ++t)
      level_.widen_half(codes + t * each, code_.dim, floats_.data() + t * float_stride_);
  } else if (code_.kind == TokenKind::i8) {
    for (size_t t = 0; t < n; ++t) {
      put_row(t, reinterpret_cast<const int8_t*>(codes + t * each));
      factors_[t] = little_float(parts.factors + 4 * (first + t));
    }
  } else {
    for (size_t t = 0; t < n; ++t)
      level_.expand_codes(codes + t * each, code_.dim, code_.bits, weights_,
                          tokens_.data() + t * stride_);
    level_.widen_half(parts.factors + 2 * first, n, factors_.data());
  }
}

// The rows in tokens_ (or floats_, where tokens are stored as such) times the query.
void TokenScorer::multiply(size_t n, float* out) {
  if (bytes_) {
    const BytePanels panels{planes_->data(), begin_.data(), scale_.data(), (code_.dim + 3) / 4};
    level_.score_bytes(panels, n_panels_, tokens_.data(), stride_, n, out);
    return;
  }
  if (code_.kind == TokenKind::i8 || code_.kind == TokenKind::coded)
    for (size_t t = 0; t < n; ++t)
      level_.widen_i8(reinterpret_cast<const int8_t*>(tokens_.data() + t * stride_), code_.dim,
                      floats_.data() + t * float_stride_);
  level_.score_floats(panels_.data(), n_panels_, code_.dim, floats_.data(), float_stride_, n, out);
}

// Finds the products of some tokens' centroids, or works them out.
bool TokenScorer::look_up(const Parts& parts, size_t first, size_t n) {
  const size_t each = code_.number_bytes();
  const uint8_t* numbers = parts.numbers + first * each;
  const auto is_known = [this](size_t k) { return places_[k] >= first_; };
  for (size_t t = 0; t < n; ++t)
    if (number(numbers + t * each) >= code_.n_centroids) return false;
  if (next_ - first_ + n > capacity_) first_ = next_;  // forget them all
  if (next_ > std::numeric_limits<uint32_t>::max() - n) {
    std::fill(places_.begin(), places_.end(), 0u);
    first_ = next_ = 1;
  }
  size_t count = 0;
  for (size_t t = 0; t < n; ++t) {
    const size_t k = number(numbers + t * each);
    if (is_known(k)) continue;
    places_[k] = next_ + static_cast<uint32_t>(count);
    put_row(count, code_.centroids + k * code_.dim);
    factors_[count] = code_.centroid_scale[k];
    ++count;
  }
  if (count) {
    const size_t used = next_ - first_, room = (used + round_up(count, kAtOnce)) * width_;
    if (table_.size() < room)
      table_.resize(std::min(std::max(room, 2 * table_.size()), (capacity_ + kAtOnce) * width_));
    float* rows = table_.data() + used * width_;
    multiply(count, rows);
    std::vector<float>& unused = scores_;  // of the largest
    level_.settle(rows, count, width_, factors_.data(), 1, nullptr, unused.data());
    next_ += static_cast<uint32_t>(count);
  }
  for (size_t t = 0; t < n; ++t)
    bases_[t] = table_.data() + (places_[number(numbers + t * each)] - first_) * width_;
  return true;
}

bool TokenScorer::score(const uint8_t* record, size_t t, float* total, float* scores) {
  const size_t numbers = t * code_.factor_bytes(), codes = numbers + t * code_.number_bytes();
  const Parts parts{record, record + numbers, record + codes};
  std::fill(best_.begin(), best_.end(), -std::numeric_limits<float>::infinity());
  const bool factors = code_.kind == TokenKind::i8 || code_.kind == TokenKind::coded;
  const float unit = code_.kind == TokenKind::coded ? code_.weight_scale : 1;
  for (size_t first = 0; first < t; first += chunk_) {
    const size_t n = std::min(chunk_, t - first);
    if (code_.centroids && !look_up(parts, first, n)) return false;
    expand(parts, first, n);
    multiply(n, scores_.data());
    level_.settle(scores_.data(), n, width_, factors ? factors_.data() : nullptr, unit,
                  code_.centroids ? bases_.data() : nullptr, best_.data());
    for (size_t i = 0; scores && i < n; ++i)
      std::copy_n(scores_.data() + i * width_, m_, scores + (first + i) * m_);
  }
  float sum = 0;
  for (size_t q = 0; q < m_; ++q) sum += best_[q];
  *total = t ? sum : -std::numeric_limits<float>::infinity();
  return true;
}

}  // namespace bigrain
