// SPDX-License-Identifier: Apache-2.0
// Strict reading of JSON that comes from outside.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace oci {

inline constexpr int maxDepth = 64;

// Parses `text`. `keep(depth, key)` says whether the member `key` of an object at `depth` (1: the document) is wanted;
// what is not wanted is checked for syntax and dropped, which bounds memory. Throws sys::Error naming `what`: bad
// syntax with its byte, too deep, a key twice in one kept object.
nlohmann::json parseJson(std::string_view text, std::string_view what, bool (*keep)(int depth, std::string_view key));

// The member of `object` (which `pointer` names), or null when it is not there. Throws sys::Error when it has another
// type than `type`.
const nlohmann::json* member(const nlohmann::json& object, const char* key, nlohmann::json::value_t type,
                             std::string_view what, std::string_view pointer);

}  // namespace oci
