// SPDX-License-Identifier: Apache-2.0
// The layout of what is loaded (OLL_ABI_VERSION), which a program and the selector must agree on.
#pragma once

#include <string>

#include "bpf/abi.h"
#include "sys/fd.hpp"

namespace applier {

// What the pinned map `node` says. Throws sys::Error where that was loaded with another layout; `advice` is the end of
// that message.
oll_node requireLayout(const sys::Fd& node, const std::string& advice);

}  // namespace applier
