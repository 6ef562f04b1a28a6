// SPDX-License-Identifier: Apache-2.0
#include "sys/json.hpp"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "sys/error.hpp"

namespace sys {

namespace {

using nlohmann::json;
using Kind = JsonProblem::Kind;

class Builder : public nlohmann::json_sax<json> {
public:
    explicit Builder(const JsonReading& how) : how_(how) {}

    json take() { return std::move(root_); }
    bool reported() const { return reported_; }

    bool null() override { return value(nullptr); }
    bool boolean(bool v) override { return value(v); }
    bool number_unsigned(number_unsigned_t v) override { return value(v); }
    bool number_float(number_float_t v, const string_t&) override { return value(v); }
    bool binary(binary_t&) override { return false; }
    bool start_object(std::size_t) override { return open(json::object()); }
    bool start_array(std::size_t) override { return open(json::array()); }
    bool end_object() override { return close(); }
    bool end_array() override { return close(); }

    bool number_integer(number_integer_t v) override
    {
        // "-0" is no integer in the specification's reference parser either.
        return v == 0 ? value(-0.0) : value(v);
    }

    bool string(string_t& v) override
    {
        if (wanted() && v.find('\0') != std::string::npos) {
            report({Kind::nulInString, here(), v});
        }
        return value(std::move(v));
    }

    bool key(string_t& name) override
    {
        if (skipped_ > 0) {
            return true;
        }
        Frame& frame = stack_.back();
        frame.wanted = !how_.wanted || how_.wanted(stack_.size(), name);
        frame.key = std::move(name);
        if (!frame.wanted) {
            return true;
        }
        if (frame.key.find('\0') != std::string::npos) {
            report({Kind::nulInName, here(), frame.key});
        }
        if (frame.node->contains(frame.key)) {
            report({Kind::twice, here(), frame.key});
        }
        return true;
    }

    bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& error) override
    {
        std::string_view what = error.what();
        if (const std::size_t end = what.find("] "); end != std::string_view::npos) {
            what.remove_prefix(end + 2);
        }
        // "parse error at line 1, column 2: syntax error while ...": the place is told apart from the message.
        if (what.starts_with("parse error")) {
            if (const std::size_t end = what.find(": "); end != std::string_view::npos) {
                what.remove_prefix(end + 2);
            }
        }
        report({Kind::syntax, {}, std::string(what), position});
        return false;
    }

private:
    struct Frame {
        json* node = nullptr;
        std::string key;  // of the object member that is being read
        bool wanted = true;
    };

    void report(const JsonProblem& problem)
    {
        reported_ = true;
        how_.report(problem);
    }

    bool wanted() const { return skipped_ == 0 && (stack_.empty() || stack_.back().wanted); }

    std::vector<std::string> here() const
    {
        std::vector<std::string> place;
        for (const Frame& frame : stack_) {
            const bool innermost = &frame == &stack_.back();
            place.push_back(frame.node->is_object() ? frame.key
                                                    : std::to_string(frame.node->size() - (innermost ? 0 : 1)));
        }
        return place;
    }

    json* put(json&& v)
    {
        if (stack_.empty()) {
            root_ = std::move(v);
            return &root_;
        }
        json& parent = *stack_.back().node;
        if (parent.is_array()) {
            parent.push_back(std::move(v));
            return &parent.back();
        }
        return &(parent[stack_.back().key] = std::move(v));
    }

    bool within()
    {
        if (++values_ > how_.maxValues) {
            report({Kind::tooMany, {}, {}});
            return false;
        }
        return true;
    }

    bool value(json&& v)
    {
        if (!within()) {
            return false;
        }
        if (wanted()) {
            put(std::move(v));
        }
        return true;
    }

    bool open(json&& v)
    {
        if (stack_.size() + skipped_ >= how_.maxDepth) {
            report({Kind::tooDeep, here(), {}});
            return false;
        }
        if (!within()) {
            return false;
        }
        if (wanted()) {
            stack_.push_back({put(std::move(v)), {}});
        } else {
            ++skipped_;
        }
        return true;
    }

    bool close()
    {
        if (skipped_ > 0) {
            --skipped_;
        } else {
            stack_.pop_back();
        }
        return true;
    }

    const JsonReading& how_;
    json root_;
    std::vector<Frame> stack_;
    std::size_t skipped_ = 0;  // levels of what is not kept
    std::size_t values_ = 0;
    bool reported_ = false;
};

}  // namespace

json readJson(std::string_view text, const JsonReading& how)
{
    Builder builder(how);
    if (!json::sax_parse(text, &builder) && !builder.reported()) {
        how.report({});
    }
    return builder.take();
}

json readJsonObject(std::string_view text, std::string_view what,
                    std::function<bool(std::size_t depth, std::string_view name)> wanted)
{
    constexpr std::size_t maxDepth = 64;  // beneath the document
    const auto fail = [&](const std::string& why) -> void { throw Error(std::string(what) + ": " + why); };
    const auto report = [&](const JsonProblem& problem) {
        switch (problem.kind) {
            case Kind::syntax:
            case Kind::tooMany:
                fail("not valid JSON at byte " + std::to_string(problem.byte));
                break;
            case Kind::tooDeep:
                fail("nested deeper than " + std::to_string(maxDepth) + " levels");
                break;
            case Kind::twice:
                fail("member \"" + printable(problem.text) + "\" appears twice");
                break;
            case Kind::nulInString:
            case Kind::nulInName:
                break;
        }
    };
    json document = readJson(text, {.maxDepth = 1 + maxDepth, .wanted = std::move(wanted), .report = report});
    if (!document.is_object()) {
        fail("not a JSON object");
    }
    return document;
}

std::string visibleJson(std::string_view text)
{
    std::string out;
    for (std::size_t i = 0; i < text.size();) {
        const Character character = characterAt(text, i);
        const std::size_t length = std::max<std::size_t>(character.length, 1);
        // What is between the strings, and ends lines, is the writer's.
        if (character.shown || character.length == 0 || character.code < ' ') {
            out += text.substr(i, length);
        } else {
            std::u16string units;
            if (character.code > 0xffff) {
                units += static_cast<char16_t>(0xd800 + ((character.code - 0x10000) >> 10));
            }
            units +=
                static_cast<char16_t>(character.code > 0xffff ? 0xdc00 + (character.code & 0x3ff) : character.code);
            for (const char16_t unit : units) {
                char escaped[8];
                std::snprintf(escaped, sizeof escaped, "\\u%04x", static_cast<unsigned>(unit));
                out += escaped;
            }
        }
        i += length;
    }
    return out;
}

}  // namespace sys
