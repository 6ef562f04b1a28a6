// SPDX-License-Identifier: Apache-2.0
#include "nri/presence.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "temporary.hpp"

namespace {

using nri::allRunning;
using nri::Presence;
using nri::Running;

TEST(Presence, WhatWasSaidLast)
{
    const support::Temporary base;
    const std::string directory = base.path("run/nri");
    base.directory(".");
    EXPECT_EQ(allRunning(directory), std::vector<Running>());
    const Running waits{.version = "1\x1b", .program = "/usr/bin/oci-landlock", .socket = "/run/nri.sock"};
    Running serves = waits;
    serves.connected = true;
    {
        Presence presence(directory);
        EXPECT_EQ(allRunning(directory), std::vector<Running>());
        presence.say(waits);
        EXPECT_EQ(allRunning(directory), std::vector{waits});
        presence.say(serves);
        EXPECT_EQ(allRunning(directory), std::vector{serves});
        // Another one's start takes nothing away that is held.
        Presence other(directory);
        EXPECT_EQ(allRunning(directory), std::vector{serves});
    }
    EXPECT_EQ(allRunning(directory), std::vector<Running>());
}

TEST(Presence, OfOneThatWasKilled)
{
    const support::Temporary base;
    const std::string directory = base.path("run/nri");
    const pid_t child = fork();
    if (child == 0) {
        Presence(directory).say({.version = "1"});
        _exit(0);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    const std::string left = directory + "/" + std::to_string(child);
    ASSERT_TRUE(std::filesystem::exists(left));
    EXPECT_EQ(allRunning(directory), std::vector<Running>());
    const Presence next(directory);
    EXPECT_FALSE(std::filesystem::exists(left));
}

TEST(Presence, CannotBeTold)
{
    const support::Temporary base;
    support::expectError([&] { allRunning(base.file("file")); }, "/file: Not a directory");
    for (int i = 0; i < 65; ++i) {
        base.file("many/" + std::to_string(i));
    }
    support::expectError([&] { allRunning(base.path("many")); }, "more than 64 files; remove them");
    support::expectError([&] { Presence(base.path("file/nri")); }, "Not a directory");
}

}  // namespace
