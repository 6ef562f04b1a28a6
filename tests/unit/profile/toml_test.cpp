// SPDX-License-Identifier: Apache-2.0
#include "profile/toml.hpp"

#include <nlohmann/json.hpp>

#include "profile/load.hpp"
#include "support.hpp"

namespace {

using nlohmann::json;

void expectSame(const char* toml, const char* document)
{
    try {
        EXPECT_EQ(profile::parseToml(toml, "test"), json::parse(document)) << toml;
    } catch (const profile::Invalid& error) {
        ADD_FAILURE() << toml << "\n" << support::text(error);
    }
}

TEST(Toml, MeansTheSameAsJson)
{
    expectSame("abi = 2\n[[ruleset]]\nhandled_access_fs = ['abi.all',]",
               R"({"abi":2,"ruleset":[{"handledAccessFs":["abi.all"]}]})");
    expectSame(
        "[[path_beneath]]\nallowed_access = ['execute']\nparent = ['${a}']\n[[variable]]\nname = 'a'\nliteral = ['x']",
        R"({"variable":[{"name":"a","literal":["x"]}],"pathBeneath":[{"allowedAccess":["execute"],"parent":["${a}"]}]})");
    expectSame("net_port = [{ allowed_access = ['bind_tcp'], port = [0x50, 4_43] }]",
               R"({"netPort":[{"allowedAccess":["bind_tcp"],"port":[80,443]}]})");
    expectSame("[[entries]]\nmissing_paths = 'skip'\nno_new_privileges = false\nlog.same_exec = true",
               R"({"entries":[{"missingPaths":"skip","noNewPrivileges":false,"log":{"sameExec":true}}]})");
    expectSame("# é [[[[\nx = \"é[\\\"\" # \"\ny = '\\'\nz = \"\"\"a\"\"b'\n\"\"\"\"\nw = '''[{\n'''",
               R"({"x":"é[\"","y":"\\","z":"a\"\"b'\n\"","w":"[{\n"})");
    expectSame("", "{}");
}

TEST(Toml, Rejects)
{
    const char* cases[] = {
        "",
        "abi = 1",
        "[[ruleset]]",
        "abi = 1\nabi = 1\n[[ruleset]]\nhandled_access_fs = ['execute']",
        "[[ruleset]]\nhandled_access_fs = ['abi.all']",
        "abi = 0\n[[ruleset]]\nhandled_access_fs = ['execute']",
        "abi = -1\n[[ruleset]]\nhandled_access_fs = ['execute']",
        "abi = 2147483648\n[[ruleset]]\nhandled_access_fs = ['execute']",
        "abi = 18446744073709551616\n[[ruleset]]\nhandled_access_fs = ['execute']",
        "abi = 1.0\n[[ruleset]]\nhandled_access_fs = ['execute']",
        "abi = 1979-05-27\n[[ruleset]]\nhandled_access_fs = ['execute']",
        "[[ruleset]]\nhandledAccessFs = ['execute']",
        "[[ruleset]]\nhandled_access_fs = ['execute']\nhandled__access_fs = ['execute']",
        "[[ruleset]]\nhandled_access_fs = ['exec']",
        "[[path_beneath]]\nallowed_access = ['execute']\nparent = [\"a\\u0000\"]",
        "x = \"\xff\"",
        "= 1",
        "abi = nan",
        "a = [1]\n[= 2",
        "[= 1]",
        "[]",
        "[[]]",
        "[a",
        "a = {",
        "a.= 1",
        "é = 1",
        "\xef\xbb\xbf"
        "abi = 1",
        "\xc2\xa0",
        "a = 'x",
        "a = \"\"\"x",
        "a = \"x\\",
    };
    for (const char* text : cases) {
        EXPECT_THROW(profile::loadFile(text, "test.toml", profile::Origin::nodeFile, 6), profile::Invalid) << text;
    }
    const std::string deep = "a = " + std::string(100000, '[');
    EXPECT_THROW(profile::parseToml(deep, "test"), profile::Invalid);
    EXPECT_THROW(profile::parseToml("a" + std::string(100000, '.') + "b = 1", "test"), profile::Invalid);
    std::string dotted = "a";
    for (int i = 0; i < 50000; ++i) {
        dotted += ".a";
    }
    EXPECT_THROW(profile::parseToml(dotted + " = 1", "test"), profile::Invalid);
}

TEST(Toml, ErrorsNameTheLine)
{
    try {
        profile::parseToml("abi = 1\n\nabi 2\n", "f.toml");
        FAIL();
    } catch (const profile::Invalid& error) {
        EXPECT_EQ(error.problems().at(0).line, 3u);
    }
}

}  // namespace
