// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "container/rootfs.hpp"
#include "learn/recording.hpp"
#include "profile/model.hpp"

namespace cli {

// What of the recording the profile would deny: {"runs", "facts", "gaps", "denied"}. With a root file system, symbolic
// links in the profile's paths lead where they do there; else paths are taken as they are written.
nlohmann::ordered_json comparisonOf(const profile::Profile& profile, const learn::Recording& recording,
                                    const container::Rootfs* rootfs);

std::string comparisonText(const nlohmann::ordered_json& comparison, const std::string& source);

}  // namespace cli
