// SPDX-License-Identifier: Apache-2.0
// All parsing of what others wrote happens in a child process that can do nothing else (confine.hpp).
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "oci/bundle.hpp"
#include "oci/state.hpp"
#include "profile/load.hpp"
#include "sys/fd.hpp"

namespace confine {

// All that a profile says, the same for the same profile.
std::string bytesOf(const profile::Profile& profile);

class Parser {
public:
    // Starts the child. Throws sys::Error.
    Parser();
    ~Parser();
    Parser(const Parser&) = delete;
    Parser& operator=(const Parser&) = delete;

    // As the functions of the same sense in oci/ and profile/; throw sys::Error with their messages, or with why the
    // child ended.
    oci::State state(std::string text);
    oci::Bundle bundle(std::string config, std::string directory);
    profile::Profile profile(std::string text, std::string source, profile::Origin origin, unsigned abi);
    std::vector<std::string> programs(std::string value);

private:
    std::string ask(std::string_view request);

    sys::Fd channel_;
    pid_t child_ = -1;
};

}  // namespace confine
