// Greedy longest-match-first word pieces over a double-array trie of bytes.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace bigrain {

// Child of state s by byte b: t = base[s] + b + 1, if owner[t] == s. State 0 is the root.
class Trie {
 public:
  explicit Trie(const std::vector<std::string_view>& words);  // a word's value is its position
  int32_t step(int32_t state, uint8_t byte) const {
    const int32_t next = nodes_[state].base + byte + 1;
    return nodes_[next].owner == state ? next : -1;
  }
  int32_t value(int32_t state) const { return nodes_[state].value; }  // -1: no word ends here
  int32_t find(std::string_view) const;                               // state, or -1

 private:
  struct Node {
    int32_t base = 0, owner = -1, value = -1;
  };
  std::vector<Node> nodes_;
};

class WordPiece {
 public:
  // Throws std::invalid_argument.
  WordPiece(const std::vector<std::string_view>& vocabulary, std::string_view unk,
            std::string_view prefix, size_t max_chars_per_word);
  void encode(std::string_view text, std::vector<int32_t>& ids) const;

 private:
  void add_word(const uint8_t* word, const uint8_t* end, std::vector<int32_t>& ids) const;

  Trie trie_;
  int32_t unk_, inner_;  // inner_: the state after the prefix, or -1
  size_t max_chars_;
};

}  // namespace bigrain
