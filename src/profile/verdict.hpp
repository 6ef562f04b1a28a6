// SPDX-License-Identifier: Apache-2.0
// What the kernel would answer to an access, from the rules alone. landlock(7): each layer that handles a right must
// allow it, for files on the object itself or on a directory above it; what a layer does not handle it does not deny.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "profile/model.hpp"

namespace profile {

// A file or directory as the kernel tells them apart, whatever it is called.
struct Object {
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    bool operator==(const Object&) const = default;
};

// A rule of a layer in one file tree.
struct PlacedRule {
    std::size_t rule = 0;  // of Layer::paths
    Object object;
    std::uint64_t granted = 0;  // of its rights those that count there
};

struct Verdict {
    bool handled = false;                  // else it is allowed
    std::optional<std::size_t> rule = {};  // of Layer::paths or Layer::ports: the nearest that allows it

    bool allowed() const { return !handled || rule; }
};

// Of one layer, on one right: its bit. `way`: the object, then the directories above it up to the root. Not for
// `refer`, which is a matter of two directories.
Verdict fileVerdict(const Layer& layer, std::uint64_t right, const std::vector<PlacedRule>& rules,
                    const std::vector<Object>& way);
Verdict portVerdict(const Layer& layer, std::uint64_t right, std::uint64_t port);
Verdict scopeVerdict(const Layer& layer, std::uint64_t right);

}  // namespace profile
