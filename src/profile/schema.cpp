// SPDX-License-Identifier: Apache-2.0
// Reads the schema's rules beside the document, as far as our schema goes, and says what does not fit in words that
// help. To get a validator of the whole language ready took longer than all the rest; the tests hold this one equal to
// it.
#include <algorithm>
#include <array>
#include <iterator>
#include <nlohmann/json.hpp>

#include "landlock/access.hpp"
#include "profile/schema.hpp"

namespace profile {

namespace {

using nlohmann::json;
using Names = std::vector<std::string_view>;

std::string found(const json& value)
{
    switch (value.type()) {
        case json::value_t::string:
            return "the string " + inQuotes(value.get_ref<const std::string&>());
        case json::value_t::array:
            return "an array";
        case json::value_t::object:
            return "an object";
        default:
            return value.dump();
    }
}

using Type = SchemaRule::Type;

bool hasType(const json& value, Type type)
{
    switch (type) {
        case Type::any:
            return true;
        case Type::object:
            return value.is_object();
        case Type::array:
            return value.is_array();
        case Type::string:
            return value.is_string();
        case Type::integer:
            return value.is_number_integer();
        case Type::boolean:
            return value.is_boolean();
    }
    return false;
}

const char* withArticle(Type type)
{
    switch (type) {
        case Type::object:
            return "an object";
        case Type::array:
            return "an array";
        case Type::string:
            return "a string";
        case Type::integer:
            return "an integer";
        default:
            return "a boolean";
    }
}

// A schema counts characters. The parser has made sure that it is UTF-8.
std::size_t characters(const std::string& text)
{
    return static_cast<std::size_t>(
        std::ranges::count_if(text, [](unsigned char byte) { return (byte & 0xc0) != 0x80; }));
}

std::string listed(std::span<const std::string_view> names)
{
    std::string out;
    for (const std::string_view name : names) {
        out += (out.empty() ? "" : ", ") + inQuotes(name);
    }
    return out;
}

// Where in the document, written out only when there is something to say of it.
struct Place {
    const Place* above = nullptr;
    std::string_view name = {};
    std::size_t index = 0;
    bool isIndex = false;

    Place member(std::string_view which) const { return {this, which, 0, false}; }
    Place element(std::size_t which) const { return {this, {}, which, true}; }
    std::string pointer() const
    {
        return above == nullptr ? "" : isIndex ? join(above->pointer(), index) : join(above->pointer(), name);
    }
};

// Where a right belongs that was found in a list of rights of another kind; "": it is none, or that is no such list.
std::string placeOfRight(std::string_view name, const Place& at)
{
    const std::string_view list = at.above == nullptr ? "" : at.above->name;
    const auto right = std::ranges::find(landlock::rights, name, &landlock::Right::name);
    if (right == std::end(landlock::rights)) {
        return "";
    }
    const auto of = static_cast<std::size_t>(right->kind);
    constexpr std::array<std::string_view, 3> handled = {"handledAccessFs", "handledAccessNet", "scoped"};
    constexpr std::array<std::string_view, 3> quiet = {"quietAccessFs", "quietAccessNet", "quietScoped"};
    if (list == "allowedAccess") {
        return right->kind == landlock::Kind::fs    ? "it is a right on paths, for a rule of \"pathBeneath\""
               : right->kind == landlock::Kind::net ? "it is a right on ports, for a rule of \"netPort\""
                                                    : "it is a scope, for \"scoped\" of \"ruleset\"; no rule allows it";
    }
    for (const auto& lists : {handled, quiet}) {
        if (std::ranges::find(lists, list) != lists.end()) {
            return "it belongs in " + inQuotes(lists[of]);
        }
    }
    return "";
}

class Validator {
public:
    // `problems`: null when it is only asked whether there are any.
    Validator(const SchemaRules& schema, Problems* problems) : schema_(schema), problems_(problems) {}

    bool good() const { return good_; }

    // `alternatives`: names that would have led to another part of the schema.
    void read(const json& value, std::uint16_t which, const Place& at, const Names& alternatives = {})
    {
        if (problems_ != nullptr ? problems_->full() : !good_) {
            return;
        }
        const SchemaRule& rule = schema_.rules[which];
        if (!hasType(value, rule.type)) {
            return add(at, [&] { return "found " + found(value) + ", expected " + withArticle(rule.type); });
        }
        readEnum(value, rule, at);
        readNumber(value, rule, at);
        if (value.is_string()) {
            if (rule.counted == Type::string) {
                readCount(characters(value.get_ref<const std::string&>()), rule, at, "characters");
            }
        } else if (value.is_array()) {
            readArray(value, rule, at);
        } else if (value.is_object()) {
            readObject(value, rule, at, alternatives);
        }
        readBranches(value, rule, at);
    }

private:
    // `message`: makes it.
    void add(const Place& at, const auto& message)
    {
        good_ = false;
        if (problems_ != nullptr) {
            problems_->add(at.pointer(), message());
        }
    }

    std::span<const std::string_view> names(SchemaRule::Range range) const
    {
        return schema_.names.subspan(range.first, range.count);
    }

    bool matches(const json& value, std::uint16_t rule) const
    {
        Validator other(schema_, nullptr);
        other.read(value, rule, {});
        return other.good();
    }

