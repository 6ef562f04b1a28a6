// SPDX-License-Identifier: Apache-2.0
// An exec that failed closed, as the selector has counted it.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "bpf/abi.h"

namespace cli {

// {"bootTimeNs", "pid", "comm", "reason", "errno"}; "entry" where it was for one.
nlohmann::json describeDenial(const oll_denial& denial);

// The same for people, in part of a line: "denied nginx (pid 7): out of memory (Cannot allocate memory)".
std::string denialText(const nlohmann::json& denial);

}  // namespace cli
