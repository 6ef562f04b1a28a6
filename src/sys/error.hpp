// SPDX-License-Identifier: Apache-2.0
// The one error type: what failed, where, and what to do about it.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>

namespace sys {

// Thrown for everything that stops the work at hand; caught once, in cli/. The message is one line, without a
// trailing period or newline, and ends with advice where there is any ("...; run `oci-landlock load`").
class Error : public std::runtime_error {
public:
    explicit Error(const std::string& message) : std::runtime_error(message) {}
};

// "<what>: <strerror(code)>"
Error errnoError(std::string_view what, int code = errno);

// What any exception says, in one line: ours as they are, the libraries' made printable.
std::string messageOf(const std::exception_ptr& thrown);

// The character that begins at text[i]; of length 0: that is no valid UTF-8. `shown`: as itself, where it stands.
struct Character {
    std::size_t length = 0;
    std::uint32_t code = 0;
    bool shown = false;
};
Character characterAt(std::string_view text, std::size_t i);

// `text` with all escaped that is not shown, and what is no valid UTF-8, cut to `limit` bytes: for messages about
// hostile input.
std::string printable(std::string_view text, std::size_t limit = 200);

}  // namespace sys
