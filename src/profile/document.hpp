// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "profile/load.hpp"

namespace profile {

// load() from the point where the text, JSON or TOML, has become a document.
Profile loadDocument(const nlohmann::json& document, std::string source, Origin origin, unsigned abi);

// The document in a file: TOML when `source` ends in .toml, else JSON.
nlohmann::json parseFile(std::string_view text, std::string_view source);

}  // namespace profile
