// SPDX-License-Identifier: Apache-2.0
// What a library that knows the whole language of schemas says of a document.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

// `schema`: its text.
bool matchesSchema(const nlohmann::json& document, std::string_view schema);

// `path`: of the file that it is in.
bool matchesSchemaIn(const std::string& path, const nlohmann::json& document);
