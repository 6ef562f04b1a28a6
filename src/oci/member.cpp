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

std::string_view sectionOf(std::string_view name)
{
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
    const auto found = std::ranges::find(sections, plain);
    return found == sections.end() ? std::string_view() : *found;
}

void requireExactSections(const json& document, std::string_view what)
{
    for (const auto& [name, value] : document.items()) {
        const std::string_view section = sectionOf(name);
        if (!section.empty() && section != name) {
            throw sys::Error(std::string(what) + ": /" + sys::printable(name) + ": some runtimes read this as /" +
                             std::string(section) + "; give it that name");
        }
    }
}

}  // namespace oci
