// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "sys/error.hpp"

namespace profile {

struct Problem {
    std::string pointer;  // JSON pointer into the document, "" for the document itself
    unsigned line = 0;    // for syntax errors; 0: unknown
    std::string message;  // what was found, what is allowed
};

// All problems of one document; what() is the first of them with source and pointer, and says how many more there are.
class Invalid : public sys::Error {
public:
    Invalid(std::string source, std::vector<Problem> problems);
    const std::vector<Problem>& problems() const { return problems_; }
    const std::string& source() const { return source_; }

private:
    std::string source_;
    std::vector<Problem> problems_;
};

// Gathers what is wrong with one document. Keeps the first `limit` problems only, so that a hostile document cannot
// make us write a book.
class Problems {
public:
    explicit Problems(std::size_t limit = 64) : limit_(limit) {}

    void add(std::string pointer, std::string message, unsigned line = 0);
    bool empty() const { return found_.empty(); }
    bool full() const { return found_.size() >= limit_; }
    const std::vector<Problem>& found() const { return found_; }

    // Throws Invalid if there are any.
    void check(std::string_view source) const;

private:
    std::size_t limit_;
    std::vector<Problem> found_;
};

// `pointer` + "/" + `name`, escaped as JSON Pointer (RFC 6901) wants it.
std::string join(const std::string& pointer, std::string_view name);
std::string join(const std::string& pointer, std::size_t index);

// `text` in double quotes, made fit for one line of a message.
std::string inQuotes(std::string_view text);

// The candidate that `word` most likely means, or "" when none is near.
std::string_view nearest(std::string_view word, const std::vector<std::string_view>& candidates);

// "; did you mean "execute"?" or ""
std::string suggestion(std::string_view word, const std::vector<std::string_view>& candidates);

}  // namespace profile
