// SPDX-License-Identifier: Apache-2.0
// Strict reading of JSON that others wrote: one value, valid UTF-8, no member twice, and its bounds are seen before
// memory is spent.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace sys {

struct JsonProblem {
    enum class Kind {
        syntax,  // here and with the next two, reading ends
        tooDeep,
        tooMany,
        twice,        // a member
        nulInString,  // "\u0000"
        nulInName,
    };
    Kind kind = Kind::syntax;
    std::vector<std::string> place;  // names of members and indices that lead to it
    std::string text;                // the name or the string; for syntax: what is wrong
    std::size_t byte = 0;            // for syntax
};

struct JsonReading {
    std::size_t maxDepth = 0;
    std::size_t maxValues = SIZE_MAX;
    // Whether the member `name` of an object at `depth` (1: the document) is kept. What is not kept is checked for
    // syntax and depth alone. Empty: everything is.
    std::function<bool(std::size_t depth, std::string_view name)> wanted;
    // Hears of each problem; may throw.
    std::function<void(const JsonProblem& problem)> report;
};

// What it returns after a problem is of no use.
nlohmann::json readJson(std::string_view text, const JsonReading& how);

// An object with 64 levels beneath it at most. Throws sys::Error naming `what`. Strings may contain NUL.
nlohmann::json readJsonObject(std::string_view text, std::string_view what,
                              std::function<bool(std::size_t depth, std::string_view name)> wanted = {});

// The member, where it is a string; else "".
template <typename Json>
std::string stringIn(const Json& object, const char* member)
{
    const auto found = object.find(member);
    return found == object.end() || !found->is_string() ? std::string() : found->template get<std::string>();
}

// The same document, with what is in its strings escaped where people would not see what it is.
std::string visibleJson(std::string_view text);

// JSON on one line, in ASCII, and JSON as `--json` prints it. What is no valid UTF-8 is replaced: others have chosen
// it.
template <typename Json>
std::string oneLineOf(const Json& value)
{
    return value.dump(-1, ' ', true, Json::error_handler_t::replace);
}
template <typename Json>
std::string prettyOf(const Json& value)
{
    return visibleJson(value.dump(2, ' ', false, Json::error_handler_t::replace));
}

}  // namespace sys
