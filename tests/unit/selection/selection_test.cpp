// SPDX-License-Identifier: Apache-2.0
#include "selection/selection.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace {

constexpr std::uint64_t host = 1;  // mount namespaces
constexpr std::uint64_t inside = 2;
constexpr std::uint64_t elsewhere = 3;

struct Program {
    std::string path;
    std::uint32_t entries = 1;
    unsigned long inode = 0;  // 0: not there when the container started
    long long size = 0;
};

class Selection : public testing::Test {
protected:
    Selection() { selection_reset(); }

    // With its init, task 0, which is still the runtime's.
    static oll_container& container(std::uint64_t generation = 7, const std::vector<__u64>& cgroups = {100, 101},
                                    int init = 0)
    {
        oll_container& entry = *selection_add(cgroups.back(), generation);
        entry.hook_mount_ns = host;
        entry.host_mount_ns = host;
        selection_mark_init(init, cgroups.back(), generation);
        put(init, host, cgroups);
        return entry;
    }
    // And that has done its first exec.
    static oll_container& running(std::uint64_t generation = 7)
    {
        oll_container& entry = container(generation);
        enter();
        EXPECT_EQ(exec(0, "/sbin/init"), 0);
        EXPECT_EQ(entry.started, 1U);
        return entry;
    }
    static void enter(int task = 0, std::uint64_t mountNamespace = inside,
                      const std::vector<__u64>& cgroups = {100, 101})
    {
        put(task, mountNamespace, cgroups);
    }
    static void put(int task, std::uint64_t mountNamespace, const std::vector<__u64>& cgroups)
    {
        selection_place(task, mountNamespace, cgroups.data(), static_cast<int>(cgroups.size()));
    }

    static void list(oll_container& entry, const std::vector<Program>& programs)
    {
        for (const Program& program : programs) {
            oll_program value{};
            value.generation = entry.generation;
            value.entries = program.entries;
            program.path.copy(value.path, sizeof value.path - 1);
            if (program.inode != 0) {
                const selection_file file{program.path.c_str(), nullptr, program.inode, program.size};
                value.has_file = 1;
                value.file = selection_identify(&file);
            }
            selection_list(entry.generation, entry.program_count++, &value);
        }
    }

    static int exec(int task, const char* path) { return exec(task, {{path, nullptr, 9999, 0}}); }
    static int exec(int task, const std::vector<selection_file>& files, const char* given = nullptr, bool fails = false)
    {
        selection_exec all{};
        all.given = given != nullptr ? given : files[0].path;
        all.count = static_cast<int>(files.size());
        all.fails = fails;
        std::ranges::copy(files, all.files);
        return selection_run(task, &all);
    }
    static std::uint32_t applied(std::uint64_t generation = 7) { return selection_applied(generation); }
};

TEST_F(Selection, TheEntrypointIsTheFirstExecOfTheInitInside)
{
    oll_container& entry = container();
    entry.selected_by[OLL_SELECT_ENTRYPOINT] = 1;
    EXPECT_EQ(exec(0, "/usr/bin/runc"), 0);
    EXPECT_EQ(applied(), 0U) << "the runtime, on its way in";
    enter();
    EXPECT_EQ(exec(0, {{"/sbin/init", nullptr, 1, 0}}, nullptr, true), -ENOEXEC);
    EXPECT_EQ(entry.started, 0U);
    EXPECT_EQ(exec(0, "/sbin/init"), 0);
    EXPECT_EQ(applied(), 1U);
    EXPECT_EQ(entry.started, 1U);
    EXPECT_EQ(exec(0, "/bin/sh"), 0);
    EXPECT_EQ(applied(), 0U) << "restricted already";
    ASSERT_EQ(selection_fork(0, 1), 0);
    EXPECT_EQ(exec(1, "/bin/sh"), 0);
    EXPECT_EQ(applied(), 0U) << "inherited";
    EXPECT_EQ(entry.applied, 1U);
}

