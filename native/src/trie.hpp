// A set of byte strings with a number each, for the longest one that begins a text.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace medclf::core {

/// A trie in one hash table: a step costs one look-up, and most often one cache line.
class Trie {
 public:
  static constexpr int32_t kNone = -1;

  /// The longest entry that begins a text.
  struct Match {
    int32_t value;  // kNone if there is none
    size_t size;    // of the entry in bytes
  };

  Trie();

  /// Adds an entry that is not empty; a later one of the same bytes replaces it.
  void add(std::string_view entry, int32_t value);

  Match longest(std::string_view text) const;

 private:
  struct Edge {
    uint64_t key;  // node and byte; kFree in an unused slot
    int32_t node;  // where it leads
    int32_t value;
  };
  static constexpr uint64_t kFree = ~uint64_t{0};

  static uint64_t key(int32_t node, unsigned char byte) { return static_cast<uint64_t>(node) << 8 | byte; }
  const Edge& find(uint64_t key) const { return edges_[slot(key)]; }
  size_t slot(uint64_t key) const;
  void grow();

  std::vector<Edge> edges_;  // open addressing, a power of two
  size_t n_edges_ = 0;
};

}  // namespace medclf::core
