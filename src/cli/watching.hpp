// SPDX-License-Identifier: Apache-2.0
// What the commands have in common that look on until they are told to end.
#pragma once

#include <chrono>
#include <optional>

#include "bpf/abi.h"

namespace cli {

// The applier that is loaded. Throws sys::Error where there is none that could tell anything.
oll_applier requireSelector();
// The same; std::nullopt: this node has the launch applier, which tells nothing but leaves its records.
std::optional<oll_applier> selectorOrLaunch();

// How often containers are looked for that nothing was told of.
inline constexpr std::chrono::milliseconds lookAround{1000};

// SIGINT and SIGTERM end the waiting from here on.
void endOnSignals();
bool ended();

}  // namespace cli
