// SPDX-License-Identifier: Apache-2.0
// SHA-256 (FIPS 180-4), to tell one text from another that somebody may have chosen.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace sys {

using Digest = std::array<std::uint8_t, 32>;

Digest digest(std::string_view text);

}  // namespace sys
