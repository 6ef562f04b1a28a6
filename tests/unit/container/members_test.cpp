// SPDX-License-Identifier: Apache-2.0
// Directories like those of cgroups.
#include "container/members.hpp"

#include <fcntl.h>

#include "sys/fd.hpp"
#include "temporary.hpp"

namespace {

container::Members walk(const support::Temporary& base, bool allHaveNumbers = false)
{
    const sys::Fd directory(open(base.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    return container::membersOf(directory.get(), allHaveNumbers);
}

TEST(Members, AreInTheCgroupAndBeneath)
{
    const support::Temporary base;
    base.file("cgroup.procs", "3\n11\n");
    base.file("memory.max", "77\n");
    base.file("one/cgroup.procs", "");
    base.file("one/two/cgroup.procs", "4711\n3\n");
    base.link("self", base.path());
    const auto members = walk(base);
    EXPECT_EQ(members.pids, (std::set<pid_t>{3, 11, 4711}));
    EXPECT_EQ(members.cgroups.size(), 3U);
    EXPECT_EQ(members.incomplete, "");
}

TEST(Members, SayWhatTheyCannotSee)
{
    const support::Temporary base;
    base.file("cgroup.procs", "0\n5\n");
    EXPECT_EQ(walk(base).pids, (std::set<pid_t>{5}));
    EXPECT_NE(walk(base).incomplete.find("no number in this pid namespace"), std::string::npos);
    EXPECT_EQ(walk(base, true).pids, (std::set<pid_t>{5}));
    EXPECT_EQ(walk(base, true).incomplete, "") << "it was reaped meanwhile";
}

TEST(Members, HaveBounds)
{
    const support::Temporary deep;
    std::string path;
    for (int i = 0; i < 40; ++i) {
        path += "d/";
        deep.file(path + "cgroup.procs", std::to_string(100 + i) + "\n");
    }
    deep.file("cgroup.procs", "1\n");
    const auto members = walk(deep);
    EXPECT_TRUE(members.pids.contains(131));
    EXPECT_FALSE(members.pids.contains(139));
    EXPECT_NE(members.incomplete.find("too many cgroups, or too deep ones"), std::string::npos);

    const support::Temporary wide;
    std::string pids;
    for (int i = 1; i <= 40000; ++i) {
        pids += std::to_string(i) + "\n";
    }
    wide.file("cgroup.procs", pids);
    EXPECT_EQ(walk(wide).pids.size(), 32768U);
    EXPECT_NE(walk(wide).incomplete.find("more than 32768 processes"), std::string::npos);
}

}  // namespace
