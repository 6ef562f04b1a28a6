// SPDX-License-Identifier: Apache-2.0
#include "oci/amend.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "oci/bundle.hpp"
#include "oci/member.hpp"
#include "sys/error.hpp"
#include "sys/json.hpp"

namespace oci {

using nlohmann::json;

namespace {

constexpr std::string_view variablePrefix = "OCI_LANDLOCK_";
// Not the program: whoever makes the image could take another one's profile away from the container's programs with it.
constexpr std::array variables = {std::pair{"OCI_LANDLOCK_PROFILE", "io.landlock.profile"},
                                  std::pair{"OCI_LANDLOCK_DIGEST", "io.landlock.digest"}};

constexpr std::array<std::string_view, 1> processMembers = {"env"};
constexpr std::array<std::string_view, 3> stageMembers = {"createRuntime", "poststart", "poststop"};
constexpr std::array<std::string_view, 2> hookMembers = {"path", "args"};
static_assert(std::ranges::equal(stageMembers, hookStages));

// A member of an object or an item of an array, as it stands in the document, blanks included.
struct Part {
    std::string name;
    std::string head;  // `"name":`; empty for an item
    std::string value;
};

using Parts = std::vector<Part>;

std::size_t endOfString(std::string_view text, std::size_t at)
{
    for (++at; text[at] != '"'; ++at) {
        at += text[at] == '\\' ? 1 : 0;
    }
    return at + 1;
}

// Where the comma or the bracket stands that ends the value at `at`.
std::size_t endOfValue(std::string_view text, std::size_t at)
{
    for (std::size_t depth = 0;; ++at) {
        switch (text[at]) {
            case '"':
                at = endOfString(text, at) - 1;
                break;
            case '{':
            case '[':
                ++depth;
                break;
            case '}':
            case ']':
            case ',':
                if (depth == 0) {
                    return at;
                }
                depth -= text[at] == ',' ? 0 : 1;
                break;
            default:
                break;
        }
    }
}

// Of an object or an array in a document that was read before, and is sound. So numbers, escapes and whatever a later
// specification adds stay as they are, which no parser promises.
Parts partsOf(std::string_view text)
{
    Parts parts;
    const std::size_t begin = text.find_first_of("{[");
    for (std::size_t at = begin + 1;; ++at) {
        Part part;
        const std::size_t first = text.find_first_not_of(" \t\r\n", at);
        if (text[first] == '}' || text[first] == ']') {
            return parts;
        }
        if (text[begin] == '{') {
            const std::size_t end = endOfString(text, first);
            const std::size_t colon = text.find(':', end);
            part.name = json::parse(text.substr(first, end - first)).get<std::string>();
            part.head = text.substr(at, colon + 1 - at);
            at = colon + 1;
        }
        const std::size_t end = endOfValue(text, at);
        part.value = text.substr(at, end - at);
        parts.push_back(std::move(part));
        at = end;
        if (text[at] != ',') {
            return parts;
        }
    }
}

std::string joined(const Parts& parts, char open, char close)
{
    std::string out(1, open);
    for (const Part& part : parts) {
        out += (out.size() == 1 ? "" : ",") + part.head + part.value;
    }
    return out + close;
}

// Its value, or null: which is as good as none.
std::string valueOf(const Parts& parts, const std::string& name)
{
    const auto found = std::ranges::find(parts, name, &Part::name);
    return found == parts.end() ? "null" : found->value;
}

void setValue(Parts& parts, const std::string& name, std::string value)
{
    const auto found = std::ranges::find(parts, name, &Part::name);
    if (found == parts.end()) {
        parts.push_back({name, json(name).dump() + ":", std::move(value)});
    } else {
        found->value = std::move(value);
    }
}

Parts partsIn(const Parts& parts, const std::string& name)
{
    const std::string value = valueOf(parts, name);
    return value.find_first_of("{[") == std::string::npos ? Parts() : partsOf(value);
}

// What the environment asks for: the annotations, and which of its entries say so.
struct Asked {
    std::map<std::string, std::string> annotations;
    std::set<std::size_t> entries;
    std::string variable;  // one of them
};

Asked askedByEnvironment(const json& document, const std::string& what)
{
    Asked asked;
    const json* process = member(document, "process", json::value_t::object, what, "");
    const json* environment =
        process == nullptr ? nullptr : member(*process, "env", json::value_t::array, what, "/process");
    for (std::size_t i = 0; environment != nullptr && i < environment->size(); ++i) {
        const json& entry = (*environment)[i];
        if (!entry.is_string() || !entry.get_ref<const std::string&>().starts_with(variablePrefix)) {
            continue;
        }
        const auto& text = entry.get_ref<const std::string&>();
        const std::size_t equals = std::min(text.find('='), text.size());
        asked.variable = text.substr(0, equals);
        const auto known = std::ranges::find(variables, asked.variable, &decltype(variables)::value_type::first);
        const std::string where = what + ": /process/env: " + sys::printable(asked.variable);
        if (known == variables.end()) {
            throw sys::Error(where + ": unknown; there are " + variables[0].first + " and " + variables[1].first);
        }
        const std::string value = text.substr(std::min(equals + 1, text.size()));
        if (!asked.annotations.emplace(known->second, value).second) {
            throw sys::Error(where + ": appears twice");
        }
        asked.entries.insert(i);
    }
    return asked;
}

// What a runtime reads beside what is looked at here would take our hooks away, or ask for what nobody sees.
void requireExactMembers(const json& document, const std::string& what)
{
    requireExact(document, sections, what, "");
    if (const auto process = document.find("process"); process != document.end()) {
        requireExact(*process, processMembers, what, "/process");
    }
    const auto hooks = document.find("hooks");
    if (hooks == document.end() || !hooks->is_object()) {
        return;
    }
    requireExact(*hooks, stageMembers, what, "/hooks");
    for (const auto& [stage, all] : hooks->items()) {
        for (std::size_t i = 0; all.is_array() && i < all.size(); ++i) {
            requireExact(all[i], hookMembers, what, "/hooks/" + sys::printable(stage) + "/" + std::to_string(i));
        }
    }
}

bool asksByAnnotation(const json& document, const std::string& what)
{
    const json* annotations = member(document, "annotations", json::value_t::object, what, "");
    return annotations != nullptr && std::ranges::any_of(annotations->items(), [](const auto& item) {
               return item.key().starts_with(annotationPrefix);
           });
}

void moveToAnnotations(Parts& config, const Asked& asked)
{
    Parts annotations = partsIn(config, "annotations");
    for (const auto& [key, value] : asked.annotations) {
        setValue(annotations, key, json(value).dump());
    }
    setValue(config, "annotations", joined(annotations, '{', '}'));
    Parts process = partsIn(config, "process");
    Parts left;
    std::size_t i = 0;
    for (Part& entry : partsIn(process, "env")) {
        if (!asked.entries.contains(i++)) {
            left.push_back(std::move(entry));
        }
    }
    setValue(process, "env", joined(left, '[', ']'));
    setValue(config, "process", joined(process, '{', '}'));
}

// Whether there was one to add.
bool addHooks(Parts& config, const json& document, const std::string& what, const std::string& program)
{
    bool added = false;
    const json* there = member(document, "hooks", json::value_t::object, what, "");
    Parts hooks = partsIn(config, "hooks");
    for (const char* stage : hookStages) {
        const json* all = there == nullptr ? nullptr : member(*there, stage, json::value_t::array, what, "/hooks");
        const json arguments{"oci-landlock", "hook", stage};
        // Whatever it calls itself, which is the first of its words.
        if (all != nullptr && std::ranges::any_of(*all, [&](const json& hook) {
                const json words = hook.is_object() ? hook.value("args", json()) : json();
                return words.is_array() && words.size() == arguments.size() && words[1] == arguments[1] &&
                       words[2] == arguments[2] && hook.value("path", json()) == program;
            })) {
            continue;
        }
        Parts stages = partsIn(hooks, stage);
        stages.push_back({"", "",
                          "{\"path\":" + json(program).dump() + ",\"args\":" + arguments.dump() +
                              ",\"timeout\":" + std::to_string(hookTimeout) + "}"});
        setValue(hooks, stage, joined(stages, '[', ']'));
        added = true;
    }
    setValue(config, "hooks", joined(hooks, '{', '}'));
    return added;
}

}  // namespace

Amended amend(std::string_view config, const std::string& what, const std::string& program, bool everyone)
{
    const json document = sys::readJsonObject(config, what);
    requireExactMembers(document, what);
    const Asked asked = askedByEnvironment(document, what);
    const bool annotated = asksByAnnotation(document, what);
    if (annotated && !asked.entries.empty()) {
        throw sys::Error(what + ": asks by annotations and by " + asked.variable +
                         " in its environment, which may be its image's; leave one of them out");
    }
    Amended result{annotated || !asked.entries.empty() || everyone, std::string(config)};
    if (!result.covered) {
        return result;
    }
    Parts parts = partsOf(config);
    if (!asked.entries.empty()) {
        moveToAnnotations(parts, asked);
    }
    if (addHooks(parts, document, what, program) || !asked.entries.empty()) {
        result.config = joined(parts, '{', '}');
    }
    return result;
}

}  // namespace oci
