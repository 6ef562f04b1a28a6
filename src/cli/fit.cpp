// SPDX-License-Identifier: Apache-2.0
#include "cli/fit.hpp"

#include "cli/launch.hpp"
#include "cli/settings.hpp"
#include "node/lock.hpp"

namespace cli {

oll_applier requireFit(node::Choice choice)
{
    if (const auto reason = reasonForLaunch(readSettings())) {
        throw node::Unfit("nothing needs to be loaded, the applier is launch: " + *reason);
    }
    node::requireAccess();
    const node::Lock lock;
    return node::choose(lock, choice);
}

}  // namespace cli
