// SPDX-License-Identifier: Apache-2.0
// Profiles: entries, selections, limits, what an older kernel leaves, and hostile documents.
#include "profile/load.hpp"

#include "support.hpp"

namespace {

using profile::Compat;
using profile::MissingPaths;
using profile::Origin;
using profile::Selector;
using support::expectRejected;
using support::load;
using support::Reject;

const std::string policy = R"({"ruleset":[{"handledAccessFs":["execute"]}]})";

const std::string strict = R"({"abi":6,"ruleset":[{"handledAccessFs":["abi.all"]}]})";

std::string entry(const std::string& fields)
{
    return R"({"entries":[{)" + fields + (fields.empty() ? "" : ",") + "\"policy\":" + policy + "}]}";
}

std::string repeat(const std::string& item, std::size_t count, const std::string& separator = ",")
{
    std::string out;
    for (std::size_t i = 0; i < count; ++i) {
        out += (i == 0 ? "" : separator) + item;
    }
    return out;
}

TEST(Load, BarePolicyIsAnEntrypointEntry)
{
    const profile::Profile loaded = load(policy);
    ASSERT_EQ(loaded.entries.size(), 1u);
    const profile::Entry& only = loaded.entries[0];
    EXPECT_EQ(loaded.source, "test");
    EXPECT_EQ(only.name, "entry-0");
    EXPECT_EQ(only.select.kind, Selector::entrypoint);
    EXPECT_TRUE(only.select.sessions);
    EXPECT_TRUE(only.noNewPrivileges);
    EXPECT_EQ(only.compat, Compat::bestEffort);
    EXPECT_EQ(only.missingPaths, MissingPaths::error);
    EXPECT_EQ(only.restrictFlags, 0u);
    EXPECT_FALSE(only.logRequested);
    EXPECT_TRUE(only.dropped.empty());
}

TEST(Load, EntryFields)
{
    const profile::Profile loaded = load(R"({"description":"two","entries":[
        {"name":"web","description":"x","select":{"program":["/usr//sbin/nginx","/bin/./sh","/opt/x/"]},"sessions":false,"compat":"require","missingPaths":"skip",
         "noNewPrivileges":false,"log":{"sameExec":false,"newExec":true,"subdomains":false},"policy":[)" +
                                         policy + "," + policy + R"(]},
        {"select":{"except":["/bin/true"]},"log":{"sameExec":true},"policy":)" +
                                         strict + "}]}");
    ASSERT_EQ(loaded.entries.size(), 2u);
    const profile::Entry& web = loaded.entries[0];
    EXPECT_EQ(web.name, "web");
    EXPECT_EQ(web.select.kind, Selector::program);
    EXPECT_EQ(web.select.programs, (std::vector<std::string>{"/usr/sbin/nginx", "/bin/sh", "/opt/x"}));
    EXPECT_FALSE(web.select.sessions);
    EXPECT_EQ(web.compat, Compat::require);
    EXPECT_EQ(web.missingPaths, MissingPaths::skip);
    EXPECT_FALSE(web.noNewPrivileges);
    EXPECT_EQ(web.restrictFlags, 7u);
    EXPECT_EQ(web.layers.size(), 2u);
    EXPECT_EQ(loaded.entries[1].name, "entry-1");
    EXPECT_EQ(loaded.entries[1].select.kind, Selector::except);
    EXPECT_EQ(loaded.entries[1].restrictFlags, 0u);
    EXPECT_TRUE(loaded.entries[1].logRequested);
    EXPECT_EQ(load(entry(R"("select":"entrypoint")")).entries[0].select.kind, Selector::entrypoint);
    EXPECT_EQ(load(entry(R"("select":{"entrypoint":true})")).entries[0].select.kind, Selector::entrypoint);
}

// Whose entries are audited is no matter of trust: each is a tenant's own, or the node's.
TEST(Load, AuditedEntries)
{
    for (const Origin origin : {Origin::nodeFile, Origin::inlined}) {
        const profile::Profile profile = profile::load(R"({"entries":[
            {"mode":"audit","policy":{"abi":1,"ruleset":[{"handledAccessFs":["execute"]}]}},
            {"mode":"enforce","policy":{"abi":1,"ruleset":[{"handledAccessFs":["execute"]}]}},
            {"policy":{"abi":1,"ruleset":[{"handledAccessFs":["execute"]}]}}]})",
                                                       "test", origin, 1);
        EXPECT_EQ(profile.entries[0].mode, profile::Mode::audit);
        EXPECT_EQ(profile::enforcementOf(profile.entries[0]), "none");
        EXPECT_EQ(profile.entries[1].mode, profile::Mode::enforce);
        EXPECT_EQ(profile.entries[2].mode, profile::Mode::enforce);
    }
    for (const char* mode : {R"("Audit")", R"("")", "true", "null", R"("enforced")"}) {
        EXPECT_THROW(profile::load(std::string(R"({"entries":[{"mode":)") + mode +
                                       R"(,"policy":{"abi":1,"ruleset":[{"handledAccessFs":["execute"]}]}}]})",
                                   "test", Origin::nodeFile, 1),
                     profile::Invalid)
            << mode;
    }
}

