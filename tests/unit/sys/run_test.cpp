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

}  // namespace
