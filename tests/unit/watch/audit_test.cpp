// SPDX-License-Identifier: Apache-2.0
#include "watch/audit.hpp"

#include <gtest/gtest.h>

#include <linux/audit.h>

namespace {

using watch::AuditJoin;
using watch::Owner;

constexpr std::uint16_t access = 1423;
constexpr std::uint16_t domain = 1424;
constexpr std::uint64_t second = 1'000'000'000;
constexpr std::uint64_t readFileRight = 1 << 2;

std::string record(unsigned serial, const std::string& text)
{
    return "audit(1700000000.123:" + std::to_string(serial) + "): " + text;
}

std::optional<oll_seen> denied(const std::string& text)
{
    const auto parsed = watch::parseAudit(record(1, text));
    return parsed ? watch::deniedOf(*parsed) : std::nullopt;
}

TEST(Audit, DenialsOfEachKind)
{
    const auto file =
        denied(R"(domain=1123fea84 blockers=fs.read_file,fs.execute path="/etc/shadow" dev="vda" ino=941)");
    ASSERT_TRUE(file);
    EXPECT_EQ(file->domain, 0x1123fea84U);
    EXPECT_EQ(file->about, std::uint32_t{OLL_ABOUT_FS});
    EXPECT_EQ(file->rights, readFileRight | 1);
    EXPECT_STREQ(file->path, "/etc/shadow");
    EXPECT_EQ(file->exact, 1U);

    const auto bound = denied("domain=1 blockers=net.bind_tcp saddr=127.0.0.1 src=8181");
    ASSERT_TRUE(bound);
    EXPECT_EQ(bound->about, std::uint32_t{OLL_ABOUT_NET});
    EXPECT_EQ(bound->port, 8181U);
    EXPECT_EQ(denied("domain=1 blockers=net.connect_tcp daddr=::1 dest=443")->port, 443U);
    EXPECT_EQ(denied(R"(domain=1 blockers=scope.signal opid=7 ocomm="x")")->about, std::uint32_t{OLL_ABOUT_SCOPE});
    EXPECT_EQ(denied(R"(domain=1 blockers=ptrace opid=7 ocomm="x")")->about, std::uint32_t{OLL_ABOUT_PTRACE});
    EXPECT_EQ(denied(R"(domain=1 blockers=fs.change_topology name="/" dev="vda" ino=2)")->about,
              std::uint32_t{OLL_ABOUT_TOPOLOGY});
}

TEST(Audit, NamesOfOthersAreNoFields)
{
    // What has a quote, a space or a control character comes as hex: this is `/x" domain=2`.
    const auto hex = denied("domain=1 blockers=fs.read_file path=2F78222064 dev=\"vda\" ino=1");
    ASSERT_TRUE(hex);
    EXPECT_STREQ(hex->path, "/x\" d");
    const auto quoted = denied(R"(domain=1 blockers=fs.read_file path="/x=y domain=2" ino=1)");
    ASSERT_TRUE(quoted);
    EXPECT_EQ(quoted->domain, 1U);
    EXPECT_STREQ(quoted->path, "/x=y domain=2");
    // Half a path is none.
    const auto longest = denied("domain=1 blockers=fs.read_file path=\"/" + std::string(OLL_PATH_SIZE, 'x') + "\"");
    ASSERT_TRUE(longest);
    EXPECT_STREQ(longest->path, "");
}

TEST(Audit, WhatIsNotUnderstoodIsNoDenial)
{
    for (const char* text : {"", "domain=1", "domain=z blockers=fs.read_file", "domain=1 blockers=fs.unheard_of",
                             "domain=1 blockers=", "domain=1 blockers=fs.read_file path=\"/half"}) {
        EXPECT_FALSE(denied(text)) << text;
    }
    for (const char* text : {"", "audit", "audit(1:2", "audit(1.2): x=1", "audit(1.2:z): x=1", ")audit(1:2"}) {
        EXPECT_FALSE(watch::parseAudit(text)) << text;
    }
}

class AuditJoined : public testing::Test {
protected:
    std::vector<oll_seen> told;
    std::map<pid_t, Owner> living;
    AuditJoin join{{.ownerOf = [this](pid_t pid) -> std::optional<Owner> {
                        const auto found = living.find(pid);
                        return found == living.end() ? std::nullopt : std::optional(found->second);
                    },
                    .denied = [this](const oll_seen& event) { told.push_back(event); }}};

