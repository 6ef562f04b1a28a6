// SPDX-License-Identifier: Apache-2.0
#include "learn/draft.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "learn/against.hpp"
#include "profile/load.hpp"

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
                rules[path].insert(right);
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
    const Recording found = recording({{"/usr/lib/x86_64-linux-gnu/libc.so.6", {"read_file"}}});
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

}  // namespace
