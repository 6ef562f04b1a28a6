// SPDX-License-Identifier: Apache-2.0
// oci-landlock-runtime, the program.
#include "cli/runtime.hpp"
#include "sys/fd.hpp"

int main(int argc, char** argv)
{
    if (!sys::openStandardDescriptors()) {
        return cli::exitFailed;
    }
    return cli::runRuntime({argv + (argc > 0 ? 1 : 0), argv + argc});
}
