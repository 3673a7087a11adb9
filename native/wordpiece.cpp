#include "wordpiece.h"

#include <algorithm>
#include <numeric>
#include <stdexcept>

namespace bigrain {

namespace {

// A node that waits for its place: the sorted words [first, last) share its `depth` bytes.
struct Pending {
  int32_t state;
  size_t first, last, depth;
};

enum Kind : uint8_t { letter, space, punctuation };

struct Kinds {
  Kind of[256];
  constexpr Kinds() : of() {
    for (int c = 0; c < 256; ++c)
      of[c] = c == ' ' || (c >= '\t' && c <= '\r') ? space
              : (c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) ||
                      (c >= 123 && c <= 126)
                  ? punctuation
                  : letter;
  }
};
constexpr Kinds kKinds;

}  // namespace

Trie::Trie(const std::vector<std::string_view>& words) : nodes_(512) {
  std::vector<int32_t> order(words.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return words[a] < words[b]; });
  for (size_t i = 1; i < order.size(); ++i)
    if (words[order[i]] == words[order[i - 1]])
      throw std::invalid_argument("vocabulary: token " +
                                  std::to_string(std::max(order[i], order[i - 1])) + " repeats '" +
                                  std::string(words[order[i]]) + "'");

  nodes_[0].owner = 0;
  std::vector<Pending> queue{{0, 0, order.size(), 0}};
  int32_t free_from = 257;  // every place from 257 to here is taken; any byte reaches it
  int32_t roomy_from = 257;  // before it, several children rarely fit
  std::vector<std::pair<uint8_t, size_t>> children;  // byte, end of its words
  for (size_t next = 0; next < queue.size(); ++next) {
    Pending node = queue[next];
    while (node.first < node.last && words[order[node.first]].size() == node.depth)
      nodes_[node.state].value = order[node.first++];
    children.clear();
    for (size_t i = node.first; i < node.last; ++i) {
      const uint8_t byte = static_cast<uint8_t>(words[order[i]][node.depth]);
      if (children.empty() || children.back().first != byte) children.push_back({byte, i});
      children.back().second = i + 1;
    }
    if (children.empty()) continue;
    while (nodes_[free_from].owner >= 0) ++free_from;
    roomy_from = std::max(roomy_from, free_from);
    const int32_t from = children.size() == 1 ? free_from : roomy_from;
    int32_t base = from - children[0].first - 1;
    for (int tries = 0;; ++base) {
      if (++tries % 16 == 0) roomy_from = base;
      if (static_cast<size_t>(base) + 512 > nodes_.size()) nodes_.resize(nodes_.size() * 2);
      if (std::none_of(children.begin(), children.end(),
                       [&](auto& c) { return nodes_[base + c.first + 1].owner >= 0; }))
        break;
    }
    nodes_[node.state].base = base;
    size_t first = node.first;
    for (const auto& [byte, last] : children) {
      nodes_[base + byte + 1].owner = node.state;
      queue.push_back({base + byte + 1, first, last, node.depth + 1});
      first = last;
    }
  }
}

int32_t Trie::find(std::string_view word) const {
  int32_t state = 0;
  for (const char c : word)
    if ((state = step(state, static_cast<uint8_t>(c))) < 0) break;
  return state;
}

WordPiece::WordPiece(const std::vector<std::string_view>& vocabulary, std::string_view unk,
                     std::string_view prefix, size_t max_chars_per_word)
    : trie_(vocabulary), unk_(-1), inner_(trie_.find(prefix)), max_chars_(max_chars_per_word) {
  const int32_t state = trie_.find(unk);
  if (state >= 0) unk_ = trie_.value(state);
  if (unk_ < 0)
    throw std::invalid_argument("unk: '" + std::string(unk) + "' is not in the vocabulary");
}

void WordPiece::add_word(const uint8_t* word, const uint8_t* end,
                         std::vector<int32_t>& ids) const {
  const auto starts_char = [](uint8_t c) { return (c & 0xC0) != 0x80; };
  const size_t before = ids.size();
  bool known = static_cast<size_t>(end - word) <= max_chars_ ||
               static_cast<size_t>(std::count_if(word, end, starts_char)) <= max_chars_;
  for (int32_t state = 0; known && word < end; state = inner_) {
    int32_t best = -1;
    const uint8_t* rest = word;
    const uint8_t* p = word;
    while (state >= 0 && p < end && (state = trie_.step(state, *p)) >= 0) {
      ++p;
      if (trie_.value(state) >= 0) best = trie_.value(state), rest = p;
    }
    known = best >= 0;
    ids.push_back(best);
    word = rest;
  }
  if (known) return;
  ids.resize(before);
  ids.push_back(unk_);
}

void WordPiece::encode(std::string_view text, std::vector<int32_t>& ids) const {
  const uint8_t* p = reinterpret_cast<const uint8_t*>(text.data());
  const uint8_t* end = p + text.size();
  while (p < end) {
    const Kind kind = kKinds.of[*p];
    const uint8_t* start = p++;
    if (kind == letter)
      while (p < end && kKinds.of[*p] == letter) ++p;
    if (kind != space) add_word(start, p, ids);
  }
}

}  // namespace bigrain
