// SPDX-License-Identifier: Apache-2.0
// What concerns us of a bundle's config.json (OCI runtime-spec 1.0, "Configuration").
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "sys/digest.hpp"

namespace oci {

inline constexpr std::size_t maxConfigBytes = 4 * 1024 * 1024;
inline constexpr std::string_view annotationPrefix = "io.landlock.";  // of those that are ours

struct Bundle {
    std::string directory;                           // absolute
    std::string rootPath;                            // absolute
    std::string cwd = "/";                           // process.cwd, absolute
    std::map<std::string, std::string> annotations;  // those under io.landlock., and by which engines say whose it is
};

// Throws sys::Error naming the file and the JSON pointer.
Bundle parseBundle(std::string_view config, const std::string& directory);
Bundle readBundle(const std::string& directory);
// The text of its config.json, maxConfigBytes at most. Throws sys::Error.
std::string readConfig(const std::string& directory);
// Puts another text in its place, at once, with the owner and the mode of the one before. Throws sys::Error, and then
// nothing has changed.
void writeConfig(const std::string& directory, std::string_view text);

// Takes out of the annotations what is said of pods by others than the engine: whoever annotates the container, or
// makes its image. `id`: the container's, as its runtime says. Throws sys::Error where io.landlock.program may be the
// image's.
void keepWordOfEngine(Bundle& bundle, const std::string& id);

// The same where there is no runtime to say the id: engines name the bundle's directory after it, or the one above.
void keepWordOfEngine(Bundle& bundle);

// Throws sys::Error where the annotations have crun (1.8) run the container inside itself, by one of its handlers:
// nothing is executed there that could be restricted.
void requireExec(const Bundle& bundle);

// What the annotations ask for (docs/annotations.md).
struct Request {
    std::optional<std::string> profile;  // a name, or a document in JSON
    std::string profileKey;              // the annotation that it came from
    std::optional<std::string> program;  // io.landlock.program
    std::optional<sys::Digest> digest;   // of the profile's document, which may be no other
    std::string digestKey;               // the annotation that it came from
    std::optional<std::string> learn;    // what recorders know it by
    std::string learnKey;                // the annotation that it came from
};

// std::nullopt: nothing is asked for, or the container is a pod's sandbox. Throws sys::Error: an unknown annotation of
// ours, one for a container of a pod when the runtime does not say which one this is, or a digest that is none.
std::optional<Request> requestOf(const Bundle& bundle);

// What people call a container, where its engine has written it into the bundle; else empty. Claims, not facts: whoever
// may annotate a container may write there what they like. Short, and without anything but letters, digits, '-', '_'
// and '.': other bytes are escaped, so that no name looks like two, or like what stands around it.
struct Names {
    std::string nameSpace;
    std::string pod;
    std::string container;
};

Names namesOf(const Bundle& bundle);

// Those that there are, "namespace/pod/container".
std::string joined(const Names& names);

}  // namespace oci
