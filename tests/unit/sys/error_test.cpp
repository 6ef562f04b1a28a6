// SPDX-License-Identifier: Apache-2.0
#include "sys/error.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace {

using namespace std::string_literals;

TEST(Printable, KeepsText)
{
    for (const char* text : {"", "plain", "a b/c\"'\\", "gr\xc3\xbc\xc3\x9f", "\xe2\x82\xac", "\xf0\x9f\x98\x80",
                             "\xc2\xa0", "\xed\x9f\xbf", "\xee\x80\x80", "\xf4\x8f\xbf\xbf"}) {
        EXPECT_EQ(sys::printable(text), text);
    }
}

TEST(Printable, EscapesTheRest)
{
    const std::pair<std::string, std::string> all[] = {
        {"a\nb\tc\rd", R"(a\x0ab\x09c\x0dd)"},
        {"\0x\x1b[31m\x7f"s, R"(\x00x\x1b[31m\x7f)"},
        {"\x80\xbf\xff\xfe", R"(\x80\xbf\xff\xfe)"},
        {"\xc2", R"(\xc2)"},
        {"\xc2x", R"(\xc2x)"},
        {"\xe2\x82", R"(\xe2\x82)"},
        {"\xf0\x9f\x98", R"(\xf0\x9f\x98)"},
        {"\xf5\x80\x80\x80", R"(\xf5\x80\x80\x80)"},
        // Too long a spelling, half of a surrogate pair, beyond the last character.
        {"\xc0\x80\xc1\xbf", R"(\xc0\x80\xc1\xbf)"},
        {"\xe0\x80\x80\xe0\x9f\xbf", R"(\xe0\x80\x80\xe0\x9f\xbf)"},
        {"\xed\xa0\x80", R"(\xed\xa0\x80)"},
        {"\xf0\x80\x80\x80\xf0\x8f\xbf\xbf", R"(\xf0\x80\x80\x80\xf0\x8f\xbf\xbf)"},
        {"\xf4\x90\x80\x80", R"(\xf4\x90\x80\x80)"},
        // Control characters that take two bytes: a terminal may obey them.
        {"\xc2\x80\xc2\x9b"
         "2J\xc2\x9f",
         R"(\xc2\x80\xc2\x9b2J\xc2\x9f)"},
        // Others by which a line is not what it looks like: the end of one, another direction, nothing at all, a tag.
        {"\xe2\x80\xa8\xe2\x80\xae\xe2\x80\x8b\xf3\xa0\x80\x81",
         R"(\xe2\x80\xa8\xe2\x80\xae\xe2\x80\x8b\xf3\xa0\x80\x81)"},
        {"\xe2\x81\xa6\xef\xbb\xbf\xd8\x9c\xc2\xad", R"(\xe2\x81\xa6\xef\xbb\xbf\xd8\x9c\xc2\xad)"},
    };
    for (const auto& [text, expected] : all) {
        EXPECT_EQ(sys::printable(text), expected);
    }
}

TEST(Printable, IsBoundedAndValidForAllBytes)
{
    EXPECT_EQ(sys::printable(std::string(10, 'a'), 10), std::string(10, 'a'));
    EXPECT_EQ(sys::printable(std::string(11, 'a'), 10), std::string(10, 'a') + "...");
    EXPECT_EQ(sys::printable("", 0), "");
    EXPECT_EQ(sys::printable("a", 0), "...");
    unsigned seed = 1;
    for (int round = 0; round < 2000; ++round) {
        std::string text;
        for (int i = 0; i < 40; ++i) {
            seed = seed * 1103515245 + 12345;
            text += static_cast<char>(seed >> 16);
        }
        const std::string shown = sys::printable(text, 100);
        EXPECT_LE(shown.size(), 100U + 3 + 3);
        EXPECT_NO_THROW(nlohmann::json(shown).dump());
    }
}

TEST(Errno, SaysWhatAndWhy)
{
    EXPECT_STREQ(sys::errnoError("/a", ENOENT).what(), "/a: No such file or directory");
    errno = EPERM;
    EXPECT_STREQ(sys::errnoError("/a").what(), "/a: Operation not permitted");
}

}  // namespace
