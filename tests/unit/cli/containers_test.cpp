// SPDX-License-Identifier: Apache-2.0
#include "cli/containers.hpp"

#include <gtest/gtest.h>

#include "temporary.hpp"

namespace {

cli::Known known(const std::string& id, const std::string& nameSpace = "", const std::string& pod = "",
                 const std::string& container = "")
{
    cli::Known known{.id = id, .report = {}, .about = nlohmann::json::object(), .standing = {}, .launched = {}};
    for (const auto& [key, name] :
         {std::pair{"namespace", nameSpace}, std::pair{"pod", pod}, std::pair{"container", container}}) {
        if (!name.empty()) {
            known.about["names"][key] = name;
        }
    }
    return known;
}

class Find : public testing::Test {
protected:
    std::string found(const std::string& wanted) { return cli::find(containers_, wanted).id; }

    std::vector<cli::Known> containers_{known("abc123", "default", "shop", "web"),
                                        known("abd456", "default", "shop", "db"), known("abc", "test", "shop", "web"),
                                        known("ffff", "", "", "lone")};
};

TEST_F(Find, ByIdByItsBeginningAndByName)
{
    EXPECT_EQ(found("abc123"), "abc123");
    EXPECT_EQ(found("abc1"), "abc123");
    EXPECT_EQ(found("abc"), "abc");  // in full, and the beginning of another
    EXPECT_EQ(found("abd"), "abd456");
    EXPECT_EQ(found("db"), "abd456");
    EXPECT_EQ(found("shop/db"), "abd456");
    EXPECT_EQ(found("default/shop/web"), "abc123");
    EXPECT_EQ(found("test/shop/web"), "abc");
    EXPECT_EQ(found("lone"), "ffff");
}

TEST_F(Find, SaysWhenThereIsNoneOrMore)
{
    for (const char* none : {"", "x", "bc", "we", "eb", "shop", "/web", "hop/web", "abc1234", "default/shop/web/"}) {
        support::expectError([&] { found(none); }, "no container \"" + std::string(none) + "\"", none);
    }
    support::expectError([&] { found("ab"); }, "\"ab\" can be any of 3 containers: abc123 (default/shop/web), abd456");
    support::expectError([&] { found("web"); }, "any of 2 containers");
    support::expectError([&] { found("shop/web"); }, "any of 2 containers");
    support::expectError([&] { found("\x1b[2J"); }, "no container \"\\x1b[2J\"");
    for (int i = 0; i < 20; ++i) {
        containers_.push_back(known("abx" + std::to_string(i)));
    }
    support::expectError([&] { found("abx"); }, ", and more;");
}

// What a container is called must not hide another one.
TEST_F(Find, AClaimedNameHidesNobody)
{
    containers_.push_back(known("evil1", "", "", "abd"));
    containers_.push_back(known("evil2", "", "", "abd456"));
    support::expectError([&] { found("abd"); }, "any of 2 containers");
    EXPECT_EQ(found("abd456"), "abd456");
    containers_.push_back(known("abd456"));  // two engines
    support::expectError([&] { found("abd456"); }, "any of 3 containers");
}

}  // namespace
