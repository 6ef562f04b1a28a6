// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string_view>

#include "profile/problems.hpp"

namespace profile {

// schema/profile.schema.json, as it is and without descriptions; schema/embed.py makes the definitions.
std::string_view profileSchema();
std::string_view compactSchema();

// Says in `problems` why the document does not match the schema: each place, what was found there and what is allowed.
void validate(const nlohmann::json& document, Problems& problems);

}  // namespace profile
