// SPDX-License-Identifier: Apache-2.0
// From a profile to what the node gets for one container: rulesets, and the files that its paths lead to.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "container/process.hpp"
#include "node/node.hpp"
#include "oci/bundle.hpp"
#include "profile/model.hpp"
#include "sys/fd.hpp"

namespace cli {

// Everything that the node gets, and the descriptors it borrows.
struct Prepared {
    std::vector<sys::Fd> rulesets;
    std::vector<sys::Fd> files;
    std::vector<node::Entry> entries;
    std::vector<applier::Layer> layers;
    std::vector<node::Program> programs;
    std::vector<std::vector<std::string>> skipped;  // paths that do not exist, by entry
    std::vector<std::vector<std::string>> absent;   // the same of fragments, which nobody needs to hear of
    std::vector<std::vector<std::string>> led;  // by entry: what the image's links lead elsewhere than the policy says
    // Of audited entries. By entry: where the path of each rule leads, in the order of the layers; "": nowhere.
    std::vector<std::vector<std::string>> leads;
    std::vector<std::vector<std::string>> obstacles;  // for which the container would not have started
};

// Looks up all paths as the container will see them: in a child, because a volume that does not answer would keep
// whoever asks it, even from dying. Throws sys::Error, also when it takes longer than `patience`.
Prepared prepare(const profile::Profile& profile, const container::Process& init, const oci::Bundle& bundle,
                 std::chrono::milliseconds patience = std::chrono::seconds(20));

// The same on this machine's root, by this process itself: it waits as long as its files make it wait. What an entry
// selects does not count.
Prepared prepareHere(profile::Profile profile);

// Puts all layers on this process, for good, as the hook has them put on a container's program. Throws sys::Error, and
// leaves some of them in force then.
void restrictSelf(const std::vector<applier::Layer>& layers);

}  // namespace cli
