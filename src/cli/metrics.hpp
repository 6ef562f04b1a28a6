// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "cli/event_counts.hpp"

namespace cli {

// What `status --json` prints (collectStatus) as OpenMetrics 1.0 text; with what `events` has counted. Throws
// sys::Error when it does not say which containers there are.
std::string metricsOf(const nlohmann::json& status, const EventCounts* counts = nullptr);

}  // namespace cli
