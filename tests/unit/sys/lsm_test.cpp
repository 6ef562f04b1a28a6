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
