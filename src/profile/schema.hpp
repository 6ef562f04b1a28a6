// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string_view>

#include "profile/problems.hpp"

namespace profile {

// schema/profile.schema.json, as it is and without descriptions; schema/embed.py makes the definitions.
std::string_view profileSchema();
std::string_view compactSchema();

// Whether the document matches the schema.
bool matchesSchema(const nlohmann::json& document);

// Says in `problems` why the document does not match: each place, what was found there and what is allowed.
void explain(const nlohmann::json& document, Problems& problems);

}  // namespace profile
