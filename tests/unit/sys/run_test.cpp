// SPDX-License-Identifier: Apache-2.0
#include "sys/run.hpp"

#include <gtest/gtest.h>

#include "temporary.hpp"

namespace {

std::string shell(const std::string& script, std::size_t limit = 1000)
{
    const sys::Answer answer = sys::run({"/bin/sh", "-c", script}, limit);
    return std::to_string(answer.status) + ":" + answer.output;
}

TEST(Run, WhatItPrintsAndHowItEnds)
{
    EXPECT_EQ(shell("echo a; echo b >&2"), "0:a\n");
    EXPECT_EQ(shell("exit 7"), "7:");
    EXPECT_EQ(shell("kill -9 $$"), "137:");
    EXPECT_EQ(shell("cat; echo $LC_ALL$HOME"), "0:C\n");
    EXPECT_EQ(shell("printf 1234567890", 10), "0:1234567890");
}

TEST(Run, Bounds)
{
    support::expectError([] { sys::run({"/no/such"}, 10); }, "run /no/such: No such file");
    support::expectError([] { shell("printf 12345678901", 10); }, "says more than 10 bytes");
    support::expectError([] { shell("yes"); }, "says more than");
    // Also one that closes its output, and goes on.
    support::expectError([] { shell("exec >&-; exec sleep 1000"); }, "has not ended within 10 s");
}

TEST(Run, LineByLine)
{
    const auto lines = [](const std::string& script, std::size_t longest = 10) {
        std::string out;
        const int status = sys::runForLines({"/bin/sh", "-c", script}, longest,
                                            [&](std::string_view line) { out += "<" + std::string(line) + ">"; });
        return std::to_string(status) + ":" + out;
    };
    EXPECT_EQ(lines("echo a; echo; printf b"), "0:<a><><b>");
    EXPECT_EQ(lines("echo a >&2; exit 7"), "7:<a>");
    EXPECT_EQ(lines("exec >&-; exec 2>&-; exit 3"), "3:");
    // More than is read at once.
    std::size_t count = 0;
    EXPECT_EQ(sys::runForLines({"/bin/sh", "-c", "head -c 300000 /dev/zero | tr '\\0' '\\n'"}, 10,
                               [&](std::string_view line) { count += line.empty() ? 1 : 0; }),
              0);
    EXPECT_EQ(count, 300000u);
    for (const char* end : {"", "\\n"}) {
        support::expectError([&] { lines(std::string("printf '12345678901") + end + "'; exec sleep 1000"); },
                             "says a line of more than 10 bytes");
    }
    // What is thrown ends the program, too.
    support::expectError(
        [] {
            sys::runForLines({"/bin/sh", "-c", "echo a; exec sleep 1000"}, 10,
                             [](std::string_view) { throw sys::Error("enough"); });
        },
        "enough");
}

}  // namespace
