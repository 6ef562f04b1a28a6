// SPDX-License-Identifier: Apache-2.0
// `oci-landlock load` and `oci-landlock unload`.
#include <boost/program_options.hpp>
#include <cstdio>

#include "cli/commands.hpp"
#include "cli/options.hpp"
#include "node/node.hpp"

namespace cli {

namespace po = boost::program_options;

int runLoad(const Arguments& arguments)
{
    const po::options_description options("Options");
    const auto given = parseOptions("load",
                                    "Loads the selector and pins it under /sys/fs/bpf/oci-landlock, so that the first "
                                    "container\nneed not wait for it. Does nothing when that was done already.",
                                    options, arguments);
    if (!given) {
        return exitOk;
    }
    node::requireAccess();
    const node::Lock lock;
    node::load(lock);
    return exitOk;
}

int runUnload(const Arguments& arguments)
{
    po::options_description options("Options");
    options.add_options()("force", "also while containers depend on it: their programs start unrestricted from then "
                                   "on; those that run stay restricted");
    const auto given = parseOptions("unload", "Takes the selector and all that is pinned away from this node.",
                                    options, arguments);
    if (!given) {
        return exitOk;
    }
    node::requireAccess();
    const node::Lock lock;
    if (!node::unload(lock, given->contains("force"))) {
        std::fputs("oci-landlock: nothing was loaded\n", stderr);
    }
    return exitOk;
}

}  // namespace cli
