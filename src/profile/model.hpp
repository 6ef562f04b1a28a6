// SPDX-License-Identifier: Apache-2.0
// What a profile means once it was read, validated and resolved for one Landlock ABI. Plain data; no JSON here.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "sys/digest.hpp"

namespace profile {

// Bounds on one profile, inline or not (docs/profiles.md, "Limits").
inline constexpr std::size_t maxDocumentBytes = 256 * 1024;
inline constexpr std::size_t maxEntries = 16;
inline constexpr std::size_t maxLayers = 16;         // all entries together; the kernel's limit for one domain
inline constexpr std::size_t maxPaths = 4096;        // rules, all layers together, after variable expansion
inline constexpr std::size_t maxPorts = 256;         // likewise
inline constexpr std::size_t maxPrograms = 64;       // all entries together
inline constexpr std::size_t maxProgramBytes = 511;  // one program path
inline constexpr std::size_t maxPathBytes = 4095;
inline constexpr std::size_t maxExpandedBytes = 1024 * 1024;  // all paths together, after variable expansion
inline constexpr std::size_t maxFragments = 32;               // all that one profile uses
inline constexpr std::size_t maxFragmentBytes = 256 * 1024;   // likewise
inline constexpr std::size_t maxUseDepth = 8;                 // fragments that use fragments
inline constexpr std::size_t maxFragmentName = 128;

struct PathRule {
    std::string path;          // as the container sees it; relative: see cwdOf
    std::uint64_t access = 0;  // LANDLOCK_ACCESS_FS_*, a subset of the layer's handledFs; 0 only if quiet
    // JSON pointer of the path in the document, for messages; "NAME#/..." in the fragment NAME. ", " between those of
    // several documents that grant something there.
    std::string pointer;
    bool quiet = false;     // LANDLOCK_ADD_RULE_QUIET, ABI 10
    bool optional = false;  // of fragments alone, which are for more containers than one: may be missing
};

struct PortRule {
    std::uint64_t port = 0;    // 0..65535
    std::uint64_t access = 0;  // LANDLOCK_ACCESS_NET_*; 0 only if quiet
    std::string pointer;
    bool quiet = false;
};

// One ruleset. Bits that the ABI lacks are not in here any more: see Entry::dropped.
struct Layer {
    std::uint64_t handledFs = 0;
    std::uint64_t handledNet = 0;
    std::uint64_t scoped = 0;
    std::uint64_t quietFs = 0;  // ABI 10: denials of these are not logged for quiet rules
    std::uint64_t quietNet = 0;
    std::uint64_t quietScoped = 0;
    std::vector<PathRule> paths;
    std::vector<PortRule> ports;
};

enum class Origin : std::uint8_t {
    nodeFile,  // a file on the node: trusted to relax (noNewPrivileges: false); the image must not widen it
    inlined,   // an annotation: hostile
};

enum class Selector : std::uint8_t { entrypoint, program, except };

struct Selection {
    Selector kind = Selector::entrypoint;
    // Absolute, normalised ("//", "/./" and a final "/" removed); empty for entrypoint.
    std::vector<std::string> programs;
    bool sessions = true;
};

// audit: nothing is applied, and what would be denied is told (`events`).
enum class Mode : std::uint8_t { enforce, audit };

enum class Compat : std::uint8_t { bestEffort, require };
enum class MissingPaths : std::uint8_t { error, skip };

// Something the profile asks for that this kernel's ABI does not have.
struct Dropped {
    std::string what;      // "fs.ioctl_dev", "scope.signal", "quiet rules", ...
    unsigned abi = 0;      // first ABI that has it; 0: none that this version knows
    std::string pointer;   // where it was asked for
    std::string why = {};  // what it lacks, where that is no ABI
};

struct Entry {
    std::string name;         // given or "entry-<index>"
    std::string source = {};  // that of its profile, once several are stacked
    Origin origin = Origin::inlined;
    Selection select;
    Mode mode = Mode::enforce;
    std::vector<Layer> layers;  // at least one, each restricts something
    Compat compat = Compat::bestEffort;
    MissingPaths missingPaths = MissingPaths::error;
    bool noNewPrivileges = true;
    std::uint32_t restrictFlags = 0;  // LANDLOCK_RESTRICT_SELF_LOG_* (ABI 7)
    bool logRequested = false;        // there is a "log" object: restrictFlags is all that is wanted
    std::vector<Dropped> dropped;     // empty: full enforcement; else partial
};

// Whether the container starts when this path is not there.
inline bool mayBeMissing(const Entry& entry, const PathRule& rule)
{
    return rule.optional || entry.missingPaths == MissingPaths::skip;
}

// What relative paths of an entry start at: the container's working directory comes from its image, which has no say
// in what a node's profile means.
inline std::string cwdOf(const Entry& entry, const std::string& processCwd)
{
    return entry.origin == Origin::nodeFile ? "/" : processCwd;
}

// Where a document names a fragment first.
struct Use {
    std::string fragment;
    std::string entry;    // of a profile
    std::string pointer;  // JSON pointer
};

struct UsedFragment {
    std::string name;
    std::string path;
    sys::Digest digest;
};

struct Profile {
    std::string source;  // file, or annotation key: names the document in messages
    // Of the document and its fragments (digestOf), and the same of the node's baseline beneath it; by who has read
    // their bytes.
    std::optional<sys::Digest> digest = {};
    std::optional<sys::Digest> baselineDigest = {};
    std::vector<UsedFragment> fragments = {};  // by name; likewise
    std::vector<Use> uses = {};                // it was loaded without these, and has no entries
    std::vector<Entry> entries;
};

}  // namespace profile
