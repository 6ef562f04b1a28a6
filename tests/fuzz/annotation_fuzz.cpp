// SPDX-License-Identifier: Apache-2.0
// io.landlock.program
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "profile/load.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    std::vector<std::string> programs;
    try {
        programs = profile::programsOf({reinterpret_cast<const char*>(data), size});
    } catch (const sys::Error&) {
        return 0;
    }
    for (const std::string& program : programs) {
        if (!program.starts_with('/') || program.size() > profile::maxProgramBytes) {
            std::abort();
        }
    }
    return 0;
}
