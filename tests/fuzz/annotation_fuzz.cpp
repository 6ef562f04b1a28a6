// SPDX-License-Identifier: Apache-2.0
// io.landlock.program on a profile with a single entry.
#include <cstdint>
#include <cstdlib>

#include "profile/load.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    profile::Profile profile;
    profile.entries.emplace_back();
    try {
        profile::overrideProgram(profile, {reinterpret_cast<const char*>(data), size});
    } catch (const sys::Error&) {
        return 0;
    }
    for (const std::string& program : profile.entries[0].select.programs) {
        if (!program.starts_with('/') || program.size() > profile::maxProgramBytes) {
            std::abort();
        }
    }
    return 0;
}
