// SPDX-License-Identifier: Apache-2.0
// What a container's descriptors are called in systemd's store. Short, because all names together are bounded.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "applier/inject/held.hpp"
#include "bpf/abi.h"

namespace applier::inject {

inline constexpr char storedDescription = 'm';
inline constexpr char storedCgroup = 'c';
inline constexpr char storedRulesets[] = "0123456789abdfgh";
static_assert(sizeof storedRulesets == OLL_MAX_LAYERS + 1);

// "c", the generation in hexadecimal, "-", which.
std::string storedName(std::uint64_t generation, char which);

// All of a container.
std::vector<std::string> storedNames(const Held& held);

// The other way round. Empty: not one of ours.
std::optional<std::pair<std::uint64_t, char>> parseStoredName(const std::string& name);

}  // namespace applier::inject
