// SPDX-License-Identifier: Apache-2.0
#include "cli/outcome.hpp"

#include <syslog.h>

#include <nlohmann/json.hpp>

#include "sys/error.hpp"
#include "sys/log.hpp"

namespace cli {

using nlohmann::json;

namespace {

constexpr std::size_t maxLinksBytes = 2000;

// At most `most` of the list, and how many more there are.
void add(json& item, const char* field, const std::vector<std::string>& list, std::size_t most)
{
    for (std::size_t i = 0; i < list.size() && i < most; ++i) {
        item[field].push_back(list[i]);
    }
    if (list.size() > most) {
        item[field].push_back(std::to_string(list.size() - most) + " more");
    }
}

}  // namespace

std::string outcomeOf(const profile::Profile& profile, const Prepared& prepared)
{
    for (const std::size_t most : {std::size_t{4096}, std::size_t{16}, std::size_t{4}, std::size_t{0}}) {
        json entries = json::array();
        for (std::size_t i = 0; i < profile.entries.size(); ++i) {
            const profile::Entry& entry = profile.entries[i];
            json item = {{"name", entry.name},
                         {"layers", entry.layers.size()},
                         {"enforcement", entry.dropped.empty() && prepared.skipped[i].empty() ? "full" : "partial"}};
            std::vector<std::string> dropped;
            for (const profile::Dropped& one : entry.dropped) {
                dropped.push_back(one.what);
            }
            add(item, "dropped", dropped, most);
            add(item, "missingPaths", prepared.skipped[i], most);
            add(item, "links", prepared.led[i], most);
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
            what += (what.empty() ? "" : ", ") + sys::printable(dropped.what);
            what += !dropped.why.empty() ? " (" + sys::printable(dropped.why) + ")"
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
        std::string links;
        for (const std::string& led : prepared.led[i]) {
            links += (links.empty() ? "" : ", ") + led;
        }
        if (!links.empty()) {
            sys::tell(LOG_NOTICE, id,
                      "entry " + sys::printable(profile.entries[i].name) + ": by symbolic links of the image, " +
                          sys::printable(links, maxLinksBytes));
        }
    }
}

}  // namespace cli
