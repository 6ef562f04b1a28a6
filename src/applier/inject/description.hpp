// SPDX-License-Identifier: Apache-2.0
// What is said about a container beside its descriptors: in messages, and in a sealed memfd beside the descriptors
// that systemd keeps.
#pragma once

#include <cstdint>
#include <vector>

#include "applier/inject/held.hpp"
#include "bpf/abi.h"
#include "sys/fd.hpp"

namespace applier::inject {

struct DescribedLayer {
    std::uint32_t entry = 0;
    std::uint32_t restrictFlags = 0;
};

// Fixed layout, because a supervisor reads what its predecessor wrote: a change of it needs another number.
struct Description {
    static constexpr std::uint32_t currentLayout = 2;

    std::uint32_t layout = currentLayout;
    std::uint32_t layerCount = 0;
    std::uint64_t generation = 0;
    std::uint64_t cgroupId = 0;
    DescribedLayer layers[OLL_MAX_LAYERS];
    char label[OLL_ID_SIZE] = {};  // NUL-padded; its id and what people call it
};
static_assert(sizeof(Description) == 24 + 8 * OLL_MAX_LAYERS + OLL_ID_SIZE);

// Throws sys::Error unless every field is within its bounds.
void requireValid(const Description& description);

// Of what is held. Throws sys::Error when it does not fit.
Description describe(const Held& held);

// The other way round: `descriptors` are the cgroup and a ruleset for each layer, in this order. Throws
// sys::Error unless the description is valid and each descriptor is what it should be.
Held hold(const Description& description, std::vector<sys::Fd> descriptors);

// A memfd that nobody can change any more. Throws sys::Error.
sys::Fd seal(const Description& description);
// Throws sys::Error unless it is such a memfd.
Description unseal(int memfd);

}  // namespace applier::inject
