// SPDX-License-Identifier: Apache-2.0
// Document text -> Profile. Knows no syscalls: callers read the files.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "profile/model.hpp"
#include "profile/problems.hpp"

namespace profile {

// A policy that others merge into theirs, by its name: "use".
struct Fragment {
    std::string name;
    std::string path;  // ends in .toml: it is TOML
    std::string text;
};

// Why no more than maxFragments are read.
std::string moreFragments();

// The fragments that a fragment itself uses. Throws Invalid, also when the document is no fragment.
std::vector<Use> usesOf(const Fragment& fragment);

// Parses and validates `text` (JSON), expands variables and groups, and resolves for Landlock ABI `abi` (>= 1).
// `source` names the document in messages. Throws Invalid; also when `compat: require` cannot be met, or when
// best effort would leave a layer that restricts nothing. `fragments`: all that it uses, with all that these use, and
// maybe others. Without any, a document that uses some comes back with `uses` alone.
Profile load(std::string_view text, std::string source, Origin origin, unsigned abi,
             const std::vector<Fragment>& fragments = {});

// The same for a file on the node, which may also be TOML: `path` ends in .toml then.
Profile loadFile(std::string_view text, std::string path, Origin origin, unsigned abi,
                 const std::vector<Fragment>& fragments = {});

// The same of a document that is parsed already.
Profile loadDocument(const nlohmann::json& document, std::string source, Origin origin, unsigned abi,
                     const std::vector<Fragment>& fragments = {});

// How much of what the entry asks for its kernel enforces: "full", or "partial" when something was dropped; "none": it
// is audited. What would leave nothing to enforce, load() refuses.
std::string_view enforcementOf(const Entry& entry);

// io.landlock.program: one absolute path, or a JSON array of them. Throws Error.
std::vector<std::string> programsOf(std::string_view value);

// Replaces the selection of a profile that has a single entry. Throws Error.
void selectPrograms(Profile& profile, std::vector<std::string> programs);

}  // namespace profile
