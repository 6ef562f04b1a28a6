// SPDX-License-Identifier: Apache-2.0
// What a profile comes to, for people and for programs.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "landlock/access.hpp"
#include "profile/load.hpp"

namespace cli {

// The names of the rights in a mask; a right without a name as its bit.
nlohmann::ordered_json rightNames(landlock::Kind kind, std::uint64_t mask);

// The effective profile: entries, layers, rules; after variables and groups, for the ABI that it was loaded for. Of
// each layer's rules of a kind the first `most`.
nlohmann::ordered_json reportOf(const profile::Profile& profile, std::size_t most = SIZE_MAX);

// [{"pointer": ..., "line": ..., "message": ...}]
nlohmann::ordered_json reportOf(const profile::Invalid& error);

// The same as reportOf(profile), to read.
std::string textOf(const nlohmann::ordered_json& report);

}  // namespace cli
