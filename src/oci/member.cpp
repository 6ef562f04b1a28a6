// SPDX-License-Identifier: Apache-2.0
#include "oci/member.hpp"

#include <string>

#include "sys/error.hpp"

namespace oci {

using nlohmann::json;

const json* member(const json& object, const char* key, json::value_t type, std::string_view what,
                   std::string_view pointer)
{
    const auto found = object.find(key);
    if (found == object.end() || found->is_null()) {
        return nullptr;
    }
    const bool fits = found->type() == type || (type == json::value_t::number_integer && found->is_number_integer());
    if (!fits) {
        const char* wanted = type == json::value_t::number_integer ? "integer" : json(type).type_name();
        throw sys::Error(std::string(what) + ": " + std::string(pointer) + "/" + key + ": must be " + wanted +
                         ", not " + found->type_name());
    }
    return &*found;
}

}  // namespace oci
