// SPDX-License-Identifier: Apache-2.0
#include "cli/event.hpp"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>

#include "validator.hpp"

namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr std::int64_t offset = 1'700'000'000'000'000'000;

bool fitsSchema(const ordered_json& event)
{
    return matchesSchemaIn(SOURCE_ROOT "/schema/event.schema.json", event);
}

oll_seen seenEvent(std::uint32_t kind)
{
    oll_seen event{};
    event.kind = kind;
    event.entries = 1;
    event.time = 5'000'001'000;
    event.start_time = 1'000'000'000;
    event.tgid = 77;
    std::strcpy(event.comm, "nginx");
    std::strcpy(event.program, "/usr/sbin/nginx");
    return event;
}

oll_seen deniedAt(const char* path, std::uint64_t rights, bool exact = false)
{
    oll_seen event = seenEvent(OLL_SEEN_DENIED);
    event.about = OLL_ABOUT_FS;
    event.rights = rights;
    event.exact = exact ? 1 : 0;
    std::strcpy(event.path, path);
    return event;
}

cli::Named webServer()
{
    oll_record record{};
    std::strcpy(record.container_id, "abc");
    std::strcpy(record.about, R"({"names": {"pod": "shop", "container": "web", "else": 1}, "digest": "sha256:)"
                              "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"}");
    std::strcpy(record.report, R"({"profile": "web.json", "entries": [{"name": "one"}]})");
    return cli::named(record);
}

TEST(Event, NamesTheContainerAndTheProcess)
{
    const cli::Named web = webServer();
    const ordered_json event = cli::describe(seenEvent(OLL_SEEN_APPLIED), &web, offset);
    EXPECT_EQ(json(event), json::parse(R"({
        "time": "2023-11-14T22:13:25.000001Z", "event": "applied", "container": "abc",
        "names": {"pod": "shop", "container": "web"}, "profile": "web.json",
        "digest": "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "entries": ["one"], "program": "/usr/sbin/nginx", "command": "nginx", "pid": 77,
        "startBootTimeNs": 1000000000})"));
    EXPECT_TRUE(fitsSchema(event));
    EXPECT_EQ(cli::eventText(event), "2023-11-14T22:13:25.000001Z applied shop/web: /usr/sbin/nginx[77] by one");
}

TEST(Event, RecordersKnowWhoAsksForThem)
{
    EXPECT_EQ(webServer().learn, "");
    for (const auto& [about, learn] :
         {std::pair{R"({"learn": "rollout"})", "rollout"}, std::pair{R"({"learn": 1})", ""}}) {
        oll_record record{};
        std::strcpy(record.about, about);
        EXPECT_EQ(cli::named(record).learn, learn);
    }
}

TEST(Event, IsToldAlsoOfAContainerThatIsNotKnown)
{
    const ordered_json event = cli::describe(seenEvent(OLL_SEEN_APPLIED), nullptr, offset);
    EXPECT_FALSE(event.contains("container"));
    EXPECT_EQ(event["entries"], json::parse(R"(["number 0"])"));
    EXPECT_TRUE(fitsSchema(event));
    EXPECT_TRUE(cli::eventText(event).contains(" applied -: "));
}

TEST(Event, ProposesARuleOnTheFileItself)
{
    EXPECT_EQ(json(cli::ruleFor(deniedAt("/etc/shadow", 1U << 2))),
              json::parse(R"({"pathBeneath": [{"allowedAccess": ["read_file"], "parent": ["/etc/shadow"]}]})"));
    EXPECT_EQ(json(cli::ruleFor(deniedAt("/etc", 1U << 3))),
              json::parse(R"({"pathBeneath": [{"allowedAccess": ["read_dir"], "parent": ["/etc"]}]})"));
    EXPECT_EQ(json(cli::ruleFor(deniedAt("/var/log", 1U << 8, true))),
              json::parse(R"({"pathBeneath": [{"allowedAccess": ["make_reg"], "parent": ["/var/log"]}]})"));
}

TEST(Event, ProposesARuleOnTheDirectoryWhereNoOtherCanBe)
{
    EXPECT_EQ(json(cli::ruleFor(deniedAt("/var/log/new", 1U << 8))),
              json::parse(R"({"pathBeneath": [{"allowedAccess": ["make_reg"], "parent": ["/var/log"]}]})"));
    EXPECT_EQ(json(cli::ruleFor(deniedAt("/new", 1U << 7))),
              json::parse(R"({"pathBeneath": [{"allowedAccess": ["make_dir"], "parent": ["/"]}]})"));
    EXPECT_EQ(json(cli::ruleFor(deniedAt("/a/b", 1U << 13 | 1U << 5))),
              json::parse(R"({"pathBeneath": [{"allowedAccess": ["remove_file", "refer"], "parent": ["/a"]}]})"));
}

