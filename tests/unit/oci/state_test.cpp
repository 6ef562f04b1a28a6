// SPDX-License-Identifier: Apache-2.0
#include "oci/state.hpp"

#include <gtest/gtest.h>

#include <climits>

#include "temporary.hpp"

namespace {

std::string state(const std::string& members)
{
    return R"({"ociVersion":"1.0.2",)" + members + "}";
}

std::string nested(std::size_t levels)
{
    return state(R"("id":"a","bundle":"/b","annotations":)" + std::string(levels, '[') + std::string(levels, ']'));
}

struct GoodState {
    std::string text;
    std::string id;
    std::string bundle;
    pid_t pid;
};

TEST(State, Accepts)
{
    const GoodState all[] = {
        // What crun and runc send.
        {R"({"ociVersion":"1.0.0","id":"c1","pid":4711,"root":"/b/rootfs","bundle":"/b","created":"2024-01-01T00:00:00Z","status":"created"})",
         "c1", "/b", 4711},
        {R"({"ociVersion":"1.0.2-dev","id":"c1","status":"creating","pid":4711,"bundle":"/b"})", "c1", "/b", 4711},
        {R"({"ociVersion":"1.0.2-dev","id":"c1","status":"stopped","bundle":"/b"})", "c1", "/b", 0},
        {state(R"("id":"a","bundle":"/b","pid":0)"), "a", "/b", 0},
        {state(R"("id":"a","bundle":"/b","pid":null)"), "a", "/b", 0},
        {state(R"("id":"a","bundle":"/b","pid":1)"), "a", "/b", 1},
        {state(R"("id":"a","bundle":"/b","pid":2147483647)"), "a", "/b", INT_MAX},
        {state(R"("\u0069d":"a","bundle":"\/b")"), "a", "/b", 0},
        {state(R"("id":"a/../b \u001b","bundle":"/b")"), "a/../b \x1b", "/b", 0},
        {"\n\t " + state(R"("id":"a","bundle":"/b")") + "\n", "a", "/b", 0},
        {"\xef\xbb\xbf" + state(R"("id":"a","bundle":"/b")"), "a", "/b", 0},
        {state("\"id\":\"" + std::string(255, 'x') + R"(","bundle":"/b")"), std::string(255, 'x'), "/b", 0},
        {state(R"("id":"a","bundle":"/)" + std::string(PATH_MAX - 2, 'x') + "\""), "a",
         "/" + std::string(PATH_MAX - 2, 'x'), 0},
        // Members of the same names elsewhere, of any type, are nobody's business.
        {state(R"("id":"a","bundle":"/b","annotations":{"id":1,"id":2,"pid":"x"},"x":[{"pid":{}}])"), "a", "/b", 0},
        {nested(64), "a", "/b", 0},
    };
    for (const GoodState& good : all) {
        const oci::State parsed = oci::parseState(good.text);
        EXPECT_EQ(parsed.created, std::string_view(good.text).find(R"("status":"created")") != std::string_view::npos);
        EXPECT_EQ(parsed.id, good.id) << good.text;
        EXPECT_EQ(parsed.bundle, good.bundle) << good.text;
        EXPECT_EQ(parsed.pid, good.pid) << good.text;
    }
}

struct BadState {
    std::string text;
    const char* message;
};

TEST(State, Refuses)
{
    const BadState all[] = {
        {"", "not valid JSON at byte 1"},
        {"{", "not valid JSON at byte 2"},
        {"[]", "not a JSON object"},
        {"null", "not a JSON object"},
        {"\"id\"", "not a JSON object"},
        {"{}", "/id: missing"},
        {state(R"("id":"a","bundle":"/b")") + "x", "not valid JSON"},
        {state(R"("id":"a","bundle":"/b")") + "{}", "not valid JSON"},
        {state(R"("id":"a","bundle":"/b",)"), "not valid JSON"},
        {state(R"(/**/"id":"a","bundle":"/b")"), "not valid JSON"},
        {std::string("\0\0", 2), "not valid JSON"},
        {state(R"("bundle":"/b")"), "/id: missing"},
        {state(R"("id":null,"bundle":"/b")"), "/id: missing"},
        {state(R"("id":"","bundle":"/b")"), "/id: missing"},
        {state(R"("id":7,"bundle":"/b")"), "/id: must be string, not number"},
        {state(R"("id":["a"],"bundle":"/b")"), "/id: must be string, not array"},
        {state(R"("id":{"id":"a"},"bundle":"/b")"), "/id: must be string, not object"},
        {state(R"("id":true,"bundle":"/b")"), "/id: must be string, not boolean"},
        {state("\"id\":\"" + std::string(256, 'x') + R"(","bundle":"/b")"), "/id: longer than 255 bytes"},
        {state(R"("id":"a\u0000b","bundle":"/b")"), "/id: longer than 255 bytes, or has a NUL"},
        {state("\"id\":\"a\xff\",\"bundle\":\"/b\""), "not valid JSON at byte"},
        {state(R"("id":"\ud800","bundle":"/b")"), "not valid JSON at byte"},
        {state("\"id\":\"a\nb\",\"bundle\":\"/b\""), "not valid JSON at byte"},
        {state(R"("id":"a")"), "/bundle: missing"},
        {state(R"("id":"a","bundle":"")"), "/bundle: missing"},
        {state(R"("id":"a","bundle":1)"), "/bundle: must be string, not number"},
        {state(R"("id":"a","bundle":"b")"), "/bundle: must be an absolute path"},
        {state(R"("id":"a","bundle":"../b")"), "/bundle: must be an absolute path"},
        {state(R"("id":"a","bundle":"/b\u0000")"), "/bundle: longer"},
        {state(R"("id":"a","bundle":"/)" + std::string(PATH_MAX - 1, 'x') + "\""), "/bundle: longer than 4095 bytes"},
        {state(R"("id":"a","bundle":"/b","pid":"1")"), "/pid: must be integer, not string"},
        {state(R"("id":"a","bundle":"/b","pid":1.0)"), "/pid: must be integer, not number"},
        {state(R"("id":"a","bundle":"/b","pid":1e3)"), "/pid: must be integer, not number"},
        {state(R"("id":"a","bundle":"/b","pid":true)"), "/pid: must be integer, not boolean"},
        {state(R"("id":"a","bundle":"/b","pid":-1)"), "/pid: not a process id"},
        {state(R"("id":"a","bundle":"/b","pid":-0)"), "/pid: must be integer"},
        {state(R"("id":"a","bundle":"/b","pid":2147483648)"), "/pid: not a process id"},
        {state(R"("id":"a","bundle":"/b","pid":4294967297)"), "/pid: not a process id"},
        {state(R"("id":"a","bundle":"/b","pid":18446744073709551615)"), "/pid: not a process id"},
        {state(R"("id":"a","bundle":"/b","pid":18446744073709551617)"), "/pid: must be integer, not number"},
        {state(R"("id":"a","bundle":"/b","pid":1e400)"), "not valid JSON"},
        {state(R"("id":"a","bundle":"/b","pid":0x10)"), "not valid JSON"},
        {state(R"("id":"a","bundle":"/b","pid":NaN)"), "not valid JSON"},
        {state(R"("id":"a","id":"b","bundle":"/b")"), "member \"id\" appears twice"},
        {state(R"("id":"a","\u0069d":"a","bundle":"/b")"), "member \"id\" appears twice"},
        {state(R"("id":"a","bundle":"/b","pid":1,"pid":2)"), "member \"pid\" appears twice"},
        {nested(65), "nested deeper than 64 levels"},
        {nested(200000), "nested deeper than 64 levels"},
        {std::string(500000, '['), "nested deeper than 64 levels"},
    };
    for (const BadState& bad : all) {
        support::expectError([&] { oci::parseState(bad.text); }, bad.message, bad.text);
    }
}

TEST(State, MessagesNameWhereItCameFrom)
{
    support::expectError([] { oci::parseState("{}"); }, "container state on stdin: ");
}

}  // namespace