    void readEnum(const json& value, const SchemaRule& rule, const Place& at)
    {
        if (rule.onlyTrue && value != true) {
            return add(at, [&] { return "found " + found(value) + "; allowed: true"; });
        }
        const auto allowed = names(rule.allowed);
        if (allowed.empty() ||
            (value.is_string() && std::ranges::find(allowed, value.get_ref<const std::string&>()) != allowed.end())) {
            return;
        }
        add(at, [&] {
            const std::string right = value.is_string() ? placeOfRight(value.get_ref<const std::string&>(), at) : "";
            if (!right.empty()) {
                return "found " + found(value) + "; " + right;
            }
            const std::string hint =
                value.is_string() ? suggestion(value.get_ref<const std::string&>(), {allowed.begin(), allowed.end()})
                                  : "";
            return "found " + found(value) + hint + (hint.empty() ? "; allowed: " : " Allowed: ") + listed(allowed);
        });
    }

    void readNumber(const json& value, const SchemaRule& rule, const Place& at)
    {
        if (!value.is_number_integer()) {
            return;
        }
        // Both bounds of a rule fit a signed 64-bit integer; the value may not.
        const bool huge = value.is_number_unsigned() && value.get<std::uint64_t>() > INT64_MAX;
        const std::int64_t number = huge ? INT64_MAX : value.get<std::int64_t>();
        if (number < rule.minimum || number > rule.maximum || (huge && rule.maximum != INT64_MAX)) {
            add(at, [&] {
                return "found " + value.dump() + "; allowed: " + std::to_string(rule.minimum) +
                       (rule.maximum != INT64_MAX ? " to " + std::to_string(rule.maximum) : " or more");
            });
        }
    }

    void readCount(std::size_t count, const SchemaRule& rule, const Place& at, const char* unit)
    {
        if (count < rule.least) {
            add(at, [&] { return count == 0 ? "is empty" : "has too few " + std::string(unit); });
        } else if (count > rule.most) {
            add(at, [&] {
                return "has " + std::to_string(count) + " " + unit + "; at most " + std::to_string(rule.most) +
                       " are allowed";
            });
        }
    }

    bool full() const { return problems_ != nullptr && problems_->full(); }

    void readArray(const json& value, const SchemaRule& rule, const Place& at)
    {
        if (rule.counted == Type::array) {
            readCount(value.size(), rule, at, "elements");
        }
        for (std::size_t i = 0; rule.items != SchemaRule::none && i < value.size() && !full(); ++i) {
            read(value[i], rule.items, at.element(i));
        }
    }

    void readObject(const json& value, const SchemaRule& rule, const Place& at, const Names& alternatives)
    {
        if (rule.counted == Type::object) {
            readCount(value.size(), rule, at, "fields");
        }
        const auto members = schema_.members.subspan(rule.properties.first, rule.properties.count);
        for (const auto& [name, below] : members) {
            if (const auto member = value.find(name); member != value.end()) {
                read(*member, below, at.member(name));
            }
        }
        if (rule.closed) {
            readUnknown(value, members, at, alternatives);
        }
        for (const std::string_view name : names(rule.required)) {
            if (!value.contains(name)) {
                add(at, [&] { return "the field " + inQuotes(name) + " is missing"; });
            }
        }
    }

    void readUnknown(const json& value, std::span<const SchemaRules::Member> known, const Place& at,
                     const Names& alternatives)
    {
        for (const auto& member : value.items()) {
            const std::string& name = member.key();
            if (std::ranges::find(known, name, &SchemaRules::Member::name) != known.end()) {
                continue;
            }
            add(at.member(name), [&] {
                Names all;
                std::ranges::transform(known, std::back_inserter(all), &SchemaRules::Member::name);
                all.insert(all.end(), alternatives.begin(), alternatives.end());
                const std::string hint = suggestion(name, all);
                return "unknown field " + inQuotes(name) + hint + (hint.empty() ? "; allowed: " : " Allowed: ") +
                       listed(all);
            });
        }
    }

    void readBranches(const json& value, const SchemaRule& rule, const Place& at)
    {
        if (rule.condition != SchemaRule::none) {
            const bool then = matches(value, rule.condition);
            const auto others = names(schema_.rules[rule.condition].required);
            read(value, then ? rule.then : rule.otherwise, at, then ? Names() : Names(others.begin(), others.end()));
        }
        if (rule.anyOf.count == 0 || !value.is_object()) {
            return;
        }
        const auto options = schema_.options.subspan(rule.anyOf.first, rule.anyOf.count);
        if (std::ranges::any_of(options, [&](std::uint16_t option) { return matches(value, option); })) {
            return;
        }
        add(at, [&] {
            Names needed;
            for (const std::uint16_t option : options) {
                needed.push_back(names(schema_.rules[option].required)[0]);
            }
            return "at least one of these fields is needed: " + listed(needed);
        });
    }

    const SchemaRules& schema_;
    Problems* problems_;
    bool good_ = true;
};

}  // namespace

void validate(const json& document, Problems& problems)
{
    const SchemaRules schema = schemaRules();
    Validator(schema, &problems).read(document, 0, {});
}

}  // namespace profile
