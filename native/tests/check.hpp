// Checks for the native tests: a failure names file and line, and the program goes on and ends with 1.
#pragma once

#include <cstdio>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>

namespace check {

inline int n_failed = 0;

template <class T>
std::string shown(const T& value) {
  std::ostringstream stream;
  stream << value;
  return stream.str();
}

template <class A, class B>
void equal(const A& got, const B& expected, const char* what, const char* file, int line) {
  if (got == expected) return;
  ++n_failed;
  std::fprintf(stderr, "%s:%d: %s is %s, expected %s\n", file, line, what, shown(got).c_str(), shown(expected).c_str());
}

inline void that(bool holds, const char* what, const char* file, int line) {
  if (holds) return;
  ++n_failed;
  std::fprintf(stderr, "%s:%d: %s does not hold\n", file, line, what);
}

/// Runs a function, which must throw an E whose message holds `part`.
template <class E, class F>
void throws(const F& function, const std::string& part, const char* file, int line) {
  try {
    function();
  } catch (const E& error) {
    if (std::string(error.what()).find(part) != std::string::npos) return;
    std::fprintf(stderr, "%s:%d: the message is: %s\n", file, line, error.what());
    ++n_failed;
    return;
  }
  that(false, "an exception", file, line);
}

inline std::string read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) that(false, path.c_str(), __FILE__, __LINE__);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Memory of this process in pages; 0 where the system does not tell.
inline long resident_pages() {
  long size = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> size >> resident;
  return resident;
}

inline int result() {
  if (n_failed == 0) std::puts("okay");
  return n_failed == 0 ? 0 : 1;
}

}  // namespace check

#define CHECK(...) check::that((__VA_ARGS__), #__VA_ARGS__, __FILE__, __LINE__)
#define CHECK_EQUAL(got, expected) check::equal((got), (expected), #got, __FILE__, __LINE__)
#define CHECK_THROWS(E, part, ...) check::throws<E>([&] { __VA_ARGS__; }, (part), __FILE__, __LINE__)