// What is audited is selected, remembered, inherited, and never applied; what is enforced beside it, as ever.
TEST_F(Selection, WhatIsAuditedIsNotApplied)
{
    oll_container& entry = *selection_add(101, 7);
    entry.hook_mount_ns = entry.host_mount_ns = host;
    entry.audited = 1U | 4U;
    selection_mark_init(0, 101, 7);
    entry.selected_by[OLL_SELECT_ENTRYPOINT] = 3;
    entry.selected_by[OLL_SELECT_PROGRAM] = 4;
    entry.sessions = 5;
    list(entry, {{.path = "/bin/target", .entries = 4}});
    enter();
    EXPECT_EQ(exec(0, "/sbin/init"), 0);
    EXPECT_EQ(applied(), 2U);
    EXPECT_EQ(selection_member(0, 7).applied, 3U);
    EXPECT_EQ(entry.applied, 1U);
    ASSERT_EQ(selection_fork(0, 1), 0);
    EXPECT_EQ(exec(1, "/bin/target"), 0);
    EXPECT_EQ(applied(), 0U);
    EXPECT_EQ(selection_member(1, 7).applied, 7U);
    EXPECT_EQ(selection_member(1, 7).audited, 5U);
    EXPECT_EQ(entry.applied, 1U) << "an exec that got nothing is not counted";
    enter(2);
    EXPECT_EQ(exec(2, "/bin/sh"), 0);
    EXPECT_EQ(applied(), 0U);
    EXPECT_EQ(selection_member(2, 7).applied, 5U) << "a session";
}

// Where nothing is enforced nothing is denied, whatever cannot be told; where something is, as ever.
TEST_F(Selection, NothingIsDeniedForTheSakeOfAnAudit)
{
    for (const bool audited : {true, false}) {
        selection_reset();
        oll_container& entry = *selection_add(101, 7);
        entry.hook_mount_ns = entry.host_mount_ns = host;
        entry.audited = audited ? OLL_ALL_AUDITED : 0;
        selection_mark_init(0, 101, 7);
        entry.selected_by[OLL_SELECT_PROGRAM] = 1;
        enter();
        EXPECT_EQ(exec(0, "/sbin/init"), 0);
        entry.program_count = 1;  // which is not there
        EXPECT_EQ(exec(0, "/bin/target"), audited ? 0 : -EPERM);
        EXPECT_EQ(selection_member(0, 7).applied, audited ? 1U : 0U) << "in doubt it is one of them";
        selection_remove(101);
        enter(0, elsewhere, {100});
        EXPECT_EQ(exec(0, "/bin/target"), audited ? 0 : -EPERM) << "it has left its container, which is gone";
    }
}

TEST_F(Selection, AnAuditTakesNoNamespaceFromAnother)
{
    running();
    oll_container& other = *selection_add(201, 8);
    other.hook_mount_ns = other.host_mount_ns = host;
    other.selected_by[OLL_SELECT_ENTRYPOINT] = 1;
    for (const bool audited : {false, true}) {
        other.audited = audited ? OLL_ALL_AUDITED : 0;
        const int task = audited ? 3 : 2;
        selection_mark_init(task, 201, 8);
        enter(task, inside, {100, 201});
        EXPECT_EQ(exec(task, "/sbin/init"), audited ? 0 : -EPERM);
    }
    EXPECT_EQ(applied(8), 0U);
    enter(4);
    EXPECT_EQ(exec(4, "/bin/sh"), 0) << "the first one's sessions, as ever";
}

TEST_F(Selection, WhoComesFromOutsideIsASession)
{
    oll_container& entry = running();
    entry.sessions = 2;
    enter(1);
    EXPECT_EQ(exec(1, "/bin/sh"), 0);
    EXPECT_EQ(applied(), 2U);
    enter(2, inside, {100});
    EXPECT_EQ(exec(2, "/bin/sh"), 0);
    EXPECT_EQ(applied(), 2U) << "in its mount namespace alone";
    enter(3, host);
    EXPECT_EQ(exec(3, "/usr/bin/runc"), 0);
    EXPECT_EQ(applied(), 0U) << "the runtime, on its way in";
    enter(4, elsewhere, {100, 101, 102});
    EXPECT_EQ(exec(4, "/bin/sh"), 0);
    EXPECT_EQ(applied(), 2U) << "in a cgroup beneath its own";
    enter(5, elsewhere, {100, 200});
    EXPECT_EQ(exec(5, "/bin/sh"), 0);
    EXPECT_EQ(applied(), 0U) << "a neighbour";
}

