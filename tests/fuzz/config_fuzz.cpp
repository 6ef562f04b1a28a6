// SPDX-License-Identifier: Apache-2.0
// A bundle's config.json, down to the request that its annotations make.
#include <cstdint>

#include "oci/bundle.hpp"
#include "sys/error.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    try {
        oci::requestOf(oci::parseBundle({reinterpret_cast<const char*>(data), size}, "/bundle"));
    } catch (const sys::Error&) {
    }
    return 0;
}
