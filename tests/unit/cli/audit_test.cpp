// SPDX-License-Identifier: Apache-2.0
#include "cli/audit.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "sys/error.hpp"
#include "temporary.hpp"

namespace {

using nlohmann::json;

constexpr std::uint64_t accessWrite = 1 << 1;
constexpr std::uint64_t accessRead = 1 << 2;
constexpr std::uint64_t accessMakeReg = 1 << 8;
constexpr std::uint64_t accessIoctl = 1 << 15;

// The first entry is enforced, the second and third are audited.
json recordedPolicy()
{
    return json::parse(R"({"abi": 6, "entries": [
        {"name": "wall", "mode": "enforce", "layers": [{"handledAccessFs": ["read_file"]}]},
        {"name": "look", "mode": "audit", "layers": [
            {"handledAccessFs": ["read_file", "write_file", "make_reg", "ioctl_dev"], "handledAccessNet": ["bind_tcp"],
             "scoped": ["signal"],
             "pathBeneath": [{"path": "/data", "leads": "/srv/data", "allowedAccess": ["read_file", "make_reg"]},
                             {"path": "/gone", "leads": "", "allowedAccess": ["write_file"]}],
             "netPort": [{"port": 80, "allowedAccess": ["bind_tcp"]}]},
            {"handledAccessFs": [65536]}]},
        {"name": "more", "mode": "audit", "layers": [{"handledAccessFs": ["write_file"]}]}]})");
}

oll_seen useOf(std::uint32_t about, std::uint64_t rights, const char* path = "")
{
    oll_seen used{};
    used.kind = OLL_SEEN_USED;
    used.entries = 2;
    used.about = about;
    used.rights = rights;
    used.domain = 1;
    std::strcpy(used.path, path);
    return used;
}

TEST(Audit, TellsWhatEachEntryWouldDeny)
{
    cli::Audit audit(recordedPolicy().dump());
    EXPECT_TRUE(audit.judge(useOf(OLL_ABOUT_FS, accessRead, "/srv/data/x")).empty()) << "where the link leads";
    const auto denied = audit.judge(useOf(OLL_ABOUT_FS, accessRead | accessWrite, "/srv/data/x"));
    ASSERT_EQ(denied.size(), 1U);
    EXPECT_EQ(denied[0].kind, static_cast<std::uint32_t>(OLL_SEEN_WOULD_DENY));
    EXPECT_EQ(denied[0].entries, 2U);
    EXPECT_EQ(denied[0].rights, accessWrite);
    EXPECT_EQ(denied[0].exact, 1U);
    EXPECT_EQ(denied[0].domain, 0U);
    EXPECT_EQ(audit.judge(useOf(OLL_ABOUT_FS, accessRead, "/data/x")).size(), 1U) << "the link's own name";
    EXPECT_EQ(audit.judge(useOf(OLL_ABOUT_FS, 65536, "/srv/data/x")).size(), 1U) << "a right without a name";
    oll_seen both = useOf(OLL_ABOUT_FS, accessWrite, "/etc/x");
    both.entries = 7;
    EXPECT_EQ(audit.judge(both).size(), 2U);
    both.entries = 1;
    EXPECT_TRUE(audit.judge(both).empty()) << "the enforced one is the kernel's affair";
}

TEST(Audit, IsAboutTheDirectoryInWhichSomethingIsMade)
{
    cli::Audit audit(recordedPolicy().dump());
    EXPECT_TRUE(audit.judge(useOf(OLL_ABOUT_MADE, accessMakeReg, "/srv/data/new")).empty());
    const auto denied = audit.judge(useOf(OLL_ABOUT_MADE, accessMakeReg, "/etc/new"));
    ASSERT_EQ(denied.size(), 1U);
    EXPECT_STREQ(denied[0].path, "/etc");
    EXPECT_EQ(denied[0].about, static_cast<std::uint32_t>(OLL_ABOUT_FS));
    EXPECT_STREQ(audit.judge(useOf(OLL_ABOUT_MADE, accessMakeReg, "/new")).at(0).path, "/");
}

TEST(Audit, JudgesOpenFilesOnceSomebodyHasOpenedThem)
{
    cli::Audit audit(recordedPolicy().dump());
    EXPECT_TRUE(audit.judge(useOf(OLL_ABOUT_OPENED, accessIoctl, "/dev/pts/0")).empty()) << "it came with it";
    const auto later = audit.judge(useOf(OLL_ABOUT_FS, accessRead, "/dev/pts/0"));
    ASSERT_EQ(later.size(), 2U);
    EXPECT_EQ(later[1].rights, accessIoctl);
    EXPECT_EQ(audit.judge(useOf(OLL_ABOUT_OPENED, accessIoctl, "/dev/pts/0")).size(), 1U);
    // Ever more of them: at some point each counts as opened.
    std::size_t told = 0;
    for (int i = 0; i < 1000; ++i) {
        told += audit.judge(useOf(OLL_ABOUT_OPENED, accessIoctl, ("/dev/" + std::to_string(i)).c_str())).size();
    }
    EXPECT_GT(told, 700U);
}

TEST(Audit, PortsAndScopes)
{
    cli::Audit audit(recordedPolicy().dump());
    oll_seen bind = useOf(OLL_ABOUT_NET, 1);
    bind.port = 80;
    EXPECT_TRUE(audit.judge(bind).empty());
    bind.port = 81;
    EXPECT_EQ(audit.judge(bind).size(), 1U);
    oll_seen signal = useOf(OLL_ABOUT_SCOPE, 2);
    EXPECT_EQ(audit.judge(signal).at(0).exact, 0U);
    EXPECT_TRUE(audit.judge(useOf(OLL_ABOUT_SCOPE, 1)).empty()) << "not handled";
    signal.domain = 0;
    support::expectError([&] { audit.judge(signal); }, "began before this");
}

// What cannot be judged is not taken for allowed.
TEST(Audit, SaysWhatItCannotTell)
{
    cli::Audit audit(recordedPolicy().dump());
    for (const char* path : {"", "relative"}) {
        support::expectError([&] { audit.judge(useOf(OLL_ABOUT_FS, accessRead, path)); }, "no path");
    }
    for (const char* field : {"pathBeneathLeftOut", "netPortLeftOut"}) {
        json cut = recordedPolicy();
        cut["entries"][1]["layers"][0][field] = 3;
        support::expectError([&] { cli::Audit(cut.dump()); }, "too large");
    }
    json strange = recordedPolicy();
    strange["entries"][1]["layers"][0]["pathBeneath"][0].erase("leads");
    support::expectError([&] { cli::Audit(strange.dump()); }, "makes no sense");
    strange = recordedPolicy();
    strange["entries"][1]["layers"][0]["handledAccessFs"] = {"no_such_right"};
    EXPECT_THROW(cli::Audit(strange.dump()), sys::Error);
    for (const char* text : {"", "{}", "[]", "{\"entries\": 1}"}) {
        EXPECT_THROW(cli::Audit{text}, sys::Error) << text;
    }
}

}  // namespace
