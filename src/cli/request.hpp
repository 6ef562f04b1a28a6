// SPDX-License-Identifier: Apache-2.0
// The profile that a container gets: what its annotations ask for, on top of the node's baseline.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "cli/settings.hpp"
#include "oci/bundle.hpp"
#include "profile/load.hpp"

namespace cli {

// How documents are read: by `check` itself, for the hook in a process that can do nothing else.
struct Parse {
    std::function<profile::Profile(std::string text, std::string source, profile::Origin origin,
                                   const std::vector<profile::Fragment>& fragments)>
        profile;
    std::function<std::vector<profile::Use>(const profile::Fragment& fragment, profile::Origin origin)> uses;
    std::function<std::vector<std::string>(std::string value)> programs;  // of io.landlock.program
};

// By this process.
Parse parseHere(unsigned abi);

// The document with its fragments. Throws sys::Error.
profile::Profile readProfile(const Settings& settings, const ProfileFile& file, profile::Origin origin,
                             const Parse& parse);

// What the node stacks under every container's own profile; without entries where it has none. Throws sys::Error.
profile::Profile baselineOf(const Settings& settings, const Parse& parse);

// The profile of those who ask for none, and to be recorded.
inline constexpr const char* learnProfile = "learn";

// Throws sys::Error unless its io.landlock.learn can be the name of a recording.
void requireLearnName(const oci::Request& request);

// Throws sys::Error, also when the document is another than the one that is pinned.
profile::Profile profileAskedFor(const Settings& settings, const oci::Request& request, const Parse& parse);

// As the node's setting auditOnly has it: nothing of it is enforced.
void auditAll(profile::Profile& profile);

// Both, the baseline first; either may be without entries.
profile::Profile stacked(profile::Profile baseline, profile::Profile own);

}  // namespace cli
