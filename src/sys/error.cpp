// SPDX-License-Identifier: Apache-2.0
#include "sys/error.hpp"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <new>
#include <utility>

namespace sys {

Error errnoError(std::string_view what, int code)
{
    return Error(std::string(what) + ": " + std::strerror(code));
}

namespace {

// Those that a terminal acts upon, and those that it does not show, or shows others by in another order or on another
// line.
constexpr std::pair<std::uint32_t, std::uint32_t> unseen[] =
    {{0, 0x1f},        {0x7f, 0x9f},      {0xad, 0xad},      // controls; a hyphen that may be there or not
     {0x61c, 0x61c},   {0x180e, 0x180e},  {0x200b, 0x200f},  // marks of direction, of no width
     {0x2028, 0x202e}, {0x2060, 0x206f},  {0xfeff, 0xfeff},  // ends of lines; directions
     {0xfff9, 0xfffb}, {0xe0000, 0xe007f}};                  // what is between lines; tags

bool isShown(std::uint32_t code)
{
    return std::ranges::none_of(unseen,
                                [code](const auto& range) { return range.first <= code && code <= range.second; });
}

}  // namespace

Character characterAt(std::string_view text, std::size_t i)
{
    const auto byte = [&](std::size_t k) { return static_cast<unsigned char>(text[k]); };
    const unsigned char first = byte(i);
    const std::size_t length = first < 0x80                    ? 1
                               : first >= 0xc2 && first < 0xe0 ? 2
                               : first >= 0xe0 && first < 0xf0 ? 3
                               : first >= 0xf0 && first < 0xf5 ? 4
                                                               : 0;
    if (length == 0 || i + length > text.size()) {
        return {};
    }
    std::uint32_t code = length == 1 ? first : first & (0x7fU >> length);
    for (std::size_t k = 1; k < length; ++k) {
        if ((byte(i + k) & 0xc0) != 0x80) {
            return {};
        }
        code = code << 6 | (byte(i + k) & 0x3fU);
    }
    const bool tooLong = (length == 3 && code < 0x800) || (length == 4 && code < 0x10000);
    const bool surrogate = code >= 0xd800 && code < 0xe000;
    if (tooLong || surrogate || code > 0x10ffff) {
        return {};
    }
    return {.length = length, .code = code, .shown = isShown(code)};
}

std::string messageOf(const std::exception_ptr& thrown)
{
    try {
        std::rethrow_exception(thrown);
    } catch (const Error& error) {
        return error.what();
    } catch (const std::bad_alloc&) {
        return "out of memory";
    } catch (const std::exception& error) {
        return "internal error: " + printable(error.what(), 500);
    } catch (...) {
        return "internal error";
    }
}

std::string printable(std::string_view text, std::size_t limit)
{
    std::string out;
    for (std::size_t i = 0; i < text.size();) {
        if (out.size() >= limit) {
            return out + "...";
        }
        const Character character = characterAt(text, i);
        if (character.shown) {
            out += text.substr(i, character.length);
            i += character.length;
        } else {
            char escaped[8];
            std::snprintf(escaped, sizeof escaped, "\\x%02x", static_cast<unsigned char>(text[i]));
            out += escaped;
            ++i;
        }
    }
    return out;
}

}  // namespace sys
