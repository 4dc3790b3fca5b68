#include "cores.hpp"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <limits>
#include <sstream>
#include <thread>

#ifdef __linux__
#include <sched.h>
#endif

namespace medclf::core {
namespace {

constexpr const char* kCgroups = "/sys/fs/cgroup";
constexpr const char* kOwnCgroup = "/proc/self/cgroup";

std::string read(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

double affinity() {
#ifdef __linux__
  cpu_set_t cores;
  if (sched_getaffinity(0, sizeof cores, &cores) == 0) return CPU_COUNT(&cores);
#endif
  return std::max(1U, std::thread::hardware_concurrency());
}

bool has_word(std::string_view list, std::string_view word) {
  const std::string fenced = "," + std::string(list) + ",";
  return fenced.find("," + std::string(word) + ",") != std::string::npos;
}

}  // namespace

int usable_cores() {
  double cores = affinity();
  for (const std::string& path : cgroup_paths(read(kOwnCgroup))) {
    const std::string folder = kCgroups + path;
    const std::string version_1 = std::string(kCgroups) + "/cpu" + path;
    cores = std::min(cores, cgroup_quota(read(folder + "/cpu.max")));
    cores = std::min(
        cores, cgroup_quota(read(version_1 + "/cpu.cfs_quota_us") + " " + read(version_1 + "/cpu.cfs_period_us")));
  }
  return std::max(1, static_cast<int>(cores));
}

double cgroup_quota(std::string_view quota_and_period) {
  std::istringstream stream{std::string(quota_and_period)};
  stream.imbue(std::locale::classic());
  long long quota = 0, period = 0;
  std::string more;
  const bool read = stream >> quota >> period && !(stream >> more);
  if (!read || quota <= 0 || period <= 0) return std::numeric_limits<double>::infinity();
  return static_cast<double>(quota) / static_cast<double>(period);
}

std::vector<std::string> cgroup_paths(std::string_view own) {
  std::istringstream lines{std::string(own)};
  for (std::string line; std::getline(lines, line);) {
    const size_t first = line.find(':');
    const size_t second = first == line.npos ? line.npos : line.find(':', first + 1);
    if (second == line.npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    std::string path = line.substr(second + 1);
    if (!controllers.empty() && !has_word(controllers, "cpu")) continue;
    while (!path.empty() && path.back() == '/') path.pop_back();
    if (path.empty() || path.front() != '/' || (path + "/").find("/../") != path.npos) continue;
    std::vector<std::string> paths;
    for (; !path.empty(); path.resize(path.rfind('/'))) paths.push_back(path);
    paths.emplace_back();
    return paths;
  }
  return {""};
}

}  // namespace medclf::core
