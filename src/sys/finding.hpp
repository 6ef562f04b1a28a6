// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <exception>
#include <string>
#include <vector>

namespace sys {

enum class Severity { ok, note, problem };

// Something that was looked at on the node, for whoever runs it.
struct Finding {
    std::string name;  // "podman.createRuntime": the part of the node, and what of it
    Severity severity = Severity::ok;
    std::string message;  // one sentence without its period; text from outside is printable
    std::string remedy;   // a command, or a line and the file that it goes into; "": there is none
};

using Findings = std::vector<Finding>;

void append(Findings& all, Findings some);

// An error as a problem: what follows its last semicolon is the remedy, `otherwise` where there is none.
Finding findingOf(const std::string& name, const std::exception_ptr& thrown, const std::string& otherwise);
// The same as a note, of what could not be looked at: "systemd's units".
Finding notLookedAt(const std::string& name, const std::string& what, const std::exception_ptr& thrown);

}  // namespace sys