TEST(Load, BadEntries)
{
    const Reject cases[] = {
        {R"({"entries":[]})", "/entries", "is empty"},
        {R"({"entries":{}})", "/entries", "found an object, expected an array"},
        {R"({"entries":[{}]})", "/entries/0", "\"policy\" is missing"},
        {R"({"entries":[{"policy":{}}]})", "/entries/0/policy", "at least one of these fields"},
        {R"({"entries":[{"policy":[]}]})", "/entries/0/policy", "is empty"},
        {R"({"entries":[{"policy":"x"}]})", "/entries/0/policy", "expected an object"},
        {R"({"entries":[{"policy":{"compose":[]}}]})", "/entries/0/policy/compose", "is empty"},
        {R"({"entries":[{"policy":{"compsoe":[]}}]})", "/entries/0/policy/compsoe", "did you mean \"compose\"?"},
        {R"({"entries":[{"policy":)" + policy + R"(}],"abi":1})", "/abi", "unknown field"},
        {entry(R"("compat":"best effort")"), "/entries/0/compat", "did you mean \"best-effort\"?"},
        {entry(R"("missingPaths":true)"), "/entries/0/missingPaths", "allowed: \"error\", \"skip\""},
        {entry(R"("sessions":"yes")"), "/entries/0/sessions", "expected a boolean"},
        {entry(R"("select":"entry")"), "/entries/0/select", "allowed: \"entrypoint\""},
        {entry(R"("select":{})"), "/entries/0/select", "is empty"},
        {entry(R"("select":{"entrypoint":false})"), "/entries/0/select/entrypoint", "allowed: true"},
        {entry(R"("select":{"program":["/a"],"except":["/b"]})"), "/entries/0/select", "has 2 fields; at most 1"},
        {entry(R"("select":{"programs":["/a"]})"), "/entries/0/select/programs", "did you mean \"program\"?"},
        {entry(R"("select":{"program":[]})"), "/entries/0/select/program", "is empty"},
        {entry(R"("select":{"program":["nginx"]})"), "/entries/0/select/program/0", "is no absolute path"},
        {entry(R"("select":{"program":["/bin/sh","/a/../b"]})"), "/entries/0/select/program/1", "contains \"..\""},
        {entry(R"("select":{"program":["/.."]})"), "/entries/0/select/program/0", "contains \"..\""},
        {entry(R"("select":{"program":["//"]})"), "/entries/0/select/program/0", "is no program"},
        {entry(R"("name":"a b")"), "/entries/0/name", "allowed: letters, digits"},
        {entry(R"("name":"")"), "/entries/0/name", "is empty"},
        {R"({"entries":[{"name":"a","policy":)" + policy + R"(},{"name":"a","policy":)" + policy + "}]}",
         "/entries/1/name", "taken by another entry"},
        {entry(R"("log":{})"), "/entries/0/log", "is empty"},
        {entry(R"("log":{"sameexec":true})"), "/entries/0/log/sameexec", "did you mean \"sameExec\"?"},
    };
    for (const Reject& item : cases) {
        expectRejected(item);
    }
    expectRejected({entry(R"("noNewPrivileges":false)"), "/entries/0/noNewPrivileges",
                    "only a profile file on the node"},
                   6, Origin::inlined);
    EXPECT_TRUE(load(entry(R"("noNewPrivileges":true)"), 6, Origin::inlined).entries[0].noNewPrivileges);
}

TEST(Load, BestEffortReportsWhatItDrops)
{
    const std::string json =
        R"({"entries":[{"log":{"newExec":true},"policy":{"abi":6,"ruleset":[{"handledAccessFs":["abi.all"],"scoped":["signal"]}],
        "pathBeneath":[{"allowedAccess":["ioctl_dev"],"parent":["/dev"]},{"allowedAccess":["read_file","ioctl_dev"],"parent":["/tmp"]}],
        "netPort":[{"allowedAccess":["bind_tcp"],"port":[80]}]}}]})";
    const profile::Entry entry = load(json, 3).entries[0];
    EXPECT_EQ(entry.layers[0].handledFs, 0x7fffu);
    EXPECT_EQ(entry.layers[0].handledNet, 0u);
    EXPECT_EQ(entry.layers[0].scoped, 0u);
    ASSERT_EQ(entry.layers[0].paths.size(), 1u);
    EXPECT_EQ(entry.layers[0].paths[0].path, "/tmp");
    EXPECT_EQ(entry.layers[0].paths[0].access, 0x4u);
    EXPECT_EQ(entry.layers[0].paths[0].pointer, "/entries/0/policy/pathBeneath/1/parent/0");
    EXPECT_TRUE(entry.layers[0].ports.empty());
    EXPECT_FALSE(entry.logRequested);
    std::string dropped;
    for (const profile::Dropped& item : entry.dropped) {
        dropped += item.what + "@" + std::to_string(item.abi) + " " + item.pointer + "\n";
    }
    EXPECT_EQ(dropped,
              "log.newExec@7 /entries/0/log/newExec\n"
              "fs.ioctl_dev@5 /entries/0/policy/ruleset/0/handledAccessFs/0\n"
              "net.bind_tcp@4 /entries/0/policy/netPort/0/allowedAccess/0\n"
              "scope.signal@6 /entries/0/policy/ruleset/0/scoped/0\n");
    EXPECT_EQ(load(json, 7).entries[0].dropped.size(), 0u);
}

