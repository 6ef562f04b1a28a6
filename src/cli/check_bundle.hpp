// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "container/rootfs.hpp"
#include "oci/bundle.hpp"
#include "profile/model.hpp"

namespace cli {

// Its root file system, as it is before any container runs. Throws sys::Error.
container::Rootfs rootfsOf(const oci::Bundle& bundle);

// What of the profile's paths and programs a bundle's root file system lacks, and what its links make of them, before
// any container runs: {"missingPaths": [...], "missingPrograms": [...], "onMounts": [...], "links": [...], "problems":
// [...]} for each entry. `failed` is set when a container from this bundle would not start.
nlohmann::ordered_json compareWithBundle(const profile::Profile& profile, const std::string& directory, unsigned abi,
                                         bool& failed);

}  // namespace cli
