// SPDX-License-Identifier: Apache-2.0
#include "cli/request.hpp"

#include <unistd.h>

#include <algorithm>

#include "temporary.hpp"

namespace {

class Request : public testing::Test {
protected:
    void SetUp() override
    {
        if (getuid() != 0) {
            GTEST_SKIP() << "needs root, whom files of the node belong to";
        }
        umask(022);
        settings_.profileDirectories = {base_.directory("profiles")};
        base_.file("profiles/plain.json", profileWith(R"({"entrypoint":true})"));
        base_.file("profiles/excepting.json", profileWith(R"({"except":["/sbin/tini"]})"));
    }

    static std::string profileWith(const std::string& select)
    {
        return R"({"entries":[{"name":"one","select":)" + select +
               R"(,"policy":{"abi":6,"ruleset":[{"handledAccessFs":["abi.all"]}]}}]})";
    }

    static cli::Parse parse() { return cli::parseHere(6); }

    profile::Profile askedFor(std::optional<std::string> profile, std::optional<std::string> program = {})
    {
        return cli::profileAskedFor(settings_,
                                    {std::move(profile), "io.landlock.profile", std::move(program), digest_,
                                     "io.landlock.digest"},
                                    parse());
    }

    support::Temporary base_;
    cli::Settings settings_;
    std::optional<sys::Digest> digest_;
};

TEST_F(Request, InlineOrAName)
{
    EXPECT_EQ(askedFor("plain").entries.at(0).origin, profile::Origin::nodeFile);
    EXPECT_EQ(askedFor(" \n" + profileWith(R"({"entrypoint":true})")).entries.at(0).origin, profile::Origin::inlined);
    EXPECT_EQ(askedFor("plain", "/bin/x").entries.at(0).select.programs, std::vector<std::string>{"/bin/x"});
    support::expectError([&] { askedFor(""); }, "profile name");
    support::expectError([&] { askedFor({}, "/bin/x"); }, "needs io.landlock.profile");
    settings_.allowInline = false;
    EXPECT_EQ(askedFor("plain").entries.size(), 1U);
    support::expectError([&] { askedFor("{}"); }, "switched off on this node");
}

// A container's name is in the annotation's, and both are what somebody claims.
TEST_F(Request, WhatIsSaidOfAnAnnotationIsOneLine)
{
    oci::Request request;
    request.profileKey = "io.landlock.profile/web\n<3>oci-landlock: container other: \x1b[31m";
    const auto said = [&](const std::string& profile) -> std::string {
        request.profile = profile;
        try {
            cli::profileAskedFor(settings_, request, parse());
        } catch (const sys::Error& error) {
            return error.what();
        }
        return "nothing";
    };
    const std::string line = R"(annotation io.landlock.profile/web\x0a<3>oci-landlock: container other: \x1b[31m)";
    const std::string good = profileWith(R"({"entrypoint":true})");
    const std::string incomplete = R"({"use":["missing"]})";
    EXPECT_TRUE(said(incomplete).starts_with(line + ": /use/0: ")) << said(incomplete);
    request.digest = sys::digest("another");
    EXPECT_TRUE(said(good).starts_with(line + ": has the digest")) << said(good);
    settings_.allowInline = false;
    EXPECT_TRUE(said(good).starts_with(line + ": inline profiles")) << said(good);
}

TEST_F(Request, WhoIsOnlyToBeRecordedHasTheProfileForIt)
{
    const auto recorded = [&](const std::string& name, std::optional<std::string> profile = {},
                              std::optional<std::string> program = {}) {
        oci::Request request;
        request.profile = std::move(profile);
        request.program = std::move(program);
        request.learn = name;
        request.learnKey = "io.landlock.learn";
        return cli::profileAskedFor(settings_, request, parse());
    };
    support::expectError([&] { recorded("a"); }, "no profile \"learn\"");
    base_.file("profiles/learn.json", profileWith(R"({"entrypoint":true})"));
    settings_.allowInline = false;
    EXPECT_TRUE(recorded("a").source.ends_with("/learn.json"));
    EXPECT_TRUE(recorded("a", "plain").source.ends_with("/plain.json"));
    EXPECT_EQ(recorded("a", {}, "/bin/x").entries.at(0).select.programs, std::vector<std::string>{"/bin/x"});
    for (const std::string& name : {std::string(), std::string("../a"), std::string("a\0", 2), std::string(129, 'a')}) {
        support::expectError([&] { recorded(name); }, "annotation io.landlock.learn: recording name");
        support::expectError([&] { recorded(name, "plain"); }, "annotation io.landlock.learn: recording name");
    }
}

TEST_F(Request, TheBaselineComesFirst)
{
    EXPECT_TRUE(cli::baselineOf(settings_, parse()).entries.empty());
    settings_.baseline = "plain";
    const auto both = cli::stacked(cli::baselineOf(settings_, parse()), askedFor(profileWith(R"({"program":["/a"]})")));
    ASSERT_EQ(both.entries.size(), 2U);
    EXPECT_EQ(both.entries[0].origin, profile::Origin::nodeFile);
    EXPECT_EQ(both.entries[1].origin, profile::Origin::inlined);
    EXPECT_TRUE(both.source.ends_with("plain.json + annotation io.landlock.profile")) << both.source;
    profile::Profile audited = both;
    cli::auditAll(audited);
    EXPECT_TRUE(std::ranges::all_of(audited.entries, [](const profile::Entry& entry) {
        return entry.mode == profile::Mode::audit;
    })) << "whoever has written it";
    settings_.baseline = "absent";
    support::expectError([&] { cli::baselineOf(settings_, parse()); },
                         "the baseline of this node (/etc/oci-landlock/config.json): no profile \"absent\": tried");
    settings_.baseline = "excepting";
    support::expectError([&] { cli::baselineOf(settings_, parse()); }, "a baseline cannot except programs");
    EXPECT_EQ(askedFor("excepting").entries.size(), 1U);
}

TEST_F(Request, IsPinnedByteByByte)
{
    const std::string text = profileWith(R"({"entrypoint":true})");
    digest_ = sys::digest(text);
    EXPECT_EQ(askedFor("plain").digest, digest_);
    EXPECT_EQ(askedFor(text).digest, digest_);
    EXPECT_EQ(askedFor("plain", "/bin/x").digest, digest_);
    const std::string refusal =
        "has the digest " + sys::toText(sys::digest(text + "\n")) + ", and annotation io.landlock.digest wants";
    support::expectError([&] { askedFor(text + "\n"); }, refusal);
    base_.file("profiles/plain.json", text + "\n");
    support::expectError([&] { askedFor("plain"); }, "plain.json: " + refusal);
    // The same policy in another file is another document.
    base_.file("profiles/other.toml", "abi = 6\n[[ruleset]]\nhandled_access_fs = [\"abi.all\"]\n");
    support::expectError([&] { askedFor("other"); }, "other.toml: has the digest");
    support::expectError([&] { askedFor({}); }, "annotation io.landlock.digest: needs io.landlock.profile");
    support::expectError([&] { askedFor({}, "/bin/x"); }, "annotation io.landlock.digest: needs io.landlock.profile");
}

// Who parses a document cannot say another digest than the one of what was read.
TEST_F(Request, IsComparedWithWhatWasRead)
{
    const std::string plain = profileWith(R"({"entrypoint":true})");
    digest_ = sys::digest("another");
    const cli::Parse lying{[&](const std::string&, const std::string&, profile::Origin,
                               const std::vector<profile::Fragment>&) {
                               profile::Profile profile;
                               profile.digest = sys::digest("another");
                               return profile;
                           },
                           [](const profile::Fragment&, profile::Origin) { return std::vector<profile::Use>{}; },
                           [](const std::string&) { return std::vector<std::string>{}; }};
    const auto ask = [&] {
        return cli::profileAskedFor(settings_, {"plain", "io.landlock.profile", {}, digest_, "io.landlock.digest"},
                                    lying);
    };
    support::expectError(ask, "plain.json: has the digest " + sys::toText(sys::digest(plain)));
    digest_ = sys::digest(plain);
    EXPECT_EQ(ask().digest, digest_);
}

TEST_F(Request, TheBaselineHasADigestOfItsOwn)
{
    settings_.baseline = "plain";
    const std::string own = profileWith(R"({"program":["/a"]})");
    const auto both = cli::stacked(cli::baselineOf(settings_, parse()), askedFor(own));
    EXPECT_EQ(both.digest, sys::digest(own));
    EXPECT_EQ(both.baselineDigest, sys::digest(profileWith(R"({"entrypoint":true})")));
    const auto alone = cli::stacked(cli::baselineOf(settings_, parse()), {});
    EXPECT_EQ(alone.digest, std::nullopt);
    EXPECT_EQ(alone.baselineDigest, both.baselineDigest);
    EXPECT_TRUE(alone.source.ends_with("/plain.json")) << alone.source;
}

}  // namespace
