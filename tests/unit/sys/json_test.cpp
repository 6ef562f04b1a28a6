// SPDX-License-Identifier: Apache-2.0
#include "sys/json.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "temporary.hpp"

namespace {

using ProblemKind = sys::JsonProblem::Kind;

std::vector<sys::JsonProblem> problemsOf(const std::string& text, std::size_t maxDepth = 8, std::size_t maxValues = 100)
{
    std::vector<sys::JsonProblem> problems;
    sys::readJson(text,
                  {.maxDepth = maxDepth, .maxValues = maxValues, .wanted = {}, .report = [&](const auto& problem) {
                       problems.push_back(problem);
                   }});
    return problems;
}

TEST(Json, SaysWhatIsWrongAndWhere)
{
    struct Case {
        const char* text;
        ProblemKind kind;
        std::vector<std::string> place;
        const char* about;
    };
    const std::vector<Case> cases{
        {R"({"a":[1,{"b":1,"b":2}]})", ProblemKind::twice, {"a", "1", "b"}, "b"},
        {R"({"a":["x\u0000"]})", ProblemKind::nulInString, {"a", "0"}, "x"},
        {R"({"a":{"b\u0000":1}})", ProblemKind::nulInName, {"a", std::string("b\0", 2)}, "b"},
        {R"([[[[[[[[[]]]]]]]]])", ProblemKind::tooDeep, {"0", "0", "0", "0", "0", "0", "0", "0"}, ""},
    };
    for (const Case& one : cases) {
        const auto problems = problemsOf(one.text);
        ASSERT_FALSE(problems.empty()) << one.text;
        EXPECT_EQ(problems[0].kind, one.kind) << one.text;
        EXPECT_EQ(problems[0].text.substr(0, 1), one.about) << one.text;
        EXPECT_EQ(problems[0].place, one.place) << one.text;
    }
    EXPECT_EQ(problemsOf("[1,2,3]", 8, 3).at(0).kind, ProblemKind::tooMany);
    EXPECT_TRUE(problemsOf("[1,2,3]", 8, 4).empty());
    EXPECT_TRUE(problemsOf("[[[[[[[[1]]]]]]]]").empty());
    EXPECT_EQ(problemsOf(R"({"a":1,"a":2,"a":3})").size(), 2U) << "reading goes on";
}

TEST(Json, SyntaxIsOneProblemWithItsByte)
{
    for (const auto& [text, byte] : {std::pair{"", 1U}, std::pair{"{\"a\":}", 6U}, std::pair{"[1,2] x", 7U},
                                     std::pair{"[\"\xff\"]", 3U}, std::pair{"[1e999]", 6U}}) {
        const auto problems = problemsOf(text);
        ASSERT_EQ(problems.size(), 1U) << text;
        EXPECT_EQ(problems[0].kind, ProblemKind::syntax) << text;
        EXPECT_EQ(problems[0].byte, byte) << text;
        EXPECT_NE(problems[0].text, "") << text;
    }
}

TEST(Json, KeepsWhatIsWanted)
{
    const auto wanted = [](std::size_t depth, std::string_view name) { return depth == 1 ? name != "x" : name == "y"; };
    EXPECT_EQ(sys::readJsonObject(R"({"x":{"y":1},"a":{"y":[{"y":1,"z":2}],"z":{"y":3}},"b":2})", "it", wanted),
              nlohmann::json::parse(R"({"a":{"y":[{"y":1}]},"b":2})"));
    // Who reads it does not see them.
    EXPECT_EQ(sys::readJsonObject(R"({"x":1,"x":{"y":"\u0000","y":[]},"a":{"z":1,"z":[[]]}})", "it", wanted),
              nlohmann::json::parse(R"({"a":{}})"));
    support::expectError([&] { sys::readJsonObject(R"({"a":{"y":1,"y":2}})", "it", wanted); },
                         "it: member \"y\" appears twice");
    support::expectError([&] { sys::readJsonObject(R"({"x":{"y":1})", "it", wanted); },
                         "it: not valid JSON at byte 13");
}

TEST(Json, DepthCountsInWhatIsDropped)
{
    const auto nothing = [](std::size_t, std::string_view) { return false; };
    const auto nested = [](std::size_t levels) {
        return "{\"x\":" + std::string(levels, '[') + std::string(levels, ']') + "}";
    };
    EXPECT_EQ(sys::readJsonObject(nested(64), "it", nothing), nlohmann::json::object());
    support::expectError([&] { sys::readJsonObject(nested(65), "it", nothing); }, "it: nested deeper than 64 levels");
    EXPECT_EQ(sys::readJsonObject(nested(64), "it").size(), 1U);
    support::expectError([&] { sys::readJsonObject(nested(65), "it"); }, "it: nested deeper than 64 levels");
    support::expectError([&] { sys::readJsonObject("[]", "it"); }, "it: not a JSON object");
}

TEST(Json, WhatPeopleWouldNotSeeIsEscapedAndMeansTheSame)
{
    const std::string text =
        "\x1b[31m\n\x7f\xc2\x9b"
        "2J gr\xc3\xbc\xc3\x9f \xe2\x80\xaegpj \xe2\x80\xa8 \xf3\xa0\x80\x81\xf0\x9f\x98\x80";
    const nlohmann::json document = {{"path", text}, {"list", {1, "\xef\xbb\xbf"}}};
    const std::string pretty = sys::prettyOf(document);
    EXPECT_EQ(nlohmann::json::parse(pretty), document);
    EXPECT_EQ(pretty, R"({
  "list": [
    1,
    "\ufeff"
  ],
  "path": "\u001b[31m\n\u007f\u009b2J gr)"
                      "\xc3\xbc\xc3\x9f"
                      R"( \u202egpj \u2028 \udb40\udc01)"
                      "\xf0\x9f\x98\x80"
                      R"("
})");
    // What is no valid UTF-8 is as it was.
    EXPECT_EQ(sys::visibleJson("\"\xff\""), "\"\xff\"");
}

}  // namespace
