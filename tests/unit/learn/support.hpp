// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

// Landlock's rights that the tests of recordings use.
inline constexpr std::uint64_t execute = 1 << 0;
inline constexpr std::uint64_t writeFile = 1 << 1;
inline constexpr std::uint64_t readFile = 1 << 2;
inline constexpr std::uint64_t makeDir = 1 << 7;
inline constexpr std::uint64_t makeReg = 1 << 8;
inline constexpr std::uint64_t ioctlDev = 1 << 15;
