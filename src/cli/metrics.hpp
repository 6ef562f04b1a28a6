// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace cli {

// What `status --json` prints (collectStatus) as OpenMetrics 1.0 text.
std::string metricsOf(const nlohmann::json& status);

}  // namespace cli
