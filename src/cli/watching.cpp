// SPDX-License-Identifier: Apache-2.0
#include "cli/watching.hpp"

#include <signal.h>
#include <unistd.h>

#include "cli/launch.hpp"
#include "cli/settings.hpp"
#include "node/node.hpp"
#include "node/pins.hpp"
#include "sys/error.hpp"
#include "sys/user.hpp"

namespace cli {

namespace {

volatile sig_atomic_t toldToEnd = 0;

void end(int)
{
    toldToEnd = 1;
}

}  // namespace

std::optional<oll_applier> selectorOrLaunch()
{
    if (geteuid() == 0 && sys::inInitialUserNamespace() && reasonForLaunch(readSettings())) {
        return std::nullopt;
    }
    node::requireAccess();
    if (!node::Node::loaded()) {
        throw sys::Error(
            "the selector is not loaded, so that there is nothing to see; run `oci-landlock load`, or start a "
            "container with a profile");
    }
    const node::Lock lock;
    return node::Node(lock).applier();
}

oll_applier requireSelector()
{
    const auto applier = selectorOrLaunch();
    if (!applier) {
        throw sys::Error(
            "this node has the launch applier, which nothing shows the accesses of; `oci-landlock events` shows what "
            "is denied");
    }
    return *applier;
}

void endOnSignals()
{
    struct sigaction action {};
    action.sa_handler = end;  // no SA_RESTART: waiting is to end
    sigaction(SIGINT, &action, nullptr);
    sigaction(SIGTERM, &action, nullptr);
}

bool ended()
{
    return toldToEnd != 0;
}

}  // namespace cli
