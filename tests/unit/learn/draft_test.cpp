// SPDX-License-Identifier: Apache-2.0
#include "learn/draft.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "learn/against.hpp"
#include "profile/load.hpp"
#include "profile/toml.hpp"

namespace {

using learn::Draft;
using learn::Recording;
using learn::Style;
using Rules = std::map<std::string, std::set<std::string>>;

std::uint64_t mask(const std::vector<std::string>& names)
{
    std::uint64_t rights = 0;
    for (const std::string& name : names) {
        rights |= landlock::findRight(landlock::Kind::fs, name)->mask();
    }
    return rights;
}

Recording recording(const std::map<std::string, std::vector<std::string>>& paths)
{
    Recording out;
    out.runs.push_back({});
    for (const auto& [path, names] : paths) {
        out.paths[path].rights = mask(names);
    }
    return out;
}

nlohmann::ordered_json policyOf(const Draft& draft)
{
    return nlohmann::ordered_json::parse(draft.profile)["entries"][0]["policy"];
}

Rules rulesOf(const Draft& draft)
{
    Rules rules;
    const nlohmann::ordered_json policy = policyOf(draft);
    for (const auto& rule : policy.value("pathBeneath", nlohmann::ordered_json::array())) {
        for (const auto& path : rule["parent"]) {
            for (const auto& right : rule["allowedAccess"]) {
                rules[path.get<std::string>()].insert(right.get<std::string>());
            }
        }
    }
    return rules;
}

profile::Profile loaded(const Draft& draft)
{
    return profile::loadFile(draft.profile, "draft", profile::Origin::nodeFile, landlock::latestAbi);
}

std::vector<learn::Denied> denied(const profile::Profile& profile, const Recording& recording)
{
    return learn::deniedBy(profile, recording,
                           [](const profile::Entry&, const profile::PathRule& rule) { return rule.path; });
}

Draft whole(const Recording& recording, const Style& style = {})
{
    Draft draft = learn::draft(recording, style);
    EXPECT_TRUE(draft.withheld.empty());
    EXPECT_TRUE(denied(loaded(draft), recording).empty()) << draft.profile;
    return draft;
}

learn::Offer offer(const std::string& name, const std::string& fields)
{
    const std::string text =
        R"({"abi":10,"ruleset":[{"handledAccessFs":["abi.all"],"handledAccessNet":["abi.all"],"scoped":["abi.all"]}])" +
        fields + "}";
    return {name, profile::load(text, name, profile::Origin::nodeFile, landlock::latestAbi).entries[0].layers[0]};
}

learn::Offer allowing(const std::string& name, const std::string& rights, const std::string& paths,
                      const std::string& more = "")
{
    return offer(name, R"(,"pathBeneath":[{"allowedAccess":[)" + rights + R"(],"parent":[)" + paths + "]}]" + more);
}

// The profile with what it uses, as it is on the node.
profile::Profile loadedWith(const Draft& draft, const std::vector<profile::Fragment>& fragments)
{
    return profile::loadFile(draft.profile, "draft", profile::Origin::nodeFile, landlock::latestAbi, fragments);
}

TEST(Draft, FragmentsStandForWhatTheyMean)
{
    const Recording seen = recording({{"/usr/lib/a.so", {"read_file", "execute"}},
                                      {"/lib64/ld.so", {"read_file", "execute"}},
                                      {"/etc/hosts", {"read_file"}},
                                      {"/etc/passwd", {"read_file"}},
                                      {"/opt/x", {"read_file"}}});
    const std::string x = R"("execute","read_file","read_dir")";
    const std::string libraries = R"("/usr/lib","/lib64","/etc/hosts")";
    Style style{.fragments = {allowing("one", x, R"("/etc/passwd")"), allowing("wide", x, R"("/etc","/usr")"),
                              allowing("less", R"("read_file")", R"("/usr/lib","/lib64")"),
                              allowing("libraries", x, libraries), allowing("some", x, R"("/usr/lib","/lib64")")}};
    const Draft draft = learn::draft(seen, style);
    EXPECT_EQ(policyOf(draft)["use"], nlohmann::ordered_json::parse(R"(["libraries"])"));
    EXPECT_EQ(rulesOf(draft), (Rules{{"/etc/passwd", {"read_file"}}, {"/opt/x", {"read_file"}}}));
    EXPECT_NE(std::ranges::find(draft.reasons,
                                "use libraries: stands for /etc/hosts, /lib64, /usr/lib; it has 3 paths"),
              draft.reasons.end());
    const std::string text = R"({"abi":10,"ruleset":[{"handledAccessFs":["abi.all"],"handledAccessNet":["abi.all"],)"
                             R"("scoped":["abi.all"]}],"pathBeneath":[{"allowedAccess":[)" +
                             x + R"(],"parent":[)" + libraries + "]}]}";
    EXPECT_TRUE(denied(loadedWith(draft, {{"libraries", "/f/libraries.json", text}}), seen).empty());
    EXPECT_FALSE(policyOf(learn::draft(seen, {})).contains("use"));
}

TEST(Draft, FragmentsThatOpenMoreThanFilesAreLeftOut)
{
    Recording seen = recording({{"/opt/a", {"read_file"}},
                                {"/opt/b", {"read_file"}},
                                {"/srv/x", {"refer"}},
                                {"/srv/y", {"refer"}},
                                {"/var/lib", {"make_reg"}}});
    seen.ports[443] = landlock::maskOf(landlock::Kind::net, "connect_tcp");
    const std::string both = R"("/opt/a","/opt/b")";
    const auto uses = [&](const learn::Offer& one) {
        return policyOf(learn::draft(seen, {.fragments = {one}})).contains("use");
    };
    const auto port = [](const std::string& right, const std::string& number) {
        return R"(,"netPort":[{"allowedAccess":[")" + right + R"("],"port":[)" + number + "]}]";
    };
    EXPECT_TRUE(uses(allowing("f", R"("read_file")", both)));
    EXPECT_TRUE(uses(allowing("f", R"("read_file")", both, port("connect_tcp", "443"))));
    EXPECT_FALSE(uses(allowing("f", R"("read_file")", both, port("connect_tcp", "80"))));
    EXPECT_FALSE(uses(allowing("f", R"("read_file")", both, port("bind_tcp", "443"))));
    // It was withheld, and would be allowed all the same.
    EXPECT_FALSE(uses(allowing("f", R"("read_file","make_reg")", both + R"(,"/var")")));
    // Files could not be moved any more where one side has more rights.
    EXPECT_FALSE(uses(allowing("f", R"("read_file")", both + R"(,"/srv/x")")));
    learn::Offer weak = allowing("f", R"("read_file")", both);
    weak.layer.scoped = 0;
    EXPECT_FALSE(uses(weak));
    weak = allowing("f", R"("read_file")", both);
    weak.layer.handledFs &= ~std::uint64_t{2};
    EXPECT_FALSE(uses(weak));
    weak = allowing("f", R"("read_file")", both);
    weak.layer.handledNet = 0;
    EXPECT_FALSE(uses(weak));
}

TEST(Draft, IsTheSameInToml)
{
    Recording seen =
        recording({{"/opt/a\"b\\c$\n\x7f\xc3\xa4\xf0\x9f\x98\x80", {"read_file"}}, {"/srv", {"write_file"}}});
    seen.ports[80] = landlock::maskOf(landlock::Kind::net, "bind_tcp");
    seen.programs = {"/opt/program"};
    const Draft inJson = learn::draft(seen, {.programs = {"/opt/program"}, .into = {"/srv"}});
    const Draft inToml = learn::draft(seen, {.programs = {"/opt/program"}, .into = {"/srv"}, .toml = true});
    EXPECT_EQ(profile::parseToml(inToml.profile, "draft.toml"), nlohmann::json::parse(inJson.profile))
        << inToml.profile;
}

TEST(Draft, ManyFilesStandForTheirDirectory)
{
    std::map<std::string, std::vector<std::string>> paths = {{"/opt/app/x", {"read_file"}}};
    for (const char* name : {"a", "b", "c", "d", "e"}) {
        paths["/opt/app/data/" + std::string(name)] = {"read_file"};
    }
    const Recording found = recording(paths);
    EXPECT_EQ(rulesOf(whole(found)), (Rules{{"/opt/app/data", {"read_file"}}, {"/opt/app/x", {"read_file"}}}));
    EXPECT_EQ(rulesOf(whole(found, {.collapse = 2})), (Rules{{"/opt/app", {"read_file"}}}));
    EXPECT_EQ(rulesOf(whole(found, {.collapse = 0})).size(), 6u);
}

TEST(Draft, WhatIsWrittenIsNotExecutedBecauseOfANeighbour)
{
    const Recording found = recording({{"/opt/a", {"execute", "read_file"}},
                                       {"/opt/b/1", {"execute", "read_file"}},
                                       {"/opt/b/2", {"execute", "read_file"}},
                                       {"/opt/b/3", {"write_file"}},
                                       {"/opt/b/4", {"write_file"}},
                                       {"/opt/b/5", {"read_file"}}});
    EXPECT_EQ(rulesOf(whole(found, {.collapse = 3})).size(), 6u);
}

TEST(Draft, LibrariesAreAllowedAsAWhole)
{
    Recording found = recording({{"/usr/lib/x86_64-linux-gnu/libc.so.6", {"read_file"}}});
    EXPECT_EQ(rulesOf(whole(found)), (Rules{{"/usr/lib", {"read_file", "read_dir"}}}));
    found.paths["/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"].rights = mask({"execute", "read_file"});
    EXPECT_EQ(rulesOf(whole(found)), (Rules{{"/usr/lib", {"execute", "read_file", "read_dir"}}}));
    const Recording writes = recording({{"/usr/lib/state", {"write_file"}}});
    EXPECT_EQ(rulesOf(whole(writes)), (Rules{{"/usr/lib/state", {"write_file"}}}));
}

TEST(Draft, ProtectedDirectoriesAreForAPersonToDecide)
{
    std::map<std::string, std::vector<std::string>> paths;
    for (const char* directory : {"/", "/etc/", "/root/", "/home/me/", "/run/", "/usr/bin/"}) {
        for (int i = 0; i < 20; ++i) {
            paths[directory + std::to_string(i)] = {"read_file"};
        }
    }
    EXPECT_EQ(rulesOf(whole(recording(paths))).size(), 120u);

    Recording makes = recording({{"/run", {"make_reg"}}, {"/", {"read_dir"}}});
    makes.paths["/run"].beneath = mask({"write_file"});
    makes.paths["/proc"].beneath = mask({"read_file", "write_file"});
    const Draft draft = learn::draft(makes, {});
    ASSERT_EQ(draft.withheld.size(), 3u);
    EXPECT_EQ(rulesOf(draft), (Rules{{"/proc", {"read_file"}}}));
    EXPECT_FALSE(denied(loaded(draft), makes).empty());
    whole(makes, {.into = {"/run", "/", "/proc"}});
}

TEST(Draft, LibrariesOfAllAreForAPersonToDecide)
{
    for (const std::string directory :
         {"/lib", "/lib32", "/lib64", "/libx32", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/libx32",
          "/usr/local/lib", "/usr/lib/x86_64-linux-gnu", "/lib/aarch64-linux-gnu"}) {
        std::map<std::string, std::vector<std::string>> written;
        for (int i = 0; i < 20; ++i) {
            written[directory + "/" + std::to_string(i)] = {"write_file"};
        }
        EXPECT_EQ(rulesOf(whole(recording(written))).size(), 20u) << directory;

        const Recording makes = recording({{directory, {"make_reg", "execute", "read_dir"}}});
        const Draft draft = learn::draft(makes, {});
        ASSERT_EQ(draft.withheld.size(), 1u) << directory;
        EXPECT_EQ(draft.withheld[0].rights, mask({"make_reg"}));
        EXPECT_FALSE(denied(loaded(draft), makes).empty());
        whole(makes, {.into = {directory}});
    }
    // What is one program's.
    EXPECT_TRUE(learn::draft(recording({{"/usr/lib/nginx", {"make_reg"}}}), {}).withheld.empty());
}

TEST(Draft, MovesGiveNoRights)
{
    const Recording found = recording({{"/opt/from", {"remove_file", "refer"}},
                                       {"/opt/from/x", {"read_file"}},
                                       {"/opt/to", {"make_reg", "refer", "write_file"}}});
    const Rules rules = rulesOf(whole(found));
    EXPECT_EQ(rules.at("/opt/from"), rules.at("/opt/to"));
}

TEST(Draft, NoRuleSaysWhatOneAboveItSays)
{
    Recording found =
        recording({{"/tmp", {"make_reg", "read_dir"}}, {"/tmp/x", {"read_file"}}, {"/tmp/y", {"execute"}}});
    found.paths["/tmp"].beneath = mask({"read_file"});
    EXPECT_EQ(rulesOf(whole(found)), (Rules{{"/tmp", {"make_reg", "read_dir", "read_file"}}, {"/tmp/y", {"execute"}}}));
}

TEST(Draft, PortsAndScopes)
{
    Recording found = recording({});
    found.ports = {{80, 1}, {443, 1}, {5432, 2}};
    Draft draft = whole(found);
    const nlohmann::ordered_json policy = policyOf(draft);
    EXPECT_EQ(policy["netPort"].size(), 2u);
    EXPECT_EQ(policy["ruleset"][0]["scoped"].size(), 2u);
    found.scopes = 2;
    draft = whole(found);
    EXPECT_EQ(policyOf(draft)["ruleset"][0]["scoped"], nlohmann::ordered_json({"abstract_unix_socket"}));
}

TEST(Draft, NamesAreNoVariables)
{
    const Recording found = recording({{"/opt/${x}$$", {"read_file"}}});
    const profile::Profile profile = loaded(learn::draft(found, {}));
    ASSERT_EQ(profile.entries[0].layers[0].paths.size(), 1u);
    EXPECT_EQ(profile.entries[0].layers[0].paths[0].path, "/opt/${x}$$");
}

TEST(Draft, WhatAProfileCannotHoldIsAnError)
{
    Recording found = recording({});
    for (unsigned port = 1; port < 400; ++port) {
        found.ports[port] = 2;
    }
    EXPECT_THROW(learn::draft(found, {}), sys::Error);
    std::map<std::string, std::vector<std::string>> paths;
    for (int i = 0; i < 5000; ++i) {
        paths["/etc/" + std::to_string(i)] = {"read_file"};
    }
    EXPECT_THROW(learn::draft(recording(paths), {}), sys::Error);
    paths.clear();
    for (int i = 0; i < 1000; ++i) {
        paths["/etc/" + std::to_string(i) + std::string(400, 'x')] = {"read_file"};
    }
    EXPECT_THROW(learn::draft(recording(paths), {}), sys::Error);
}

TEST(Against, SaysWhatEachEntryWouldDeny)
{
    const profile::Profile profile = profile::load(R"({"entries": [
        {"name": "one", "policy": {"abi": 6, "ruleset": [{"handledAccessFs": ["abi.all"], "handledAccessNet": ["bind_tcp"],
            "scoped": ["signal"]}], "pathBeneath": [{"allowedAccess": ["read_file"], "parent": ["/etc"]}],
            "netPort": [{"allowedAccess": ["bind_tcp"], "port": [80]}]}},
        {"name": "two", "policy": {"abi": 6, "ruleset": [{"handledAccessFs": ["write_file"]}]}}]})",
                                                   "profile", profile::Origin::nodeFile, 6);
    Recording found = recording({{"/etc/a", {"read_file"}}, {"/etcetera", {"read_file", "write_file"}}});
    found.paths["/tmp"].beneath = mask({"write_file"});
    found.ports = {{80, 3}, {81, 1}};
    found.scopes = 3;
    const std::vector<learn::Denied> all = denied(profile, found);
    ASSERT_EQ(all.size(), 6u);
    EXPECT_EQ(all[0].path, "/etcetera");
    EXPECT_EQ(all[0].rights, mask({"read_file", "write_file"}));
    EXPECT_TRUE(all[1].beneath);
    EXPECT_EQ(all[2].port, 81u);
    EXPECT_EQ(all[3].kind, landlock::Kind::scope);
    EXPECT_EQ(all[3].rights, 2u);
    EXPECT_EQ(all[4].entry, "two");
    EXPECT_EQ(all[4].rights, mask({"write_file"}));
    EXPECT_EQ(all[5].path, "/tmp");
}

