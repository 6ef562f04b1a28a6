// SPDX-License-Identifier: Apache-2.0
#include "profile/toml.hpp"

#include <nlohmann/json.hpp>

#include "profile/json.hpp"
#include "profile/problems.hpp"

#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#define TOML_ENABLE_WINDOWS_COMPAT 0
#include <toml++/toml.h>

namespace profile {

namespace {

using nlohmann::json;

// handled_access_fs -> handledAccessFs. A name with a capital is none of ours, and stays one that the schema refuses.
std::string fieldName(std::string_view name)
{
    std::string out;
    bool up = false;
    for (const char c : name) {
        if (c == '_' && !out.empty()) {
            up = true;
        } else {
            out += up && c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
            up = false;
        }
    }
    return out;
}

class Converter {
public:
    explicit Converter(Problems& problems) : problems_(problems) {}

    json convert(const toml::node& node, const std::string& at, std::size_t depth)
    {
        if (++values_ > maxValues || depth > maxDepth) {
            problems_.add(at, depth > maxDepth ? "nested deeper than " + std::to_string(maxDepth) + " levels"
                                               : "more than " + std::to_string(maxValues) + " values");
            return nullptr;
        }
        if (const toml::table* table = node.as_table()) {
            return object(*table, at, depth);
        }
        if (const toml::array* array = node.as_array()) {
            json out = json::array();
            for (const toml::node& item : *array) {
                if (!problems_.empty()) {
                    break;
                }
                const std::string itemAt = join(at, out.size());
                out.push_back(convert(item, itemAt, depth + 1));
            }
            return out;
        }
        return scalar(node, at);
    }

private:
    json object(const toml::table& table, const std::string& at, std::size_t depth)
    {
        json out = json::object();
        for (const auto& [key, item] : table) {
            if (!problems_.empty()) {
                break;
            }
            const std::string name = fieldName(key.str());
            const std::string itemAt = join(at, name);
            const bool camel = key.str().find_first_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ") != std::string_view::npos;
            if (camel || out.contains(name) || name.find('\0') != std::string::npos) {
                problems_.add(itemAt, "unknown field " + inQuotes(key.str()) + "; field names in TOML are lower case, with '_' between words", line(item));
                continue;
            }
            out[name] = convert(item, itemAt, depth + 1);
        }
        return out;
    }

    json scalar(const toml::node& node, const std::string& at)
    {
        if (const auto* text = node.as_string()) {
            if (text->get().find('\0') != std::string::npos) {
                problems_.add(at, "the string " + inQuotes(text->get()) + " contains a NUL character", line(node));
            }
            return text->get();
        }
        if (const auto* number = node.as_integer()) {
            const std::int64_t value = number->get();
            return value < 0 ? json(value) : json(static_cast<std::uint64_t>(value));
        }
        if (const auto* number = node.as_floating_point()) {
            return number->get();
        }
        if (const auto* boolean = node.as_boolean()) {
            return boolean->get();
        }
        problems_.add(at, "dates and times have no use here", line(node));
        return nullptr;
    }

    static unsigned line(const toml::node& node) { return node.source().begin.line; }

    Problems& problems_;
    std::size_t values_ = 0;
};

// toml++ reads nested arrays and inline tables recursively; stop what would go too deep before it starts. Counts every
// bracket, also those in strings, so this can only be too strict, with brackets in the hundreds.
bool tooDeep(std::string_view text)
{
    constexpr std::size_t limit = 200;
    std::size_t depth = 0;
    for (const char c : text) {
        if (c == '[' || c == '{') {
            if (++depth > limit) {
                return true;
            }
        } else if ((c == ']' || c == '}') && depth > 0) {
            --depth;
        }
    }
    return false;
}

}  // namespace

json parseToml(std::string_view text, std::string_view source)
{
    Problems problems;
    if (text.size() > maxDocumentBytes) {
        problems.add("", "larger than " + std::to_string(maxDocumentBytes) + " bytes");
    } else if (tooDeep(text)) {
        problems.add("", "nested deeper than " + std::to_string(maxDepth) + " levels");
    }
    problems.check(source);
    const toml::parse_result parsed = toml::parse(text);
    if (!parsed) {
        problems.add("", "no valid TOML: " + sys::printable(parsed.error().description()), parsed.error().source().begin.line);
        problems.check(source);
    }
    json document = Converter(problems).convert(parsed.table(), "", 0);
    problems.check(source);
    return document;
}

}  // namespace profile
