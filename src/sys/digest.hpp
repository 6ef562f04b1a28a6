// SPDX-License-Identifier: Apache-2.0
// SHA-256 (FIPS 180-4), to tell one text from another that somebody may have chosen.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sys {

using Digest = std::array<std::uint8_t, 32>;

Digest digest(std::string_view text);

// "sha256:" and 64 digits of lower-case hex, and back; std::nullopt for any other spelling.
std::string toText(const Digest& digest);
std::optional<Digest> digestFrom(std::string_view text);

}  // namespace sys
