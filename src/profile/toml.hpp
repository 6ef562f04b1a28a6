// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace profile {

// TOML text -> the document that the same profile is in JSON: path_beneath becomes pathBeneath, and so on. Throws
// Invalid naming `source`.
nlohmann::json parseToml(std::string_view text, std::string_view source);

// And back: a document of ours, without null.
std::string tomlOf(const nlohmann::ordered_json& document);

}  // namespace profile
