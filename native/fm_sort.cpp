// Suffix sorting by induction (Nong, Zhang, Chan 2009: "Two Efficient Algorithms for Linear Time
// Suffix Array Construction"). The end of the text counts as smaller than any character.
#include <algorithm>
#include <vector>

#include "fm.h"

namespace bigrain {
namespace {

template <class T>
class Sorter {
 public:
  Sorter(const T* text, int32_t n, int32_t alphabet, int32_t* sa)
      : text_(text), n_(n), sa_(sa), sizes_(alphabet), next_(alphabet), small_(n) {
    for (int32_t i = 0; i < n; ++i) ++sizes_[text[i]];
    for (int32_t i = n - 2; i >= 0; --i)  // the last suffix is larger than the end
      small_[i] = text[i] < text[i + 1] || (text[i] == text[i + 1] && small_[i + 1]);
  }

  void sort();

 private:
  bool leftmost(int32_t i) const { return i > 0 && small_[i] && !small_[i - 1]; }

  void to_starts() {
    int32_t sum = 0;
    for (size_t c = 0; c < sizes_.size(); ++c) next_[c] = sum, sum += sizes_[c];
  }
  void to_ends() {
    int32_t sum = 0;
    for (size_t c = 0; c < sizes_.size(); ++c) next_[c] = sum += sizes_[c];
  }

  // From the leftmost small suffixes at the ends of their buckets to all suffixes.
  void induce() {
    to_starts();
    sa_[next_[text_[n_ - 1]]++] = n_ - 1;
    for (int32_t i = 0; i < n_; ++i) {
      const int32_t j = sa_[i] - 1;
      if (j >= 0 && text_[j] >= text_[j + 1]) sa_[next_[text_[j]]++] = j;
    }
    to_ends();
    for (int32_t i = n_ - 1; i >= 0; --i) {
      const int32_t j = sa_[i] - 1;  // small if before a larger one, or before a small equal one
      if (j >= 0 && text_[j] <= text_[j + 1] && next_[text_[j]] <= i)
        sa_[--next_[text_[j]]] = j;
    }
  }

  bool same_piece(int32_t a, int32_t b) const {
    for (int32_t d = 0;; ++d) {
      if (a + d == n_ || b + d == n_) return false;
      if (text_[a + d] != text_[b + d] || small_[a + d] != small_[b + d]) return false;
      if (d && (leftmost(a + d) || leftmost(b + d))) return leftmost(a + d) && leftmost(b + d);
    }
  }

  const T* text_;
  const int32_t n_;
  int32_t* sa_;
  std::vector<int32_t> sizes_, next_;
  std::vector<bool> small_;  // whether a suffix is smaller than the next one
};

template <class T>
void Sorter<T>::sort() {
  std::fill(sa_, sa_ + n_, -1);
  to_ends();
  for (int32_t i = 1; i < n_; ++i)
    if (leftmost(i)) sa_[--next_[text_[i]]] = i;
  induce();

  // Name the pieces between leftmost small suffixes by their order.
  int32_t m = 0;
  for (int32_t i = 0; i < n_; ++i)
    if (leftmost(sa_[i])) sa_[m++] = sa_[i];
  std::fill(sa_ + m, sa_ + n_, -1);
  int32_t names = 0;
  for (int32_t i = 0; i < m; ++i) {
    if (i == 0 || !same_piece(sa_[i - 1], sa_[i])) ++names;
    sa_[m + sa_[i] / 2] = names - 1;  // no two of them are neighbours
  }
  int32_t* shorter = sa_ + n_ - m;
  for (int32_t i = n_ - 1, j = n_ - 1; i >= m; --i)
    if (sa_[i] >= 0) sa_[j--] = sa_[i];

  if (names < m) {
    Sorter<int32_t>(shorter, m, names, sa_).sort();
  } else {
    for (int32_t i = 0; i < m; ++i) sa_[shorter[i]] = i;
  }
  for (int32_t i = 1, j = 0; i < n_; ++i)
    if (leftmost(i)) shorter[j++] = i;
  for (int32_t i = 0; i < m; ++i) sa_[i] = shorter[sa_[i]];
  std::fill(sa_ + m, sa_ + n_, -1);
  to_ends();
  for (int32_t i = m - 1; i >= 0; --i) {
    const int32_t j = sa_[i];
    sa_[i] = -1;
    sa_[--next_[text_[j]]] = j;
  }
  induce();
}

}  // namespace

void suffix_array(const uint8_t* text, int32_t n, int32_t* sa) {
  if (n) Sorter<uint8_t>(text, n, 256, sa).sort();
}

}  // namespace bigrain
