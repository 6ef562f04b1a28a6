// SPDX-License-Identifier: Apache-2.0
#include "profile/toml.hpp"

#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>

#include "profile/document.hpp"
#include "profile/problems.hpp"
#include "sys/error.hpp"
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

// handledAccessFs -> handled_access_fs
std::string tomlName(std::string_view name)
{
    std::string out;
    for (const char c : name) {
        out += c >= 'A' && c <= 'Z' ? std::string{'_', static_cast<char>(c - 'A' + 'a')} : std::string(1, c);
    }
    return out;
}

bool isTables(const nlohmann::ordered_json& value)
{
    return value.is_array() && !value.empty() && value.front().is_object();
}

// Strings are as in JSON, with what people would not see escaped, for which TOML has a form of its own.
std::string tomlValue(const nlohmann::ordered_json& value)
{
    const std::string text = value.dump();
    std::string out;
    for (std::size_t i = 0; i < text.size();) {
        const sys::Character character = sys::characterAt(text, i);  // valid, or dump() had thrown
        if (character.shown) {
            out += text.substr(i, character.length);
        } else {
            char escaped[16];
            std::snprintf(escaped, sizeof escaped, "\\U%08x", static_cast<unsigned>(character.code));
            out += escaped;
        }
        i += character.length;
    }
    return out;
}

// What has no table of its own comes first: after a table's head all is that table's.
std::string tomlTable(const nlohmann::ordered_json& table, const std::string& at)
{
    std::string out;
    for (const auto& [name, value] : table.items()) {
        if (!value.is_object() && !isTables(value)) {
            out += tomlName(name) + " = " + tomlValue(value) + "\n";
        }
    }
    for (const auto& [name, value] : table.items()) {
        const std::string below = at + (at.empty() ? "" : ".") + tomlName(name);
        if (value.is_object()) {
            out += "\n[" + below + "]\n" + tomlTable(value, below);
        } else if (isTables(value)) {
            for (const nlohmann::ordered_json& item : value) {
                out += "\n[[" + below + "]]\n" + tomlTable(item, below);
            }
        }
    }
    return out;
}

}  // namespace

std::string tomlOf(const nlohmann::ordered_json& document)
{
    return tomlTable(document, "");
}

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
