// SPDX-License-Identifier: Apache-2.0
#include "sys/toml.hpp"

#include <gtest/gtest.h>

#include "temporary.hpp"

namespace {

TEST(TomlTable, NamesStayAsTheyAre)
{
    EXPECT_EQ(
        sys::readTomlTable(
            "version = 2\n[plugins.\"io.x.v1\".a_B]\nSystemdCgroup = true\nlist = [\"x\", {append=true}]", "f"),
        nlohmann::json::parse(
            R"({"version":2,"plugins":{"io.x.v1":{"a_B":{"SystemdCgroup":true,"list":["x",{"append":true}]}}}})"));
    EXPECT_EQ(sys::readTomlTable("", "f"), nlohmann::json::object());
}

TEST(TomlTable, Refuses)
{
    const std::pair<std::string, const char*> all[] = {
        {"a = 1\nb = \n", "f:2: no valid TOML: "},
        {"a = 1\na = 2\n", "f:2: no valid TOML: "},
        {"a = " + std::string(100'000, '['), "f:1: no valid TOML: nested deeper than 64 levels"},
        {"a = \"\\u0000\"", "f:1: contains a NUL"},
        {"\"a\\u0000\" = 1", "contains a NUL"},
        {"a = 1979-05-27", "f:1: dates and times"},
        {"\xff = 1", "f:1: no valid TOML: "},
    };
    for (const auto& [text, message] : all) {
        support::expectError([&] { sys::readTomlTable(text, "f"); }, message, text);
    }
    std::string many = "a = [";
    for (int i = 0; i < 70'000; ++i) {
        many += "1,";
    }
    support::expectError([&] { sys::readTomlTable(many + "]", "f"); }, "too many values");
}

}  // namespace
