// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>

// Whether a document matches the schema, by a library that knows all of the language.
bool matchesSchema(const nlohmann::json& document);
