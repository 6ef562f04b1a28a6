// SPDX-License-Identifier: Apache-2.0
// The processes of a container, by its cgroup.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <set>
#include <string>

namespace container {

struct Members {
    std::set<pid_t> pids;
    std::set<std::uint64_t> cgroups;  // those that were looked at, by id
    std::string incomplete;           // why there may be more; "": there are none
};

// Who is in this cgroup (its directory) or beneath it. The container may make cgroups there, and move processes: what
// cannot be looked at, or is too much, makes it incomplete. So does a process without a number, unless `allHaveNumbers`
// (sys::inInitialPidNamespace()): then it was reaped while the kernel was listing it.
Members membersOf(int cgroup, bool allHaveNumbers);

}  // namespace container
