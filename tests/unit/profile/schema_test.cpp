// SPDX-License-Identifier: Apache-2.0
#include "profile/schema.hpp"

#include <nlohmann/json.hpp>

#include "profile/model.hpp"
#include "support.hpp"
#include "validator.hpp"

namespace {

using landlock::Kind;
using nlohmann::json;

// The schema is a file of its own, for editors; its names must be the table's.
void expectNames(const char* definition, Kind kind, std::vector<std::string> expected)
{
    for (const landlock::Right& right : landlock::rights) {
        if (right.kind == kind) {
            expected.emplace_back(right.name);
        }
    }
    const json schema = json::parse(profile::profileSchema());
    EXPECT_EQ(schema["definitions"][definition]["items"]["else"]["enum"].get<std::vector<std::string>>(), expected);
}

TEST(Schema, NamesAreThoseOfTheTable)
{
    expectNames("accessFsList", Kind::fs, {"abi.all", "abi.read_execute", "abi.read_write"});
    expectNames("accessNetList", Kind::net, {"abi.all"});
    expectNames("scopeList", Kind::scope, {"abi.all"});
}

// Whoever takes a right for one of another kind has to hear where it goes.
TEST(Schema, SaysWhereARightBelongs)
{
    const auto problemsOf = [](const std::string& policy) {
        profile::Problems problems;
        profile::validate(json::parse("{\"abi\":1," + policy + "}"), problems);
        std::string all;
        for (const profile::Problem& one : problems.found()) {
            all += one.pointer + ": " + one.message;
        }
        return all;
    };
    EXPECT_EQ(problemsOf(R"("pathBeneath":[{"allowedAccess":["bind_tcp"],"parent":["/"]}])"),
              "/pathBeneath/0/allowedAccess/0: found the string \"bind_tcp\"; it is a right on ports, for a rule of "
              "\"netPort\"");
    EXPECT_EQ(problemsOf(R"("netPort":[{"allowedAccess":["bind_tcp","read_file"],"port":[1]}])"),
              "/netPort/0/allowedAccess/1: found the string \"read_file\"; it is a right on paths, for a rule of "
              "\"pathBeneath\"");
    EXPECT_EQ(problemsOf(R"("netPort":[{"allowedAccess":["signal"],"port":[1]}])"),
              "/netPort/0/allowedAccess/0: found the string \"signal\"; it is a scope, for \"scoped\" of \"ruleset\"; "
              "no rule allows it");
    for (const auto& [list, right, other] :
         {std::tuple{"handledAccessFs", "connect_tcp", "handledAccessNet"},
          std::tuple{"handledAccessNet", "signal", "scoped"}, std::tuple{"scoped", "execute", "handledAccessFs"},
          std::tuple{"quietAccessFs", "bind_udp", "quietAccessNet"},
          std::tuple{"quietScoped", "refer", "quietAccessFs"}}) {
        EXPECT_EQ(problemsOf("\"ruleset\":[{\"" + std::string(list) + "\":[\"" + right + "\"]}]"),
                  "/ruleset/0/" + std::string(list) + "/0: found the string \"" + right + "\"; it belongs in \"" +
                      other + "\"");
    }
}

TEST(Schema, LimitsAreThoseOfTheModel)
{
    const json definitions = json::parse(profile::profileSchema())["definitions"];
    EXPECT_EQ(definitions["profile"]["properties"]["entries"]["maxItems"], profile::maxEntries);
    EXPECT_EQ(definitions["entry"]["properties"]["policy"]["then"]["maxItems"], profile::maxLayers);
    EXPECT_EQ(definitions["programs"]["maxItems"], profile::maxPrograms);
    EXPECT_EQ(definitions["programs"]["items"]["maxLength"], profile::maxProgramBytes);
}

// Ours has to come to the library's verdict: each value of a good document is replaced in turn by values of every type.
TEST(Schema, AgreesWithTheLibrary)
{
    const json good = json::parse(R"({"description":"d","entries":[
        {"name":"a","description":"x","select":{"program":["/a"]},"sessions":true,"compat":"require","missingPaths":"skip","noNewPrivileges":true,
         "log":{"sameExec":true,"newExec":true,"subdomains":false},
         "policy":[{"compose":[{"use":["b"],"abi":6,"variable":[{"name":"a","literal":["b"]}],
            "ruleset":[{"handledAccessFs":["abi.all",4],"handledAccessNet":["bind_tcp"],"scoped":["signal"],"quietAccessFs":["execute"],"quietAccessNet":["abi.all"],"quietScoped":["signal"]}],
            "pathBeneath":[{"allowedAccess":["execute"],"parent":["/"],"quiet":true}],"netPort":[{"allowedAccess":["bind_tcp"],"port":[80],"quiet":false}]}]}]},
        {"select":"entrypoint","policy":{"variable":[{"name":"a"}]}},{"policy":{"use":["a"]}}]})");
    ASSERT_TRUE(matchesSchema(good, profile::profileSchema()));
    const json values[] = {nullptr,
                           true,
                           false,
                           0,
                           1,
                           -1,
                           65536,
                           18446744073709551615u,
                           1.5,
                           "",
                           "execute",
                           "entrypoint",
                           "é",
                           "/" + std::string(510, 'a'),
                           "/" + std::string(511, 'a'),
                           [] {
                               std::string longest = "/";
                               for (int i = 0; i < 510; ++i) {
                                   longest += "é";
                               }
                               return longest;
                           }(),
                           json::array(),
                           json::array({"x"}),
                           json::array({1}),
                           json::object(),
                           {{"x", 1}},
                           {{"compose", 1}},
                           {{"entries", 1}},
                           {{"quiet", false}, {"parent", {"a"}}}};
    std::size_t rejected = 0;
    const json flat = good.flatten();
    for (const auto& [pointer, value] : flat.items()) {
        std::string at = pointer;
        while (true) {
            for (const json& other : values) {
                json changed = good;
                changed[json::json_pointer(at)] = other;
                profile::Problems problems;
                profile::validate(changed, problems);
                const bool valid = matchesSchema(changed, profile::profileSchema());
                EXPECT_EQ(valid, problems.empty()) << at << " = " << other;
                rejected += valid ? 0 : 1;
            }
            if (at.empty()) {
                break;
            }
            json without = good;
            const json::json_pointer parent = json::json_pointer(at).parent_pointer();
            if (without[parent].is_object()) {
                without[parent].erase(json::json_pointer(at).back());
            } else {
                without[parent].erase(without[parent].size() - 1);
            }
            profile::Problems problems;
            profile::validate(without, problems);
            EXPECT_EQ(matchesSchema(without, profile::profileSchema()), problems.empty()) << "without " << at;
            at = parent.to_string();
        }
    }
    EXPECT_GT(rejected, 500u);
}

}  // namespace
