// SPDX-License-Identifier: Apache-2.0
#include "applier/inject/supervised.hpp"

#include "applier/inject/client.hpp"

namespace applier::inject {

std::unique_ptr<Kept> Supervised::keep(const Offer& offer) const
{
    return std::make_unique<SupervisedContainer>(offer);
}

}  // namespace applier::inject
