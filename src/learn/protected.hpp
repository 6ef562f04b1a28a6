// SPDX-License-Identifier: Apache-2.0
// Directories that hold more than the files of one program: a rule on one of these is for a person to decide.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace learn {

struct Protected {
    std::string_view path;
    std::string_view why;
    bool read = false;  // to read all of it is common
};

std::span<const Protected> allProtected();

// What `path`, absolute and normalised, is of these; the homes of users and their run directories are, too, whoever the
// users are. Null: nothing.
const Protected* protectedAt(const std::string& path);

}  // namespace learn
