// SPDX-License-Identifier: Apache-2.0
// What a policy that uses fragments comes to.
#include <gtest/gtest.h>

#include "profile/load.hpp"
#include "support.hpp"
#include "temporary.hpp"

namespace {

using profile::Fragment;
using profile::Origin;
using profile::Profile;

constexpr const char* readsLib = R"({"ruleset":[{"handledAccessFs":["execute","read_file","write_file"]}],)"
                                 R"("pathBeneath":[{"allowedAccess":["read_file"],"parent":["/lib"]}]})";

Fragment fragment(const std::string& name, const std::string& text)
{
    return {name, "/f/" + name + ".json", text};
}

Profile with(const std::string& policy, const std::vector<Fragment>& fragments, unsigned abi = landlock::latestAbi,
             const std::string& fields = "")
{
    return profile::load(R"({"entries":[{"name":"web",)" + fields + R"("policy":)" + policy + "}]}", "test",
                         Origin::nodeFile, abi, fragments);
}

std::string layer(const std::string& policy, const std::vector<Fragment>& fragments)
{
    return support::text(with(policy, fragments).entries.at(0).layers.at(0));
}

void expectProblem(const std::string& policy, const std::vector<Fragment>& fragments, const std::string& expected)
{
    try {
        with(policy, fragments);
        ADD_FAILURE() << "accepted: " << policy;
    } catch (const profile::Invalid& error) {
        EXPECT_NE(support::text(error).find(expected), std::string::npos) << support::text(error);
    }
}

TEST(UsingFragments, AsksForThemFirst)
{
    const Profile bare = profile::load(R"({"use":["b","a","b"]})", "test", Origin::inlined, 6);
    EXPECT_TRUE(bare.entries.empty());
    ASSERT_EQ(bare.uses.size(), 2U);
    EXPECT_EQ(bare.uses[0].fragment, "b");
    EXPECT_EQ(bare.uses[0].entry, "entry-0");
    EXPECT_EQ(bare.uses[1].pointer, "/use/1");
    const Profile nested =
        with(R"([{"ruleset":[{"scoped":["signal"]}]},{"compose":[{"use":["a"]},{"use":["b"]}]}])", {});
    ASSERT_EQ(nested.uses.size(), 2U);
    EXPECT_EQ(nested.uses[1].entry, "web");
    EXPECT_EQ(nested.uses[1].pointer, "/entries/0/policy/1/compose/1/use/0");
}

TEST(UsingFragments, DeniesWhatTheProfileSaysAndAllowsWhatAnySays)
{
    const std::string policy = R"({"use":["lib"],"ruleset":[{"handledAccessFs":["execute","read_file"]}],)"
                               R"("pathBeneath":[{"allowedAccess":["execute"],"parent":["/lib","/bin"]}]})";
    const Profile profile = with(policy, {fragment("lib", readsLib)});
    const profile::Layer& found = profile.entries.at(0).layers.at(0);
    EXPECT_EQ(support::text(found), "fs=execute,read_file; /bin execute; /lib execute,read_file");
    EXPECT_EQ(found.paths[0].pointer, "/entries/0/policy/pathBeneath/0/parent/1");
    EXPECT_EQ(found.paths[1].pointer, "/entries/0/policy/pathBeneath/0/parent/0, lib#/pathBeneath/0/parent/0");
    // The profile's own path is wanted, whoever else wants it.
    EXPECT_FALSE(found.paths[1].optional);
}

TEST(UsingFragments, OfAPolicyThatSaysNothingElse)
{
    EXPECT_EQ(layer(R"({"use":["lib"]})", {fragment("lib", readsLib)}),
              "fs=execute,write_file,read_file; /lib read_file");
    EXPECT_TRUE(with(R"({"use":["lib"]})", {fragment("lib", readsLib)}).entries[0].layers[0].paths[0].optional);
    // In either order of their names.
    const std::string variables = R"({"variable":[{"name":"v","literal":["/x"]}]})";
    for (const char* name : {"a", "z"}) {
        EXPECT_EQ(layer(R"({"use":["lib",")" + std::string(name) + "\"]}",
                        {fragment("lib", readsLib), fragment(name, variables)}),
                  "fs=execute,write_file,read_file; /lib read_file");
    }
}