TEST(Load, NeverWithoutEffect)
{
    const std::string scopes = R"({"abi":6,"ruleset":[{"scoped":["abi.all"]}]})";
    expectRejected({scopes, "", "nothing of this policy can be enforced on Landlock ABI 5; it needs ABI 6, Linux 6.12"},
                   5);
    // One layer that does something does not hide another that cannot.
    expectRejected({R"({"entries":[{"policy":[)" + policy + "," + scopes + "]}]}", "/entries/0/policy/1",
                    "nothing of this policy"},
                   5);
    expectRejected({R"({"entries":[{"policy":{"compose":[)" + policy + "," + scopes + "]}}]}", "/entries/0/policy",
                    "restricts nothing"},
                   6);
}

TEST(Load, RequireFailsOnWhatIsMissing)
{
    const std::string json =
        R"({"entries":[{"compat":"require","log":{"sameExec":false},"policy":{"abi":6,"ruleset":[{"handledAccessFs":["abi.all"],"scoped":["abi.all"]}]}}]})";
    EXPECT_TRUE(load(json, 7).entries[0].dropped.empty());
    expectRejected({json, "/entries/0/log/sameExec", "log.sameExec is not in Landlock ABI 6 (needs ABI 7, Linux 6.15)"},
                   6);
    expectRejected({json, "/entries/0/policy/ruleset/0/scoped/0", "scope.signal is not in Landlock ABI 5"}, 5);
    expectRejected({json, "/entries/0/policy/ruleset/0/handledAccessFs/0",
                    "fs.ioctl_dev is not in Landlock ABI 4 (needs ABI 5, Linux 6.10)"},
                   4);
}

