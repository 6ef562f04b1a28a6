// SPDX-License-Identifier: Apache-2.0
// A profile excepts programs only if those that it restricts cannot change them.
#include "profile/except.hpp"

#include "support.hpp"

namespace {

std::string excepting(const std::string& program, const std::string& policy)
{
    return R"({"entries":[{"select":{"except":[")" + program + R"("]},"policy":)" + policy + "}]}";
}

std::string handling(const std::string& rights, const std::string& access = "", const std::string& path = "")
{
    std::string out = R"({"abi":6,"ruleset":[{"handledAccessFs":[)" + rights + "]}]";
    if (!path.empty()) {
        out += R"(,"pathBeneath":[{"allowedAccess":[)" + access + R"(],"parent":[")" + path + "\"]}]";
    }
    return out + "}";
}

const std::string all = "\"abi.all\"";

TEST(Except, StrictPoliciesAreGood)
{
    const std::string policies[] = {
        handling(all),
        handling(all, "\"abi.read_execute\"", "/"),
        handling(all, "\"abi.read_write\"", "/tmp"),
        handling(all, "\"abi.read_write\"", "/sbin/tinier"),
        handling(all, "\"abi.read_write\"", "/sbin/tini/x"),
        handling(all, "\"abi.read_write\"", "tmp"),
        handling(all, "\"ioctl_dev\", \"refer\"", "/sbin/tini"),
        // Each right is denied by one layer at least.
        "[" + handling("\"write_file\", \"truncate\"") + "," +
            handling(
                R"("remove_dir","remove_file","make_char","make_dir","make_reg","make_sock","make_fifo","make_block","make_sym")") +
            "]",
        "[" + handling(all, all, "/") + "," + handling(all) + "]",
    };
    for (const std::string& policy : policies) {
        EXPECT_EQ(support::load(excepting("/sbin/tini", policy), 6).entries.size(), 1U) << policy;
    }
    // What ABI 1 lacks is no fault of the policy; it has no right to cut a file short.
    EXPECT_EQ(support::load(excepting("/sbin/tini", handling(all)), 1).entries.size(), 1U);
    // One that was written before there was the right to cut a file short is good as long as the kernel has none.
    const std::string old = excepting("/sbin/tini", R"({"abi":2,"ruleset":[{"handledAccessFs":["abi.all"]}]})");
    EXPECT_EQ(support::load(old, 2).entries.size(), 1U);
    support::expectRejected({old, "/entries/0/select", "no layer denies truncate"}, 3);
}

TEST(Except, OpenOnesAreRefused)
{
    const char* const none = "no layer denies";
    const std::pair<std::string, const char*> policies[] = {
        {R"({"abi":6,"ruleset":[{"scoped":["abi.all"],"handledAccessNet":["connect_tcp"]}]})", none},
        {handling("\"execute\""), none},
        {handling(R"("write_file")"), none},
        {R"({"abi":2,"ruleset":[{"handledAccessFs":["abi.all"]}]})", "no layer denies truncate"},
        {handling(all, "\"write_file\"", "/sbin/tini"), "allows write_file on /sbin/tini"},
        {handling(all, "\"write_file\"", "/"), "allows write_file on /;"},
        {handling(all, "\"truncate\"", "/sbin"), "allows truncate on /sbin;"},
        {handling(all, "\"remove_file\"", "/sbin"), "allows remove_file on /sbin;"},
        {handling(all, "\"make_sym\"", "/"), "allows make_sym on /;"},
        {handling(all, "\"abi.read_write\"", "/tmp/../sbin"), "on /sbin;"},
        {handling(all, "\"abi.read_write\"", "."), "on /;"},
        {handling(all, "\"make_reg\"", "/etc"),
         "/etc/ld.so.preload is open to them, because /entries/0/policy/pathBeneath/0"},
        {"[" + handling(all, all, "/") + "," + handling(R"("write_file")") + "]", "allows remove_dir, remove_file"},
    };
    for (const auto& [policy, message] : policies) {
        support::expectRejected({excepting("/sbin/tini", policy), "/entries/0/select", message}, 6);
    }
}

TEST(Except, TreesAreGuardedBeneathToo)
{
    const auto error = [](const char* path, bool tree) {
        return profile::exceptError({{~std::uint64_t{0}, {{path, ~std::uint64_t{0}, "/x"}}}}, {{"/usr/lib", tree}}, 6);
    };
    EXPECT_EQ(error("/usr/lib/python/cache", false), "");
    EXPECT_NE(error("/usr/lib/python/cache", true), "");
    EXPECT_NE(error("/usr", true), "");
    EXPECT_EQ(error("/usr/libx", true), "");
}

}  // namespace
