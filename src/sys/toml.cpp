// SPDX-License-Identifier: Apache-2.0
#include "sys/toml.hpp"

#include <algorithm>

#include "sys/error.hpp"

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

namespace sys {

namespace {

using nlohmann::json;

class Converter {
public:
    explicit Converter(const TomlReading& how) : how_(how) {}

    json convert(const toml::node& node)
    {
        if (++values_ > how_.maxValues || place_.size() > how_.maxDepth) {
            report(place_.size() > how_.maxDepth ? TomlProblem::Kind::tooDeep : TomlProblem::Kind::tooMany);
            return nullptr;
        }
        if (const toml::table* table = node.as_table()) {
            return object(*table);
        }
        if (const toml::array* array = node.as_array()) {
            json out = json::array();
            for (const toml::node& item : *array) {
                if (reported_) {
                    break;
                }
                place_.push_back(std::to_string(out.size()));
                out.push_back(convert(item));
                place_.pop_back();
            }
            return out;
        }
        return scalar(node);
    }

private:
    void report(TomlProblem::Kind kind, std::string_view text = {}, unsigned line = 0)
    {
        reported_ = true;
        how_.report({kind, place_, std::string(text), line});
    }

    json object(const toml::table& table)
    {
        json out = json::object();
        for (const auto& [key, item] : table) {
            if (reported_) {
                break;
            }
            const std::optional<std::string> name =
                how_.rename ? how_.rename(key.str()) : std::optional(std::string(key.str()));
            place_.push_back(name.value_or(std::string(key.str())));
            if (!name || out.contains(*name) || name->find('\0') != std::string::npos) {
                report(TomlProblem::Kind::name, key.str(), line(item));
            } else {
                out[*name] = convert(item);
            }
            place_.pop_back();
        }
        return out;
    }

    json scalar(const toml::node& node)
    {
        if (const auto* text = node.as_string()) {
            if (text->get().find('\0') != std::string::npos) {
                report(TomlProblem::Kind::nulInString, text->get(), line(node));
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
        report(TomlProblem::Kind::date, {}, line(node));
        return nullptr;
    }

    static unsigned line(const toml::node& node) { return node.source().begin.line; }

    const TomlReading& how_;
    std::vector<std::string> place_;
    std::size_t values_ = 0;
    bool reported_ = false;
};

// toml++ takes nesting without a bound, by recursion, and has undefined behaviour for some characters beyond ASCII
// where TOML allows none: outside of strings and comments. So look at what is outside before it does.
class Scanner {
public:
    Scanner(std::string_view text, std::size_t maxDepth) : text_(text), maxDepth_(maxDepth) {}

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
                return "nested deeper than " + std::to_string(maxDepth_) + " levels";
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
        if (dots_ > maxDepth_) {
            return false;
        }
        if (c == '[' || c == '{') {
            return ++depth_ <= maxDepth_;
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
    std::size_t maxDepth_;
    std::size_t at_ = 0;
    std::size_t depth_ = 0;
    std::size_t dots_ = 0;  // of the key at hand
};

}  // namespace

json readToml(std::string_view text, const TomlReading& how)
{
    Scanner scanner(text, how.maxDepth);
    if (const std::string error = scanner.scan(); !error.empty()) {
        how.report({TomlProblem::Kind::syntax, {}, error, scanner.line()});
        return nullptr;
    }
    toml::table document;
    std::optional<TomlProblem> problem;
    try {
        document = toml::parse(text);
    } catch (const toml::parse_error& error) {
        problem = {TomlProblem::Kind::syntax, {}, std::string(error.description()), error.source().begin.line};
    } catch (const Error& error) {
        problem = {TomlProblem::Kind::syntax, {}, error.what(), 0};
    }
    if (problem) {
        how.report(*problem);
        return nullptr;
    }
    return Converter(how).convert(document);
}

json readTomlTable(std::string_view text, std::string_view what)
{
    const auto report = [&](const TomlProblem& problem) {
        const char* why = problem.kind == TomlProblem::Kind::syntax    ? "no valid TOML"
                          : problem.kind == TomlProblem::Kind::tooDeep ? "nested too deep"
                          : problem.kind == TomlProblem::Kind::tooMany ? "too many values"
                          : problem.kind == TomlProblem::Kind::date    ? "dates and times have no use here"
                                                                       : "contains a NUL character";
        throw Error(std::string(what) + (problem.line > 0 ? ":" + std::to_string(problem.line) : "") + ": " + why +
                    (problem.kind == TomlProblem::Kind::syntax ? ": " + printable(problem.text) : ""));
    };
    return readToml(text, {.maxDepth = 64, .maxValues = 65536, .rename = {}, .report = report});
}

}  // namespace sys
