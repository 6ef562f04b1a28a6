// SPDX-License-Identifier: Apache-2.0
// The container's state, as runtimes write it to a hook's standard input; also at a glance.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "oci/glance.hpp"
#include "oci/state.hpp"
#include "sys/error.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    try {
        const auto bundle = oci::bundleAtAGlance(text);
        if (const oci::State state = oci::parseState(text); bundle && *bundle != state.bundle) {
            std::abort();
        }
    } catch (const sys::Error&) {
    }
    return 0;
}