// A runtime that has a mount namespace of its own, or that of another container, is outside in either.
TEST_F(Selection, TheRuntimeOnItsWayInIsOutside)
{
    oll_container& entry = running();
    entry.sessions = 2;
    constexpr std::uint64_t runtimes = 4;
    entry.hook_mount_ns = runtimes;
    for (const std::uint64_t outside : {host, runtimes}) {
        enter(1, outside);
        EXPECT_EQ(exec(1, "/usr/bin/runc"), 0);
        EXPECT_EQ(applied(), 0U) << outside;
    }
    oll_container& other = container(8, {100, 200}, 2);
    other.sessions = 1;
    enter(2, elsewhere, {100, 200});
    EXPECT_EQ(exec(2, "/sbin/init"), 0);
    ASSERT_EQ(selection_fork(0, 3), 0);
    enter(3, inside, {100, 200});
    EXPECT_EQ(exec(3, "/usr/bin/runc"), 0);
    EXPECT_EQ(applied(8), 0U) << "put into its cgroup, but not inside yet";
    enter(3, elsewhere, {100, 200});
    EXPECT_EQ(exec(3, "/bin/sh"), 0);
    EXPECT_EQ(applied(8), 1U);
}

// The hook refuses a container whose own cgroup lies deeper.
TEST_F(Selection, TheDeepestCgroupIsSeen)
{
    std::vector<__u64> cgroups;
    for (__u64 level = 1; level <= OLL_MAX_CGROUP_LEVEL; ++level) {
        cgroups.push_back(100 + level);
    }
    oll_container& entry = container(7, cgroups);
    entry.selected_by[OLL_SELECT_ENTRYPOINT] = 1;
    entry.sessions = 2;
    enter(0, inside, cgroups);
    EXPECT_EQ(exec(0, "/sbin/init"), 0);
    EXPECT_EQ(applied(), 1U);
    cgroups.insert(cgroups.end(), {200, 201});
    enter(1, elsewhere, cgroups);
    EXPECT_EQ(exec(1, "/bin/sh"), 0);
    EXPECT_EQ(applied(), 2U) << "a session in a cgroup beneath";
}

// Who comes from outside straight into a container whose cgroup lies beneath another's is a session of the inner one.
TEST_F(Selection, TheNearestCgroupCounts)
{
    running().sessions = 1;
    oll_container& inner = container(8, {100, 101, 102}, 1);
    inner.sessions = 2;
    enter(1, elsewhere, {100, 101, 102});
    EXPECT_EQ(exec(1, "/sbin/init"), 0);
    enter(2, elsewhere, {100, 101, 102});
    EXPECT_EQ(exec(2, "/bin/sh"), 0);
    EXPECT_EQ(applied(8), 2U);
    EXPECT_EQ(applied(7), 0U);
    ASSERT_EQ(selection_fork(0, 3), 0);
    enter(3, elsewhere, {100, 101, 102});
    EXPECT_EQ(exec(3, "/bin/sh"), 0);
    EXPECT_EQ(applied(8), 2U);
    EXPECT_NE(selection_member(3, 7).generation, 0U) << "it comes from the outer one, and stays its";
}

// What a task was in a container that is gone says nothing about the next one that it enters.
TEST_F(Selection, AnotherContainersPlaceIsTakenOverEmpty)
{
    oll_container& entry = running();
    entry.sessions = 1;
    entry.audited = OLL_ALL_AUDITED;
    enter(1);
    EXPECT_EQ(exec(1, "/bin/sh"), 0);
    EXPECT_EQ(selection_member(1, 7).applied, 1U);
    selection_remove(101);
    oll_container& next = *selection_add(102, 8);
    next.hook_mount_ns = next.host_mount_ns = host;
    next.sessions = 1;
    enter(1, elsewhere, {100, 102});
    EXPECT_EQ(exec(1, "/bin/sh"), 0);
    EXPECT_EQ(applied(8), 1U);
    EXPECT_EQ(selection_member(1, 8).audited, 0U);
}

