// SPDX-License-Identifier: Apache-2.0
#include "applier/inject/keep.hpp"

#include <cerrno>

#include "applier/inject/client.hpp"
#include "applier/inject/events.hpp"
#include "sys/bpf.hpp"

namespace applier::inject {

namespace {

class KeptBySupervisor : public Kept {
public:
    KeptBySupervisor(const inject::Offer& offer, std::size_t layers) : handover_(offer), layers_(layers) {}
    std::vector<std::uint32_t> slots() const override { return std::vector<std::uint32_t>(layers_); }
    void confirm() override { handover_.keep(); }

private:
    Handover handover_;
    std::size_t layers_;
};

}  // namespace

Supervised::Supervised(const std::string& directory) : tracers_(sys::openPin(directory + "/tracers")) {}

std::unique_ptr<Kept> Supervised::keep(const applier::Offer& offer) const
{
    const sys::Fd events = watchExecs(offer);
    inject::Offer all{offer.generation, offer.cgroupId, offer.containerId, events.get(), offer.cgroup, {}};
    for (const Layer& layer : offer.layers) {
        all.layers.push_back({layer.ruleset, layer.entry, layer.restrictFlags});
    }
    return std::make_unique<KeptBySupervisor>(all, offer.layers.size());
}

// The supervisor lets go by itself when the container's cgroup is empty.
void Supervised::release(std::uint64_t generation) const
{
    bpf_map_delete_elem(tracers_.get(), &generation);
    inject::release(generation);
}

unsigned Supervised::collectGarbage(const std::set<std::uint64_t>& living) const
{
    unsigned freed = 0;
    std::uint64_t key = 0;
    const void* previous = nullptr;
    std::uint64_t next = 0;
    std::vector<std::uint64_t> dead;
    for (unsigned i = 0; i < OLL_MAX_CONTAINERS && bpf_map_get_next_key(tracers_.get(), previous, &next) == 0; ++i) {
        if (!living.contains(next)) {
            dead.push_back(next);
        }
        key = next;
        previous = &key;
    }
    for (const std::uint64_t generation : dead) {
        release(generation);
        ++freed;
    }
    return freed;
}

}  // namespace applier::inject
