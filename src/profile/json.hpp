// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string_view>

namespace profile {

inline constexpr std::size_t maxDepth = 32;
inline constexpr std::size_t maxValues = 32768;  // 4,096 rules of one path each need 20,485

// Text -> document, strict: one value, no duplicate keys, no NUL, valid UTF-8, within the bounds above and
// maxDocumentBytes. Throws Invalid naming `source`.
nlohmann::json parseJson(std::string_view text, std::string_view source);

}  // namespace profile
