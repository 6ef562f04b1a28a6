// SPDX-License-Identifier: Apache-2.0
// What oci-landlock-events.service has kept in the journal.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>

namespace cli {

struct KeptEvent {
    nlohmann::ordered_json event;
    std::string line;  // as it is kept
};

// Calls `each` for what was kept since a time that `journalctl` understands. Throws sys::Error: also where nothing was,
// which may be because nothing was to keep it.
void forEachKept(const std::string& since, const std::function<void(const KeptEvent& kept)>& each);

}  // namespace cli