TEST(UsingFragments, VariablesMergeBothWays)
{
    const std::string policy = R"({"use":["vars","rules"],"ruleset":[{"handledAccessFs":["read_file"]}],)"
                               R"("variable":[{"name":"mine","literal":["/m"]}],)"
                               R"("pathBeneath":[{"allowedAccess":["read_file"],"parent":["${theirs}"]}]})";
    const std::vector<Fragment> fragments =
        {fragment("vars", R"({"variable":[{"name":"theirs","literal":["/t","/u"]}]})"),
         fragment("rules", R"({"pathBeneath":[{"allowedAccess":["read_file"],"parent":["${mine}","/u"]}]})")};
    const Profile profile = with(policy, fragments);
    const auto& paths = profile.entries.at(0).layers.at(0).paths;
    EXPECT_EQ(support::text(profile.entries[0].layers[0]), "fs=read_file; /m read_file; /t read_file; /u read_file");
    EXPECT_TRUE(paths[0].optional);
    EXPECT_FALSE(paths[1].optional);
    EXPECT_FALSE(paths[2].optional);
    EXPECT_EQ(paths[2].pointer, "/entries/0/policy/pathBeneath/0/parent/0, rules#/pathBeneath/0/parent/1");
    expectProblem(policy, {fragments[1], fragment("vars", R"({"variable":[{"name":"others"}]})")},
                  "/entries/0/policy/pathBeneath/0/parent/0: the variable \"theirs\" is not defined");
    expectProblem(R"({"use":["rules"],"ruleset":[{"handledAccessFs":["read_file"]}]})", {fragments[1]},
                  "rules#/pathBeneath/0/parent/0: the variable \"mine\" is not defined; the policy has no variables; "
                  "used by entry web");
}

TEST(UsingFragments, VariablesAloneRestrictNothing)
{
    const std::vector<Fragment> fragments = {fragment("vars", R"({"variable":[{"name":"v"}]})")};
    expectProblem(R"({"use":["vars"]})", fragments, "/entries/0/policy: the policy restricts nothing");
    expectProblem(R"({"use":["vars"],"variable":[{"name":"v"}]})", fragments, "the policy restricts nothing");
}

TEST(UsingFragments, OneThatHandlesLessIsRefused)
{
    const std::string policy =
        R"({"use":["lib","more"],"ruleset":[{"handledAccessFs":["read_file","truncate"],"scoped":["signal"]}]})";
    expectProblem(
        policy,
        {fragment("lib", readsLib),
         fragment("more", R"({"abi":10,"ruleset":[{"handledAccessFs":["abi.all"],"scoped":["abi.all"]}]})")},
        "/entries/0/policy/use: the fragment \"lib\" does not handle fs.truncate, scope.signal, and would take "
        "the denial of that away");
    // Nor less than another, where the profile says nothing itself.
    expectProblem(R"({"use":["lib","less"]})",
                  {fragment("lib", readsLib), fragment("less", R"({"ruleset":[{"handledAccessFs":["execute"]}]})")},
                  "the fragment \"less\" does not handle fs.write_file, fs.read_file");
    // What the profile does not deny, no fragment does.
    EXPECT_EQ(layer(R"({"use":["lib"],"ruleset":[{"handledAccessFs":["execute"]}]})", {fragment("lib", readsLib)}),
              "fs=execute");
}

TEST(UsingFragments, ThatUseOthersAlsoInCircles)
{
    const std::vector<Fragment> fragments = {fragment("a", R"({"use":["b"]})"), fragment("b", R"({"use":["lib","a"]})"),
                                             fragment("lib", readsLib)};
    EXPECT_EQ(layer(R"({"use":["a","b"]})", fragments), "fs=execute,write_file,read_file; /lib read_file");
    EXPECT_EQ(layer(R"({"compose":[{"use":["a"]},{"ruleset":[{"handledAccessFs":["execute","read_file"]}]}]})",
                    fragments),
              "fs=execute,read_file; /lib read_file");
    EXPECT_EQ(profile::usesOf(fragments[1]).at(1).fragment, "a");
    support::expectError([&] { layer(R"({"use":["nowhere"]})", fragments); }, "\"nowhere\" was not read");
}

TEST(UsingFragments, CompatIsTheEntrysAlone)
{
    const std::vector<Fragment> fragments = {
        fragment("all", R"({"abi":10,"ruleset":[{"handledAccessFs":["abi.all"],"scoped":["abi.all"]}]})")};
    const Profile best = with(R"({"use":["all"],"ruleset":[{"handledAccessFs":["read_file"]}]})", fragments, 3,
                              R"("compat":"require",)");
    EXPECT_TRUE(best.entries[0].dropped.empty());
    try {
        with(R"({"use":["all"]})", fragments, 5, R"("compat":"require",)");
        ADD_FAILURE();
    } catch (const profile::Invalid& error) {
        EXPECT_NE(support::text(error).find("all#/ruleset/0/scoped/0: scope.signal is not in Landlock ABI 5"),
                  std::string::npos)
            << support::text(error);
    }
    EXPECT_FALSE(with(R"({"use":["all"]})", fragments, 5).entries[0].dropped.empty());
}

