// SPDX-License-Identifier: Apache-2.0
// Being asked before a program of the container is opened to be executed: fanotify(7).
#pragma once

#include "applier/applier.hpp"
#include "sys/fd.hpp"

namespace applier::inject {

// A fanotify group that reports every such opening, and lets it wait for an answer: in the offer's mounts, and of its
// programs through any mount. File systems of the container's own are marked whole, so that mounts of them that it makes
// later count as well. Nothing is reported when the last descriptor of the group is closed. FAN_OPEN_EXEC_PERM: Linux
// 5.0; FAN_REPORT_TID: 4.20. Throws sys::Error.
sys::Fd watchExecs(const applier::Offer& offer);

// One user may have 128 groups unless the node's administrator says otherwise; a container needs one.
void allowManyGroups();

}  // namespace applier::inject
