// SPDX-License-Identifier: Apache-2.0
// What goes between a process and the child that works for it: bytes with their length in front, and descriptors.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sys/fd.hpp"

namespace confine {

using Deadline = std::optional<std::chrono::steady_clock::time_point>;

inline constexpr std::size_t maxMessage = 64UL << 20;

// False: the other side has ended, or the time is over. Without a deadline only read(2) and write(2) are called.
bool send(int channel, std::string_view message, Deadline deadline = {});
std::optional<std::string> receive(int channel, Deadline deadline = {});

bool sendDescriptors(int channel, const std::vector<int>& descriptors);
// Exactly `count`, or none.
std::optional<std::vector<sys::Fd>> receiveDescriptors(int channel, std::size_t count, Deadline deadline);

}  // namespace confine