TEST(UsingFragments, WhatIsQuietTheProfileSays)
{
    const std::string quiet =
        R"({"use":["lib"],"ruleset":[{"handledAccessFs":["read_file"]}],"pathBeneath":[{"parent":["/q"],"quiet":true}]})";
    EXPECT_EQ(layer(quiet, {fragment("lib", readsLib)}), "fs=read_file quietfs=read_file; /lib read_file; /q  quiet");
    EXPECT_EQ(layer(R"({"use":["q"],"ruleset":[{"handledAccessFs":["read_file"]}]})",
                    {fragment("q", R"({"ruleset":[{"handledAccessFs":["read_file"]}],)"
                                   R"("pathBeneath":[{"parent":["/q"],"quiet":true}]})")}),
              "fs=read_file");
}

TEST(UsingFragments, WhatIsNoFragment)
{
    const std::pair<const char*, const char*> wrong[] = {
        {R"({"entries":[{"policy":{"ruleset":[{"scoped":["signal"]}]}}]})",
         "/f/x.json: /entries: this is a profile; a fragment is a policy on its own"},
        {R"([])", "/f/x.json: found an array"},
        {R"({)", "/f/x.json, line 1: no valid JSON"},
        {"abi = 6", "/f/x.json, line 1: no valid JSON"},
        {R"({"compose":[]})", "/compose: unknown field"},
        {R"({"use":[]})", "/use: is empty"},
        {R"({"use":[""]})", "/use/0: is empty"},
        {R"({"variable":[{"name":"1"}]})", "\"1\" is no variable name"},
        {R"({"pathBeneath":[{"allowedAccess":["read_file"],"parent":["${"]}]})", "is not closed"},
    };
    for (const auto& [text, expected] : wrong) {
        support::expectError([&] { profile::usesOf(fragment("x", text)); }, expected, text);
    }
    EXPECT_TRUE(profile::usesOf({"x", "/f/x.toml", "[[variable]]\nname = \"a\"\n"}).empty());
    EXPECT_EQ(profile::usesOf({"x", "/f/x.toml", "use = [\"y\"]"}).at(0).pointer, "/use/0");
}

TEST(UsingFragments, NoMoreThanCanBeRead)
{
    std::string many;
    for (std::size_t i = 0; i < 10000; ++i) {
        many += (many.empty() ? "\"f" : ",\"f") + std::to_string(i) + "\"";
    }
    support::expectRejected({"{\"use\":[" + many + "]}", "/use", "has 10000 elements; at most 32 are allowed"});
    std::string parts;
    for (std::size_t i = 0; i <= profile::maxFragments; ++i) {
        parts += (i == 0 ? "" : ",") + std::string(R"({"use":["f)") + std::to_string(i) + "\"]}";
    }
    support::expectRejected({R"({"entries":[{"policy":{"compose":[)" + parts + "]}}]}",
                             "/entries/0/policy/compose/32/use/0", "more than 32 fragments in the profile"});
    support::expectRejected({R"({"use":[")" + std::string(300, 'a') + "\"]}", "/use/0", "at most 128"});
}

// Both of them use it: it is merged once, with its variables, and a rule of it has one place.
TEST(UsingFragments, ThatTwoWaysLeadTo)
{
    const std::string shared = R"({"ruleset":[{"handledAccessFs":["execute","read_file","write_file"]}],)"
                               R"("variable":[{"name":"v","literal":["/x","/y"]}],)"
                               R"("pathBeneath":[{"allowedAccess":["read_file"],"parent":["${v}","/lib"]}]})";
    const std::vector<Fragment> fragments =
        {fragment("a", R"({"use":["b","c"]})"),
         fragment("b", R"({"use":["d"],"variable":[{"name":"v","literal":["/x"]}]})"),
         fragment("c", R"({"use":["d"],"ruleset":[{"handledAccessFs":["execute","read_file","write_file"]}],)"
                       R"("pathBeneath":[{"allowedAccess":["execute"],"parent":["/lib"]}]})"),
         fragment("d", shared)};
    const std::string expected = "fs=execute,write_file,read_file; /lib execute,read_file; /x read_file; /y read_file";
    for (const char* uses : {R"(["a"])", R"(["b","c"])", R"(["c","b"])", R"(["d","a","d"])"}) {
        const Profile profile = with(R"({"use":)" + std::string(uses) + "}", fragments);
        const profile::Layer& found = profile.entries.at(0).layers.at(0);
        EXPECT_EQ(support::text(found), expected) << uses;
        ASSERT_EQ(found.paths.size(), 3U);
        EXPECT_EQ(found.paths[0].pointer, "c#/pathBeneath/0/parent/0, d#/pathBeneath/0/parent/1") << uses;
        EXPECT_EQ(found.paths[1].pointer, "d#/pathBeneath/0/parent/0") << uses;
        EXPECT_EQ(profile.entries[0].layers.size(), 1U);
    }
}

}  // namespace
