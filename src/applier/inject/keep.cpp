// SPDX-License-Identifier: Apache-2.0
#include "applier/inject/keep.hpp"

#include "applier/inject/client.hpp"

namespace applier::inject {

namespace {

class KeptBySupervisor : public Kept {
public:
    KeptBySupervisor(const inject::Offer& offer, std::size_t layers) : handover_(offer), layers_(layers) {}
    std::vector<std::uint32_t> place() override { return std::vector<std::uint32_t>(layers_); }
    void confirm() override { handover_.keep(); }

private:
    Handover handover_;
    std::size_t layers_;
};

}  // namespace

std::unique_ptr<Kept> Supervised::keep(const applier::Offer& offer) const
{
    inject::Offer all{offer.generation, offer.cgroupId, offer.containerId, offer.cgroup, {}};
    for (const Layer& layer : offer.layers) {
        all.layers.push_back({layer.ruleset, layer.entry, layer.restrictFlags});
    }
    return std::make_unique<KeptBySupervisor>(all, offer.layers.size());
}

}  // namespace applier::inject
