// SPDX-License-Identifier: Apache-2.0
// The inject applier keeps rulesets in the supervisor, which also attaches to the container's targets.
#pragma once

#include "applier/keeper.hpp"

namespace applier::inject {

// The supervisor lets go by itself when a container's cgroup is empty; nobody has to clean up after it.
class Supervised : public Keeper {
public:
    // Hands it all to the supervisor, which must answer.
    std::unique_ptr<Kept> keep(const Offer& offer) const override;
    void release(std::uint64_t) const override {}
    unsigned collectGarbage(const std::set<std::uint64_t>&) const override { return 0; }
};

}  // namespace applier::inject