TEST(Load, Layers)
{
    const std::string net = R"({"netPort":[{"allowedAccess":["bind_tcp"],"port":[80]}]})";
    const profile::Profile loaded = load(R"({"entries":[{"policy":[)" + policy + "," + net + R"(,{"compose":[)" + net +
                                         R"(,{"netPort":[{"allowedAccess":["bind_tcp"],"port":[81]}]}]}]}]})");
    ASSERT_EQ(loaded.entries[0].layers.size(), 3u);
    EXPECT_EQ(support::text(loaded.entries[0].layers[2]), "net=bind_tcp; :80 bind_tcp; :81 bind_tcp");
}

TEST(Load, Limits)
{
    EXPECT_EQ(load(R"({"entries":[{"policy":[)" + repeat(policy, 16) + "]}]}").entries[0].layers.size(), 16u);
    expectRejected({R"({"entries":[{"policy":[)" + repeat(policy, 17) + "]}]}", "/entries/0/policy",
                    "has 17 elements; at most 16"});
    expectRejected({R"({"entries":[{"policy":[)" + repeat(policy, 16) + R"(]},{"policy":)" + policy + "}]}",
                    "/entries/1/policy", "more than 16 layers"});
    expectRejected({R"({"entries":[)" + repeat("{\"policy\":" + policy + "}", 17) + "]}", "/entries",
                    "has 17 elements; at most 16"});

    std::string paths;
    std::string ports;
    std::string programs;
    for (unsigned i = 0; i < 4096; ++i) {
        paths += (i == 0 ? "\"/p" : ",\"/p") + std::to_string(i) + "\"";
    }
    for (unsigned i = 0; i < 256; ++i) {
        ports += (i == 0 ? "" : ",") + std::to_string(i);
    }
    for (unsigned i = 0; i < 64; ++i) {
        programs += (i == 0 ? "\"/p" : ",\"/p") + std::to_string(i) + "\"";
    }
    const auto pathPolicy = [](const std::string& list) {
        return R"({"pathBeneath":[{"allowedAccess":["execute"],"parent":[)" + list + "]}]}";
    };
    EXPECT_EQ(load(pathPolicy(paths)).entries[0].layers[0].paths.size(), 4096u);
    expectRejected({pathPolicy(paths + ",\"/q\""), "/pathBeneath/0/parent/4096", "more than 4096 paths"});
    expectRejected({R"({"entries":[{"policy":)" + pathPolicy(paths) + R"(},{"policy":)" + pathPolicy("\"/q\"") + "}]}",
                    "/entries/1/policy/pathBeneath/0/parent/0", "more than 4096 paths"});
    const auto portPolicy = [](const std::string& list) {
        return R"({"netPort":[{"allowedAccess":["bind_tcp"],"port":[)" + list + "]}]}";
    };
    EXPECT_EQ(load(portPolicy(ports)).entries[0].layers[0].ports.size(), 256u);
    expectRejected({portPolicy(ports + ",256"), "/netPort/0/port/256", "more than 256 ports"});
    const auto select = [&](const std::string& list) { return entry(R"("select":{"program":[)" + list + "]}"); };
    // However many are too many, that is one problem.
    const auto onlyProblem = [](const std::string& json) {
        try {
            profile::load(json, "test", Origin::nodeFile, landlock::latestAbi);
        } catch (const profile::Invalid& error) {
            return error.problems().size() == 1 ? error.problems()[0].pointer + ": " + error.problems()[0].message
                                                : std::string();
        }
        return std::string();
    };
    std::string more = paths;
    for (unsigned i = 0; i < 200; ++i) {
        more += ",\"/q" + std::to_string(i) + "\"";
    }
    EXPECT_EQ(onlyProblem(pathPolicy(more)),
              "/pathBeneath/0/parent/4096: more than 4096 paths in the profile, after variables; it has 4296");
    for (unsigned i = 256; i < 300; ++i) {
        ports += "," + std::to_string(i);
    }
    EXPECT_EQ(onlyProblem(portPolicy(ports)), "/netPort/0/port/256: more than 256 ports in the profile; it has 300");
    EXPECT_EQ(load(select(programs)).entries[0].select.programs.size(), 64u);
    expectRejected({select(programs + ",\"/q\""), "/entries/0/select/program", "has 65 elements; at most 64"});
    expectRejected({select("\"/" + std::string(511, 'x') + "\""), "/entries/0/select/program/0", "at most 511"});
    expectRejected(
        {select("\"/" + repeat("é", 300, "") + "\""), "/entries/0/select/program/0", "longer than 511 bytes"});
    EXPECT_EQ(load(pathPolicy("\"/" + std::string(4094, 'x') + "\"")).entries[0].layers[0].paths.size(), 1u);
    expectRejected(
        {pathPolicy("\"/" + std::string(4095, 'x') + "\""), "/pathBeneath/0/parent/0", "longer than 4095 bytes"});
    expectRejected({std::string(256 * 1024 + 1, ' '), "", "larger than 262144 bytes"});
    EXPECT_EQ(load(policy + std::string(256 * 1024 - policy.size(), ' ')).entries.size(), 1u);
}

