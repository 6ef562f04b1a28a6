// SPDX-License-Identifier: Apache-2.0
#include "cli/prepare.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cstring>
#include <thread>

#include "cli/outcome.hpp"
#include "landlock/ruleset.hpp"
#include "profile/load.hpp"
#include "temporary.hpp"

namespace {

class Prepare : public testing::Test {
protected:
    void SetUp() override
    {
        if (landlock::kernelAbi() == 0) {
            GTEST_SKIP() << "needs a kernel with Landlock";
        }
        base_.directory("root/tmp");
        base_.file("root/bin/target", "x");
        base_.link("root/data", "/");
    }

    cli::Prepared prepare(const std::string& select, const std::string& paths, profile::Origin origin,
                          std::chrono::milliseconds patience = std::chrono::seconds(20))
    {
        profile_ =
            profile::load(R"({"entries":[{"missingPaths":"skip","select":)" + select +
                              R"(,"policy":{"abi":1,"ruleset":[{"handledAccessFs":["abi.all"]}],"pathBeneath":[)" +
                              R"({"allowedAccess":["read_file","read_dir"],"parent":[)" + paths + "]}]}}]}",
                          "test", origin, 1);
        return cli::prepare(profile_, container::Process(getpid()), {base_.path(), base_.path("root"), "/bin", {}},
                            patience);
    }

    support::Temporary base_;
    profile::Profile profile_;
};

TEST_F(Prepare, BringsItAllOver)
{
    const auto got =
        prepare(R"({"program":["/bin/target","/bin/later"]})", R"("/tmp","/data","/absent")", profile::Origin::inlined);
    ASSERT_EQ(got.entries.size(), 1U);
    ASSERT_EQ(got.layers.size(), 1U);
    EXPECT_EQ(got.entries[0].selector, OLL_SELECT_PROGRAM);
    EXPECT_NE(fcntl(got.layers[0].ruleset, F_GETFD), -1);
    ASSERT_EQ(got.programs.size(), 2U);
    EXPECT_EQ(got.programs[0].path, "/bin/target");
    struct stat mine {};
    struct stat theirs {};
    ASSERT_EQ(fstat(got.programs[0].file, &theirs), 0);
    ASSERT_EQ(stat(base_.path("root/bin/target").c_str(), &mine), 0);
    EXPECT_EQ(mine.st_ino, theirs.st_ino);
    EXPECT_EQ(got.programs[1].file, -1);
    EXPECT_EQ(got.skipped, (std::vector<std::vector<std::string>>{{"/absent"}}));
    EXPECT_EQ(got.led, (std::vector<std::vector<std::string>>{{"/data leads to /"}}));
    EXPECT_EQ(
        cli::outcomeOf(profile_, got),
        R"({"entries":[{"enforcement":"partial","layers":1,"links":["/data leads to /"],"missingPaths":["/absent"],)"
        R"("name":"entry-0"}],"profile":"test"})");
}

// Nothing is handed over to be applied, and what would keep the container from starting is told.
TEST_F(Prepare, WhatIsAuditedIsLookedUpAlone)
{
    profile_ = profile::load(R"({"entries":[
        {"mode":"audit","select":{"program":["/bin/target"]},"policy":{"abi":1,"ruleset":[{"handledAccessFs":["abi.all"]}],
         "pathBeneath":[{"allowedAccess":["read_file"],"parent":["/absent","/data","/tmp"]}]}},
        {"policy":{"abi":1,"ruleset":[{"handledAccessFs":["abi.all"]}]}}]})",
                             "test", profile::Origin::nodeFile, 1);
    const auto got =
        cli::prepare(profile_, container::Process(getpid()), {base_.path(), base_.path("root"), "/bin", {}});
    ASSERT_EQ(got.entries.size(), 2U);
    EXPECT_TRUE(got.entries[0].audited);
    EXPECT_FALSE(got.entries[1].audited);
    ASSERT_EQ(got.layers.size(), 1U);
    EXPECT_EQ(got.layers[0].entry, 1U);
    EXPECT_EQ(got.leads[0], (std::vector<std::string>{"", "/", "/tmp"}));
    EXPECT_TRUE(got.leads[1].empty());
    ASSERT_EQ(got.obstacles[0].size(), 2U);
    EXPECT_TRUE(got.obstacles[0][0].contains("/absent")) << got.obstacles[0][0];
    EXPECT_TRUE(got.obstacles[0][1].contains("/data leads to / by a symbolic link")) << got.obstacles[0][1];
    EXPECT_TRUE(got.obstacles[1].empty());
    ASSERT_EQ(got.programs.size(), 1U);
    profile_.entries[0].mode = profile::Mode::enforce;
    support::expectError(
        [&] {
            cli::prepare(profile_, container::Process(getpid()), {base_.path(), base_.path("root"), "/bin", {}});
        },
        "/absent");
}

