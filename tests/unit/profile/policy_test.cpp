// SPDX-License-Identifier: Apache-2.0
// The policy part: what the landlockconfig specification accepts and rejects, and what it means.
#include <nlohmann/json.hpp>

#include "profile/policy.hpp"
#include "support.hpp"

namespace {

using support::expectRejected;
using support::Reject;

struct Accept {
    std::string json;
    const char* layer;
    unsigned abi = landlock::latestAbi;
};

void expectLayer(const Accept& accept)
{
    const profile::Profile loaded = support::load(accept.json, accept.abi);
    ASSERT_EQ(loaded.entries.size(), 1u);
    ASSERT_EQ(loaded.entries[0].layers.size(), 1u);
    EXPECT_EQ(support::text(loaded.entries[0].layers[0]), accept.layer) << accept.json;
}

std::string onlyHandling(const std::string& rights)
{
    return R"({"ruleset":[{"handledAccessFs":[)" + rights + "]}]}";
}

std::string paths(const std::string& parents, const std::string& variables = "")
{
    return R"({)" + (variables.empty() ? "" : "\"variable\":[" + variables + "],") +
           R"("pathBeneath":[{"allowedAccess":["execute"],"parent":[)" + parents + "]}]}";
}

std::string abi(const std::string& number)
{
    return R"({"abi":)" + number + R"(,"ruleset":[{"handledAccessFs":["execute"]}]})";
}

TEST(Policy, HandledRights)
{
    const Accept cases[] = {
        {onlyHandling(R"("execute")"), "fs=execute"},
        {onlyHandling(R"("write_file","execute","write_file")"), "fs=execute,write_file"},
        {R"({"ruleset":[{"handledAccessFs":["write_file"]},{"handledAccessFs":["execute"]},{"handledAccessFs":["write_file"]}]})",
         "fs=execute,write_file"},
        {R"({"ruleset":[{"handledAccessNet":["bind_tcp"]}]})", "net=bind_tcp"},
        {R"({"ruleset":[{"handledAccessNet":["connect_tcp","bind_tcp","connect_tcp"]}]})", "net=bind_tcp,connect_tcp"},
        {R"({"ruleset":[{"handledAccessNet":["bind_udp","connect_send_udp"]}]})", "net=bind_udp,connect_send_udp"},
        {R"({"ruleset":[{"scoped":["signal"]},{"scoped":["abstract_unix_socket","signal"]}]})",
         "scope=abstract_unix_socket,signal"},
        {R"({"ruleset":[{"scoped":["signal"],"handledAccessNet":["bind_tcp"],"handledAccessFs":["refer"]}]})",
         "fs=refer net=bind_tcp scope=signal"},
        {R"({"ruleset":[{"handledAccessFs":["execute"],"handledAccessNet":["bind_tcp"]},{"handledAccessNet":["connect_tcp"]}]})",
         "fs=execute net=bind_tcp,connect_tcp"},
        {R"({"abi":6,"ruleset":[{"scoped":["abi.all","signal"],"handledAccessNet":["abi.all"]}]})",
         "net=bind_tcp,connect_tcp scope=abstract_unix_socket,signal"},
        {R"({"abi":1,"ruleset":[{"handledAccessFs":["execute"],"handledAccessNet":["abi.all"],"scoped":["abi.all"]}]})",
         "fs=execute"},
    };
    for (const Accept& item : cases) {
        expectLayer(item);
    }
}

TEST(Policy, RulesInferHandledRights)
{
    const Accept cases[] = {
        {paths(R"(".")"), "fs=execute; . execute"},
        {R"({"netPort":[{"allowedAccess":["bind_tcp"],"port":[443]}]})", "net=bind_tcp; :443 bind_tcp"},
        {R"({"ruleset":[{"handledAccessFs":["execute"]}],"netPort":[{"allowedAccess":["bind_tcp"],"port":[443]}]})",
         "fs=execute net=bind_tcp; :443 bind_tcp"},
        {R"({"ruleset":[{"handledAccessFs":["execute"]}],"pathBeneath":[{"allowedAccess":["write_file"],"parent":["/a"]},{"allowedAccess":["read_file"],"parent":["/a"]}]})",
         "fs=execute,write_file,read_file; /a write_file,read_file"},
        // A group without rights on its ABI makes no rule and handles nothing.
        {R"({"abi":3,"ruleset":[{"handledAccessFs":["execute"]}],"netPort":[{"allowedAccess":["abi.all"],"port":[1]}]})",
         "fs=execute"},
        // A variable without values makes no path, yet the right is handled.
        {paths(R"("/x${none}")", R"({"name":"none"})"), "fs=execute"},
        // An empty path stands for nothing.
        {paths(R"("")"), "fs=execute"},
    };
    for (const Accept& item : cases) {
        expectLayer(item);
    }
}

TEST(Policy, DuplicateAndOverlappingRules)
{
    const Accept cases[] = {
        {paths(R"("/a","/a")"), "fs=execute; /a execute"},
        {R"({"pathBeneath":[{"allowedAccess":["execute"],"parent":["/a"]},{"allowedAccess":["execute"],"parent":["/a"]}]})",
         "fs=execute; /a execute"},
        {R"({"pathBeneath":[{"allowedAccess":["execute"],"parent":["/a"]},{"allowedAccess":["write_file"],"parent":["/a","/b"]},{"allowedAccess":["execute","read_file"],"parent":["/a"]}]})",
         "fs=execute,write_file,read_file; /a execute,write_file,read_file; /b write_file"},
        {R"({"netPort":[{"allowedAccess":["connect_tcp"],"port":[443,443]},{"allowedAccess":["bind_tcp"],"port":[443]}]})",
         "net=bind_tcp,connect_tcp; :443 bind_tcp,connect_tcp"},
        {R"({"netPort":[{"allowedAccess":["bind_tcp"],"port":[0,65535,80]}]})",
         "net=bind_tcp; :0 bind_tcp; :80 bind_tcp; :65535 bind_tcp"},
    };
    for (const Accept& item : cases) {
        expectLayer(item);
    }
}

TEST(Policy, PathsAreNormalised)
{
    const Accept cases[] = {
        {paths(R"(".","./",".//","./.")"), "fs=execute; . execute"},
        {paths(R"("a/./b","a/////b","a/b/","a/b/.")"), "fs=execute; a/b execute"},
        {paths(R"("c/../c")"), "fs=execute; c/../c execute"},
        {paths(R"("/","//","/.","/./")"), "fs=execute; / execute"},
        {paths(R"("/..","../a","./a")"), "fs=execute; ../a execute; ./a execute; /.. execute"},
        {paths(R"("/tmp/é €","/ ")"), "fs=execute; /  execute; /tmp/é € execute"},
    };
    for (const Accept& item : cases) {
        expectLayer(item);
    }
}

TEST(Policy, Variables)
{
    const std::string ab = R"({"name":"ab","literal":["b","a","a"]})";
    const std::string xy = R"({"name":"xy","literal":["x","y"]})";
    const Accept cases[] = {
        {paths(R"("${ab}")", ab), "fs=execute; a execute; b execute"},
        {paths(R"("/${ab}/${xy}/z")", ab + "," + xy),
         "fs=execute; /a/x/z execute; /a/y/z execute; /b/x/z execute; /b/y/z execute"},
        {paths(R"("${ab}${ab}")", ab), "fs=execute; aa execute; ab execute; ba execute; bb execute"},
        {paths(R"("/${v}")", R"({"name":"v","literal":["a"]},{"name":"v","literal":["b"]},{"name":"v"})"),
         "fs=execute; /a execute; /b execute"},
        {paths(R"("/${v}x")", R"({"name":"v","literal":[""]})"), "fs=execute; /x execute"},
        // No variables inside of values.
        {paths(R"("/${v}")", R"({"name":"v","literal":["${ab}","$$"]},)" + ab),
         "fs=execute; /$$ execute; /${ab} execute"},
        {paths(R"("$$","$${ab}","$${${ab}","{${ab}","a$","$a","$$$")", R"({"name":"ab","literal":["q"]})"),
         "fs=execute; $ execute; $$ execute; $a execute; ${ab} execute; ${q execute; a$ execute; {q execute"},
        {paths(R"("/${V_1}")", R"({"name":"V_1","literal":["a/./b//"]})"), "fs=execute; /a/b execute"},
    };
    for (const Accept& item : cases) {
        expectLayer(item);
    }
    for (const char* name : {"f", "F", "fO", "f_", "f__b", "f9", "FOO_9_"}) {
        expectLayer(
            {paths("\"/${" + std::string(name) + "}\"", "{\"name\":\"" + std::string(name) + R"(","literal":["v"]})"),
             "fs=execute; /v execute"});
    }
}

TEST(Policy, BadVariables)
{
    const char* names[] = {"1foo",    "_foo",  "À", "e€",  " foo", "foo bar", "foo ",
                           "foo-bar", "foo_ç", "",  "a.b", "a$",   "ａ"};
    for (const std::string name : names) {
        expectRejected({paths(R"("/")", "{\"name\":\"" + name + R"(","literal":["v"]})"), "/variable/0/name",
                        name.empty() ? "cannot be empty" : "is no variable name"});
        expectRejected({paths("\"/${" + name + "}\""), "/pathBeneath/0/parent/0",
                        name.empty() ? "cannot be empty" : "is no variable name"});
    }
    const std::string foo = R"({"name":"foo","literal":["a"]})";
    const Reject cases[] = {
        {paths(R"("${foo}/${bar}")", foo), "/pathBeneath/0/parent/0",
         "the variable \"bar\" is not defined; defined: foo"},
        {paths(R"("/","${fooo}")", foo), "/pathBeneath/0/parent/1", "did you mean \"foo\"?"},
        {paths(R"("${foo}")"), "/pathBeneath/0/parent/0", "the policy has no variables"},
        {paths(R"("${Foo}")", foo), "/pathBeneath/0/parent/0", "is not defined"},
        {paths(R"("x${foo")", foo), "/pathBeneath/0/parent/0", "is not closed"},
        {paths(R"("$${a}${")", foo), "/pathBeneath/0/parent/0", "is not closed"},
        {paths(R"("${foo}")", R"({"name":"foo","literal":[""]})"), "/pathBeneath/0/parent/0",
         "empty once its variables are put in"},
        {R"({"variable":[]})", "/variable", "is empty"},
        {R"({"variable":[{}]})", "/variable/0", "\"name\" is missing"},
        {R"({"variable":[{"literal":["foo"]}]})", "/variable/0", "\"name\" is missing"},
        {R"({"variable":[{"name":"a","literal":[]}]})", "/variable/0/literal", "is empty"},
        {R"({"variable":[{"name":"a","literal":"b"}]})", "/variable/0/literal", "expected an array"},
        {R"({"variable":[{"name":"a","literal":[1]}]})", "/variable/0/literal/0", "found 1, expected a string"},
        {R"({"variable":[{"name":"a","values":["b"]}]})", "/variable/0/values", "unknown field \"values\""},
    };
    for (const Reject& item : cases) {
        expectRejected(item);
    }
}

TEST(Policy, GroupsFollowTheAbi)
{
    using landlock::Kind;
    const std::uint64_t fsAll[] = {0x1fff, 0x3fff, 0x7fff,  0x7fff,  0xffff, 0xffff,
                                   0xffff, 0xffff, 0x1ffff, 0x1ffff, 0x1ffff};
    for (unsigned version = 1; version <= landlock::latestAbi; ++version) {
        const std::string number = std::to_string(version);
        const auto with = [&](const char* group) {
            return support::
                load("{\"abi\":" + number + R"(,"ruleset":[{"handledAccessFs":[")" + group +
                     R"("],"handledAccessNet":["abi.all"],"scoped":["abi.all"]}],"pathBeneath":[{"allowedAccess":[")" +
                     group + R"("],"parent":["."]}],"netPort":[{"allowedAccess":["abi.all"],"port":[1]}]})")
                    .entries.at(0)
                    .layers.at(0);
        };
        const profile::Layer all = with("abi.all");
        EXPECT_EQ(all.handledFs, fsAll[version - 1]);
        EXPECT_EQ(all.paths.at(0).access, all.handledFs);
        EXPECT_EQ(all.handledNet, version >= 10 ? 0xfu : version >= 4 ? 0x3u : 0u);
        EXPECT_EQ(all.ports.size(), version >= 4 ? 1u : 0u);
        EXPECT_EQ(all.scoped, version >= 6 ? 0x3u : 0u);
        EXPECT_EQ(with("abi.read_execute").handledFs, version >= 2 ? 0x200du : 0xdu);
        EXPECT_EQ(with("abi.read_write").handledFs, all.handledFs & ~std::uint64_t{1});
    }
    expectLayer({R"({"abi":2147483647,"ruleset":[{"scoped":["abi.all"]}]})", "scope=abstract_unix_socket,signal"});
}

TEST(Policy, BadRights)
{
    const Reject cases[] = {
        {onlyHandling(R"("foo")"), "/ruleset/0/handledAccessFs/0", "allowed: \"abi.all\", \"abi.read_execute\""},
        {onlyHandling(R"("exceute")"), "/ruleset/0/handledAccessFs/0", "did you mean \"execute\"?"},
        {onlyHandling(R"("readFile")"), "/ruleset/0/handledAccessFs/0", "did you mean \"read_file\"?"},
        {onlyHandling(R"("bind_tcp")"), "/ruleset/0/handledAccessFs/0", "found the string \"bind_tcp\""},
        {onlyHandling(R"("EXECUTE")"), "/ruleset/0/handledAccessFs/0", "did you mean \"execute\"?"},
        {R"({"ruleset":[{"handledAccessNet":["foo"]}]})", "/ruleset/0/handledAccessNet/0",
         "allowed: \"abi.all\", \"bind_tcp\", \"connect_tcp\""},
        {R"({"ruleset":[{"handledAccessNet":["abi.read_write"]}]})", "/ruleset/0/handledAccessNet/0", "allowed: "},
        {R"({"ruleset":[{"scoped":["foo"]}]})", "/ruleset/0/scoped/0",
         "allowed: \"abi.all\", \"abstract_unix_socket\", \"signal\""},
        {onlyHandling(R"("abi.all")"), "/ruleset/0/handledAccessFs/0", "add \"abi\" to the policy"},
        {onlyHandling(R"("abi.read_execute")"), "/ruleset/0/handledAccessFs/0", "add \"abi\" to the policy"},
        {R"({"netPort":[{"allowedAccess":["abi.all"],"port":[1]}]})", "/netPort/0/allowedAccess/0",
         "add \"abi\" to the policy"},
        {onlyHandling("0"), "/ruleset/0/handledAccessFs/0", "0 is no single right"},
        {onlyHandling("-4"), "/ruleset/0/handledAccessFs/0", "-4 is no single right"},
        {onlyHandling("3"), "/ruleset/0/handledAccessFs/0", "is no single right"},
        {onlyHandling("18446744073709551615"), "/ruleset/0/handledAccessFs/0", "is no single right"},
        {onlyHandling("-9223372036854775808"), "/ruleset/0/handledAccessFs/0", "is no single right"},
        {onlyHandling("18446744073709551616"), "/ruleset/0/handledAccessFs/0", "found 1.8446744073709552e+19"},
        {onlyHandling("4.0"), "/ruleset/0/handledAccessFs/0", "found 4.0"},
        {onlyHandling("null"), "/ruleset/0/handledAccessFs/0", "found null"},
        {onlyHandling(R"(["execute"])"), "/ruleset/0/handledAccessFs/0", "found an array"},
    };
    for (const Reject& item : cases) {
        expectRejected(item);
    }
}

TEST(Policy, Integers)
{
    for (const char* good : {"1", "6", "2147483647"}) {
        expectLayer({abi(good), "fs=execute"});
    }
    for (const char* bad : {"0", "-1", "-0", "2147483648", "4294967295", "18446744073709551615", "18446744073709551616",
                            "340282366920938463463374607431768211456", "1.0", "1e0", "\"1\"", "null", "true", "[1]",
                            "-9223372036854775809"}) {
        expectRejected({abi(bad), "/abi", ""});
    }
    for (const char* bad : {"-1", "-0", "65536", "18446744073709551616", "80.0", "\"80\"", "null", "[80]", "8e1"}) {
        expectRejected({R"({"netPort":[{"allowedAccess":["bind_tcp"],"port":[)" + std::string(bad) + "]}]}",
                        "/netPort/0/port/0", ""});
    }
    expectRejected({abi("2147483648"), "/abi", "found 2147483648; allowed: 1 to 2147483647"});
    expectRejected({abi("\"6\""), "/abi", "found the string \"6\", expected an integer"});
    expectRejected(
        {R"({"netPort":[{"allowedAccess":["bind_tcp"],"port":[65536]}]})", "/netPort/0/port/0", "allowed: 0 to 65535"});
}

TEST(Policy, EmptyAndMissing)
{
    const Reject cases[] = {
        {"{}", "", "\"ruleset\", \"pathBeneath\", \"netPort\", \"variable\""},
        {R"({"abi":1})", "", "at least one of these fields is needed"},
        {R"({"ruleset":null})", "/ruleset", "found null, expected an array"},
        {R"({"ruleset":0})", "/ruleset", "found 0, expected an array"},
        {R"({"ruleset":[]})", "/ruleset", "is empty"},
        {R"({"ruleset":[{}]})", "/ruleset/0", "is empty"},
        {R"({"ruleset":[[["execute"]]]})", "/ruleset/0", "found an array, expected an object"},
        {onlyHandling(""), "/ruleset/0/handledAccessFs", "is empty"},
        {R"({"ruleset":[{"handledAccessFs":[]},{"handledAccessFs":["execute"]}]})", "/ruleset/0/handledAccessFs",
         "is empty"},
        {R"({"ruleset":[{"handledAccessNet":[]}]})", "/ruleset/0/handledAccessNet", "is empty"},
        {R"({"ruleset":[{"scoped":[]}]})", "/ruleset/0/scoped", "is empty"},
        {R"({"pathBeneath":[]})", "/pathBeneath", "is empty"},
        {R"({"pathBeneath":[{"allowedAccess":[],"parent":["."]}]})", "/pathBeneath/0/allowedAccess", "is empty"},
        {paths(""), "/pathBeneath/0/parent", "is empty"},
        {R"({"pathBeneath":[{"allowedAccess":["execute"]}]})", "/pathBeneath/0", "\"parent\" is missing"},
        {R"({"pathBeneath":[{"parent":["/"]}]})", "/pathBeneath/0", "\"allowedAccess\""},
        {R"({"pathBeneath":[{"parent":["/"],"quiet":false}]})", "/pathBeneath/0", "\"allowedAccess\""},
        {R"({"pathBeneath":[{"allowedAccess":["execute"],"parent":"/"}]})", "/pathBeneath/0/parent",
         "expected an array"},
        {paths("2"), "/pathBeneath/0/parent/0", "found 2, expected a string"},
        {R"({"netPort":[]})", "/netPort", "is empty"},
        {R"({"netPort":[{"allowedAccess":[],"port":[1]}]})", "/netPort/0/allowedAccess", "is empty"},
        {R"({"netPort":[{"allowedAccess":["bind_tcp"],"port":[]}]})", "/netPort/0/port", "is empty"},
        {R"({"netPort":[{"allowedAccess":["bind_tcp"]}]})", "/netPort/0", "\"port\" is missing"},
        {R"({"variable":[{"name":"a"}]})", "", "the policy restricts nothing"},
        {R"({"abi":3,"ruleset":[{"handledAccessNet":["abi.all"]}]})", "", "the policy restricts nothing"},
    };
    for (const Reject& item : cases) {
        expectRejected(item);
    }
}

TEST(Policy, UnknownAndDuplicateFields)
{
    const Reject cases[] = {
        {R"({"ruleset":[{"handledAccessFs":["execute"]}],"foo":[]})", "/foo", "unknown field \"foo\"; allowed: "},
        {R"({"ruleset":[{"handledAccessFs":["execute"]}],"path_beneath":[]})", "/path_beneath",
         "did you mean \"pathBeneath\"?"},
        {R"({"entires":[]})", "/entires", "did you mean \"entries\"?"},
        {R"({"ruleset":[{"handledAccessFS":["execute"]}]})", "/ruleset/0/handledAccessFS",
         "did you mean \"handledAccessFs\"?"},
        {R"({"ruleset":[{"a/b~c":1}]})", "/ruleset/0/a~1b~0c", "unknown field"},
        {R"({"abi":1,"abi":1,"ruleset":[{"handledAccessFs":["execute"]}]})", "/abi", "given twice"},
        {R"({"ruleset":[{"handledAccessFs":["execute"],"handledAccessFs":["execute"]}]})", "/ruleset/0/handledAccessFs",
         "given twice"},
        {R"({"variable":[{"name":"a"},{"name":"b","na\u006de":"b"}],"ruleset":[{"handledAccessFs":["execute"]}]})",
         "/variable/1/name", "given twice"},
    };
    for (const Reject& item : cases) {
        expectRejected(item);
    }
}

TEST(Policy, EachProblemIsReported)
{
    try {
        profile::load(
            R"({"abi":0,"ruleset":[{"handledAccessFs":["exec"],"scoped":[]}],"netPort":[{"port":[-1]}],"foo":1})",
            "test", profile::Origin::inlined, 6);
        FAIL();
    } catch (const profile::Invalid& error) {
        EXPECT_EQ(error.problems().size(), 6u) << support::text(error);
        EXPECT_EQ(error.source(), "test");
        EXPECT_NE(std::string(error.what()).find("(and 5 more"), std::string::npos) << error.what();
    }
}

TEST(Policy, UnknownRightsAsNumbers)
{
    // A right that the table knows may be given by its value.
    expectLayer({onlyHandling("1,\"write_file\""), "fs=execute,write_file"});
    // Rights beyond the table can only exist on kernels beyond the table.
    const std::string beyond =
        R"({"ruleset":[{"handledAccessFs":["execute",1048576]}],"pathBeneath":[{"allowedAccess":[1048576],"parent":["/a"]}]})";
    expectLayer({beyond, "fs=execute,1048576; /a 1048576", landlock::latestAbi + 1});
    const profile::Profile known = support::load(beyond, landlock::latestAbi);
    EXPECT_EQ(support::text(known.entries[0].layers[0]), "fs=execute");
    ASSERT_EQ(known.entries[0].dropped.size(), 1u);
    EXPECT_EQ(known.entries[0].dropped[0].what, "fs.1048576");
    EXPECT_EQ(known.entries[0].dropped[0].abi, 0u);
    EXPECT_EQ(known.entries[0].dropped[0].pointer, "/ruleset/0/handledAccessFs/1");
    expectLayer({R"({"ruleset":[{"handledAccessNet":[9223372036854775808],"scoped":[4]}]})",
                 "net=9223372036854775808 scope=4", 99});
}

TEST(Policy, QuietRules)
{
    const Accept cases[] = {
        {R"({"ruleset":[{"handledAccessFs":["execute","read_file"],"quietAccessFs":["read_file"]}],"pathBeneath":[{"allowedAccess":["execute"],"parent":["/a"],"quiet":true}]})",
         "fs=execute,read_file quietfs=read_file; /a execute quiet"},
        {R"({"ruleset":[{"handledAccessFs":["execute"]}],"pathBeneath":[{"parent":["/a"],"quiet":true}]})",
         "fs=execute quietfs=execute; /a  quiet"},
        {R"({"netPort":[{"allowedAccess":["bind_tcp"],"port":[1],"quiet":true},{"allowedAccess":["bind_tcp"],"port":[2]}]})",
         "net=bind_tcp quietnet=bind_tcp; :1 bind_tcp quiet; :2 bind_tcp"},
        {R"({"ruleset":[{"scoped":["signal"],"quietScoped":["signal","abstract_unix_socket"]}]})",
         "scope=signal quietscope=signal"},
        {R"({"ruleset":[{"handledAccessFs":["execute"]}],"pathBeneath":[{"parent":["/a"],"quiet":true}]})",
         "fs=execute", 9},
    };
    for (const Accept& item : cases) {
        expectLayer(item);
    }
    const profile::Entry entry = support::load(cases[1].json, 9).entries[0];
    ASSERT_EQ(entry.dropped.size(), 1u);
    EXPECT_EQ(entry.dropped[0].what, "quiet rules");
    EXPECT_EQ(entry.dropped[0].abi, 10u);
}

profile::Policy read(const std::string& json)
{
    profile::Problems problems;
    profile::Policy policy = profile::readPolicy(nlohmann::json::parse(json), "", problems);
    EXPECT_TRUE(problems.empty());
    return policy;
}

std::string composed(const std::string& a, const std::string& b)
{
    const profile::Policy left = read(a);
    const profile::Policy right = read(b);
    const auto both = [](profile::Policy one, const profile::Policy& other) {
        profile::compose(one, other);
        return one;
    };
    EXPECT_EQ(both(left, left), left) << "not idempotent: " << a;
    EXPECT_EQ(both(right, right), right) << "not idempotent: " << b;
    const profile::Policy result = both(left, right);
    EXPECT_EQ(result, both(right, left)) << "not commutative";
    EXPECT_EQ(both(result, result), result);
    EXPECT_EQ(both(result, left), both(left, result));
    profile::Problems problems;
    profile::Budget budget;
    std::vector<profile::Dropped> dropped;
    return support::text(profile::resolve(result, "", landlock::latestAbi, budget, dropped, problems));
}

TEST(Policy, Compose)
{
    const std::string all4 =
        R"({"abi":4,"ruleset":[{"handledAccessFs":["abi.read_execute"],"handledAccessNet":["abi.all"],"scoped":["abi.all"]}]})";
    const std::string rules6 =
        R"({"abi":6,"pathBeneath":[{"allowedAccess":["abi.all"],"parent":["a"]}],"netPort":[{"allowedAccess":["abi.all"],"port":[1]}]})";
    EXPECT_EQ(
        composed(all4, rules6),
        "fs=execute,read_file,read_dir,refer net=bind_tcp,connect_tcp; a execute,read_file,read_dir,refer; :1 bind_tcp,connect_tcp");
    EXPECT_EQ(composed(R"({"ruleset":[{"scoped":["signal"]}]})", R"({"abi":6,"ruleset":[{"scoped":["abi.all"]}]})"),
              "scope=signal");
    // Nothing in common: nothing is left.
    EXPECT_EQ(composed(paths(R"("a")"), R"({"pathBeneath":[{"allowedAccess":["read_file"],"parent":["a","b"]}]})"), "");
    // What one handles without a rule, the other's rules allow.
    EXPECT_EQ(
        composed(
            R"({"ruleset":[{"handledAccessFs":["read_file"]}],"pathBeneath":[{"allowedAccess":["execute"],"parent":["a"]}]})",
            R"({"pathBeneath":[{"allowedAccess":["read_file"],"parent":["a","b"]}]})"),
        "fs=read_file; a read_file; b read_file");
    // Variables merge, also empty ones.
    EXPECT_EQ(
        composed(
            R"({"ruleset":[{"handledAccessFs":["read_file"]}],"variable":[{"name":"v","literal":["a","b"]}],"pathBeneath":[{"allowedAccess":["execute"],"parent":["${v}"]}]})",
            R"({"ruleset":[{"handledAccessFs":["execute"]}],"variable":[{"name":"v"}],"pathBeneath":[{"allowedAccess":["read_file"],"parent":["${v}","x/${v}"]}]})"),
        "fs=execute,read_file; a execute,read_file; b execute,read_file; x/a read_file; x/b read_file");
    // Different spellings of one path meet when they are resolved.
    EXPECT_EQ(
        composed(
            R"({"ruleset":[{"handledAccessFs":["read_file"]}],"variable":[{"name":"v","literal":["a/"]}],"pathBeneath":[{"allowedAccess":["execute"],"parent":["${v}"]}]})",
            R"({"ruleset":[{"handledAccessFs":["execute"]}],"variable":[{"name":"w","literal":["a"]}],"pathBeneath":[{"allowedAccess":["read_file"],"parent":["${w}"]}]})"),
        "fs=execute,read_file; a execute,read_file");
    EXPECT_EQ(
        composed(
            R"({"ruleset":[{"handledAccessFs":["execute","read_file"]}],"pathBeneath":[{"parent":["a"],"quiet":true}]})",
            paths(R"("a")")),
        "fs=execute; a execute");
}

}  // namespace
