// SPDX-License-Identifier: Apache-2.0
// What the commands have in common that look on until they are told to end.
#pragma once

#include <ctime>
#include <cstdint>

#include "bpf/abi.h"

namespace cli {

// The applier that is loaded. Throws sys::Error where there is none that could tell anything.
oll_applier requireSelector();

// SIGINT and SIGTERM end the waiting from here on.
void endOnSignals();
bool ended();

// Nanoseconds.
std::int64_t now(clockid_t clock);

}  // namespace cli
