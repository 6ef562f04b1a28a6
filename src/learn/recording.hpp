// SPDX-License-Identifier: Apache-2.0
// What a program has done, in Landlock's own rights: schema/recording.schema.json is the form of the file. Others may
// have written it: reading is strict, and everything has a bound.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "landlock/access.hpp"

namespace learn {

inline constexpr std::size_t maxRecordingBytes = 64 * 1024 * 1024;  // all below, however it is escaped
inline constexpr std::size_t maxPaths = 16384;
inline constexpr std::size_t maxPathBytes = 511;
inline constexpr std::size_t maxPorts = 1024;
inline constexpr std::size_t maxPrograms = 64;
inline constexpr std::size_t maxRuns = 256;

// Of one path. Rights to make and remove are those of the directory, as Landlock has them.
struct Used {
    std::uint64_t rights = 0;   // on the path itself
    std::uint64_t beneath = 0;  // on what the run had made in this directory, whatever it was called
    bool operator==(const Used&) const = default;
};

// What a recording knows of one run.
struct Run {
    std::string began;  // UTC, as events have it
    std::string ended;
    std::string container;
    std::uint64_t added = 0;    // facts that no run before it had
    std::uint64_t refused = 0;  // accesses that something refused: what would have followed is not in here
    // What is missing; each makes the recording one that is not whole.
    std::uint64_t lost = 0;                // they came faster than they were read
    std::uint64_t leftOut = 0;             // beyond the bounds above
    std::uint64_t unnamed = 0;             // no path, or one that no profile can name
    bool late = false;                     // the program ran already
    std::vector<std::string> unseen = {};  // what the kernel gives no sight of
    bool operator==(const Run&) const = default;
};

struct Recording {
    std::vector<Run> runs;
    std::set<std::string> programs;  // what was executed when the restriction began
    std::map<std::string, Used> paths;
    std::map<std::uint64_t, std::uint64_t> ports;  // rights by port
    std::uint64_t scopes = 0;                      // what reached outside, and a scope would deny
    bool operator==(const Recording&) const = default;
};

// Each adds what it says, and returns how many facts (a right on a path or port, a scope) are new, or
// std::nullopt: there is no room.
std::optional<std::uint64_t> addPath(Recording& to, const std::string& path, const Used& used);
std::optional<std::uint64_t> addPort(Recording& to, std::uint64_t port, std::uint64_t rights);
std::uint64_t addScopes(Recording& to, std::uint64_t scopes);

// Everything of `from`, its runs too; returns the number of new facts. Throws sys::Error beyond the bounds.
std::uint64_t merge(Recording& to, const Recording& from);

// Why it is not whole, a line each; empty: it is.
std::vector<std::string> gapsOf(const Recording& recording);

std::size_t factsOf(const Recording& recording);

// Throws sys::Error naming `source`.
Recording read(std::string_view text, std::string_view source);
Recording readFile(const std::string& path);

nlohmann::ordered_json toJson(const Recording& recording);

// The file's. Throws sys::Error where it could not be read again.
std::string textOf(const Recording& recording);

// The names of the rights in a mask, in the table's order. What has no name there is left out: a recording has none.
nlohmann::ordered_json rightNames(landlock::Kind kind, std::uint64_t rights);

}  // namespace learn
