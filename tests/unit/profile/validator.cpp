// SPDX-License-Identifier: Apache-2.0
#include "validator.hpp"

#include <memory>

#include <nlohmann/json.hpp>
#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validator.hpp>

#include "profile/schema.hpp"

namespace {

// It costs more to make than most documents to validate: once, by the first that asks.
const valijson::Schema& compiled()
{
    static const std::unique_ptr<const valijson::Schema> schema = [] {
        const nlohmann::json text = nlohmann::json::parse(profile::compactSchema());
        auto made = std::make_unique<valijson::Schema>();
        valijson::SchemaParser(valijson::SchemaParser::kDraft7)
            .populateSchema(valijson::adapters::NlohmannJsonAdapter(text), *made);
        return made;
    }();
    return *schema;
}

}  // namespace

bool matchesSchema(const nlohmann::json& document)
{
    // No results object: the library would note each failure with its full context, without a bound.
    return valijson::Validator().validate(compiled(), valijson::adapters::NlohmannJsonAdapter(document), nullptr);
}
