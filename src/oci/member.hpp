// SPDX-License-Identifier: Apache-2.0
// Members of documents that runtimes write.
#pragma once

#include <array>
#include <nlohmann/json.hpp>
#include <string_view>

namespace oci {

// The member of `object` (which `pointer` names), or null when it is not there. Throws sys::Error when it has another
// type than `type`.
const nlohmann::json* member(const nlohmann::json& object, const char* key, nlohmann::json::value_t type,
                             std::string_view what, std::string_view pointer);

// Those of a config.json that we read.
inline constexpr std::array<std::string_view, 4> sections = {"root", "process", "annotations", "hooks"};

// The section that a runtime in Go reads a member of this name as: runc takes "Annotations", too. "": none.
std::string_view sectionOf(std::string_view name);

// Throws sys::Error when one of them has another name than it should, for what is in there would be overlooked.
void requireExactSections(const nlohmann::json& document, std::string_view what);

}  // namespace oci
