// SPDX-License-Identifier: Apache-2.0
// What of a recording a profile would deny. Paths are compared as they are written: no file is looked at.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "learn/recording.hpp"
#include "profile/model.hpp"
#include "profile/verdict.hpp"

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

// The rules of one entry, by the names of what they are about.
class Judge {
public:
    // `entry` must outlive it.
    Judge(const profile::Entry& entry, const Leads& leads);

    // Of these rights, those that it denies. For a move to another directory, by the right in either: that the one may
    // not allow more than the other is a matter of which two they were.
    std::uint64_t deniedAt(std::string path, std::uint64_t rights) const;
    std::uint64_t deniedPort(std::uint64_t port, std::uint64_t rights) const;
    std::uint64_t deniedScopes(std::uint64_t scopes) const;

private:
    profile::Object objectAt(const std::string& path) const;  // that a rule is about

    const profile::Entry* entry_;
    std::map<std::string, std::uint64_t> places_;           // names in the place of files
    std::vector<std::vector<profile::PlacedRule>> placed_;  // by layer
};

// By each entry of it.
std::vector<Denied> deniedBy(const profile::Profile& profile, const Recording& recording, const Leads& leads);

}  // namespace learn
