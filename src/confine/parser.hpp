// SPDX-License-Identifier: Apache-2.0
// All parsing of what others wrote happens in child processes that can do nothing else (confine.hpp): one for what
// comes from outside, one for the node's own files, so that whoever takes over the first has no say in what the second
// reads.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "oci/bundle.hpp"
#include "oci/state.hpp"
#include "profile/load.hpp"
#include "sys/fd.hpp"

namespace confine {

// What tells a container's profile from any other: the documents that it was read from, and what annotations and the
// node's settings have changed in it since.
sys::Digest identityOf(const profile::Profile& profile);

class Parser {
public:
    // Starts the child for what comes from outside. `patience`: for each answer. Throws sys::Error.
    explicit Parser(std::chrono::milliseconds patience = std::chrono::seconds(20)) : patience_(patience) {}

    // As the functions of the same sense in oci/ and profile/; throw sys::Error with their messages, or with why the
    // child ended.
    oci::State state(std::string text);
    oci::Bundle bundle(std::string config, std::string directory);
    profile::Profile profile(std::string text, std::string source, profile::Origin origin, unsigned abi,
                             std::vector<profile::Fragment> fragments = {});
    // By the child that reads who uses it, which `origin` is of: what that was told can harm its own profile alone.
    std::vector<profile::Use> usesOf(profile::Fragment fragment, profile::Origin origin);
    std::vector<std::string> programs(std::string value);

private:
    class Child;
    Child& childFor(profile::Origin origin);

    class Child {
    public:
        Child();
        ~Child();
        Child(const Child&) = delete;
        Child& operator=(const Child&) = delete;

        std::string ask(std::string_view request, std::chrono::milliseconds patience);

    private:
        sys::Fd channel_;
        pid_t pid_ = -1;
    };

    std::chrono::milliseconds patience_;
    Child others_;
    std::optional<Child> nodes_;
};

}  // namespace confine
