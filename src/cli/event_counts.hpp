// SPDX-License-Identifier: Apache-2.0
// How much `events` has told, for monitoring.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "cli/exposition.hpp"

namespace cli {

class EventCounts {
public:
    // `source`: what denials are seen by.
    explicit EventCounts(std::string source) : source_(std::move(source)) {}

    // `container`: what `status --json` tells it by, which is the id of its cgroup, and with launch the pid of its
    // init; 0: none that is known.
    void count(std::uint64_t container, const nlohmann::ordered_json& event);
    // The container is gone, and its series end.
    void forget(std::uint64_t container) { containers_.erase(container); }

    // `containers`: of `status --json`, which names them.
    void addTo(Exposition& out, const nlohmann::json& containers) const;

private:
    // Entry and right.
    using Accesses = std::map<std::pair<std::string, std::string>, std::uint64_t>;
    struct Counts {
        std::map<std::string, std::uint64_t> kinds;
        Accesses denied, wouldDeny;
        std::uint64_t lost = 0;
    };
    using Labelled = std::vector<std::pair<Labels, const Counts*>>;

    static void addAccesses(Exposition& out, const Labelled& all, Accesses Counts::*accesses);

    std::string source_;
    std::map<std::uint64_t, Counts> containers_;
};

}  // namespace cli
