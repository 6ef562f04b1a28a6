// SPDX-License-Identifier: Apache-2.0
#include "profile/schema.hpp"

#include <nlohmann/json.hpp>
#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validator.hpp>

namespace profile {

bool matchesSchema(const nlohmann::json& document)
{
    const nlohmann::json text = nlohmann::json::parse(compactSchema());
    valijson::Schema schema;
    valijson::SchemaParser(valijson::SchemaParser::kDraft7)
        .populateSchema(valijson::adapters::NlohmannJsonAdapter(text), schema);
    // No results object: the library would note each failure with its full context, without a bound.
    return valijson::Validator().validate(schema, valijson::adapters::NlohmannJsonAdapter(document), nullptr);
}

}  // namespace profile