// As Landlock has it: who is restricted in files at all may move none elsewhere, unless a rule says so.
TEST(Against, MovesAreDeniedThatNoRuleAllows)
{
    const auto deniedWith = [](const char* ruleset, const char* rules) {
        const profile::Profile profile =
            profile::load(std::string(R"({"abi": 6, "ruleset": [)") + ruleset + "]" + rules + "}", "profile",
                          profile::Origin::nodeFile, 6);
        return denied(profile, recording({{"/srv", {"refer"}}})).size();
    };
    EXPECT_EQ(deniedWith(R"({"handledAccessFs": ["read_file"]})", ""), 1u);
    EXPECT_EQ(deniedWith(R"({"handledAccessFs": ["refer"]})", ""), 1u);
    EXPECT_EQ(deniedWith(R"({"handledAccessFs": ["refer"]})",
                         R"(, "pathBeneath": [{"allowedAccess": ["refer"], "parent": ["/srv"]}])"),
              0u);
    EXPECT_EQ(deniedWith(R"({"handledAccessNet": ["bind_tcp"]})", ""), 0u);
}

// The rules that they share with the draft are no reason to open what it leaves alone.
TEST(Draft, FragmentsOpenNoProtectedDirectory)
{
    const Recording seen = recording({{"/usr/share", {"read_dir"}},
                                      {"/proc/meminfo", {"read_file"}},
                                      {"/opt/x", {"read_file"}},
                                      {"/proc", {"read_dir"}}});
    const std::string both = R"("/usr/share","/opt/x","/proc")";
    const auto uses = [&](const std::string& rights, const std::string& more, const Style& style = {}) {
        Style with = style;
        with.fragments = {allowing("f", rights, both + more)};
        return policyOf(learn::draft(seen, with)).contains("use");
    };
    const std::string reads = R"("read_file","read_dir")";
    EXPECT_TRUE(uses(reads, ""));
    for (const char* path : {"/", "/etc", "/etc/ssl/private", "/home/me", "/run/docker", "/run/user/0", "/root"}) {
        EXPECT_FALSE(uses(reads, R"(,")" + std::string(path) + "\"")) << path;
    }
    EXPECT_TRUE(uses(reads, R"(,"/etc")", {.into = {"/etc", "/etc/ssl", "/etc/ssl/private"}}));
    EXPECT_FALSE(uses(reads, R"(,"/etc")", {.into = {"/etc"}}));
    EXPECT_FALSE(uses(R"("read_file","read_dir","write_file")", ""));
}

