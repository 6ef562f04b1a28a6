// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string_view>

#include "profile/problems.hpp"

namespace profile {

// What one object of the schema says, in the field's own words; what it refers to is in the tables of SchemaRules.
struct SchemaRule {
    enum class Type : std::uint8_t { any, object, array, string, integer, boolean };
    struct Range {
        std::uint16_t first = 0;
        std::uint16_t count = 0;
    };
    static constexpr std::uint16_t none = UINT16_MAX;

    Type type = Type::any;
    bool onlyTrue = false;  // an enum of true
    Range allowed = {};     // an enum of names
    std::int64_t minimum = INT64_MIN;
    std::int64_t maximum = INT64_MAX;
    Type counted = Type::any;  // what `least` and `most` are about: characters, elements or fields
    std::size_t least = 0;
    std::size_t most = SIZE_MAX;
    std::uint16_t items = none;
    Range properties = {};  // members
    bool closed = false;    // no additional properties
    Range required = {};    // names
    std::uint16_t condition = none;
    std::uint16_t then = none;
    std::uint16_t otherwise = none;
    Range anyOf = {};  // options
};

struct SchemaRules {
    struct Member {
        std::string_view name;
        std::uint16_t rule;
    };

    std::span<const SchemaRule> rules;  // the first is for the document
    std::span<const Member> members;    // by name
    std::span<const std::string_view> names;
    std::span<const std::uint16_t> options;  // rules
};

// schema/profile.schema.json, as it is and as tables; schema/embed.py makes the definitions.
std::string_view profileSchema();
SchemaRules schemaRules();

// Says in `problems` why the document does not match the schema: each place, what was found there and what is allowed.
void validate(const nlohmann::json& document, Problems& problems);

}  // namespace profile
