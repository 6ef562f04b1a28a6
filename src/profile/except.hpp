// SPDX-License-Identifier: Apache-2.0
// `except` is worth something only if those who are restricted cannot choose what the excepted programs are.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "profile/model.hpp"

namespace profile {

// A layer as far as files go, with the paths as they are in the container.
struct FileLayer {
    struct Rule {
        std::string path;  // absolute, normalised
        std::uint64_t access = 0;
        std::string pointer;
    };
    std::uint64_t handled = 0;
    std::vector<Rule> rules;
};

// What nobody who is restricted may change, on the way to it neither.
struct Guarded {
    std::string path;   // absolute, normalised
    bool tree = false;  // and all beneath it
};

// Read by every dynamic loader: what it names runs in each program.
inline constexpr const char* preloadFile = "/etc/ld.so.preload";

// "", or why processes in these layers could write, replace or hide one of these, and what to do. Mounts need no look:
// in a domain that handles any file system right there are none.
std::string exceptError(const std::vector<FileLayer>& layers, const std::vector<Guarded>& all, unsigned abi);

// The same of an entry by its paths alone, before there is a container whose links could lead elsewhere.
std::string exceptError(const Entry& entry, unsigned abi);

}  // namespace profile
