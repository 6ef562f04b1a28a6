// SPDX-License-Identifier: Apache-2.0
#include "learn/learner.hpp"

#include <gtest/gtest.h>

#include <cstring>

#include "support.hpp"

namespace {

using learn::Learner;
using learn::Recording;
using learn::Used;

oll_seen access(std::uint32_t about, const std::string& path, std::uint64_t rights)
{
    oll_seen event{};
    event.kind = OLL_SEEN_USED;
    event.about = about;
    event.rights = rights;
    event.domain = 1;
    std::strncpy(event.path, path.c_str(), sizeof event.path - 1);
    return event;
}

oll_seen on(const std::string& path, std::uint64_t rights)
{
    return access(OLL_ABOUT_FS, path, rights);
}

oll_seen made(const std::string& path, std::uint64_t rights = makeReg)
{
    return access(OLL_ABOUT_MADE, path, rights);
}

Recording after(const std::vector<oll_seen>& events)
{
    Learner learner;
    for (const oll_seen& event : events) {
        learner.take(event);
    }
    return learner.finish();
}

TEST(Learner, KeepsWhatWasThereByItsName)
{
    const Recording found = after({on("/etc/a", readFile), on("/etc/a", writeFile), on("/bin/sh", execute | readFile)});
    EXPECT_EQ(found.paths, (std::map<std::string, Used>{{"/etc/a", {readFile | writeFile, 0}},
                                                        {"/bin/sh", {execute | readFile, 0}}}));
    EXPECT_EQ(found.runs.at(0).added, 4u);
    EXPECT_TRUE(learn::gapsOf(found).empty());
}

TEST(Learner, KeepsWhatTheRunMadeByItsDirectory)
{
    const Recording found = after({made("/tmp/x"), on("/tmp/x", writeFile), on("/tmp/y", readFile),
                                   made("/tmp/d", makeDir), made("/tmp/d/e", makeDir), on("/tmp/d/e/f", readFile)});
    EXPECT_EQ(found.paths, (std::map<std::string, Used>{{"/tmp", {makeReg | makeDir, writeFile | makeDir | readFile}},
                                                        {"/tmp/y", {readFile, 0}}}));
}

TEST(Learner, DoesNotKeepEverMoreNames)
{
    Learner learner;
    for (int i = 0; i < 1'000'000; ++i) {
        learner.take(made("/tmp/" + std::to_string(i)));
        learner.take(on("/tmp/" + std::to_string(i), writeFile));
    }
    const Recording found = learner.finish();
    EXPECT_EQ(found.paths, (std::map<std::string, Used>{{"/tmp", {makeReg, writeFile}}}));
    EXPECT_TRUE(learn::gapsOf(found).empty());
}

TEST(Learner, CountsWhatItHasNoRoomFor)
{
    Learner learner;
    for (std::size_t i = 0; i < learn::maxPaths + 7; ++i) {
        learner.take(on("/data/" + std::to_string(i), readFile));
    }
    const Recording found = learner.finish();
    EXPECT_EQ(found.paths.size(), learn::maxPaths);
    EXPECT_EQ(found.runs.at(0).leftOut, 7u);
    EXPECT_FALSE(learn::gapsOf(found).empty());
}

TEST(Learner, KnowsNamesThatComeAndGo)
{
    const Recording found =
        after({on("/proc/17/status", readFile), on("/proc/18/status", readFile), on("/dev/pts/0", writeFile),
               on("/proc/meminfo", readFile), on("/srv/17/x", readFile)});
    EXPECT_EQ(found.paths, (std::map<std::string, Used>{{"/proc", {0, readFile}},
                                                        {"/dev/pts", {0, writeFile}},
                                                        {"/proc/meminfo", {readFile, 0}},
                                                        {"/srv/17/x", {readFile, 0}}}));
}

TEST(Learner, CountsRightsOfOpenFilesOnceTheyWereOpened)
{
    const auto opened = [](const char* path) { return access(OLL_ABOUT_OPENED, path, ioctlDev); };
    EXPECT_TRUE(after({opened("/dev/null")}).paths.empty());
    const std::map<std::string, Used> both = {{"/dev/null", {readFile | ioctlDev, 0}}};
    EXPECT_EQ(after({on("/dev/null", readFile), opened("/dev/null")}).paths, both);
    EXPECT_EQ(after({opened("/dev/null"), on("/dev/null", readFile)}).paths, both);
    EXPECT_EQ(after({made("/tmp/x"), on("/tmp/x", writeFile), opened("/tmp/x")}).paths,
              (std::map<std::string, Used>{{"/tmp", {makeReg, writeFile | ioctlDev}}}));
}

TEST(Learner, SaysWhatIsMissing)
{
    oll_seen late = on("/etc/a", readFile);
    late.domain = 0;
    EXPECT_TRUE(after({late}).runs.at(0).late);
    EXPECT_FALSE(after({on("/etc/a", readFile)}).runs.at(0).late);
    EXPECT_EQ(after({on("", readFile)}).runs.at(0).unnamed, 1u);
    EXPECT_EQ(after({on("/a\xff", readFile)}).runs.at(0).unnamed, 1u);
    EXPECT_EQ(after({access(OLL_ABOUT_OPENED, "", ioctlDev)}).runs.at(0).unnamed, 0u);
    EXPECT_EQ(after({on("/a\nb", readFile)}).runs.at(0).unnamed, 0u);
    oll_seen refused = on("/etc/a", readFile);
    refused.error = -EACCES;
    EXPECT_EQ(after({refused}).runs.at(0).refused, 1u);
}

TEST(Learner, TakesPortsScopesAndPrograms)
{
    oll_seen bind = access(OLL_ABOUT_NET, "", 1);
    bind.port = 80;
    oll_seen applied{};
    applied.kind = OLL_SEEN_APPLIED;
    std::strcpy(applied.program, "/usr/sbin/nginx");
    const Recording found = after({bind, access(OLL_ABOUT_SCOPE, "", 2), applied});
    EXPECT_EQ(found.ports, (std::map<std::uint64_t, std::uint64_t>{{80, 1}}));
    EXPECT_EQ(found.scopes, 2u);
    EXPECT_EQ(found.programs, (std::set<std::string>{"/usr/sbin/nginx"}));
}

TEST(Learner, AddsToEarlierRuns)
{
    Learner again(after({on("/etc/a", readFile)}));
    again.take(on("/etc/a", readFile));
    again.take(on("/etc/b", readFile));
    const Recording found = again.finish();
    ASSERT_EQ(found.runs.size(), 2u);
    EXPECT_EQ(found.runs[1].added, 1u);
}

TEST(Learner, DoesNotKeepEverMoreDirectories)
{
    Learner learner;
    learner.take(on("/tmp/before/x", readFile));
    for (int i = 0; i < 1000; ++i) {
        const std::string directory = "/tmp/" + std::to_string(i);
        learner.take(made(directory, makeDir));
        learner.take(made(directory + "/f"));
        learner.take(on(directory + "/f", writeFile));
        learner.take(made(directory, makeDir));
    }
    // What is in one that was there before is none of the run's, however many it has made beside it.
    learner.take(on("/tmp/before/y", readFile));
    const Recording found = learner.finish();
    EXPECT_EQ(found.paths, (std::map<std::string, Used>{{"/tmp", {makeDir, writeFile | makeReg}},
                                                        {"/tmp/before/x", {readFile, 0}},
                                                        {"/tmp/before/y", {readFile, 0}}}));
    EXPECT_TRUE(learn::gapsOf(found).empty());
}

TEST(Learner, SaysWhenItCannotKeepWhatWasMade)
{
    const auto gapsAfter = [](int directories) {
        Learner learner;
        for (int i = 0; i < directories; ++i) {
            learner.take(made("/tmp/" + std::to_string(i), makeDir));
        }
        return learn::gapsOf(learner.finish()).size();
    };
    EXPECT_EQ(gapsAfter(65536), 0u);
    EXPECT_EQ(gapsAfter(65537), 1u);
}

TEST(Learner, CountsPortsProgramsAndOpenFilesThatItHasNoRoomFor)
{
    Learner learner;
    for (std::size_t i = 0; i < learn::maxPorts + 2; ++i) {
        oll_seen bind = access(OLL_ABOUT_NET, "", 1);
        bind.port = static_cast<std::uint32_t>(i);
        learner.take(bind);
        learner.take(bind);
    }
    EXPECT_EQ(learner.run().leftOut, 4u);
    for (std::size_t i = 0; i < learn::maxPrograms + 3; ++i) {
        oll_seen applied{};
        applied.kind = OLL_SEEN_APPLIED;
        std::strcpy(applied.program, ("/bin/" + std::to_string(i)).c_str());
        learner.take(applied);
    }
    EXPECT_EQ(learner.run().leftOut, 7u);
    for (std::size_t i = 0; i < learn::maxPaths + 5; ++i) {
        learner.take(access(OLL_ABOUT_OPENED, "/dev/" + std::to_string(i), ioctlDev));
    }
    EXPECT_EQ(learner.run().leftOut, 12u);
    const Recording found = learner.finish();
    EXPECT_EQ(found.ports.size(), learn::maxPorts);
    EXPECT_EQ(found.programs.size(), learn::maxPrograms);
}

// What the kernel calls nothing that a recording could hold must not make one that nobody can read.
TEST(Learner, KeepsOnlyPathsThatARecordingCanHold)
{
    Learner learner;
    for (const char* path : {"", "etc", "/a//b", "/a/../b", "/a/./b", "/a/", "/\xed\xa0\x80", "/\xf0\x82\x82\xac"}) {
        learner.take(on(path, readFile));
        learner.take(made(path));
        oll_seen applied{};
        applied.kind = OLL_SEEN_APPLIED;
        std::strcpy(applied.program, path);
        learner.take(applied);
    }
    EXPECT_EQ(learner.run().unnamed, 24u);
    learner.take(on("/" + std::string(learn::maxPathBytes - 1, 'x'), readFile));
    EXPECT_EQ(learner.run().unnamed, 24u);
    oll_seen endless = on("", readFile);
    std::memset(endless.path, 'x', sizeof endless.path);
    endless.path[0] = '/';
    learner.take(endless);
    EXPECT_EQ(learner.run().unnamed, 25u);
    const Recording found = learner.finish();
    EXPECT_EQ(found.paths.size(), 1u);
    EXPECT_EQ(learn::read(learn::textOf(found), "file"), found);
}

}  // namespace
