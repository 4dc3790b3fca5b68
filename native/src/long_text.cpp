#include "long_text.hpp"

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include "error.hpp"

namespace medclf::core {
namespace {

constexpr size_t kMostDigits = 7;
constexpr size_t kMostWindows = 1'000;
constexpr std::pair<std::string_view, Pooling> kPoolings[] = {
    {"mean", Pooling::kMean}, {"max", Pooling::kMax}, {"noisy-or", Pooling::kNoisyOr}};

/// Takes a text apart from its front; after the first part that is not there, nothing is.
class Parts {
 public:
  explicit Parts(std::string_view text) : rest_(text) {}

  Parts& word(std::string_view expected) {
    good_ = good_ && rest_.substr(0, expected.size()) == expected;
    if (good_) rest_.remove_prefix(expected.size());
    return *this;
  }

  /// A decimal number of at least 1, without leading zeros.
  Parts& number(size_t& value) {
    const size_t n_digits = std::min(rest_.find_first_not_of("0123456789"), rest_.size());
    good_ = good_ && n_digits >= 1 && n_digits <= kMostDigits && rest_.front() != '0';
    if (good_) {
      value = std::stoul(std::string(rest_.substr(0, n_digits)));
      rest_.remove_prefix(n_digits);
    }
    return *this;
  }

  Parts& pooling(Pooling& value) {
    const std::string_view name = rest_.substr(0, rest_.find(','));
    const auto found = std::find_if(std::begin(kPoolings), std::end(kPoolings),
                                    [name](const auto& known) { return known.first == name; });
    good_ = good_ && found != std::end(kPoolings);
    if (good_) {
      value = found->second;
      rest_.remove_prefix(name.size());
    }
    return *this;
  }

  bool ended() const { return good_ && rest_.empty(); }

 private:
  std::string_view rest_;
  bool good_ = true;
};

[[noreturn]] void refuse(const std::string& where, const std::string& what) {
  throw Error(MEDCLF_ERROR_BUNDLE, where + ": long_text " + what + ". Export the bundle again.");
}

}  // namespace

LongText parse_long_text(const std::string& text, const std::string& where) {
  if (text == "truncate") return {};
  LongText found;
  found.text = text;
  Parts head_tail(text);
  if (head_tail.word("head_tail:head=").number(found.head).word(",tail=").number(found.tail).ended()) {
    found.policy = Policy::kHeadTail;
    return found;
  }
  found = {};
  found.text = text;
  Parts windows(text);
  windows.word("windows:stride=").number(found.stride).word(",pooling=").pooling(found.pooling);
  if (windows.word(",max_windows=").number(found.max_windows).ended()) {
    found.policy = Policy::kWindows;
    return found;
  }
  throw Error(MEDCLF_ERROR_BUNDLE, where + ": long_text is nothing that this medclf knows. Use the medclf that wrote " +
                                       "it, or export the checkpoint again.");
}

void check_long_text(const LongText& policy, size_t max_length, bool multi_label, const std::string& where) {
  const size_t room = max_length - 2;
  if (policy.policy == Policy::kHeadTail && policy.head + policy.tail != room) {
    refuse(where, "keeps another number of tokens than a row of " + std::to_string(max_length) + " has room for");
  }
  if (policy.policy != Policy::kWindows) return;
  if (policy.stride > room) refuse(where, "has a stride over a window's room of " + std::to_string(room));
  if (policy.max_windows > kMostWindows) refuse(where, "has over 1,000 windows");
  if (policy.pooling == Pooling::kNoisyOr && !multi_label) {
    refuse(where, "pools by noisy-or, but a text has one label");
  }
}

std::vector<std::vector<Range>> rows_of(const LongText& policy, size_t n_tokens, size_t room) {
  if (n_tokens <= room || policy.policy == Policy::kTruncate) return {{{0, std::min(n_tokens, room)}}};
  if (policy.policy == Policy::kHeadTail) return {{{0, policy.head}, {n_tokens - policy.tail, n_tokens}}};
  const size_t needed = 1 + (n_tokens - room + policy.stride - 1) / policy.stride;
  std::vector<std::vector<Range>> rows;
  for (size_t i = 0; i < std::min(needed, policy.max_windows); ++i) {
    rows.push_back({{i * policy.stride, std::min(n_tokens, i * policy.stride + room)}});
  }
  return rows;
}

size_t n_seen(const LongText& policy, size_t n_tokens, size_t room) {
  const size_t more = policy.policy == Policy::kWindows ? (policy.max_windows - 1) * policy.stride : 0;
  return std::min(n_tokens, room + more);
}

}  // namespace medclf::core
