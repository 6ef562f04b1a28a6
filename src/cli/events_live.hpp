// SPDX-License-Identifier: Apache-2.0
// What happens to the containers of this node, told as it happens.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>

#include "watch/watcher.hpp"

namespace cli {

// Of all that happens.
struct EventsWanted {
    static constexpr std::uint32_t usualShare = 1000;

    bool json = false;
    std::set<std::string> kinds;          // empty: all
    std::string container;                // its id, the beginning of it, or its name; empty: all
    std::uint64_t count = 0;              // 0: no end
    std::uint32_t share = usualShare;     // of each container, events a second
    std::optional<watch::Source> source;  // none: the best
    std::string address;                  // where metrics are served; empty: nowhere
};

// Whether the event (schema/event.schema.json) is one of them. That some were lost always is: else nobody could tell
// that there were none.
bool isWanted(const EventsWanted& wanted, const nlohmann::ordered_json& event);

// Prints them until SIGINT or SIGTERM, or as many as are wanted. Throws sys::Error.
void tellEvents(const EventsWanted& wanted);

}  // namespace cli