TEST(Load, ExpansionIsBounded)
{
    const auto with = [](const std::string& literals, const std::string& path) {
        return R"({"variable":[{"name":"v","literal":[)" + literals +
               R"(]},{"name":"none"}],"pathBeneath":[{"allowedAccess":["execute"],"parent":[")" + path + "\"]}]}";
    };
    const std::string two = R"("a","b")";
    EXPECT_EQ(load(with(two, "/" + repeat("${v}", 12, ""))).entries[0].layers[0].paths.size(), 4096u);
    expectRejected({with(two, "/" + repeat("${v}", 13, "")), "/pathBeneath/0/parent/0", "more than 4096 paths"});
    expectRejected({with(two, "/" + repeat("${v}", 32, "")), "/pathBeneath/0/parent/0", "more than 4096 paths"});
    expectRejected(
        {with("\"a\"", "/" + repeat("${v}", 33, "")), "/pathBeneath/0/parent/0", "more than 32 variables in one path"});
    expectRejected({with("\"a\"", "/" + repeat("${v}", 40000, "")), "/pathBeneath/0/parent/0",
                    "more than 32 variables in one path"});
    expectRejected({with("\"" + std::string(2000, 'x') + "\"", "/${v}${v}${v}"), "/pathBeneath/0/parent/0",
                    "longer than 4095 bytes"});
    std::string wide;
    for (unsigned i = 0; i < 4000; ++i) {
        wide += (i == 0 ? "\"" : ",\"") + std::to_string(i) + "\"";
    }
    expectRejected({with(wide, "/" + std::string(300, 'x') + "${v}"), "/pathBeneath/0/parent/0",
                    "longer than 1048576 bytes together"});
    // Many values many times, over and over: 10^115 strings, none of them made.
    expectRejected({with(wide, repeat("${v}", 32, "")), "/pathBeneath/0/parent/0", "more than 4096 paths"});
    EXPECT_EQ(load(with(wide, "/" + repeat("${v}", 31, "") + "${none}")).entries[0].layers[0].paths.size(), 0u);
}

