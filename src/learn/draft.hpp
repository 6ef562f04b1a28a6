// SPDX-License-Identifier: Apache-2.0
// A profile from a recording, as a person would write it, and why each rule is in it.
#pragma once

#include <string>
#include <vector>

#include "learn/recording.hpp"
#include "profile/model.hpp"

namespace learn {

// A fragment, with all that it uses: what it comes to.
struct Offer {
    std::string name;
    profile::Layer layer;
};

struct Style {
    std::string name = "learnt";
    std::vector<std::string> programs = {};  // empty: the entrypoint
    std::size_t collapse = 5;                // so many used files of a directory stand for all of it; 0: none do
    std::vector<std::string> into = {};      // directories that are protected otherwise
    std::vector<Offer> fragments = {};       // that the profile may use
    bool toml = false;
};

// What a rule on a protected directory would have allowed.
struct Withheld {
    std::string path;
    std::uint64_t rights = 0;
    std::string why;
};

struct Draft {
    std::string profile;               // JSON, to be read, or TOML
    std::vector<std::string> reasons;  // a line for each rule
    std::vector<Withheld> withheld;
};

// The option of `learn profile` that allows it, for people to copy into a shell: the recorded program chose the name.
std::string optionFor(const Withheld& withheld);

// Throws sys::Error where a profile cannot hold it.
Draft draft(const Recording& recording, const Style& style);

}  // namespace learn
