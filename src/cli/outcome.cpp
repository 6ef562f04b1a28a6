// SPDX-License-Identifier: Apache-2.0
#include "cli/outcome.hpp"

#include <syslog.h>

#include <nlohmann/json.hpp>

#include "sys/error.hpp"
#include "sys/log.hpp"

namespace cli {

using nlohmann::json;

std::string outcomeOf(const profile::Profile& profile, const Prepared& prepared)
{
    for (const bool withLists : {true, false}) {
        json entries = json::array();
        for (std::size_t i = 0; i < profile.entries.size(); ++i) {
            const profile::Entry& entry = profile.entries[i];
            json item = {{"name", entry.name},
                         {"layers", entry.layers.size()},
                         {"enforcement", entry.dropped.empty() && prepared.skipped[i].empty() ? "full" : "partial"}};
            if (withLists) {
                for (const profile::Dropped& dropped : entry.dropped) {
                    item["dropped"].push_back(dropped.what);
                }
                if (!prepared.skipped[i].empty()) {
                    item["missingPaths"] = prepared.skipped[i];
                }
            }
            entries.push_back(std::move(item));
        }
        const json report = {{"profile", profile.source.substr(0, 200)}, {"entries", entries}};
        std::string text = report.dump(-1, ' ', true, json::error_handler_t::replace);
        if (text.size() < OLL_REPORT_SIZE) {
            return text;
        }
    }
    return "{}";
}

void tellPartial(const std::string& id, const profile::Profile& profile, const Prepared& prepared)
{
    for (std::size_t i = 0; i < profile.entries.size(); ++i) {
        std::string what;
        for (const profile::Dropped& dropped : profile.entries[i].dropped) {
            what += (what.empty() ? "" : ", ") + dropped.what;
            what += !dropped.why.empty() ? " (" + dropped.why + ")"
                    : dropped.abi == 0   ? " (unknown)"
                                         : " (needs Landlock ABI " + std::to_string(dropped.abi) + ")";
        }
        for (const std::string& path : prepared.skipped[i]) {
            what += (what.empty() ? "" : ", ") + sys::printable(path) + " (missing)";
        }
        if (!what.empty()) {
            sys::tell(LOG_NOTICE, id,
                 "entry " + sys::printable(profile.entries[i].name) + " is enforced partially, without " + what);
        }
    }
}

}  // namespace cli
