// SPDX-License-Identifier: Apache-2.0
#include "profile/problems.hpp"

#include <nlohmann/json.hpp>

#include "profile/path.hpp"
#include "support.hpp"

namespace {

TEST(Problems, Nearest)
{
    const std::vector<std::string_view> names = {"execute", "read_file", "read_dir", "remove_dir", "make_reg"};
    EXPECT_EQ(profile::nearest("exceute", names), "execute");
    EXPECT_EQ(profile::nearest("readdir", names), "read_dir");
    EXPECT_EQ(profile::nearest("Read-File", names), "read_file");
    EXPECT_EQ(profile::nearest("zebra", names), "");
    EXPECT_EQ(profile::nearest("", names), "");
    EXPECT_EQ(profile::nearest(std::string(100000, 'e'), names), "");
}

TEST(Problems, Pointer)
{
    EXPECT_EQ(profile::join("/a", "b/c~d"), "/a/b~1c~0d");
    EXPECT_EQ(profile::join("", std::size_t{7}), "/7");
}

// Programs use pointers to find the place again; what is made printable or cut leads nowhere.
TEST(Problems, PointersResolve)
{
    for (const std::string& name : {std::string("a\nb"), std::string(300, 'x'), std::string("~/\x1b~1")}) {
        nlohmann::json document = {{"ruleset", {{{"handledAccessFs", {"execute"}}, {name, 1}}}}};
        try {
            profile::load(document.dump(), "test", profile::Origin::inlined, 6);
            FAIL() << name;
        } catch (const profile::Invalid& error) {
            EXPECT_EQ(document.at(nlohmann::json::json_pointer(error.problems().at(0).pointer)), 1) << name;
            EXPECT_EQ(std::string(error.what()).find_first_of("\n\x1b"), std::string::npos);
            EXPECT_LT(std::string(error.what()).size(), 1000U);
        }
    }
}

TEST(Path, Lexical)
{
    const char* cases[][2] = {{"/", "/"}, {"/..", "/"}, {"/a/../b", "/b"},      {"/a/./b//c/..", "/a/b"},
                              {"", "/"},  {"a", "/a"},  {"/a/b/../../..", "/"}, {"/...", "/..."}};
    for (const auto& [path, expected] : cases) {
        EXPECT_EQ(profile::lexicalPath(path), expected) << path;
    }
    EXPECT_TRUE(profile::isBeneath("/a/b", "/a"));
    EXPECT_TRUE(profile::isBeneath("/a", "/a"));
    EXPECT_TRUE(profile::isBeneath("/a", "/"));
    EXPECT_FALSE(profile::isBeneath("/ab", "/a"));
    EXPECT_FALSE(profile::isBeneath("/a", "/a/b"));
}

TEST(Path, Normalised)
{
    const char* cases[][2] = {
        {"/", "/"},
        {"//", "/"},
        {"/.", "/"},
        {"/..", "/.."},
        {"", ""},
        {".", "."},
        {"./", "."},
        {"./a", "./a"},
        {"a/.", "a"},
        {"a//b/./c/", "a/b/c"},
        {"/a/../b", "/a/../b"},
        {"...", "..."},
        {"/.a/..b", "/.a/..b"},
        {"././a", "./a"},
        {"..", ".."},
    };
    for (const auto& [path, expected] : cases) {
        EXPECT_EQ(profile::normalisedPath(path), expected) << path;
        EXPECT_EQ(profile::normalisedPath(expected), expected);
    }
}

}  // namespace