TEST_F(Selection, WhatTheInitStartsBeforeItsExecIsAHook)
{
    oll_container& entry = container();
    entry.selected_by[OLL_SELECT_ENTRYPOINT] = 1;
    entry.sessions = 2;
    ASSERT_EQ(selection_fork(0, 1), 0);
    enter(1);
    EXPECT_EQ(exec(1, "/hook"), 0);
    EXPECT_EQ(applied(), 0U);
    enter();
    EXPECT_EQ(exec(0, "/sbin/init"), 0);
    EXPECT_EQ(applied(), 1U);
    EXPECT_EQ(exec(1, "/bin/sh"), 0);
    EXPECT_EQ(applied(), 2U) << "it outlived the start";
}

TEST_F(Selection, DescentCountsWhateverTheCgroup)
{
    oll_container& entry = running();
    entry.selected_by[OLL_SELECT_PROGRAM] = 1;
    list(entry, {{.path = "/bin/target"}});
    ASSERT_EQ(selection_fork(0, 1), 0);
    put(1, elsewhere, {});
    EXPECT_EQ(exec(1, "/bin/target"), 0);
    EXPECT_EQ(applied(), 1U);
    selection_remove(101);
    EXPECT_EQ(exec(0, "/bin/target"), -EPERM) << "its container is gone";
    EXPECT_EQ(exec(1, "/bin/sh"), -EPERM);
}

TEST_F(Selection, AGenerationThatIsNotItsOwnIsAnotherContainer)
{
    running();
    selection_remove(101);
    selection_add(101, 8)->hook_mount_ns = host;
    EXPECT_EQ(exec(0, "/bin/sh"), -EPERM);
}

TEST_F(Selection, ProgramsMatchByEachOfTheirNamesAndByTheFile)
{
    oll_container& entry = running();
    entry.selected_by[OLL_SELECT_PROGRAM] = 1;
    list(entry, {{.path = "/usr/bin/target", .inode = 50, .size = 10}});
    const auto selected = [&](const selection_file& file, const char* given = nullptr) {
        EXPECT_EQ(selection_fork(0, 1), 0);
        EXPECT_EQ(exec(1, {file}, given), 0);
        return applied() == 1;
    };
    EXPECT_TRUE(selected({"/usr/bin/target", nullptr, 50, 10}));
    EXPECT_TRUE(selected({"/usr/bin/target", nullptr, 51, 20})) << "another file of that name";
    EXPECT_TRUE(selected({"/tmp/link", nullptr, 50, 10})) << "a hard link";
    EXPECT_TRUE(selected({"/tmp/link", nullptr, 50, 11})) << "which was written to";
    EXPECT_TRUE(selected({"/root/usr/bin/target", "/usr/bin/target", 51, 0})) << "in a chroot";
    EXPECT_TRUE(selected({"/opt/real", nullptr, 51, 0}, "/usr/bin/target")) << "a link that appeared later";
    EXPECT_FALSE(selected({"/tmp/copy", nullptr, 51, 10})) << "a copy";
    EXPECT_FALSE(selected({"/usr/bin/target2", nullptr, 51, 10}));
    EXPECT_FALSE(selected({"/usr/bin/targe", nullptr, 51, 10}));
    EXPECT_FALSE(selected({"/usr/bin", nullptr, 51, 10}));
}

