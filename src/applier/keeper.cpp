// SPDX-License-Identifier: Apache-2.0
#include "applier/keeper.hpp"

#include "applier/inject/supervised.hpp"
#include "applier/kfunc/slots.hpp"

namespace applier {

std::unique_ptr<Keeper> makeKeeper(oll_applier applier)
{
    if (applier == OLL_APPLIER_INJECT) {
        return std::make_unique<inject::Supervised>();
    }
    return std::make_unique<Slots>();
}

unsigned slotsInUse()
{
    return Slots().inUse();
}

}  // namespace applier
