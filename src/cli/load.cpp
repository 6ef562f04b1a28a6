// SPDX-License-Identifier: Apache-2.0
// `oci-landlock load` and `oci-landlock unload`.
#include <boost/program_options.hpp>
#include <cstdio>

#include "applier/programs.hpp"
#include "cli/commands.hpp"
#include "cli/fit.hpp"
#include "cli/options.hpp"
#include "node/node.hpp"
#include "node/pins.hpp"

namespace cli {

namespace po = boost::program_options;

namespace {

node::Choice choiceOf(const std::string& name)
{
    if (name == "auto") {
        return node::Choice::automatic;
    }
    for (const auto& [applier, choice] :
         {std::pair{OLL_APPLIER_KFUNC, node::Choice::kfunc}, std::pair{OLL_APPLIER_INJECT, node::Choice::inject}}) {
        if (name == applier::nameOf(applier)) {
            return choice;
        }
    }
    throw UsageError("load: --applier must be auto, kfunc or inject");
}

}  // namespace

int runLoad(const Arguments& arguments)
{
    po::options_description options("Options");
    options.add_options()("applier", po::value<std::string>()->value_name("NAME")->default_value("auto"),
                          "kfunc: in the kernel, needs the bridge; inject: by the supervisor, for stock kernels; "
                          "auto: what the kernel can")(
        "check", "only say whether this node can be loaded; exit status 3: it cannot, or need not be");
    const auto given = parseOptions("load",
                                    "Loads the selector and pins it under /sys/fs/bpf/oci-landlock, so that the first "
                                    "container\nneed not wait for it. Does nothing when that was done already.",
                                    options, arguments);
    if (!given) {
        return exitOk;
    }
    const node::Choice choice = choiceOf((*given)["applier"].as<std::string>());
    if (given->contains("check")) {
        try {
            requireFit(choice);
        } catch (const node::Unfit& error) {
            std::fprintf(stderr, "oci-landlock: %s\n", error.what());
            return exitUnfit;
        }
        return exitOk;
    }
    node::requireAccess();
    const node::Lock lock;
    node::load(lock, choice);
    node::Node(lock).collectGarbage();
    return exitOk;
}

int runUnload(const Arguments& arguments)
{
    po::options_description options("Options");
    options.add_options()("force",
                          "also while containers depend on it: their programs start unrestricted from then "
                          "on; those that run stay restricted");
    const auto given =
        parseOptions("unload", "Takes the selector and all that is pinned away from this node.", options, arguments);
    if (!given) {
        return exitOk;
    }
    node::requireRoot();
    bool was = false;
    if (node::hasBpffs()) {
        const node::Lock lock;
        was = node::unload(lock, given->contains("force"));
    } else {
        node::requireNoSelector();
    }
    if (!was) {
        std::fputs("oci-landlock: nothing was loaded\n", stderr);
    }
    return exitOk;
}

}  // namespace cli