TEST(Draft, WhatIsToBeCopiedIsOneWordOfAShell)
{
    const auto option = [](const std::string& path) {
        return learn::optionFor({.path = path, .rights = 1, .why = ""});
    };
    EXPECT_EQ(option("/run/user/1000"), "--into /run/user/1000");
    EXPECT_EQ(option("/home/x; $(id) `id`"), "--into '/home/x; $(id) `id`'");
    EXPECT_EQ(option("/home/it's"), R"(--into '/home/it'\''s')");
    EXPECT_EQ(option("/home/a\nb"), "--into '/home/a\\x0ab'");
}

// A person is to read it, on a terminal.
TEST(Draft, WhatPeopleWouldNotSeeIsEscaped)
{
    const std::string path =
        "/opt/\x7f\xc2\x9b"
        "2J\xe2\x80\xaegpj\xf3\xa0\x80\x81\xc3\xbc";
    for (const bool toml : {false, true}) {
        const std::string text = learn::draft(recording({{path, {"read_file"}}}), {.toml = toml}).profile;
        EXPECT_NE(text.find(toml ? R"(/opt/\U0000007f\U0000009b2J\U0000202egpj\U000e0001)"
                                   "\xc3\xbc"
                                 : R"(/opt/\u007f\u009b2J\u202egpj\udb40\udc01)"
                                   "\xc3\xbc"),
                  std::string::npos)
            << text;
        const profile::Profile made =
            profile::loadFile(text, toml ? "made.toml" : "made.json", profile::Origin::nodeFile, landlock::latestAbi);
        EXPECT_EQ(made.entries.at(0).layers.at(0).paths.at(0).path, path);
    }
    const std::string recorded = learn::textOf(recording({{path, {"read_file"}}}));
    EXPECT_NE(recorded.find(R"(/opt/\u007f\u009b2J\u202egpj)"), std::string::npos);
    EXPECT_TRUE(learn::read(recorded, "recording").paths.contains(path));
}

