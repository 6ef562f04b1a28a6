// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace sys {

struct Answer {
    int status = 0;  // exit status; 128 + N where signal N ended it
    std::string output;
};

// Runs a program of the node, found by its absolute path, with nothing on standard input and no environment; returns
// what it printed on standard output, and with `complaints` on standard error too. Throws Error when it cannot be run,
// prints more than `limit` bytes, or has not ended after `patience`, and then it is killed.
Answer run(const std::vector<std::string>& words, std::size_t limit,
           std::chrono::seconds patience = std::chrono::seconds(10), bool complaints = false);

// The same, however long it takes and however much it prints: calls `each` for every line of its standard output and
// error, without its end. Returns as Answer::status. Throws Error for a line of more than `longest` bytes, and what
// `each` throws, and then the program is killed.
int runForLines(const std::vector<std::string>& words, std::size_t longest,
                const std::function<void(std::string_view line)>& each);

}  // namespace sys
