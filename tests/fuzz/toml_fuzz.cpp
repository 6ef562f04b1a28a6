// SPDX-License-Identifier: Apache-2.0
// TOML profiles: a profile or an error, within the same bounds as JSON.
#include <cstdint>

#include "profile/load.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    try {
        profile::loadFile({reinterpret_cast<const char*>(data), size}, "fuzz.toml", profile::Origin::nodeFile, 6);
    } catch (const sys::Error&) {
    }
    return 0;
}
