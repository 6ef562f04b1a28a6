// SPDX-License-Identifier: Apache-2.0
#include "validator.hpp"

#include <fstream>
#include <iterator>
#include <map>

#include <nlohmann/json.hpp>
#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validator.hpp>

bool matchesSchema(const nlohmann::json& document, std::string_view schema)
{
    // It costs more to make than most documents to validate: once, by the first that asks.
    static std::map<std::string, valijson::Schema, std::less<>> all;
    auto compiled = all.find(schema);
    if (compiled == all.end()) {
        const nlohmann::json text = nlohmann::json::parse(schema);
        compiled = all.try_emplace(std::string(schema)).first;
        valijson::SchemaParser(valijson::SchemaParser::kDraft7)
            .populateSchema(valijson::adapters::NlohmannJsonAdapter(text), compiled->second);
    }
    // No results object: the library would note each failure with its full context, without a bound.
    return valijson::Validator().validate(compiled->second, valijson::adapters::NlohmannJsonAdapter(document), nullptr);
}

bool matchesSchemaIn(const std::string& path, const nlohmann::json& document)
{
    std::ifstream file(path);
    return matchesSchema(document, std::string(std::istreambuf_iterator(file), {}));
}
