// SPDX-License-Identifier: Apache-2.0
// `oci-landlock-runtime`: adds our hooks to a container's config.json, and becomes the real runtime.
#pragma once

#include <string>

#include "cli/commands.hpp"

namespace cli {

// What the words of an OCI runtime's call say, as runc and crun read them.
struct RuntimeCall {
    std::string subcommand;     // "": none
    std::string bundle = ".";   // of create, run and restore
    std::string log;            // absolute; "": none
    bool jsonLog = false;       // its format
    bool otherConfig = false;   // crun's --config, which takes the place of config.json
    std::string unknownOption;  // before the subcommand, which may be another one then
};
RuntimeCall runtimeCallOf(const Arguments& words);

// `words`: those after the program's name. The real runtime takes the place of this process, and has its exit status;
// returns one only for --help, and where that must not be or has failed.
int runRuntime(const Arguments& words);

}  // namespace cli