TEST_F(Prepare, SaysWhatIsWrong)
{
    support::expectError([&] { prepare(R"("entrypoint")", R"("/data")", profile::Origin::nodeFile); },
                         "/data leads to / by a symbolic link");
    // The image's working directory has no say in what a file of the node means.
    EXPECT_EQ(prepare(R"("entrypoint")", R"("target")", profile::Origin::nodeFile).skipped[0].size(), 1U);
    EXPECT_EQ(prepare(R"("entrypoint")", R"("target")", profile::Origin::inlined).skipped[0].size(), 0U);
}

TEST_F(Prepare, LongListsAreCutNotDropped)
{
    std::string paths = "\"/data\"";
    for (int i = 0; i < 200; ++i) {
        paths += ",\"/absent-" + std::to_string(i) + "\"";
    }
    const auto got = prepare(R"("entrypoint")", paths, profile::Origin::inlined);
    const std::string outcome = cli::outcomeOf(profile_, got);
    EXPECT_NE(outcome.find("184 more"), std::string::npos) << outcome;
    EXPECT_NE(outcome.find("/data leads to /"), std::string::npos) << outcome;
}

// A FUSE server that reads what it is asked and never answers: not even SIGKILL ends who asks then.
TEST_F(Prepare, AVolumeThatDoesNotAnswer)
{
    sys::Fd fuse(open("/dev/fuse", O_RDWR | O_CLOEXEC));
    const std::string options = "fd=" + std::to_string(fuse.get()) + ",rootmode=40000,user_id=0,group_id=0";
    const std::string place = base_.directory("root/tmp/volume");
    if (!fuse || mount("fuse", place.c_str(), "fuse", 0, options.c_str()) != 0) {
        GTEST_SKIP() << "needs to mount FUSE: " << strerror(errno);
    }
    std::thread server([&] {
        // FUSE_INIT is answered, so that there is something to ask.
        alignas(8) char request[65536];
        for (pollfd poller{fuse.get(), POLLIN, 0}; poll(&poller, 1, 10'000) > 0;) {
            if (read(fuse.get(), request, sizeof request) <= 0) {
                break;
            }
            std::uint32_t words[2];
            std::uint64_t unique = 0;
            std::memcpy(words, request, sizeof words);
            std::memcpy(&unique, request + 8, sizeof unique);
            if (words[1] == 26) {
                struct {
                    std::uint32_t length = 80;
                    std::int32_t error = 0;
                    std::uint64_t unique = 0;
                    std::uint32_t init[16] = {7, 31, 65536, 0, 0, 65536};
                } answer;
                answer.unique = unique;
                EXPECT_EQ(write(fuse.get(), &answer, 80), 80);
            }
        }
    });
    const auto start = std::chrono::steady_clock::now();
    support::expectError(
        [&] { prepare(R"("entrypoint")", R"("/tmp/volume/file")", profile::Origin::inlined, std::chrono::seconds(2)); },
        "not found within 2 s; a volume of the container does not answer");
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(8));
    EXPECT_EQ(umount2(place.c_str(), MNT_FORCE | MNT_DETACH), 0);
    server.join();
}

}  // namespace
