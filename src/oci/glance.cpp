// SPDX-License-Identifier: Apache-2.0
#include "oci/glance.hpp"

#include <algorithm>
#include <climits>
#include <cstring>

#include "oci/bundle.hpp"

namespace oci {

namespace {

constexpr std::string_view space = " \t\r\n";

// memmem(3) passes over what cannot match; std::string_view::find() stops at each first letter, and is
// quicker where that is rare, as a backslash.
bool contains(std::string_view text, std::string_view wanted)
{
    return memmem(text.data(), text.size(), wanted.data(), wanted.size()) != nullptr;
}

// Goes past `wanted`, and the white space before it.
bool take(std::string_view& text, std::string_view wanted)
{
    text.remove_prefix(std::min(text.find_first_not_of(space), text.size()));
    if (!text.starts_with(wanted)) {
        return false;
    }
    text.remove_prefix(wanted.size());
    return true;
}

// What is cut off may have had more to say.
bool isWhole(std::string_view text)
{
    const std::size_t last = text.find_last_not_of(space);
    return last != std::string_view::npos && text[last] == '}' && take(text, "{");
}

}  // namespace

// Without a backslash a quote is the beginning or the end of a string. A state has to have the member, so that where
// the word stands once, it is that one; an annotation of this name, or with this value, makes it two.
std::optional<std::string> bundleAtAGlance(std::string_view state)
{
    constexpr std::string_view key = "\"bundle\"";
    const std::size_t at = state.find(key);
    if (!isWhole(state) || contains(state, "\\") || at == std::string_view::npos ||
        state.find(key, at + 1) != std::string_view::npos) {
        return std::nullopt;
    }
    std::string_view rest = state.substr(at + key.size());
    if (!take(rest, ":") || !take(rest, "\"")) {
        return std::nullopt;
    }
    const std::size_t end = rest.find('"');
    const std::string_view path = rest.substr(0, end);
    if (end == std::string_view::npos || !path.starts_with('/') || path.size() >= PATH_MAX || path.contains('\0')) {
        return std::nullopt;
    }
    return std::string(path);
}

bool mayAsk(std::string_view config)
{
    return !isWhole(config) || contains(config, annotationPrefix) || config.contains("\\u");
}

}  // namespace oci
