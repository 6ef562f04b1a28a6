// SPDX-License-Identifier: Apache-2.0
// Whether this node can be loaded: what --check of `load` and `supervise` asks.
#pragma once

#include "bpf/abi.h"
#include "node/pins.hpp"

namespace cli {

// The applier that `load` would leave this node with; changes nothing. Throws node::Unfit with the reason where it
// would not load, or where hooks use `launch` and need nothing loaded; sys::Error where that cannot be told.
oll_applier requireFit(node::Choice choice);

}  // namespace cli
