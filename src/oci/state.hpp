// SPDX-License-Identifier: Apache-2.0
// The container's state, which the runtime hands to hooks on stdin (OCI runtime-spec 1.0, "State").
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

namespace oci {

inline constexpr std::size_t maxStateBytes = 1024 * 1024;
inline constexpr std::size_t maxIdBytes = 255;

struct State {
    std::string id;        // 1..255 bytes
    std::string bundle;    // absolute
    pid_t pid = 0;         // 0: none (poststop)
    bool created = false;  // its status: made, and not started yet
};

// Throws sys::Error naming the JSON pointer.
State parseState(std::string_view text);

}  // namespace oci
