// SPDX-License-Identifier: Apache-2.0
// Members of documents that runtimes write.
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

namespace oci {

// The member of `object` (which `pointer` names), or null when it is not there. Throws sys::Error when it has another
// type than `type`.
const nlohmann::json* member(const nlohmann::json& object, const char* key, nlohmann::json::value_t type,
                             std::string_view what, std::string_view pointer);

}  // namespace oci
