// SPDX-License-Identifier: Apache-2.0
#include "oci/glance.hpp"

#include <gtest/gtest.h>

#include <climits>

#include "oci/bundle.hpp"

namespace {

struct StateAtAGlance {
    std::string text;
    std::optional<std::string> bundle;
};

TEST(Glance, Bundle)
{
    const StateAtAGlance all[] = {
        // What crun and runc send.
        {R"({"ociVersion":"1.0.0","id":"c1","pid":4711,"root":"/b/rootfs","bundle":"/b","status":"created"})", "/b"},
        {R"({"ociVersion":"1.0.2-dev","id":"c1","status":"creating","pid":4711,"bundle":"/b"})", "/b"},
        {"{\n  \"bundle\" :\t\"/b c\",\n  \"id\": \"c1\"\n}", "/b c"},
        {R"({"id":"bundle\"","bundle":"/b"})", {}},
        {R"({"id":"c1","\u0062undle":"/b","annotations":{"bundle":"/c"}})", {}},
        {R"({"id":"c1","bundle":"/b","annotations":{"bundle":"/c"}})", {}},
        {R"({"id":"c1","annotations":{"bundle":"/c"},"bundle":"/b"})", {}},
        {R"({"id":"bundle","bundle":"/b"})", {}},
        {R"({"id":"bundle"})", {}},
        {R"({"id":"c1","bundle":"b"})", {}},
        {R"({"id":"c1","bundle":7})", {}},
        {R"({"id":"c1","bundle":"/b)", {}},
        {R"({"id":"c1","bundle":"/b})", {}},
        {R"({"id":"c1","bundle":"/b")", {}},
        {R"({"id":"c1","bundle":"/b",)", {}},
        {R"("id":"c1","bundle":"/b"})", {}},
        {R"({"id":"c1","bundle":)", {}},
        {R"({"id":"c1","bundle")", {}},
        {R"({"id":"c1"})", {}},
        {"", {}},
        {std::string(R"({"bundle":"/b)") + '\0' + R"("})", {}},
        {R"({"bundle":"/)" + std::string(PATH_MAX, 'b') + R"("})", {}},
    };
    for (const StateAtAGlance& one : all) {
        EXPECT_EQ(oci::bundleAtAGlance(one.text), one.bundle) << one.text.substr(0, 200);
    }
}

// Each way to write it that the parser takes for an annotation of ours.
TEST(Glance, WhatIsAskedForIsSeen)
{
    const std::string keys[] = {"io.landlock.profile",         "io.landlock.profile/web",
                                "io.landlock.unknown",         R"(\u0069o.landlock.profile)",
                                R"(io\u002Elandlock.profile)", R"(io.land\u006Cock.profile)",
                                R"(io.landlock\u002eprofile)", R"(io.landlock.\u0070rofile)"};
    for (const std::string& key : keys) {
        const std::string config = R"({"root":{"path":"/r"},"annotations":{")" + key + R"(":"web"}})";
        EXPECT_EQ(oci::parseBundle(config, "/b").annotations.size(), 1U) << config;
        EXPECT_TRUE(oci::mayAsk(config)) << config;
    }
}

TEST(Glance, WhatIsCutOffMayAsk)
{
    for (const char* config : {"", " ", "{", "}", "[]", R"({"root":{"path":"/r"},"annota)"}) {
        EXPECT_TRUE(oci::mayAsk(config)) << config;
    }
}

TEST(Glance, NothingIsAskedFor)
{
    for (
        const char* config :
        {R"({"root":{"path":"/r"},"hooks":{"createRuntime":[{"path":"/usr/bin/oci-landlock"}]}})",
         R"({"root":{"path":"/r"},"process":{"args":["sh","-c","printf \"a\\n\""]},"annotations":{"io.landlock":"x"}})",
         " {} \n"}) {
        EXPECT_FALSE(oci::mayAsk(config)) << config;
    }
}

}  // namespace
