// SPDX-License-Identifier: Apache-2.0
// Text of a profile -> document.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "profile/model.hpp"

namespace profile {

inline constexpr std::size_t maxDepth = 32;
inline constexpr std::size_t maxValues = 32768;  // 4,096 rules of one path each need 20,485

// JSON, strict: one value, no duplicate keys, no NUL, valid UTF-8, no byte order mark, within the bounds above and
// maxDocumentBytes. Throws Invalid naming `source`.
nlohmann::json parseJson(std::string_view text, std::string_view source);

// The document in a file: TOML when `source` ends in .toml, else JSON. Throws Invalid.
nlohmann::json parseFile(std::string_view text, std::string_view source);

}  // namespace profile