    void deny(unsigned serial, const std::string& id)
    {
        join.take(access, record(serial, "domain=" + id + " blockers=fs.read_file path=\"/x\""), second);
    }
    void allocate(unsigned serial, const std::string& id, pid_t pid)
    {
        join.take(domain,
                  record(serial, "domain=" + id + " status=allocated mode=enforcing pid=" + std::to_string(pid) +
                                     " uid=0 exe=\"/bin/x\" comm=\"x\""),
                  second);
    }
    void settle() { join.settle(2 * second); }
};

TEST_F(AuditJoined, ByWhoMadeTheDomain)
{
    join.applied(70, {7, 2});
    deny(1, "a");
    allocate(1, "a", 70);
    EXPECT_TRUE(told.empty());
    settle();
    ASSERT_EQ(told.size(), 1U);
    EXPECT_EQ(told[0].cgroup_id, 7U);
    EXPECT_EQ(told[0].entries, 2U);
    EXPECT_EQ(told[0].tgid, 0U);
    // It is said once for each domain.
    deny(2, "a");
    settle();
    EXPECT_EQ(told.size(), 2U);
    EXPECT_EQ(join.nobodys(), 0U);
}

TEST_F(AuditJoined, TheRecordOfTheCallSaysWhoDidIt)
{
    join.applied(70, {7, 1});
    allocate(1, "a", 70);
    deny(2, "a");
    join.take(AUDIT_SYSCALL, record(3, R"(pid=99 comm="other" exe="/bin/other")"), second);
    join.take(AUDIT_SYSCALL, record(2, R"(pid=71 comm="cat" exe="/bin/cat")"), second);
    join.settle(second);
    ASSERT_EQ(told.size(), 1U);
    EXPECT_EQ(told[0].tgid, 71U);
    EXPECT_STREQ(told[0].comm, "cat");
    EXPECT_STREQ(told[0].program, "/bin/cat");
}

TEST_F(AuditJoined, NobodysIsCounted)
{
    deny(1, "a");
    settle();
    EXPECT_EQ(join.nobodys(), 1U);
    // One that has gone, and that we have not applied anything to.
    allocate(2, "b", 70);
    deny(2, "b");
    settle();
    EXPECT_EQ(join.nobodys(), 2U);
    EXPECT_TRUE(told.empty());
}

TEST_F(AuditJoined, OthersAreNot)
{
    living[50] = {0, 0};
    allocate(1, "a", 50);
    deny(1, "a");
    settle();
    EXPECT_TRUE(told.empty());
    EXPECT_EQ(join.nobodys(), 0U);
}

TEST_F(AuditJoined, ByWhoWasDenied)
{
    living[71] = {7, 1};
    deny(1, "a");
    join.take(AUDIT_SYSCALL, record(1, R"(pid=71 comm="cat" exe="/bin/cat")"), second);
    join.settle(second);
    ASSERT_EQ(told.size(), 1U);
    EXPECT_EQ(told[0].cgroup_id, 7U);
}

TEST_F(AuditJoined, ANumberOfTwoIsNobodys)
{
    join.applied(70, {7, 1});
    join.applied(70, {8, 1});
    allocate(1, "a", 70);
    deny(1, "a");
    settle();
    EXPECT_TRUE(told.empty());
    EXPECT_EQ(join.nobodys(), 1U);
    // With the container goes what was known of it.
    join.keepOnly({8});
    join.applied(70, {8, 1});
    allocate(2, "b", 70);
    deny(2, "b");
    settle();
    ASSERT_EQ(told.size(), 1U);
    EXPECT_EQ(told[0].cgroup_id, 8U);
}

TEST_F(AuditJoined, OneContainerTakesNoRoomFromAnother)
{
    join.applied(1, {7, 1});
    allocate(1, "a", 1);
    for (pid_t pid = 2; pid < 20'000; ++pid) {
        join.applied(pid, {8, 1});
        allocate(static_cast<unsigned>(pid), "b" + std::to_string(pid), pid);
    }
    deny(1, "a");
    deny(2, "b2");
    settle();
    ASSERT_EQ(told.size(), 1U);
    EXPECT_EQ(told[0].cgroup_id, 7U);
    EXPECT_EQ(join.nobodys(), 1U);
}

TEST_F(AuditJoined, StrangeOnesAreCounted)
{
    join.take(access, "audit(", second);
    join.take(access, record(1, "domain=a blockers=fs.unheard_of"), second);
    join.take(1300, "audit(", second);
    join.take(1400, "audit(", second);
    EXPECT_EQ(join.strange(), 2U);
}

}  // namespace
