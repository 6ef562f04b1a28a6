// SPDX-License-Identifier: Apache-2.0
#include "sys/error.hpp"

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <new>

namespace sys {

Error errnoError(std::string_view what, int code)
{
    return Error(std::string(what) + ": " + std::strerror(code));
}

namespace {

bool isControl(std::uint32_t character)
{
    return character < 0x20 || (character >= 0x7f && character < 0xa0);
}

// Length of the valid UTF-8 sequence at text[i], 0 if there is none or if it is a control character.
std::size_t utf8Length(std::string_view text, std::size_t i)
{
    const auto byte = [&](std::size_t k) { return static_cast<unsigned char>(text[k]); };
    const unsigned char first = byte(i);
    const std::size_t length = first < 0x80                    ? 1
                               : first >= 0xc2 && first < 0xe0 ? 2
                               : first >= 0xe0 && first < 0xf0 ? 3
                               : first >= 0xf0 && first < 0xf5 ? 4
                                                               : 0;
    if (length == 0 || i + length > text.size()) {
        return 0;
    }
    std::uint32_t character = length == 1 ? first : first & (0x7fU >> length);
    for (std::size_t k = 1; k < length; ++k) {
        if ((byte(i + k) & 0xc0) != 0x80) {
            return 0;
        }
        character = character << 6 | (byte(i + k) & 0x3fU);
    }
    const bool tooLong = (length == 3 && character < 0x800) || (length == 4 && character < 0x10000);
    const bool surrogate = character >= 0xd800 && character < 0xe000;
    return tooLong || surrogate || character > 0x10ffff || isControl(character) ? 0 : length;
}

}  // namespace

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
        const std::size_t length = utf8Length(text, i);
        const auto byte = static_cast<unsigned char>(text[i]);
        if (length == 0) {
            char escaped[8];
            std::snprintf(escaped, sizeof escaped, "\\x%02x", byte);
            out += escaped;
            ++i;
        } else {
            out += text.substr(i, length);
            i += length;
        }
    }
    return out;
}

}  // namespace sys