TEST_F(Selection, InterpretersCountAsProgramsDo)
{
    oll_container& entry = running();
    entry.selected_by[OLL_SELECT_PROGRAM] = 3;
    list(entry,
         {{.path = "/app/run", .entries = 1, .inode = 60}, {.path = "/usr/bin/python3", .entries = 2, .inode = 61}});
    const auto entries = [&](const std::vector<selection_file>& files) {
        EXPECT_EQ(selection_fork(0, 1), 0);
        EXPECT_EQ(exec(1, files), 0);
        return applied();
    };
    const selection_file script{"/app/run", nullptr, 60, 0};
    const selection_file python{"/usr/bin/python3", nullptr, 61, 0};
    const selection_file shell{"/bin/sh", nullptr, 62, 0};
    EXPECT_EQ(entries({script, python}), 3U);
    EXPECT_EQ(entries({script, shell}), 1U);
    EXPECT_EQ(entries({{"/app/other", nullptr, 63, 0}, python}), 2U);
    EXPECT_EQ(entries({{"/app/other", nullptr, 63, 0}, script, python}), 3U) << "a script of a script";
    EXPECT_EQ(entries({shell}), 0U);
}

TEST_F(Selection, WhatIsExceptedMustBeThatFileUnchangedUnderThatName)
{
    oll_container& entry = running();
    entry.selected_by[OLL_SELECT_EXCEPT] = 1;
    list(entry, {{.path = "/sbin/tini", .inode = 70, .size = 10}, {.path = "/app/run", .inode = 71, .size = 5}});
    const auto restricted = [&](const std::vector<selection_file>& files, const char* given = nullptr) {
        EXPECT_EQ(selection_fork(0, 1), 0);
        EXPECT_EQ(exec(1, files, given), 0);
        return applied() == 1;
    };
    const selection_file tini{"/sbin/tini", nullptr, 70, 10};
    const selection_file script{"/app/run", nullptr, 71, 5};
    EXPECT_FALSE(restricted({tini}));
    EXPECT_FALSE(restricted({tini}, "tini")) << "however it is called";
    EXPECT_FALSE(restricted({script, tini}));
    EXPECT_TRUE(restricted({{"/bin/sh", nullptr, 72, 0}}));
    EXPECT_TRUE(restricted({{"/sbin/tini", nullptr, 72, 10}})) << "replaced";
    EXPECT_TRUE(restricted({{"/sbin/tini", nullptr, 70, 11}})) << "written to";
    EXPECT_TRUE(restricted({{"/tmp/tini", nullptr, 70, 10}}, "/sbin/tini")) << "a link, and called by the name";
    EXPECT_TRUE(restricted({{"/root/sbin/tini", "/sbin/tini", 70, 10}})) << "in a chroot";
    EXPECT_TRUE(restricted({script, {"/bin/sh", nullptr, 72, 0}})) << "an interpreter that is not listed";
    EXPECT_TRUE(restricted({{"/tmp/script", nullptr, 73, 0}, tini})) << "a script that is not listed";
}

TEST_F(Selection, AProgramThatIsMissingFromTheMapDeniesAll)
{
    oll_container& entry = running();
    entry.selected_by[OLL_SELECT_PROGRAM] = 4;
    entry.selected_by[OLL_SELECT_EXCEPT] = 8;
    list(entry, {{.path = "/bin/target"}});
    ++entry.program_count;
    EXPECT_EQ(exec(0, "/bin/sh"), -EPERM);
    EXPECT_EQ(entry.denied.last.reason, static_cast<std::uint32_t>(OLL_REASON_PROGRAMS));
    EXPECT_EQ(entry.denied.last.entry, 2U) << "the first that it was denied for";
}

TEST_F(Selection, AFailedExecLeavesNothing)
{
    oll_container& entry = running();
    entry.selected_by[OLL_SELECT_PROGRAM] = 1;
    list(entry, {{.path = "/bin/target"}});
    for (int i = 0; i < 3; ++i) {
        EXPECT_EQ(exec(0, {{"/bin/target", nullptr, 1, 0}}, nullptr, true), -ENOEXEC);
        EXPECT_EQ(exec(0, "/bin/sh"), 0);
        EXPECT_EQ(applied(), 0U);
    }
    EXPECT_EQ(exec(0, "/bin/target"), 0);
    EXPECT_EQ(applied(), 1U);
    EXPECT_EQ(entry.applied, 1U);
}

