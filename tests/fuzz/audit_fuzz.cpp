// SPDX-License-Identifier: Apache-2.0
// Audit records, with names in them that containers have chosen: by themselves and joined, in the order that they come.
#include <linux/audit.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "watch/audit.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    watch::AuditJoin join({.ownerOf = [](pid_t pid) -> std::optional<watch::Owner> {
                               return pid % 2 == 0 ? std::optional(watch::Owner{7, 1}) : std::nullopt;
                           },
                           .denied =
                               [](const oll_seen& event) {
                                   if (event.cgroup_id == 0 || event.about == 0 ||
                                       strnlen(event.path, sizeof event.path) == sizeof event.path) {
                                       std::abort();
                                   }
                               }});
    join.applied(1, {8, 2});
    std::string_view rest(reinterpret_cast<const char*>(data), size);
    std::uint64_t now = 1;
    while (!rest.empty()) {
        const std::string_view line = rest.substr(0, rest.find('\n'));
        rest.remove_prefix(std::min(line.size() + 1, rest.size()));
        for (const int type : {1423, 1424, AUDIT_SYSCALL}) {
            join.take(static_cast<std::uint16_t>(type), line, now++);
        }
    }
    join.settle(UINT64_MAX / 2);
    return 0;
}
