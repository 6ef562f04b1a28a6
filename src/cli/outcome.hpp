// SPDX-License-Identifier: Apache-2.0
// What became of a profile in one container.
#pragma once

#include <string>

#include "cli/prepare.hpp"
#include "profile/model.hpp"

namespace cli {

// For `status`, in JSON; the long lists are left out when they do not fit.
std::string outcomeOf(const profile::Profile& profile, const Prepared& prepared);

// What best effort or missingPaths: skip left out must not go unnoticed, nor where an image's links lead: lines in the
// log for each entry.
void tellPartial(const std::string& id, const profile::Profile& profile, const Prepared& prepared);

}  // namespace cli
