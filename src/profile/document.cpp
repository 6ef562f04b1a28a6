// SPDX-License-Identifier: Apache-2.0
#include "profile/document.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "profile/problems.hpp"
#include "profile/toml.hpp"
#include "sys/json.hpp"

namespace profile {

namespace {

unsigned lineOf(std::string_view text, std::size_t byte)
{
    const std::string_view before = text.substr(0, std::min(byte, text.size()));
    return static_cast<unsigned>(std::ranges::count(before, '\n')) + 1;
}

std::string pointerTo(const std::vector<std::string>& place)
{
    std::string pointer;
    for (const std::string& name : place) {
        pointer = join(pointer, name);
    }
    return pointer;
}

}  // namespace

nlohmann::json parseJson(std::string_view text, std::string_view source)
{
    Problems problems;
    if (text.size() > maxDocumentBytes) {
        problems.add("", "larger than " + std::to_string(maxDocumentBytes) + " bytes");
    } else if (text.starts_with("\xef\xbb\xbf")) {
        problems.add("", "starts with a byte order mark; save the file without one", 1);
    }
    problems.check(source);
    const auto report = [&](const sys::JsonProblem& problem) {
        using Kind = sys::JsonProblem::Kind;
        const std::string pointer = pointerTo(problem.place);
        switch (problem.kind) {
            case Kind::syntax:
                problems.add(pointer, "no valid JSON: " + sys::printable(problem.text), lineOf(text, problem.byte));
                break;
            case Kind::tooDeep:
                problems.add(pointer, "nested deeper than " + std::to_string(maxDepth) + " levels");
                break;
            case Kind::tooMany:
                problems.add(pointer, "more than " + std::to_string(maxValues) + " values");
                break;
            case Kind::twice:
                problems.add(pointer, "the field " + inQuotes(problem.text) + " is given twice");
                break;
            case Kind::nulInString:
                problems.add(pointer, "the string " + inQuotes(problem.text) + " contains a NUL character");
                break;
            case Kind::nulInName:
                problems.add(pointer, "the field name " + inQuotes(problem.text) + " contains a NUL character");
                break;
        }
    };
    nlohmann::json document =
        sys::readJson(text, {.maxDepth = maxDepth, .maxValues = maxValues, .wanted = {}, .report = report});
    problems.check(source);
    return document;
}

nlohmann::json parseFile(std::string_view text, std::string_view source)
{
    return source.ends_with(".toml") ? parseToml(text, source) : parseJson(text, source);
}

}  // namespace profile
