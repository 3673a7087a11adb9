// Records of token vectors (token_records.py), and their products with query tokens.
#pragma once
#include <optional>
#include <vector>

#include "drivers.h"

namespace bigrain {

enum class TokenKind { f32, f16, i8, coded };

struct TokenCode {
  TokenKind kind;
  size_t dim;
  unsigned bits;               // of a bucket number
  const int8_t* centroids;     // (n_centroids, dim), may be null
  const float* centroid_scale;
  size_t n_centroids;
  const int8_t* weights;       // (2^bits,)
  float weight_scale;

  size_t factor_bytes() const;
  size_t number_bytes() const;  // of a centroid number
  size_t code_bytes() const;
  size_t token_bytes() const { return factor_bytes() + number_bytes() + code_bytes(); }
};

// Scores records against one query at a time. Tokens are expanded some at a time, to bytes or
// floats; products with centroids are worked out once for a query.
class TokenScorer {
 public:
  TokenScorer(const Level&, const TokenCode&);
  void set_query(const float* query, size_t m);
  // Whether all centroid numbers are known. Writes the scores (t, m) if asked, and adds up the
  // largest of each column.
  bool score(const uint8_t* record, size_t t, float* total, float* scores = nullptr);

 private:
  struct Parts {
    const uint8_t *factors, *numbers, *codes;
  };
  void expand(const Parts&, size_t first, size_t n);
  void multiply(size_t n, float* out);
  bool look_up(const Parts&, size_t first, size_t n);
  size_t number(const uint8_t* p) const;
  void put_row(size_t row, const int8_t* numbers);

  const Level& level_;
  const TokenCode& code_;
  const bool bytes_;  // products of whole numbers
  const size_t chunk_, stride_, float_stride_;
  size_t m_ = 0, n_panels_ = 0, width_ = 0;
  uint8_t weights_[16] = {};
  Aligned<uint8_t> tokens_;
  Aligned<float> floats_;
  std::vector<float> factors_, scores_, best_;
  // the query
  std::vector<float> panels_, scale_;
  std::vector<int32_t> begin_;
  std::optional<Aligned<int8_t>> planes_;
  // products with centroids: row places_[k] - first_ where that is not negative
  std::vector<uint32_t> places_;
  uint32_t first_ = 1, next_ = 1;
  size_t capacity_ = 0;
  std::vector<float> table_;
  std::vector<const float*> bases_;
  std::vector<size_t> missing_;
};

}  // namespace bigrain
