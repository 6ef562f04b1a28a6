// SPDX-License-Identifier: Apache-2.0
#include "cli/events_kept.hpp"

#include <cstdint>
#include <string_view>

#include "sys/error.hpp"
#include "sys/file.hpp"
#include "sys/run.hpp"

namespace cli {

namespace {

using nlohmann::ordered_json;

constexpr const char* unit = "oci-landlock-events.service";
constexpr std::size_t longestLine = 1 << 20;

std::string journalctl()
{
    for (const char* path : {"/usr/bin/journalctl", "/bin/journalctl"}) {
        if (sys::isProgram(path)) {
            return path;
        }
    }
    throw sys::Error(std::string("there is no journalctl; events are kept in systemd's journal, by ") + unit);
}

// No event of ours: of another version, or what the service itself has complained about.
bool isEvent(const ordered_json& event)
{
    return event.is_object() && event.contains("event") && event["event"].is_string() && event.contains("time") &&
           event["time"].is_string();
}

}  // namespace

void forEachKept(const std::string& since, const std::function<void(const KeptEvent& kept)>& each)
{
    std::uint64_t events = 0;
    std::string complaint;
    // --unit would add what others say of the unit, which root of a container can say that the journal's socket is
    // mounted in. Who has sent a line journald knows itself.
    const int status =
        sys::runForLines({journalctl(), "--quiet", "--no-pager", "--output=cat", "--since=" + since,
                          std::string("_SYSTEMD_UNIT=") + unit},
                         longestLine, [&](std::string_view line) {
                             if (line.empty() || line[0] != '{') {
                                 complaint = line;
                                 return;
                             }
                             const KeptEvent kept{ordered_json::parse(line, nullptr, false), std::string(line)};
                             if (isEvent(kept.event)) {
                                 ++events;
                                 each(kept);
                             }
                         });
    if (status != 0) {
        throw sys::Error("journalctl has failed: " + sys::printable(complaint));
    }
    if (events == 0) {
        throw sys::Error("the journal has no events since " + sys::printable(since) + "; " + unit +
                         " keeps them there while it runs: systemctl enable --now " + unit);
    }
}

}  // namespace cli
