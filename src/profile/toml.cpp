// SPDX-License-Identifier: Apache-2.0
#include "profile/toml.hpp"

#include <nlohmann/json.hpp>
#include <optional>

#include "profile/document.hpp"
#include "profile/problems.hpp"
#include "sys/toml.hpp"

namespace profile {

namespace {

// handled_access_fs -> handledAccessFs. A name with a capital is none of ours.
std::optional<std::string> fieldName(std::string_view name)
{
    std::string out;
    bool up = false;
    for (const char c : name) {
        if (c >= 'A' && c <= 'Z') {
            return std::nullopt;
        }
        if (c == '_' && !out.empty()) {
            up = true;
        } else {
            out += up && c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
            up = false;
        }
    }
    return out;
}

std::string messageOf(const sys::TomlProblem& problem)
{
    using Kind = sys::TomlProblem::Kind;
    switch (problem.kind) {
        case Kind::syntax:
            return "no valid TOML: " + sys::printable(problem.text);
        case Kind::tooDeep:
            return "nested deeper than " + std::to_string(maxDepth) + " levels";
        case Kind::tooMany:
            return "more than " + std::to_string(maxValues) + " values";
        case Kind::name:
            return "unknown field " + inQuotes(problem.text) +
                   "; field names in TOML are lower case, with '_' between words";
        case Kind::nulInString:
            return "the string " + inQuotes(problem.text) + " contains a NUL character";
        case Kind::date:
            return "dates and times have no use here";
    }
    return "no valid TOML";
}

}  // namespace

nlohmann::json parseToml(std::string_view text, std::string_view source)
{
    Problems problems;
    nlohmann::json document;
    if (text.size() > maxDocumentBytes) {
        problems.add("", "larger than " + std::to_string(maxDocumentBytes) + " bytes");
    } else {
        const auto report = [&](const sys::TomlProblem& problem) {
            std::string pointer;
            for (const std::string& name : problem.place) {
                pointer = join(pointer, name);
            }
            problems.add(pointer, messageOf(problem), problem.line);
        };
        document = sys::readToml(text, {maxDepth, maxValues, fieldName, report});
    }
    problems.check(source);
    return document;
}

}  // namespace profile
