// SPDX-License-Identifier: Apache-2.0
// What became of each container's policy, for people: a file each in /run/oci-landlock/policies, beside the entry in
// the kernel, which has no room for it. Changed by the holder of the node's lock only.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>

namespace node::policies {

// Of an entry. Cgroup ids are never used again before the next boot.
struct Key {
    std::uint64_t cgroupId = 0;
    std::uint64_t generation = 0;
};

// How many files there can be whose entries the kernel has taken away; they go with the next clean-up.
inline constexpr unsigned mostLeftBehind = 64;

// Throws sys::Error.
void write(const Key& key, const std::string& policy);
// std::nullopt: there is none. Throws sys::Error.
std::optional<std::string> read(const Key& key);
void remove(const Key& key) noexcept;
// The kernel takes entries away by itself, and knows nothing of files: those that belong to none of these generations
// go. Throws sys::Error.
void removeAllBut(const std::set<std::uint64_t>& generations);

}  // namespace node::policies
