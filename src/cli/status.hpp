// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>

#include "cli/settings.hpp"

namespace cli {

// What `stacks: false` means.
inline constexpr const char* oneLayer =
    "an exec can have one layer: this kernel would keep the last one only, so that what needs more is denied";

// What `status --json` prints. Takes away what belongs to no living container. Throws sys::Error.
nlohmann::json collectStatus(const Settings& settings);

}  // namespace cli
