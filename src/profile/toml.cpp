// SPDX-License-Identifier: Apache-2.0
#include "profile/toml.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "profile/document.hpp"
#include "profile/problems.hpp"

namespace {

[[noreturn]] void refuseToml()
{
    throw sys::Error("unexpected character");
}

}  // namespace

// Some bad documents get as far as the library's own assertions. They must be an error here, not an abort, nor the
// assumption that they become in a build without assertions.
#undef NDEBUG
#define TOML_ASSERT(expression) ((expression) ? static_cast<void>(0) : refuseToml())
#define TOML_EXCEPTIONS 1
#define TOML_ENABLE_FORMATTERS 0
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
                problems_.add(itemAt,
                              "unknown field " + inQuotes(key.str()) +
                                  "; field names in TOML are lower case, with '_' between words",
                              line(item));
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

// toml++ takes nesting without a bound, by recursion, and has undefined behaviour for some characters beyond ASCII
// where TOML allows none: outside of strings and comments. So look at what is outside before it does.
class Scanner {
public:
    explicit Scanner(std::string_view text) : text_(text) {}

    // "" or what is wrong, in line().
    std::string scan()
    {
        while (at_ < text_.size()) {
            const char c = text_[at_];
            if (c == '#') {
                at_ = std::min(text_.find('\n', at_), text_.size());
            } else if (c == '"' || c == '\'') {
                skipString(c);
            } else if (c != '\t' && c != '\n' && c != '\r' && (c < ' ' || c > '~')) {
                return "unexpected character outside of a string";
            } else if (++at_; !nest(c)) {
                return "nested deeper than " + std::to_string(maxDepth) + " levels";
            }
        }
        return "";
    }

    unsigned line() const { return 1 + static_cast<unsigned>(std::ranges::count(text_.substr(0, at_), '\n')); }

private:
    bool nest(char c)
    {
        // A dotted key nests as well; its dots come before anything that ends a key.
        dots_ = c == '.' ? dots_ + 1 : std::string_view("=,[]{}\n").find(c) != std::string_view::npos ? 0 : dots_;
        if (dots_ > maxDepth) {
            return false;
        }
        if (c == '[' || c == '{') {
            return ++depth_ <= maxDepth;
        }
        depth_ -= (c == ']' || c == '}') && depth_ > 0 ? 1 : 0;
        return true;
    }

    void skipString(char quote)
    {
        const std::string three(3, quote);
        const bool lines = text_.substr(at_).starts_with(three);
        const std::string end = lines ? three : std::string(1, quote);
        at_ += end.size();
        while (at_ < text_.size() && !text_.substr(at_).starts_with(end)) {
            if (!lines && text_[at_] == '\n') {
                return;  // never closed; toml++ says so
            }
            at_ += quote == '"' && text_[at_] == '\\' ? 2 : 1;
        }
        at_ = std::min(at_ + end.size(), text_.size());
        while (lines && at_ < text_.size() && text_[at_] == quote) {
            ++at_;  // quotes that end right before the closing ones
        }
    }

    std::string_view text_;
    std::size_t at_ = 0;
    std::size_t depth_ = 0;
    std::size_t dots_ = 0;  // of the key at hand
};

}  // namespace

json parseToml(std::string_view text, std::string_view source)
{
    Problems problems;
    if (text.size() > maxDocumentBytes) {
        problems.add("", "larger than " + std::to_string(maxDocumentBytes) + " bytes");
    } else if (Scanner scanner(text); true) {
        if (const std::string error = scanner.scan(); !error.empty()) {
            problems.add("", "no valid TOML: " + error, scanner.line());
        }
    }
    problems.check(source);
    json document;
    try {
        document = Converter(problems).convert(toml::parse(text), "", 0);
    } catch (const toml::parse_error& error) {
        problems.add("", "no valid TOML: " + sys::printable(error.description()), error.source().begin.line);
    } catch (const sys::Error& error) {
        problems.add("", std::string("no valid TOML: ") + error.what());
    }
    problems.check(source);
    return document;
}

}  // namespace profile
