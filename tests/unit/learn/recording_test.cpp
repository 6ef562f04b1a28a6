// SPDX-License-Identifier: Apache-2.0
#include "learn/recording.hpp"

#include <gtest/gtest.h>

#include "support.hpp"
#include "sys/error.hpp"
#include "validator.hpp"

namespace {

using learn::Recording;
using nlohmann::json;

constexpr const char* schema = SOURCE_ROOT "/schema/recording.schema.json";

Recording recording()
{
    Recording out;
    out.runs.push_back({.began = "2026-11-26T14:05:06.123456Z",
                        .ended = "2026-11-26T14:06:06.123456Z",
                        .container = "abc",
                        .added = 4});
    out.programs = {"/usr/sbin/nginx"};
    out.paths["/etc/a"] = {.rights = readFile};
    out.paths["/run"] = {.rights = 1 << 8, .beneath = writeFile};
    out.ports[80] = 1;
    return out;
}

std::string errorOf(const std::string& text)
{
    try {
        learn::read(text, "file");
        return "";
    } catch (const sys::Error& error) {
        return error.what();
    }
}

TEST(Recording, ComesBackAsItWasWritten)
{
    Recording one = recording();
    one.scopes = 2;
    one.runs[0].late = true;
    one.runs[0].lost = 3;
    one.runs[0].unseen = {"truncate"};
    const json document = json(learn::toJson(one));
    EXPECT_TRUE(matchesSchemaIn(schema, document)) << document.dump(1);
    EXPECT_EQ(learn::read(document.dump(), "file"), one);
    EXPECT_FALSE(matchesSchemaIn(schema, {{"version", 2}}));
}

TEST(Recording, MergesAndCountsWhatIsNew)
{
    Recording all;
    EXPECT_EQ(learn::merge(all, recording()), 4u);
    EXPECT_EQ(learn::merge(all, recording()), 0u);
    Recording other = recording();
    other.paths["/etc/a"].rights |= writeFile;
    other.paths["/etc/b"] = {.rights = readFile};
    other.ports[81] = 3;
    other.scopes = 1;
    EXPECT_EQ(learn::merge(all, other), 5u);
    EXPECT_EQ(all.runs.size(), 3u);
    EXPECT_EQ(learn::factsOf(all), 9u);
}

TEST(Recording, SaysWhatIsMissing)
{
    EXPECT_EQ(learn::gapsOf({}).size(), 1u);
    EXPECT_TRUE(learn::gapsOf(recording()).empty());
    for (const char* gap : {"lost", "leftOut", "unnamed"}) {
        const Recording one = learn::read(R"({"version": 1, "runs": [{")" + std::string(gap) + R"(": 1}]})", "file");
        EXPECT_EQ(learn::gapsOf(one).size(), 1u) << gap;
    }
    EXPECT_EQ(learn::gapsOf(learn::read(R"({"version": 1, "runs": [{"late": true}, {"unseen": ["x"]}]})", "file"))
                  .size(),
              2u);
}

TEST(Recording, RefusesWhatIsNone)
{
    const std::pair<const char*, const char*> cases[] = {
        {"[]", "must be an object"},
        {"{", "not valid JSON"},
        {"{}", "/version"},
        {R"({"version": 2})", "version"},
        {R"({"version": -1})", "version"},
        {R"({"version": 1, "version": 1})", "twice"},
        {R"({"version": 1, "path": []})", "no member path"},
        {R"({"version": 1, "paths": {}})", "must be a list"},
        {R"({"version": 1, "paths": [{}]})", "has no path"},
        {R"({"version": 1, "paths": [{"path": 1}]})", "must be a string"},
        {R"({"version": 1, "paths": [{"path": "etc"}]})", "absolute"},
        {R"({"version": 1, "paths": [{"path": "/etc/../x"}]})", "absolute"},
        {R"({"version": 1, "paths": [{"path": "/etc/"}]})", "absolute"},
        {R"({"version": 1, "paths": [{"path": "/a"}, {"path": "/a"}]})", "twice"},
        {R"({"version": 1, "paths": [{"path": "/a", "rights": ["bind_tcp"]}]})", "no such right"},
        {R"({"version": 1, "ports": [{"port": 65536}]})", "/port"},
        {R"({"version": 1, "scopes": [1]})", "must be a string"},
        {R"({"version": 1, "runs": [{"late": 1}]})", "true or false"},
        {R"({"version": 1, "runs": [{"lost": -1}]})", "lost"},
        {"{\"version\": 1, \"paths\": [{\"path\": \"/a\\u0000\"}]}", "NUL"},
    };
    for (const auto& [text, why] : cases) {
        EXPECT_NE(errorOf(text).find(why), std::string::npos) << text << ": " << errorOf(text);
        EXPECT_EQ(errorOf(text).find('\n'), std::string::npos);
    }
    EXPECT_NE(errorOf(R"({"version": 1, "paths": [{"path": "/)" + std::string(512, 'x') + "\"}]}"), "");
    EXPECT_EQ(errorOf(R"({"version": 1, "paths": [{"path": "/)" + std::string(510, 'x') + "\"}]}"), "");
}

TEST(Recording, HasBounds)
{
    Recording all;
    for (std::size_t i = 0; i < learn::maxPaths; ++i) {
        ASSERT_TRUE(learn::addPath(all, "/" + std::to_string(i), {.rights = readFile}));
    }
    EXPECT_FALSE(learn::addPath(all, "/more", {.rights = readFile}));
    EXPECT_TRUE(learn::addPath(all, "/1", {.rights = writeFile}));
    EXPECT_THROW(learn::merge(all, recording()), sys::Error);
    json paths = json::array();
    for (std::size_t i = 0; i <= learn::maxPaths; ++i) {
        paths.push_back({{"path", "/" + std::to_string(i)}});
    }
    EXPECT_NE(errorOf(json{{"version", 1}, {"paths", paths}}.dump()).find("16384 at most"), std::string::npos);
}

}  // namespace
