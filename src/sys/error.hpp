// SPDX-License-Identifier: Apache-2.0
// The one error type: what failed, where, and what to do about it.
#pragma once

#include <cerrno>
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

// `text` with control bytes and invalid UTF-8 escaped, cut to `limit` bytes: for messages about hostile input.
std::string printable(std::string_view text, std::size_t limit = 200);

}  // namespace sys
