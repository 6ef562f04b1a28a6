// SPDX-License-Identifier: Apache-2.0
// Reading of TOML that others wrote, into the JSON that means the same: its bounds are seen before memory is spent.
#pragma once

#include <cstddef>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sys {

struct TomlProblem {
    enum class Kind {
        syntax,  // reading ends here and with the next two
        tooDeep,
        tooMany,
        name,  // of a member: not accepted, twice, or with a NUL
        nulInString,
        date,  // has no counterpart in JSON
    };
    Kind kind = Kind::syntax;
    std::vector<std::string> place;  // names of members and indices that lead to it
    std::string text;                // the name or the string; for syntax: what is wrong
    unsigned line = 0;               // 0: not known
};

struct TomlReading {
    std::size_t maxDepth = 0;
    std::size_t maxValues = 0;
    // What the member `name` is called in the JSON; std::nullopt: it is not accepted. Empty: as it is.
    std::function<std::optional<std::string>(std::string_view name)> rename;
    // Hears of the first problem; may throw.
    std::function<void(const TomlProblem& problem)> report;
};

// What it returns after a problem is of no use.
nlohmann::json readToml(std::string_view text, const TomlReading& how);

// With 64 levels and 65,536 values at most. Throws sys::Error naming `what`.
nlohmann::json readTomlTable(std::string_view text, std::string_view what);

}  // namespace sys
