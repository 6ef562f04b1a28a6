// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace sys {

// One line on standard error and in the system log; on standard error alone where that is the system's journal
// (systemd.exec(5), JOURNAL_STREAM). `priority` as for syslog(3). Never fails, changes no errno.
void tell(int priority, const std::string& message);

// The same, about a container. The id may be hostile.
void tell(int priority, const std::string& containerId, const std::string& message);

}  // namespace sys
