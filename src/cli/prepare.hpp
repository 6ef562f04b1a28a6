// SPDX-License-Identifier: Apache-2.0
// From a profile to what the node gets for one container: rulesets, and the files that its paths lead to.
#pragma once

#include <string>
#include <vector>

#include "container/process.hpp"
#include "landlock/ruleset.hpp"
#include "node/node.hpp"
#include "oci/bundle.hpp"
#include "profile/model.hpp"
#include "sys/fd.hpp"

namespace cli {

// Everything that the node gets, and the descriptors it borrows.
struct Prepared {
    std::vector<landlock::Ruleset> rulesets;
    std::vector<sys::Fd> files;
    std::vector<node::Entry> entries;
    std::vector<applier::Layer> layers;
    std::vector<node::Program> programs;
    std::vector<std::vector<std::string>> skipped;  // paths that do not exist, by entry
};

// Looks up all paths as the container will see them. Throws sys::Error.
Prepared prepare(const profile::Profile& profile, const container::Process& init, const oci::Bundle& bundle);

}  // namespace cli
