// SPDX-License-Identifier: Apache-2.0
// The container's state, as runtimes write it to a hook's standard input.
#include <cstdint>

#include "oci/state.hpp"
#include "sys/error.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    try {
        oci::parseState({reinterpret_cast<const char*>(data), size});
    } catch (const sys::Error&) {
    }
    return 0;
}
