// SPDX-License-Identifier: Apache-2.0
// When the launch applier is used, and what of a profile it covers.
#pragma once

#include <optional>
#include <string>

#include "cli/settings.hpp"
#include "profile/model.hpp"

namespace cli {

// Why this hook, or this machine, uses `launch`, and what would give more; std::nullopt: it uses the selector. Where
// that cannot be told, it is the selector, or an error. Throws sys::Error.
std::optional<std::string> reasonForLaunch(const Settings& settings);

// Leaves what `launch` covers: sessions are dropped from entries with best effort. Throws sys::Error for what a profile
// cannot do without; `reason` goes into the message.
void limitToLaunch(profile::Profile& profile, const std::string& reason);

}  // namespace cli
