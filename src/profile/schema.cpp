// SPDX-License-Identifier: Apache-2.0
// Reads the schema beside the document, as far as our schema goes, and says what does not fit in words that help. A
// validator of the whole language took five times as long to get ready; the tests hold this one equal to it.
#include <algorithm>
#include <nlohmann/json.hpp>

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

bool hasType(const json& value, std::string_view type)
{
    return (type == "object" && value.is_object()) || (type == "array" && value.is_array()) ||
           (type == "string" && value.is_string()) || (type == "integer" && value.is_number_integer()) ||
           (type == "boolean" && value.is_boolean());
}

// A schema counts characters. The parser has made sure that it is UTF-8.
std::size_t characters(const std::string& text)
{
    return static_cast<std::size_t>(
        std::ranges::count_if(text, [](unsigned char byte) { return (byte & 0xc0) != 0x80; }));
}

std::string withArticle(const std::string& type)
{
    return (type == "object" || type == "array" || type == "integer" ? "an " : "a ") + type;
}

std::string listed(const Names& names)
{
    std::string out;
    for (const std::string_view name : names) {
        out += (out.empty() ? "" : ", ") + inQuotes(name);
    }
    return out;
}

class Validator {
public:
    Validator(const json& root, Problems& problems) : root_(root), problems_(problems) {}

    // `alternatives`: names that would have led to another part of the schema.
    void read(const json& value, const json& schema, const std::string& at, const Names& alternatives = {})
    {
        if (problems_.full()) {
            return;
        }
        if (const auto ref = schema.find("$ref"); ref != schema.end()) {
            return read(value, root_.at(json::json_pointer(ref->get<std::string>().substr(1))), at, alternatives);
        }
        if (const auto type = schema.find("type"); type != schema.end() && !hasType(value, type->get<std::string>())) {
            return add(at, "found " + found(value) + ", expected " + withArticle(type->get<std::string>()));
        }
        readEnum(value, schema, at);
        readNumber(value, schema, at);
        if (value.is_string()) {
            readCount(characters(value.get_ref<const std::string&>()), schema, at, "Length", "characters");
        } else if (value.is_array()) {
            readArray(value, schema, at);
        } else if (value.is_object()) {
            readObject(value, schema, at, alternatives);
        }
        readBranches(value, schema, at);
    }

private:
    void add(const std::string& at, std::string message) { problems_.add(at, std::move(message)); }

    bool matches(const json& value, const json& schema) const
    {
        Problems none(1);
        Validator(root_, none).read(value, schema, "");
        return none.empty();
    }

    void readEnum(const json& value, const json& schema, const std::string& at)
    {
        const auto allowed = schema.find("enum");
        if (allowed == schema.end() || std::find(allowed->begin(), allowed->end(), value) != allowed->end()) {
            return;
        }
        Names names;
        std::string list;
        for (const json& item : *allowed) {
            if (item.is_string()) {
                names.push_back(item.get_ref<const std::string&>());
            }
            list += (list.empty() ? "" : ", ") + item.dump();
        }
        const std::string hint = value.is_string() ? suggestion(value.get_ref<const std::string&>(), names) : "";
        add(at, "found " + found(value) + hint + (hint.empty() ? "; allowed: " : " Allowed: ") + list);
    }

    void readNumber(const json& value, const json& schema, const std::string& at)
    {
        const auto least = schema.find("minimum");
        const auto most = schema.find("maximum");
        if (!value.is_number_integer() || least == schema.end()) {
            return;
        }
        // Both bounds of the schema fit a signed 64-bit integer; the value may not.
        const bool huge = value.is_number_unsigned() && value.get<std::uint64_t>() > INT64_MAX;
        const std::int64_t number = huge ? INT64_MAX : value.get<std::int64_t>();
        if (number < least->get<std::int64_t>() || (most != schema.end() && number > most->get<std::int64_t>())) {
            add(at, "found " + value.dump() + "; allowed: " + least->dump() +
                        (most != schema.end() ? " to " + most->dump() : " or more"));
        }
    }

    void readCount(std::size_t count, const json& schema, const std::string& at, const char* what, const char* unit)
    {
        const std::size_t least = schema.value(std::string("min") + what, std::size_t{0});
        const std::size_t most = schema.value(std::string("max") + what, SIZE_MAX);
        if (count < least) {
            add(at, count == 0 ? "is empty" : "has too few " + std::string(unit));
        } else if (count > most) {
            add(at, "has " + std::to_string(count) + " " + unit + "; at most " + std::to_string(most) + " are allowed");
        }
    }

    void readArray(const json& value, const json& schema, const std::string& at)
    {
        readCount(value.size(), schema, at, "Items", "elements");
        if (const auto items = schema.find("items"); items != schema.end()) {
            for (std::size_t i = 0; i < value.size() && !problems_.full(); ++i) {
                read(value[i], *items, join(at, i));
            }
        }
    }

    void readObject(const json& value, const json& schema, const std::string& at, const Names& alternatives)
    {
        readCount(value.size(), schema, at, "Properties", "fields");
        Names known;
        const json empty = json::object();
        const json& properties = schema.contains("properties") ? schema.at("properties") : empty;
        for (const auto& [name, property] : properties.items()) {
            known.push_back(name);
            if (const auto member = value.find(name); member != value.end()) {
                read(*member, property, join(at, name));
            }
        }
        if (schema.contains("additionalProperties")) {
            readUnknown(value, known, at, alternatives);
        }
        for (const json& name : schema.value("required", json::array())) {
            if (!value.contains(name.get_ref<const std::string&>())) {
                add(at, "the field " + name.dump() + " is missing");
            }
        }
    }

    void readUnknown(const json& value, const Names& known, const std::string& at, const Names& alternatives)
    {
        Names all = known;
        all.insert(all.end(), alternatives.begin(), alternatives.end());
        for (const auto& [name, member] : value.items()) {
            if (std::find(known.begin(), known.end(), name) == known.end()) {
                const std::string hint = suggestion(name, all);
                add(join(at, name), "unknown field " + inQuotes(name) + hint +
                                        (hint.empty() ? "; allowed: " : " Allowed: ") + listed(all));
            }
        }
    }

    void readBranches(const json& value, const json& schema, const std::string& at)
    {
        if (const auto condition = schema.find("if"); condition != schema.end()) {
            const bool then = matches(value, *condition);
            Names others;
            if (!then && condition->contains("required")) {
                for (const json& name : condition->at("required")) {
                    others.push_back(name.get_ref<const std::string&>());
                }
            }
            read(value, schema.at(then ? "then" : "else"), at, others);
        }
        if (const auto any = schema.find("anyOf"); any != schema.end() && value.is_object()) {
            Names names;
            for (const json& option : *any) {
                if (matches(value, option)) {
                    return;
                }
                names.push_back(option.at("required").at(0).get_ref<const std::string&>());
            }
            add(at, "at least one of these fields is needed: " + listed(names));
        }
    }

    const json& root_;
    Problems& problems_;
};

}  // namespace

void validate(const json& document, Problems& problems)
{
    const json schema = json::parse(compactSchema());
    Validator(schema, problems).read(document, schema, "");
}

}  // namespace profile
