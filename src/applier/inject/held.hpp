// SPDX-License-Identifier: Apache-2.0
// What the supervisor holds for one container, for as long as a process is in its cgroup.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sys/fd.hpp"

namespace applier::inject {

struct HeldLayer {
    sys::Fd ruleset;
    std::uint32_t entry = 0;          // its bit in the masks of oll_container
    std::uint32_t restrictFlags = 0;  // of landlock_restrict_self(2), and OLL_RESTRICT_NO_NEW_PRIVS
};

struct Held {
    std::uint64_t generation = 0;
    std::uint64_t cgroupId = 0;
    std::string label;  // its id and what people call it, for messages
    sys::Fd cgroup;     // directory
    std::vector<HeldLayer> layers;
};

}  // namespace applier::inject
