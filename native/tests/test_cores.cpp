#include <cmath>

#include "check.hpp"
#include "cores.hpp"

using namespace medclf::core;

int main() {
  CHECK_EQUAL(cgroup_quota("150000 100000\n"), 1.5);
  for (const char* none : {"max 100000", "-1 100000", "", " ", "1 0", "a b", "100000", "1 2 3"}) {
    CHECK(std::isinf(cgroup_quota(none)));
  }
  const auto joined = [](std::string_view own) {
    std::string all;
    for (const std::string& path : cgroup_paths(own)) all += path + ";";
    return all;
  };
  CHECK_EQUAL(joined("0::/a/b\n"), "/a/b;/a;;");
  CHECK_EQUAL(joined("4:memory:/m\n3:cpu,cpuacct:/c\n"), "/c;;");
  CHECK_EQUAL(joined("0::/\n"), ";");
  CHECK_EQUAL(joined("0::/../a\n"), ";");
  CHECK_EQUAL(joined("nonsense"), ";");
  CHECK(usable_cores() >= 1);
  return check::result();
}
