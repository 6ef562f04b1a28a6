// SPDX-License-Identifier: Apache-2.0
// A bundle's config.json, down to the request that its annotations make, also at a glance, and the names that are
// shown.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "oci/bundle.hpp"
#include "oci/glance.hpp"
#include "sys/error.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    try {
        const oci::Bundle bundle = oci::parseBundle(text, "/bundle");
        const std::string names = oci::joined(oci::namesOf(bundle));
        if (names.size() > 300 || !std::ranges::all_of(names, [](char c) { return c > ' ' && c < 0x7f; })) {
            std::abort();
        }
        if (oci::requestOf(bundle) && !oci::mayAsk(text)) {
            std::abort();
        }
    } catch (const sys::Error&) {
    }
    return 0;
}
