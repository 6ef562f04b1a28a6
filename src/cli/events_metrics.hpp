// SPDX-License-Identifier: Apache-2.0
// What `events --listen` serves: what `status` knows, and what was told meanwhile.
#pragma once

#include <chrono>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "cli/event_counts.hpp"
#include "cli/settings.hpp"
#include "serve/page.hpp"

namespace cli {

class EventsMetrics {
public:
    // Starts the process that answers, which heeds signals as this one does by then. `address`: as serve::Page has it.
    // Throws sys::Error.
    explicit EventsMetrics(const std::string& address);

    // Before anything is counted. `source`: what denials are seen by.
    void begin(std::string source);
    // As those of EventCounts.
    void count(std::uint64_t container, const nlohmann::ordered_json& event) { counts_->count(container, event); }
    void forget(std::uint64_t container) { counts_->forget(container); }

    // Every few seconds, however often it is called. Throws sys::Error when the process has ended.
    void show();

private:
    using Clock = std::chrono::steady_clock;

    serve::Page page_;
    Settings settings_;
    nlohmann::json kernel_;
    std::optional<EventCounts> counts_;
    Clock::time_point next_;
};

}  // namespace cli
