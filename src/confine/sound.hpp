// SPDX-License-Identifier: Apache-2.0
// What the parser says is checked again by who asked: a child that was taken over by its input can answer anything, but
// nothing that is beyond what an honest one may say.
#pragma once

#include <string>
#include <vector>

#include "oci/bundle.hpp"
#include "oci/state.hpp"
#include "profile/model.hpp"

namespace confine {

// Each throws sys::Error.
void requireSound(const oci::State& state);
void requireSound(const oci::Bundle& bundle);
void requireSound(const profile::Profile& profile);
void requireSound(const std::vector<profile::Use>& uses);
void requireSound(const std::vector<std::string>& programs);

}  // namespace confine