TEST(Load, HostileText)
{
    const std::string bomb = "[" + repeat("[],", 40000, "") + "[]]";
    const Reject cases[] = {
        {"", "", "no valid JSON"},
        {"   ", "", "no valid JSON"},
        {"{", "", "no valid JSON"},
        {policy + "x", "", "no valid JSON"},
        {policy + policy, "", "no valid JSON"},
        {"// a\n" + policy, "", "no valid JSON"},
        {R"({"abi":1,})", "", "no valid JSON"},
        {R"({"abi":01})", "", "no valid JSON"},
        {R"({"abi":NaN})", "", "no valid JSON"},
        {R"({"abi":1e999})", "", "no valid JSON"},
        {"[]", "", "found an array, expected an object"},
        {"null", "", "found null, expected an object"},
        {"\"x\"", "", "expected an object"},
        {"{\"\xff\":1}", "", "UTF-8"},
        {R"({"ruleset":")"
         "\xc0\x80"
         R"("})",
         "", "UTF-8"},
        {R"({"ruleset":"\ud800"})", "", "no valid JSON"},
        {"{\"ruleset\":\"a\nb\"}", "", "no valid JSON"},
        {"\xef\xbb\xbf" + policy, "", "byte order mark"},
        {R"({"pathBeneath":[{"allowedAccess":["execute"],"parent":["/a\u0000b"]}]})", "/pathBeneath/0/parent/0", "NUL"},
        {R"({"ab\u0000i":1})", std::string("/ab\0i", 5), "NUL"},
        {entry(R"("select":{"program":["/bin/sh\u0000"]})"), "/entries/0/select/program/0", "NUL"},
        {std::string(100000, '['), "", "nested deeper than 32"},
        {repeat("{\"a\":", 33, "") + "1" + repeat("}", 33, ""), "", "nested deeper than 32"},
        {bomb, "", "more than 32768 values"},
    };
    for (const Reject& item : cases) {
        Reject reject = item;
        if (std::string_view(item.message).starts_with("nested")) {
            reject.pointer = item.json[0] == '[' ? "/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0"
                                                 : "/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a";
        }
        expectRejected(reject);
    }
    try {
        profile::load("{\n\n  \"abi\": 1\n  \"x\": 2 }", "f.json", Origin::inlined, 6);
        FAIL();
    } catch (const profile::Invalid& error) {
        EXPECT_EQ(error.problems()[0].line, 4u);
        EXPECT_EQ(std::string(error.what()).rfind("f.json, line 4: no valid JSON: ", 0), 0u) << error.what();
    }
}

TEST(Load, MessagesAreOneBoundedLine)
{
    try {
        profile::load(R"({"ruleset":[{"handledAccessFs":[)" +
                          repeat("\"\\u001b[31m\\n" + std::string(50, 'x') + "\"", 3000) + "]}]}",
                      "test", Origin::inlined, 6);
        FAIL();
    } catch (const profile::Invalid& error) {
        EXPECT_EQ(error.problems().size(), 65u);
        EXPECT_EQ(error.problems().back().message, "stopped after 64 problems");
        for (const profile::Problem& problem : error.problems()) {
            EXPECT_LT(problem.message.size(), 700u);
            EXPECT_EQ(problem.message.find_first_of("\n\x1b"), std::string::npos);
        }
    }
}

TEST(Load, ProgramsOfTheAnnotation)
{
    profile::Profile one = load(entry(R"("select":{"program":["/a"]},"sessions":false)"));
    profile::selectPrograms(one, profile::programsOf("/usr//bin/x"));
    EXPECT_EQ(one.entries[0].select.kind, Selector::program);
    EXPECT_EQ(one.entries[0].select.programs, std::vector<std::string>{"/usr/bin/x"});
    EXPECT_FALSE(one.entries[0].select.sessions);
    EXPECT_EQ(profile::programsOf(R"( ["/a", "/b"])"), (std::vector<std::string>{"/a", "/b"}));
    for (const char* bad : {"", "x", "[]", "[1]", "[\"x\"]", "[", "/..", "/", "[\"/a\",]"}) {
        EXPECT_THROW(profile::programsOf(bad), sys::Error) << bad;
    }
    EXPECT_THROW(profile::programsOf(std::string_view("/a\0b", 4)), sys::Error);
    EXPECT_THROW(profile::programsOf("[" + repeat("\"/a\"", 65) + "]"), sys::Error);
    profile::Profile two = load(R"({"entries":[{"policy":)" + policy + R"(},{"policy":)" + policy + "}]}");
    EXPECT_THROW(profile::selectPrograms(two, {"/a"}), sys::Error);
}

}  // namespace
