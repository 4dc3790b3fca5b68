// How many cores this process may use: the same rules as medclf/runtime/cores.py.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace medclf::core {

/// The lesser of the CPU affinity and the quotas of the cgroups, rounded down, at least 1.
int usable_cores();

/// Cores that a cgroup allows, from "150000 100000": microseconds of CPU time in a period. Infinity for no limit
/// ("max", -1) and for what cannot be read.
double cgroup_quota(std::string_view quota_and_period);

/// The cgroup of the CPU and those above it, from the contents of /proc/self/cgroup; the root, "", comes last.
std::vector<std::string> cgroup_paths(std::string_view own);

}  // namespace medclf::core
