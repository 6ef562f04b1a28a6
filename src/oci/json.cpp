// SPDX-License-Identifier: Apache-2.0
#include "oci/json.hpp"

#include <set>
#include <vector>

#include "sys/error.hpp"

namespace oci {

using nlohmann::json;

json parseJson(std::string_view text, std::string_view what, bool (*keep)(int depth, std::string_view key))
{
    std::vector<std::set<std::string>> keys;
    const auto filter = [&](int depth, json::parse_event_t event, json& parsed) {
        if (depth > maxDepth) {
            throw sys::Error(std::string(what) + ": nested deeper than " + std::to_string(maxDepth) + " levels");
        }
        switch (event) {
            case json::parse_event_t::object_start:
                keys.resize(static_cast<std::size_t>(depth) + 1);
                keys[static_cast<std::size_t>(depth)].clear();
                return true;
            case json::parse_event_t::key: {
                const auto& key = parsed.get_ref<const std::string&>();
                if (!keep(depth, key)) {
                    return false;
                }
                if (!keys[static_cast<std::size_t>(depth) - 1].insert(key).second) {
                    throw sys::Error(std::string(what) + ": member \"" + sys::printable(key) + "\" appears twice");
                }
                return true;
            }
            default:
                return true;
        }
    };
    try {
        json document = json::parse(text.begin(), text.end(), filter);
        if (!document.is_object()) {
            throw sys::Error(std::string(what) + ": not a JSON object");
        }
        return document;
    } catch (const json::parse_error& error) {
        throw sys::Error(std::string(what) + ": not valid JSON at byte " + std::to_string(error.byte));
    } catch (const json::exception&) {
        throw sys::Error(std::string(what) + ": not valid JSON");
    }
}

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
