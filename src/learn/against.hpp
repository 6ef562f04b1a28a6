// SPDX-License-Identifier: Apache-2.0
// What of a recording a profile would deny. Paths are compared as they are written: no file is looked at.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "learn/recording.hpp"
#include "profile/model.hpp"

namespace learn {

struct Denied {
    std::string entry;
    landlock::Kind kind = landlock::Kind::fs;
    std::string path;        // fs
    bool beneath = false;    // what the run had made there
    std::uint64_t port = 0;  // net
    std::uint64_t rights = 0;
};

// Where the path of a rule leads, without symbolic links; "": nowhere.
using Leads = std::function<std::string(const profile::Entry& entry, const profile::PathRule& rule)>;

// By each entry of it. A move to another directory is judged by the right in either: that the one may not allow more
// than the other is a matter of which two they were.
std::vector<Denied> deniedBy(const profile::Profile& profile, const Recording& recording, const Leads& leads);

}  // namespace learn
