// SPDX-License-Identifier: Apache-2.0
// The kfunc applier keeps rulesets in the kernel: a slot each, in a pinned map. Nothing of ours keeps running.
#pragma once

#include "applier/keeper.hpp"
#include "sys/fd.hpp"

namespace applier {

class Slots : public Keeper {
public:
    // Throws sys::Error when the pins are not there.
    Slots();

    std::unique_ptr<Kept> keep(const Offer& offer) const override;
    void release(std::uint64_t generation) const override;
    unsigned collectGarbage(const std::set<std::uint64_t>& living) const override;
    unsigned inUse() const;

    // The slot that it is in from now on. Throws Full or sys::Error.
    std::uint32_t handOver(const Offer& offer, int ruleset) const;
    void revoke(std::uint64_t generation, std::uint32_t slot) const noexcept;

private:
    std::vector<oll_slot_view> readAll() const;

    sys::Fd slots_;  // map
    sys::Fd handOverProgram_, revokeProgram_;
};

}  // namespace applier
