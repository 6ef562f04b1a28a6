// SPDX-License-Identifier: Apache-2.0
// Where things are on a node.
#pragma once

#include <string>

namespace sys {

inline constexpr const char* bpffs = "/sys/fs/bpf";
inline constexpr const char* pinDirectory = "/sys/fs/bpf/oci-landlock";
inline constexpr const char* runDirectory = "/run/oci-landlock";  // for root alone

inline std::string pinned(const std::string& name)
{
    return std::string(pinDirectory) + "/" + name;
}

inline std::string inRunDirectory(const std::string& name)
{
    return std::string(runDirectory) + "/" + name;
}

}  // namespace sys
