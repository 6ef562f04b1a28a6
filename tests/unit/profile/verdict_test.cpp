// SPDX-License-Identifier: Apache-2.0
#include "profile/verdict.hpp"

#include <gtest/gtest.h>

namespace {

constexpr profile::Object root{1, 1};
constexpr profile::Object directory{1, 2};
constexpr profile::Object file{1, 3};

TEST(Verdict, RightsOfFilesCollectOnTheWay)
{
    profile::Layer layer;
    layer.handledFs = 7;
    const std::vector<profile::PlacedRule> rules{{0, root, 1}, {1, file, 2}, {2, {2, 3}, 4}, {3, directory, 3}};
    const std::vector<profile::Object> way{file, directory, root};
    EXPECT_EQ(profile::fileVerdict(layer, 1, rules, way).rule, 3U);
    EXPECT_EQ(profile::fileVerdict(layer, 2, rules, way).rule, 1U);
    EXPECT_EQ(profile::fileVerdict(layer, 1, rules, {root}).rule, 0U);
    EXPECT_FALSE(profile::fileVerdict(layer, 2, rules, {root}).allowed());
    // The same inode of another file system is another file.
    EXPECT_FALSE(profile::fileVerdict(layer, 4, rules, way).allowed());
    EXPECT_TRUE(profile::fileVerdict(layer, 4, rules, way).handled);
    EXPECT_TRUE(profile::fileVerdict(layer, 8, rules, way).allowed());
    EXPECT_FALSE(profile::fileVerdict(layer, 8, rules, way).handled);
    EXPECT_FALSE(profile::fileVerdict(layer, 1, rules, {}).allowed());
}

TEST(Verdict, PortsAndScopes)
{
    profile::Layer layer;
    layer.handledNet = 3;
    layer.scoped = 1;
    layer.ports = {{80, 1, "/a", false}, {443, 2, "/b", false}, {80, 2, "/c", false}};
    EXPECT_EQ(profile::portVerdict(layer, 1, 80).rule, 0U);
    EXPECT_EQ(profile::portVerdict(layer, 2, 80).rule, 2U);
    EXPECT_FALSE(profile::portVerdict(layer, 1, 443).allowed());
    EXPECT_FALSE(profile::portVerdict(layer, 1, 0).allowed());
    EXPECT_TRUE(profile::portVerdict(layer, 4, 443).allowed());
    EXPECT_FALSE(profile::scopeVerdict(layer, 1).allowed());
    EXPECT_TRUE(profile::scopeVerdict(layer, 2).allowed());
}

}  // namespace
