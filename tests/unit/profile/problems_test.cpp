// SPDX-License-Identifier: Apache-2.0
#include "profile/problems.hpp"

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

TEST(Path, Normalised)
{
    const char* cases[][2] = {
        {"/", "/"}, {"//", "/"}, {"/.", "/"}, {"/..", "/.."}, {"", ""}, {".", "."}, {"./", "."}, {"./a", "./a"}, {"a/.", "a"},
        {"a//b/./c/", "a/b/c"}, {"/a/../b", "/a/../b"}, {"...", "..."}, {"/.a/..b", "/.a/..b"}, {"././a", "./a"}, {"..", ".."},
    };
    for (const auto& [path, expected] : cases) {
        EXPECT_EQ(profile::normalisedPath(path), expected) << path;
        EXPECT_EQ(profile::normalisedPath(expected), expected);
    }
}

}  // namespace