TEST(Draft, NothingStandsForWhatIsAboveSomethingProtected)
{
    std::map<std::string, std::vector<std::string>> top;
    for (int i = 0; i < 20; ++i) {
        top["/" + std::to_string(i)] = {"read_file"};
    }
    EXPECT_EQ(rulesOf(whole(recording(top), {.into = {"/"}})).size(), 20u);
    std::map<std::string, std::vector<std::string>> paths;
    for (const char* directory : {"/etc/ssl/", "/run/user/1000/", "/proc/sys/"}) {
        for (int i = 0; i < 20; ++i) {
            paths[directory + std::string("f") + std::to_string(i)] = {"write_file"};
        }
    }
    EXPECT_EQ(rulesOf(whole(recording(paths))).size(), 60u);
}

TEST(Draft, SettingsOfTheKernelAreWrittenOneByOne)
{
    std::map<std::string, std::vector<std::string>> paths;
    for (const char* directory : {"/proc/sys/net/ipv4/", "/sys/fs/cgroup/x/"}) {
        for (int i = 0; i < 20; ++i) {
            paths[directory + std::to_string(i)] = {"write_file"};
            paths[directory + std::string("r") + std::to_string(i)] = {"read_file"};
        }
    }
    const Rules rules = rulesOf(whole(recording(paths)));
    EXPECT_EQ(rules.size(), 42u);
    EXPECT_EQ(rules.at("/sys/fs/cgroup/x"), (std::set<std::string>{"read_file"}));
}

// Others may have written it. Bounds on memory: as many directories as there are names in all paths would take more
// than a gigabyte.
TEST(Draft, OfDeepPathsIsMadeInTime)
{
    Recording deep = recording({});
    for (std::size_t i = 0; i < learn::maxPaths; ++i) {
        std::string path = "/" + std::to_string(i);
        while (path.size() + 2 <= learn::maxPathBytes) {
            path += "/x";
        }
        deep.paths[path].rights = landlock::groupRights(landlock::Group::all, landlock::Kind::fs, 9);
    }
    EXPECT_THROW(learn::draft(deep, {}), sys::Error);
    std::string parents;
    for (int i = 0; i < 4000; ++i) {
        parents += (i == 0 ? "\"/" : ",\"/") + std::to_string(i) + "\"";
    }
    const profile::Profile profile =
        profile::load(R"({"abi": 6, "ruleset": [{"handledAccessFs": ["abi.all"]}], "pathBeneath": [)"
                      R"({"allowedAccess": ["read_file"], "parent": [)" +
                          parents + "]}]}",
                      "profile", profile::Origin::nodeFile, landlock::latestAbi);
    EXPECT_EQ(denied(profile, deep).size(), learn::maxPaths);
}

}  // namespace