TEST(Event, ProposesNothingThatCannotBeAllowed)
{
    EXPECT_TRUE(cli::ruleFor(deniedAt("", 1U << 2)).is_null());
    EXPECT_TRUE(cli::ruleFor(deniedAt("/etc", 0)).is_null());
    EXPECT_TRUE(cli::ruleFor(deniedAt("/etc/\xff", 1U << 2)).is_null());
    oll_seen event = seenEvent(OLL_SEEN_DENIED);
    for (const auto& [about, rights, name] :
         {std::tuple(OLL_ABOUT_SCOPE, 2, "signal"), std::tuple(OLL_ABOUT_PTRACE, 0, "ptrace"),
          std::tuple(OLL_ABOUT_TOPOLOGY, 0, "change_topology")}) {
        event.about = about;
        event.rights = static_cast<std::uint64_t>(rights);
        EXPECT_TRUE(cli::ruleFor(event).is_null());
        const ordered_json told = cli::describe(event, nullptr, offset);
        EXPECT_EQ(told["rights"], ordered_json::array({name}));
        EXPECT_TRUE(fitsSchema(told));
    }
}

TEST(Event, ProposesARuleOnThatPathAlone)
{
    // In a profile "${system}" would be whatever its variable is.
    EXPECT_EQ(cli::ruleFor(deniedAt("/${system}/a$$b", 1U << 2))["pathBeneath"][0]["parent"],
              json::array({"/$${system}/a$$$$b"}));
}

TEST(Event, SaysOfWhatIsAuditedThatItIsNotEnforced)
{
    const cli::Named web = webServer();
    oll_seen would = deniedAt("/etc", 1 << 8, true);
    would.kind = OLL_SEEN_WOULD_DENY;
    const ordered_json event = cli::describe(would, &web, offset);
    EXPECT_EQ(event["event"], "wouldDeny");
    EXPECT_EQ(event["allow"], json::parse(R"({"pathBeneath":[{"allowedAccess":["make_reg"],"parent":["/etc"]}]})"));
    EXPECT_TRUE(fitsSchema(event));
    EXPECT_TRUE(cli::eventText(event).contains(
        "wouldDeny shop/web: /usr/sbin/nginx[77] make_reg /etc; by one, which is NOT ENFORCED; would be allowed by "))
        << cli::eventText(event);
    const ordered_json chosen = cli::describe(seenEvent(OLL_SEEN_AUDITED), &web, offset);
    EXPECT_TRUE(fitsSchema(chosen));
    EXPECT_TRUE(cli::eventText(chosen).ends_with("audited shop/web: /usr/sbin/nginx[77] by one, NOT ENFORCED"))
        << cli::eventText(chosen);
}

TEST(Event, ProposesAPort)
{
    oll_seen event = seenEvent(OLL_SEEN_DENIED);
    event.about = OLL_ABOUT_NET;
    event.rights = 1;
    event.port = 8080;
    EXPECT_EQ(json(cli::ruleFor(event)),
              json::parse(R"({"netPort": [{"allowedAccess": ["bind_tcp"], "port": [8080]}]})"));
    EXPECT_TRUE(cli::eventText(cli::describe(event, nullptr, offset)).contains(" bind_tcp port 8080; "));
    event.port = 0;
    EXPECT_TRUE(cli::ruleFor(event).is_null());
}

TEST(Event, SaysWhyAnExecFailedClosed)
{
    oll_seen event = seenEvent(OLL_SEEN_FAILED_CLOSED);
    event.reason = OLL_REASON_NO_TRACER;
    event.error = -ESRCH;
    const ordered_json told = cli::describe(event, nullptr, offset);
    EXPECT_TRUE(told["reason"].get<std::string>().contains("no supervisor"));
    EXPECT_EQ(told["errno"], ESRCH);
    EXPECT_TRUE(fitsSchema(told));
}

TEST(Event, StaysOneLineWhateverAFileIsCalled)
{
    oll_seen event = deniedAt("/a\n\x1b[2J\xff", 1U << 2);
    std::strcpy(event.comm, "\n\"\\");
    event.program[0] = '\0';
    const ordered_json told = cli::describe(event, nullptr, offset);
    const std::string text = cli::eventText(told);
    for (const char byte : text) {
        EXPECT_TRUE(byte >= ' ' && byte < 0x7f) << text;
    }
    const std::string line = told.dump(-1, ' ', true, ordered_json::error_handler_t::replace);
    EXPECT_EQ(line.find('\n'), std::string::npos);
    EXPECT_TRUE(fitsSchema(ordered_json::parse(line)));
}

TEST(Event, TakesARecordOfAnyForm)
{
    for (const char* text :
         {"", "[]", "{", R"({"names": 1, "digest": 2, "profile": []})", R"({"names": {"pod": []}})"}) {
        oll_record record{};
        std::memset(record.container_id, 'x', sizeof record.container_id);
        std::strcpy(record.about, text);
        std::strcpy(record.report, text);
        const cli::Named container = cli::named(record);
        EXPECT_TRUE(fitsSchema(cli::describe(seenEvent(OLL_SEEN_APPLIED), &container, offset))) << text;
    }
}

TEST(Event, TheSchemaRefusesWhatIsNone)
{
    ordered_json event = cli::describe(seenEvent(OLL_SEEN_APPLIED), nullptr, offset);
    event["time"] = "now";
    EXPECT_FALSE(fitsSchema(event));
    event = cli::describe(deniedAt("/", 1), nullptr, offset);
    event.erase("rights");
    EXPECT_FALSE(fitsSchema(event));
}

}  // namespace
