#include "trie.hpp"

#include <limits>
#include <utility>

#include "error.hpp"

namespace medclf::core {
namespace {

constexpr size_t kFirstCapacity = 1024;
constexpr uint64_t kFibonacci = 0x9E3779B97F4A7C15;  // 2^64 over the golden ratio: spreads keys in a row

}  // namespace

Trie::Trie() : edges_(kFirstCapacity, Edge{kFree, 0, kNone}) {}

size_t Trie::slot(uint64_t key) const {
  const size_t mask = edges_.size() - 1;
  size_t at = (key * kFibonacci >> 20) & mask;
  while (edges_[at].key != kFree && edges_[at].key != key) at = (at + 1) & mask;
  return at;
}

void Trie::add(std::string_view entry, int32_t value) {
  int32_t node = 0;
  size_t at = 0;
  for (const char byte : entry) {
    const uint64_t wanted = key(node, static_cast<unsigned char>(byte));
    at = slot(wanted);
    if (edges_[at].key == kFree) {
      if ((n_edges_ + 1) * 2 > edges_.size()) {
        grow();
        at = slot(wanted);
      }
      edges_[at] = {wanted, static_cast<int32_t>(++n_edges_), kNone};
    }
    node = edges_[at].node;
  }
  edges_[at].value = value;
}

Trie::Match Trie::longest(std::string_view text) const {
  Match match{kNone, 0};
  int32_t node = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const Edge& edge = find(key(node, static_cast<unsigned char>(text[i])));
    if (edge.key == kFree) break;
    if (edge.value != kNone) match = {edge.value, i + 1};
    node = edge.node;
  }
  return match;
}

void Trie::grow() {
  if (edges_.size() > std::numeric_limits<int32_t>::max() / 2) {
    throw Error(MEDCLF_ERROR_BUNDLE, "the vocabulary of the model is too large: export the bundle again.");
  }
  std::vector<Edge> old(edges_.size() * 2, Edge{kFree, 0, kNone});
  std::swap(old, edges_);
  for (const Edge& edge : old) {
    if (edge.key != kFree) edges_[slot(edge.key)] = edge;
  }
}

}  // namespace medclf::core
