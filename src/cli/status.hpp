// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>

#include "cli/settings.hpp"

namespace cli {

// What `status --json` prints. Takes away what belongs to no living container. Throws sys::Error.
nlohmann::json collectStatus(const Settings& settings);

}  // namespace cli
