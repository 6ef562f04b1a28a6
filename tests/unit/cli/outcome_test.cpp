// SPDX-License-Identifier: Apache-2.0
#include "cli/outcome.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "bpf/abi.h"
#include "profile/load.hpp"

namespace {

using nlohmann::json;

profile::Profile withPaths(std::size_t count, const std::string& path)
{
    std::string parents;
    for (std::size_t i = 0; i < count; ++i) {
        parents += (i == 0 ? "\"" : ",\"") + path + std::to_string(i) + "\"";
    }
    return profile::load(R"({"entries":[{"name":"one","select":{"program":["/bin/target"]},"sessions":false,"policy":)"
                         R"({"abi":6,"ruleset":[{"handledAccessFs":["abi.all"]}],)"
                         R"("pathBeneath":[{"allowedAccess":["read_file"],"parent":[)" +
                             parents + "]}]}}]}",
                         "test", profile::Origin::nodeFile, 6);
}

cli::Prepared prepared(std::vector<std::string> skipped, std::vector<std::string> led = {})
{
    cli::Prepared prepared;
    prepared.skipped.push_back(std::move(skipped));
    prepared.absent.emplace_back();
    prepared.led.push_back(std::move(led));
    prepared.leads.emplace_back();
    prepared.obstacles.emplace_back();
    return prepared;
}

TEST(About, NamesAreCutVisiblyBeforeAnythingElseIs)
{
    profile::Profile profile;
    profile.digest = sys::digest("a");
    profile.baselineDigest = sys::digest("b");
    const json about = json::parse(cli::aboutOf({"default", "shop", "web"}, profile));
    EXPECT_EQ(about["names"], json::parse(R"({"namespace":"default","pod":"shop","container":"web"})"));
    EXPECT_EQ(about["digest"], sys::toText(*profile.digest));
    EXPECT_EQ(about["baselineDigest"], sys::toText(*profile.baselineDigest));
    EXPECT_EQ(cli::aboutOf({}, {}), "{}");
    EXPECT_EQ(cli::aboutOf({}, {}, "rollout"), R"({"learn":"rollout"})");
    std::string escapes;
    for (int i = 0; i < 20; ++i) {
        escapes += "\\x00";
    }
    for (const std::string& name : {std::string(100, 'x'), escapes + "...", std::string(100000, '\\')}) {
        const std::string learn(128, 'x');
        const std::string text = cli::aboutOf({name, name, name}, profile, learn);
        EXPECT_LT(text.size(), OLL_ABOUT_SIZE);
        const json cut = json::parse(text);
        EXPECT_EQ(cut["digest"], sys::toText(*profile.digest));
        EXPECT_EQ(cut["baselineDigest"], sys::toText(*profile.baselineDigest));
        EXPECT_EQ(cut["learn"], learn);
        EXPECT_TRUE(cut["names"]["pod"].get<std::string>().ends_with("...")) << cut;
    }
}

// Whoever writes annotations chooses names and number of entries; those of a baseline stand among them.
TEST(Report, HasEachEntryHoweverLongTheirNamesAre)
{
    for (const profile::Mode mode : {profile::Mode::enforce, profile::Mode::audit}) {
        profile::Profile profile;
        profile.source = std::string(300, '\x1b');
        cli::Prepared found;
        for (std::size_t i = 0; i < profile::maxEntries; ++i) {
            profile::Entry& entry = profile.entries.emplace_back();
            entry.name = std::string(62, 'x') + std::to_string(10 + i);
            entry.mode = mode;
            entry.layers.resize(1);
            entry.dropped.push_back({"truncate", 3, "/x"});
            found.skipped.emplace_back(20, "/missing");
            found.led.emplace_back(20, "/a leads to /b");
            found.obstacles.emplace_back();
        }
        const std::string text = cli::outcomeOf(profile, found);
        EXPECT_LT(text.size(), OLL_REPORT_SIZE);
        const json report = json::parse(text);
        ASSERT_TRUE(report.contains("entries")) << text;
        EXPECT_TRUE(report["profile"].get<std::string>().ends_with("\x1b..."));
        ASSERT_EQ(report["entries"].size(), profile::maxEntries);
        for (std::size_t i = 0; i < profile::maxEntries; ++i) {
            EXPECT_EQ(report["entries"][i]["name"], profile.entries[i].name);
            EXPECT_EQ(report["entries"][i]["enforcement"], mode == profile::Mode::audit ? "none" : "partial");
            EXPECT_EQ(report["entries"][i].value("mode", ""), mode == profile::Mode::audit ? "audit" : "");
        }
    }
}

TEST(Label, IsTheIdAndWhatPeopleSay)
{
    EXPECT_EQ(cli::labelOf("4711", {}), "4711");
    EXPECT_EQ(cli::labelOf("4711", {"default", "shop", "web"}), "4711 (default/shop/web)");
    const std::string id(OLL_ID_SIZE - 1, 'i');
    EXPECT_EQ(cli::labelOf(id, {}), id);
    for (std::size_t length = 1; length < OLL_ID_SIZE; ++length) {
        EXPECT_LT(cli::labelOf(id.substr(0, length), {"", "shop", std::string(83, 'w')}).size(), OLL_ID_SIZE);
    }
}

TEST(Policy, IsWhatIsEnforced)
{
    const json policy =
        json::parse(cli::policyOf(withPaths(3, "/p"), prepared({"/p1"}, {"/p2 leads to /q in this image"}), 6));
    EXPECT_EQ(policy["abi"], 6);
    const json& entry = policy["entries"][0];
    EXPECT_EQ(entry["name"], "one");
    EXPECT_EQ(entry["select"], json::parse(R"({"program":["/bin/target"]})"));
    EXPECT_EQ(entry["sessions"], false);
    EXPECT_EQ(entry["enforcement"], "partial");
    EXPECT_EQ(entry["skippedPaths"], json::parse(R"(["/p1"])"));
    EXPECT_EQ(entry["links"], json::parse(R"(["/p2 leads to /q in this image"])"));
    EXPECT_EQ(entry["layers"][0]["pathBeneath"],
              json::parse(
                  R"([{"path":"/p0","allowedAccess":["read_file"]},{"path":"/p2","allowedAccess":["read_file"]}])"));
    EXPECT_FALSE(entry["layers"][0].contains("netPort"));
}

TEST(Policy, HasAnyName)
{
    profile::Profile profile = withPaths(1, "/p");
    profile::Layer& layer = profile.entries[0].layers[0];
    const std::string names[] = {"/a\"b", "/a\\", "/a\nb", "/\x7f", "/\xc3\xbc", "/,{}]", "/ "};
    layer.paths.clear();
    for (const std::string& name : names) {
        layer.paths.push_back({.path = name, .access = 0x4, .pointer = "/x"});
    }
    layer.paths[0].access = 1ULL << 40 | 0x4;
    layer.paths[1].quiet = true;
    layer.ports.push_back({.port = 443, .access = 0x3, .pointer = "/x"});
    layer.paths.push_back({.path = "/\xff", .access = 0x4, .pointer = "/x"});
    const json found = json::parse(cli::policyOf(profile, prepared({}), 6))["entries"][0]["layers"][0];
    ASSERT_EQ(found["pathBeneath"].size(), std::size(names) + 1);
    for (std::size_t i = 0; i < std::size(names); ++i) {
        EXPECT_EQ(found["pathBeneath"][i]["path"], names[i]);
        EXPECT_EQ(found["pathBeneath"][i].contains("quiet"), i == 1);
    }
    EXPECT_EQ(found["pathBeneath"].back()["path"], "/\xef\xbf\xbd");
    EXPECT_EQ(found["pathBeneath"][0]["allowedAccess"], json::parse(R"(["read_file",1099511627776])"));
    EXPECT_EQ(found["netPort"], json::parse(R"([{"port":443,"allowedAccess":["bind_tcp","connect_tcp"]}])"));
}

TEST(Policy, SaysWhatIsNotEnforced)
{
    profile::Profile profile = withPaths(2, "/p");
    profile.entries[0].mode = profile::Mode::audit;
    cli::Prepared found = prepared({});
    found.leads[0] = {"/q", ""};
    found.obstacles[0] = {"/p1: no such file"};
    const json entry = json::parse(cli::policyOf(profile, found, 6))["entries"][0];
    EXPECT_EQ(entry["mode"], "audit");
    EXPECT_EQ(entry["enforcement"], "none");
    EXPECT_EQ(entry["obstacles"], json::parse(R"(["/p1: no such file"])"));
    EXPECT_EQ(entry["layers"][0]["pathBeneath"][0]["leads"], "/q");
    EXPECT_EQ(entry["layers"][0]["pathBeneath"][1]["leads"], "");
    const json item = json::parse(cli::outcomeOf(profile, found))["entries"][0];
    EXPECT_EQ(item["mode"], "audit");
    EXPECT_EQ(item["enforcement"], "none");
    // With a second layer, and more paths than can be told.
    profile = withPaths(3000, "/p");
    profile.entries[0].mode = profile::Mode::audit;
    profile.entries[0].layers.push_back(withPaths(2, "/second").entries[0].layers[0]);
    found.leads[0].clear();
    for (const profile::Layer& layer : profile.entries[0].layers) {
        for (const profile::PathRule& rule : layer.paths) {
            found.leads[0].push_back("/to" + rule.path);
        }
    }
    const json layers = json::parse(cli::policyOf(profile, found, 6))["entries"][0]["layers"];
    EXPECT_EQ(layers[0]["pathBeneath"].back()["leads"],
              "/to" + layers[0]["pathBeneath"].back()["path"].get<std::string>());
    EXPECT_EQ(layers[0]["pathBeneath"].size() + layers[0]["pathBeneathLeftOut"].get<std::size_t>(), 3000U);
    EXPECT_EQ(layers[1]["pathBeneath"][1]["leads"], "/to/second1");
    EXPECT_EQ(cli::partialLine(profile.entries[0], {"/x"}),
              "entry one would be enforced partially, without /x (missing)");
    EXPECT_TRUE(cli::auditLine(profile.entries[0]).starts_with("entry one is NOT ENFORCED (audit)"));
    EXPECT_EQ(cli::auditLine(withPaths(1, "/p").entries[0]), "");
}

// What a fragment has for other images is neither enforced nor missed.
TEST(Policy, SaysNothingOfWhatFragmentsAllowElsewhere)
{
    cli::Prepared found = prepared({});
    found.absent[0] = {"/p1", "/p2"};
    const profile::Profile profile = withPaths(3, "/p");
    const json entry = json::parse(cli::policyOf(profile, found, 6))["entries"][0];
    EXPECT_EQ(entry["enforcement"], "full");
    EXPECT_EQ(entry["skippedPaths"], json::array());
    EXPECT_EQ(entry["layers"][0]["pathBeneath"], json::parse(R"([{"path":"/p0","allowedAccess":["read_file"]}])"));
    EXPECT_EQ(json::parse(cli::outcomeOf(profile, found))["entries"][0]["enforcement"], "full");
    EXPECT_EQ(cli::partialLine(profile.entries[0], found.skipped[0]), "");
}

TEST(Policy, HasABoundAndCountsWhatIsBeyond)
{
    // Each twice as long in JSON.
    const std::string text =
        cli::policyOf(withPaths(profile::maxPaths, "/\xc3\xbc" + std::string(40, 'x')), prepared({}), 6);
    EXPECT_LE(text.size(), cli::maxPolicyBytes);
    const json layer = json::parse(text)["entries"][0]["layers"][0];
    EXPECT_GT(layer["pathBeneath"].size(), 0U);
    EXPECT_EQ(layer["pathBeneath"].size() + layer["pathBeneathLeftOut"].get<std::size_t>(), profile::maxPaths);
    // What is missing is not counted as left out.
    const json some = json::parse(
        cli::policyOf(withPaths(profile::maxPaths, "/p"), prepared({"/p1", "/p4000"}), 6))["entries"][0]["layers"][0];
    EXPECT_EQ(some["pathBeneath"].size() + some["pathBeneathLeftOut"].get<std::size_t>(), profile::maxPaths - 2);
    std::vector<std::string> missing;
    for (std::size_t i = 0; i < profile::maxPaths; ++i) {
        missing.push_back(std::string(150, 'y') + std::to_string(i));
    }
    const json entry = json::parse(cli::policyOf(withPaths(1, "/p"), prepared(missing), 6))["entries"][0];
    EXPECT_EQ(entry["skippedPaths"].size() + entry["skippedPathsLeftOut"].get<std::size_t>(), profile::maxPaths);
}

// However much a profile names that is not there: a few lines, each of which has room in the log.
TEST(Partial, WhatIsToldIsBounded)
{
    profile::Profile profile = withPaths(1, "/absent");
    const std::vector<std::string> names(profile::maxPaths, "/" + std::string(100, 'x'));
    cli::Prepared much = prepared(names, names);
    much.obstacles = {names};
    testing::internal::CaptureStderr();
    cli::tellPartial("id", profile, much);
    std::istringstream said(testing::internal::GetCapturedStderr());
    std::size_t lines = 0;
    for (std::string line; std::getline(said, line); ++lines) {
        EXPECT_LT(line.size(), 2500U);
    }
    EXPECT_EQ(lines, 10U);
    much.obstacles = {{"/one", "/two"}};
    testing::internal::CaptureStderr();
    cli::tellPartial("id", profile, much);
    const std::string two = testing::internal::GetCapturedStderr();
    EXPECT_NE(two.find("starting: /one\n"), two.npos);
    EXPECT_NE(two.find("starting: /two\n"), two.npos);
}

}  // namespace
