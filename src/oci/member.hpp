// SPDX-License-Identifier: Apache-2.0
// Members of documents that runtimes write.
#pragma once

#include <array>
#include <nlohmann/json.hpp>
#include <span>
#include <string_view>

namespace oci {

// The member of `object` (which `pointer` names), or null when it is not there. Throws sys::Error when it has another
// type than `type`.
const nlohmann::json* member(const nlohmann::json& object, const char* key, nlohmann::json::value_t type,
                             std::string_view what, std::string_view pointer);

// Those of a config.json that we read.
inline constexpr std::array<std::string_view, 4> sections = {"root", "process", "annotations", "hooks"};

using MemberNames = std::span<const std::string_view>;

// Which of `names` some runtime reads a member of this name as: runc, in Go, takes "Annotations", too, and crun, in C,
// what ends with a NUL early. "": none.
std::string_view readAs(std::string_view name, MemberNames names);

// Throws sys::Error when a member of `object`, which `pointer` names, is read as one of `names` and has not that name,
// for what is in there would be overlooked. What is no object has none.
void requireExact(const nlohmann::json& object, MemberNames names, std::string_view what, std::string_view pointer);

}  // namespace oci
