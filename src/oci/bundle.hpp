// SPDX-License-Identifier: Apache-2.0
// What concerns us of a bundle's config.json (OCI runtime-spec 1.0, "Configuration").
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace oci {

inline constexpr std::size_t maxConfigBytes = 4 * 1024 * 1024;

struct Bundle {
    std::string directory;                           // absolute
    std::string rootPath;                            // absolute
    std::string cwd = "/";                           // process.cwd, absolute
    std::map<std::string, std::string> annotations;  // those under io.landlock. and those that name the container
};

// Throws sys::Error naming the file and the JSON pointer.
Bundle parseBundle(std::string_view config, const std::string& directory);
Bundle readBundle(const std::string& directory);
// The text of its config.json.
std::string readConfig(const std::string& directory);

// What the annotations ask for (docs/annotations.md).
struct Request {
    std::optional<std::string> profile;  // a name, or a document in JSON
    std::string profileKey;              // the annotation that it came from
    std::optional<std::string> program;  // io.landlock.program
};

// std::nullopt: nothing is asked for, or the container is a pod's sandbox. Throws sys::Error: an unknown annotation of
// ours, or one for a container of a pod when the runtime does not say which one this is.
std::optional<Request> requestOf(const Bundle& bundle);

}  // namespace oci