TEST_F(Selection, ATaskIsInFourContainersAtMost)
{
    std::vector<__u64> cgroups{100};
    for (std::uint64_t level = 0; level < 5; ++level) {
        cgroups.push_back(101 + level);
        oll_container& entry = *selection_add(cgroups.back(), 10 + level);
        entry.hook_mount_ns = entry.host_mount_ns = host;
        entry.sessions = 1;
        enter(0, inside + level, cgroups);
        EXPECT_EQ(exec(0, "/bin/sh"), level < OLL_MAX_MEMBERSHIPS ? 0 : -EPERM) << level;
        EXPECT_EQ(applied(10 + level), level < OLL_MAX_MEMBERSHIPS ? 1U : 0U) << level;
        if (level == OLL_MAX_MEMBERSHIPS) {
            EXPECT_EQ(entry.denied.last.reason, static_cast<std::uint32_t>(OLL_REASON_MEMBERSHIPS));
            EXPECT_EQ(entry.denied.last.entry, static_cast<std::uint32_t>(OLL_NO_ENTRY));
        }
    }
    EXPECT_EQ(selection_fork(0, 1), 0);
    put(1, elsewhere, {});
    selection_remove(102);
    EXPECT_EQ(exec(1, "/bin/sh"), -EPERM) << "each of them decides";
}

TEST_F(Selection, TheMountNamespaceOfAnotherContainerIsNobodyElses)
{
    running();
    oll_container& second = container(8, {100, 200}, 1);
    enter(1, inside, {100, 200});
    EXPECT_EQ(exec(1, "/sbin/init"), -EPERM);
    EXPECT_EQ(second.denied.last.reason, static_cast<std::uint32_t>(OLL_REASON_NAMESPACE));
    EXPECT_EQ(second.denied.last.entry, static_cast<std::uint32_t>(OLL_NO_ENTRY));
}

TEST_F(Selection, NamesOfAnyLength)
{
    const auto found = [&](const std::string& path, const std::string& listed) {
        selection_reset();
        oll_container& entry = running();
        entry.selected_by[OLL_SELECT_PROGRAM] = 1;
        list(entry, {{.path = listed}});
        const selection_file file{path.c_str(), "(unreachable)", 1, 0};
        EXPECT_EQ(exec(0, {file}, "relative"), 0);
        return applied() == 1;
    };
    const auto path = [](std::size_t components, std::size_t each) {
        std::string all;
        for (std::size_t i = 0; i < components; ++i) {
            all += "/" + std::string(each, static_cast<char>('a' + i % 26));
        }
        return all;
    };
    EXPECT_TRUE(found(path(1, 255), path(1, 255)));
    EXPECT_FALSE(found(path(1, 255), path(1, 254)));
    EXPECT_TRUE(found(path(2, 254), path(2, 254)));                                // 510 bytes
    EXPECT_TRUE(found(path(1, 254) + path(1, 255), path(1, 254) + path(1, 255)));  // 511
    EXPECT_FALSE(found(path(2, 255), path(2, 255)));                               // 512 do not fit
    EXPECT_TRUE(found(path(95, 1), path(95, 1)));
    EXPECT_FALSE(found(path(97, 1), path(97, 1))) << "deeper than is looked";
}

TEST_F(Selection, NamesThatAreLeftFromOthersDoNotCount)
{
    oll_container& entry = running();
    entry.selected_by[OLL_SELECT_PROGRAM] = 1;
    entry.selected_by[OLL_SELECT_EXCEPT] = 2;
    list(entry, {{.path = "/sbin/target", .entries = 1}, {.path = "/sbin/tini", .entries = 2, .inode = 70}});
    std::string deep;  // than is looked
    for (int i = 0; i < 97; ++i) {
        deep += "/d";
    }
    const std::string tooLong(OLL_PATH_SIZE, 's');
    const auto entries = [&](const selection_file& file, const char* given = nullptr) {
        EXPECT_EQ(selection_fork(0, 1), 0);
        EXPECT_EQ(exec(1, {file}, given), 0);
        EXPECT_TRUE(selection_room_is_left(0));
        return applied();
    };
    EXPECT_EQ(entries({"/sbin/target", nullptr, 60, 0}), 3U);
    EXPECT_EQ(entries({deep.c_str(), tooLong.c_str(), 61, 0}, "x"), 2U);
    EXPECT_EQ(entries({"/sbin/tini", nullptr, 70, 0}), 0U);
    EXPECT_EQ(entries({deep.c_str(), tooLong.c_str(), 70, 0}, "x"), 2U) << "that file, and no name";
    EXPECT_EQ(entries({"/sbin/tini-static", nullptr, 71, 0}), 2U);
    EXPECT_EQ(entries({"/sbin/tin", nullptr, 70, 0}), 2U);
    EXPECT_EQ(entries({"/sbin/target\x80", nullptr, 60, 0}), 2U);
}

