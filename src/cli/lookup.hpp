// SPDX-License-Identifier: Apache-2.0
// What the paths of a profile lead to in one root file system, and whether that is what the profile means.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "container/rootfs.hpp"
#include "profile/model.hpp"

namespace cli {

// What a script names behind its "#!"; "" of anything else. Throws sys::Error when it cannot be read.
std::string interpreterOf(int path);
inline constexpr unsigned maxScripts = 5;  // an interpreter may be a script again; the kernel's bound

// A rule whose path exists.
struct Found {
    const profile::PathRule* rule = nullptr;
    std::string name;           // where it leads, without symbolic links, from the container's root
    std::uint64_t granted = 0;  // of the rule's rights those that count there
    bool led = false;           // by a symbolic link, away from where the path itself says
};

// std::nullopt: nothing is there. Throws sys::Error.
std::optional<Found> lookUpIfThere(const container::Rootfs& rootfs, const profile::PathRule& rule,
                                   const std::string& cwd, sys::Fd& file);

// The same; throws container::NotFound, too.
Found lookUp(const container::Rootfs& rootfs, const profile::PathRule& rule, const std::string& cwd, sys::Fd& file);

// Those of a layer's rules that symbolic links lead to a place to which the layer does not grant as much by its own
// name.
std::vector<const Found*> ledAstray(const std::vector<Found>& all);

// "/tmp leads to /"
std::string describe(const Found& found);

// Throws sys::Error unless a node's policy means what its rules found: a link of the image must not widen it.
void requireListed(const std::vector<Found>& all);

// The same of an excepted program of a node's profile, and the name that it leads to.
void requireListed(const profile::Selection& select, const std::string& program, const std::string& name);

// Throws sys::Error unless all that an `except` entry excepts, and what runs with it, is out of reach for those whom
// the entry restricts. `layers`: what was found for each layer.
void requireStrict(const container::Rootfs& rootfs, const profile::Entry& entry,
                   const std::vector<std::vector<Found>>& layers, unsigned abi);

}  // namespace cli
