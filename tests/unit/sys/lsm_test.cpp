// SPDX-License-Identifier: Apache-2.0
#include "sys/lsm.hpp"

#include <gtest/gtest.h>

namespace {

TEST(SecurityModules, AreWholeWordsOfAList)
{
    for (const char* list : {"bpf", "bpf,landlock", "landlock,bpf", "landlock,bpf,yama"}) {
        EXPECT_TRUE(sys::lists(list, "bpf")) << list;
    }
    for (const char* list : {"", ",", "ebpf", "bpfx,landlock", "landlock,xbpf"}) {
        EXPECT_FALSE(sys::lists(list, "bpf")) << list;
    }
}

TEST(SecurityModules, ToBootWith)
{
    const std::pair<const char*, const char*> all[] = {
        {"landlock,yama,bpf", "landlock,yama,bpf"},
        {"lockdown,landlock,bpf,ima", "lockdown,landlock,bpf,ima"},
        {"lockdown,capability,landlock,yama,apparmor", "lockdown,capability,landlock,yama,apparmor,bpf"},
        {"capability,bpf", "landlock,capability,bpf"},
        {"yama,bpf,landlock,ima", "yama,bpf,landlock,ima"},
        {"yama", "landlock,yama,bpf"},
        {"", "landlock,bpf"},
    };
    for (const auto& [active, wanted] : all) {
        EXPECT_EQ(sys::listToBootWith(active), wanted);
    }
}

// Whoever tells it, a kernel with Landlock lists it.
TEST(SecurityModules, AreThoseOfTheKernel)
{
    const std::string modules = sys::securityModules();
    if (modules.empty()) {
        GTEST_SKIP() << "skipped the list of security modules: no securityfs, and a kernel before 6.8";
    }
    EXPECT_TRUE(sys::lists(modules, "capability")) << modules;
}

}  // namespace