TEST_F(Selection, RoomThatIsInUseStaysAsItIs)
{
    oll_container& entry = running();
    entry.selected_by[OLL_SELECT_PROGRAM] = 1;
    list(entry, {{.path = "/sbin/target"}});
    selection_interrupt(1);
    for (const bool target : {true, false}) {
        ASSERT_EQ(selection_fork(0, 1), 0);
        EXPECT_EQ(exec(1, target ? "/sbin/target" : "/bin/sh"), 0);
        EXPECT_EQ(applied(), target ? 1U : 0U);
        EXPECT_TRUE(selection_room_is_left(1));
    }
}

// Thousands of them against what the documents say, in a few words.
TEST_F(Selection, AnyEntriesAndAnyExecs)
{
    std::mt19937 random(20);
    const auto any = [&](std::uint32_t limit) { return static_cast<std::uint32_t>(random() % limit); };
    for (int round = 0; round < 2000; ++round) {
        selection_reset();
        oll_container& entry = container();
        for (std::uint32_t bit = 1; bit < 16; bit <<= 1) {
            entry.selected_by[any(OLL_SELECT_COUNT)] |= bit;
        }
        entry.sessions = any(16);
        // Files 1 to 6 at start; each is listed by some entries.
        std::vector<std::uint32_t> listedBy(7);
        for (unsigned file = 1; file <= 6; ++file) {
            listedBy[file] = any(16);
            if (listedBy[file] != 0) {
                list(entry, {{.path = "/bin/" + std::to_string(file), .entries = listedBy[file], .inode = file}});
            }
        }
        enter();
        const bool session = any(2) == 1;
        if (session) {
            ASSERT_EQ(exec(0, "/sbin/init"), 0);
            enter(1);
        }
        const int task = session ? 1 : 0;
        std::uint32_t inForce = 0;
        for (int step = 0; step < 5; ++step) {
            std::vector<std::string> names;
            std::vector<selection_file> files;
            std::uint32_t named = 0;
            std::uint32_t surely = 15;
            const unsigned count = 1 + any(3);
            names.reserve(count);
            for (unsigned i = 0; i < count; ++i) {
                const unsigned name = any(7);
                const unsigned inode = any(2) == 0 ? name : any(7);
                names.push_back("/bin/" + std::to_string(name));
                files.push_back({names.back().c_str(), nullptr, inode == 0 ? 100UL : inode, 0});
                named |= listedBy[name] | listedBy[inode];
                surely &= name == inode ? listedBy[name] : 0;
            }
            const bool first = step == 0;
            std::uint32_t expected = 0;
            if (session) {
                expected = first ? entry.sessions : 0;
            } else {
                expected = (first ? entry.selected_by[OLL_SELECT_ENTRYPOINT] : 0) |
                           (entry.selected_by[OLL_SELECT_PROGRAM] & named) |
                           (entry.selected_by[OLL_SELECT_EXCEPT] & ~surely);
            }
            const bool fails = !first && any(4) == 0;
            const int interrupted = static_cast<int>(any(2));
            selection_interrupt(interrupted);
            ASSERT_EQ(exec(task, files, nullptr, fails), fails ? -ENOEXEC : 0);
            ASSERT_TRUE(selection_room_is_left(interrupted));
            if (fails) {
                continue;
            }
            ASSERT_EQ(applied(), expected & ~inForce) << "round " << round << ", step " << step;
            inForce |= expected;
        }
    }
}

}  // namespace
