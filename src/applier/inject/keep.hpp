// SPDX-License-Identifier: Apache-2.0
// The inject applier keeps rulesets in the supervisor, which also stops the container's targets.
#pragma once

#include "applier/applier.hpp"
#include "sys/fd.hpp"

namespace applier::inject {

class Supervised : public Keeper {
public:
    // Throws sys::Error when the pins are not there.
    explicit Supervised(const std::string& directory);

    // Marks what the container may execute, and hands it all to the supervisor, which must answer.
    std::unique_ptr<Kept> keep(const applier::Offer& offer) const override;
    void release(std::uint64_t generation) const override;
    unsigned collectGarbage(const std::set<std::uint64_t>& living) const override;

private:
    sys::Fd tracers_;  // map
};

}  // namespace applier::inject
