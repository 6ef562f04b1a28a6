// SPDX-License-Identifier: Apache-2.0
#include "oci/member.hpp"

#include <algorithm>
#include <string>
#include <utility>

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

std::string_view readAs(std::string_view name, MemberNames names)
{
    name = name.substr(0, name.find('\0'));
    // The letters beyond ASCII that are one of theirs in another case: a long s, and the sign of Kelvin.
    constexpr std::array others = {std::pair{std::string_view("\u017f"), 's'},
                                   std::pair{std::string_view("\u212a"), 'k'}};
    std::string plain;
    while (!name.empty()) {
        const auto other = std::ranges::find_if(others, [&](const auto& one) { return name.starts_with(one.first); });
        const char c = other != others.end() ? other->second : name.front();
        plain += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
        name.remove_prefix(other != others.end() ? other->first.size() : 1);
    }
    const auto found = std::ranges::find_if(names, [&](std::string_view one) {
        return std::ranges::equal(one, plain, [](char a, char b) {
            return (a >= 'A' && a <= 'Z' ? static_cast<char>(a - 'A' + 'a') : a) == b;
        });
    });
    return found == names.end() ? std::string_view() : *found;
}

void requireExact(const json& object, MemberNames names, std::string_view what, std::string_view pointer)
{
    if (!object.is_object()) {
        return;
    }
    for (const auto& [name, value] : object.items()) {
        const std::string_view exact = readAs(name, names);
        if (!exact.empty() && exact != name) {
            throw sys::Error(std::string(what) + ": " + std::string(pointer) + "/" + sys::printable(name) +
                             ": some runtimes read this as " + std::string(pointer) + "/" + std::string(exact) +
                             "; give it that name");
        }
    }
}

}  // namespace oci
