// SPDX-License-Identifier: Apache-2.0
#include "applier/kfunc/slots.hpp"

#include <bpf/bpf.h>

#include <algorithm>
#include <cerrno>

#include "sys/bpf.hpp"
#include "sys/places.hpp"

namespace applier {

namespace {

class KeptSlots : public Kept {
public:
    KeptSlots(const Slots& owner, Offer offer) : owner_(owner), offer_(std::move(offer)) {}
    ~KeptSlots() override
    {
        if (!confirmed_) {
            giveBack();
        }
    }
    std::vector<std::uint32_t> place() override
    {
        giveBack();
        for (const Layer& layer : offer_.layers) {
            slots_.push_back(owner_.handOver(offer_, layer.ruleset));
        }
        return slots_;
    }
    void confirm() override { confirmed_ = true; }

private:
    void giveBack() noexcept
    {
        for (const std::uint32_t slot : slots_) {
            owner_.revoke(offer_.generation, slot);
        }
        slots_.clear();
    }

    const Slots& owner_;
    Offer offer_;
    std::vector<std::uint32_t> slots_;
    bool confirmed_ = false;
};

}  // namespace

Slots::Slots()
    : slots_(sys::openPin(sys::pinned("slots"))),
      handOverProgram_(sys::openPin(sys::pinned("hand_over"))),
      revokeProgram_(sys::openPin(sys::pinned("revoke")))
{
}

std::uint32_t Slots::handOver(const Offer& offer, int ruleset) const
{
    oll_hand_over context{};
    context.generation = offer.generation;
    context.cgroup_id = offer.cgroupId;
    context.ruleset = ruleset;
    sys::runProgram(handOverProgram_.get(), context, "hand a ruleset over");
    if (context.error == -ENOSPC) {
        throw Full("all " + std::to_string(OLL_MAX_SLOTS) +
                   " slots for rulesets are in use; `oci-landlock status` "
                   "lists who holds them");
    }
    if (context.error != 0) {
        throw sys::errnoError("hand a ruleset over", static_cast<int>(-context.error));
    }
    return context.slot;
}

std::unique_ptr<Kept> Slots::keep(const Offer& offer) const
{
    return std::make_unique<KeptSlots>(*this, offer);
}

// What cannot be emptied now is garbage: its generation belongs to no container.
void Slots::revoke(std::uint64_t generation, std::uint32_t slot) const noexcept
{
    oll_revoke context{generation, slot, 0};
    LIBBPF_OPTS(bpf_test_run_opts, options, .ctx_in = &context, .ctx_size_in = sizeof context);
    bpf_prog_test_run_opts(revokeProgram_.get(), &options);
}

// Everything in the array, in one system call where memory allows.
std::vector<oll_slot_view> Slots::readAll() const
{
    std::vector<oll_slot_view> slots(OLL_MAX_SLOTS);
    std::vector<std::uint32_t> keys(OLL_MAX_SLOTS);
    std::uint32_t batch = 0;
    std::uint32_t count = OLL_MAX_SLOTS;
    if (bpf_map_lookup_batch(slots_.get(), nullptr, &batch, keys.data(), slots.data(), &count, nullptr) != 0 &&
        errno != ENOENT) {
        throw sys::errnoError("read the slots");
    }
    return slots;
}

void Slots::release(std::uint64_t generation) const
{
    const std::vector<oll_slot_view> slots = readAll();
    for (std::uint32_t i = 0; i < slots.size(); ++i) {
        if (slots[i].generation == generation) {
            revoke(generation, i);
        }
    }
}

unsigned Slots::collectGarbage(const std::set<std::uint64_t>& living) const
{
    unsigned freed = 0;
    const std::vector<oll_slot_view> slots = readAll();
    for (std::uint32_t i = 0; i < slots.size(); ++i) {
        if (slots[i].generation != 0 && !living.contains(slots[i].generation)) {
            revoke(slots[i].generation, i);
            ++freed;
        }
    }
    return freed;
}

unsigned Slots::inUse() const
{
    return static_cast<unsigned>(
        std::ranges::count_if(readAll(), [](const oll_slot_view& slot) { return slot.generation != 0; }));
}

}  // namespace applier
