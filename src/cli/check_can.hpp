// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "container/rootfs.hpp"
#include "landlock/access.hpp"
#include "profile/model.hpp"

namespace cli {

// One access: a right on a path, on a port, or, of what is scoped, on nothing.
struct Access {
    const landlock::Right* right = nullptr;
    std::string path;
    std::uint64_t port = 0;
};

// Throws UsageError.
Access accessOf(const std::string& right, const std::optional<std::string>& path, const std::optional<unsigned>& port);

// Whether the profile allows it to what it restricts, in this file tree: {"right", "path" or "port", "allowed",
// "entries"}; each entry has a "name", "allowed" and "layers", and these "handled", "allowed" and the "pointer" of the
// rule that allows it. Throws sys::Error where a container would not start, and when the path is not there.
nlohmann::ordered_json answerOf(const profile::Profile& profile, const Access& access, const container::Rootfs& rootfs);

std::string answerText(const nlohmann::ordered_json& answer);

}  // namespace cli
