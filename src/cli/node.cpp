// SPDX-License-Identifier: Apache-2.0
// `oci-landlock node`: for the pod that installs us on a node of Kubernetes.
#include <signal.h>

#include <boost/program_options.hpp>

#include "cli/commands.hpp"
#include "cli/options.hpp"
#include "install/node.hpp"

namespace cli {

namespace {

namespace po = boost::program_options;

// Until SIGTERM or SIGINT, which the first process of a container does not die of.
void waitForEnd()
{
    sigset_t ends{};
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    sigprocmask(SIG_BLOCK, &ends, nullptr);
    sigwaitinfo(&ends, nullptr);
}

}  // namespace

int runNode(const Arguments& arguments)
{
    install::Place place;
    std::string profiles;
    po::options_description options("Options");
    options.add_options()("root", po::value(&place.root)->value_name("DIR")->default_value(place.root),
                          "where the root of the node is seen")(
        "directory", po::value(&place.directory)->value_name("DIR")->default_value(place.directory),
        "where programs are kept on the node")(
        "containerd", po::value(&place.containerd)->value_name("FILE")->default_value(place.containerd),
        "containerd's settings on the node")("profiles", po::value(&profiles)->value_name("DIR"),
                                             "profiles for the node, with install");
    const auto given = parseOptions("node",
                                    "For the pod that installs oci-landlock on a node of Kubernetes:\n"
                                    "  install  puts programs, services and profiles there, and tells containerd\n"
                                    "  remove   takes them away, once no container needs them\n"
                                    "  wait     does nothing, until it is told to end",
                                    options, arguments, "ACTION", 1);
    if (!given) {
        return exitOk;
    }
    const auto words = (*given)["ACTION"].as<Arguments>();
    const std::string word = words.empty() ? "" : words[0];
    if (word == "install") {
        install::install(place, profiles);
    } else if (word == "remove") {
        install::remove(place);
    } else if (word == "wait") {
        waitForEnd();
    } else {
        throw UsageError("node: say install, remove or wait; `oci-landlock node --help` says what they do");
    }
    return exitOk;
}

}  // namespace cli
