// SPDX-License-Identifier: Apache-2.0
// Directories that hold more than the files of one program: a rule on one of these is for a person to decide.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace learn {

struct Protected {
    // What of all that is in it is common, and needs nobody's decision.
    enum class Common : std::uint8_t { nothing, read, execute };

    std::string_view path;
    std::string_view why;
    Common common = Common::nothing;
};

std::span<const Protected> allProtected();

// What `path`, absolute and normalised, is of these; the homes of users and their run directories are, too, whoever the
// users are, and the libraries of each architecture. Null: nothing.
const Protected* protectedAt(const std::string& path);

}  // namespace learn
