// SPDX-License-Identifier: Apache-2.0
#include "learn/recording.hpp"

#include <gtest/gtest.h>

#include <sys/stat.h>

#include "support.hpp"
#include "sys/error.hpp"
#include "temporary.hpp"
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
        {R"({"version": 1, "ports": [{"port": 1}, {"port": 1}]})", "twice"},
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

// A name escaped takes six times the room, and each path may have all rights.
TEST(Recording, TheLargestCanBeReadAgain)
{
    const std::uint64_t rights = landlock::groupRights(landlock::Group::all, landlock::Kind::fs, landlock::latestAbi);
    Recording all = recording();
    Recording escaped = recording();
    all.paths.clear();
    for (std::size_t i = 0; i < learn::maxPaths; ++i) {
        const std::string path = "/" + std::to_string(i);
        all.paths[path] = {rights, rights};
        escaped.paths[path + std::string(learn::maxPathBytes - path.size(), '\1')] = {rights, rights};
    }
    escaped.paths.erase("/etc/a");
    escaped.paths.erase("/run");
    EXPECT_GT(learn::textOf(escaped).size(), 48u * 1024 * 1024);
    EXPECT_EQ(learn::read(learn::textOf(all), "file"), all);
    // Others may have written their own into it.
    Recording others = recording();
    others.runs[0].container = std::string(learn::maxRecordingBytes / 6 + 1, '\1');
    EXPECT_THROW(learn::textOf(others), sys::Error);
}

TEST(Recording, HasBoundsOnEachList)
{
    const auto list = [](std::size_t count, const std::function<json(std::size_t)>& item) {
        json items = json::array();
        for (std::size_t i = 0; i < count; ++i) {
            items.push_back(item(i));
        }
        return items;
    };
    const std::vector<std::tuple<std::string, std::size_t, std::function<json(std::size_t)>>> lists = {
        {"ports", learn::maxPorts,
         [](std::size_t i) {
             return json{{"port", i}};
         }},
        {"programs", learn::maxPrograms, [](std::size_t i) { return json("/" + std::to_string(i)); }},
        {"runs", learn::maxRuns, [](std::size_t) { return json::object(); }},
        {"scopes", std::size(landlock::rights), [](std::size_t) { return json("signal"); }},
    };
    for (const auto& [name, most, item] : lists) {
        EXPECT_EQ(errorOf(json{{"version", 1}, {name, list(most, item)}}.dump()), "") << name;
        EXPECT_NE(errorOf(json{{"version", 1}, {name, list(most + 1, item)}}.dump()).find("at most"), std::string::npos)
            << name;
    }
    const auto unseen = [&](std::size_t count, std::size_t size) {
        const json names = list(count, [size](std::size_t) { return json(std::string(size, 'x')); });
        return errorOf(json{{"version", 1}, {"runs", {{{"unseen", names}}}}}.dump());
    };
    EXPECT_EQ(unseen(64, 256), "");
    EXPECT_NE(unseen(65, 1), "");
    EXPECT_NE(unseen(1, 257), "");
    for (const char* member : {"began", "ended", "container"}) {
        EXPECT_NE(errorOf(json{{"version", 1}, {"runs", {{{member, std::string(257, 'x')}}}}}.dump()), "") << member;
    }
    Recording all;
    for (std::size_t i = 0; i < learn::maxPorts; ++i) {
        all.ports[i + 1000] = 1;
    }
    EXPECT_THROW(learn::merge(all, recording()), sys::Error);
    all = {};
    for (std::size_t i = 0; i < learn::maxPrograms; ++i) {
        all.programs.insert("/" + std::to_string(i));
    }
    EXPECT_THROW(learn::merge(all, recording()), sys::Error);
    all = {};
    all.runs.resize(learn::maxRuns);
    EXPECT_THROW(learn::merge(all, recording()), sys::Error);
}

TEST(Recording, OfOthersIsHostile)
{
    const std::string paths = R"({"version": 1, "paths": [{"path": )";
    for (const std::string path :
         {R"("")", R"("/..")", R"("/a//b")", R"("/a/./b")", R"("//")", R"("/a/..")", R"("a")", R"("./a")"}) {
        EXPECT_NE(errorOf(paths + path + "}]}").find("/paths/0/path: must be an absolute path"), std::string::npos)
            << path;
    }
    EXPECT_NE(errorOf(paths + "\"/" + std::string(100'000, 'x') + "\"}]}").find("511 bytes at most"),
              std::string::npos);
    EXPECT_NE(errorOf(paths + "\"/\xff\"}]}").find("not valid JSON"), std::string::npos);
    EXPECT_NE(errorOf(paths + "\"/\xed\xa0\x80\"}]}").find("not valid JSON"), std::string::npos);
    EXPECT_NE(errorOf(paths + R"("/\ud800"}]})").find("not valid JSON"), std::string::npos);
    EXPECT_NE(errorOf(std::string(100'000, '[')).find("nested too deep"), std::string::npos);
    EXPECT_NE(errorOf(R"({"version": 1, "x": )" + std::string(7, '[') + std::string(7, ']') + "}").find("no member x"),
              std::string::npos);
    EXPECT_NE(errorOf(R"({"version": 1, "x": )" + std::string(8, '[') + std::string(8, ']') + "}").find("too deep"),
              std::string::npos);
    std::string many = R"({"version": 1, "x": [0)";
    for (int i = 0; i < 1'000'000; ++i) {
        many += ",0";
    }
    EXPECT_NE(errorOf(many + "]}").find("too long"), std::string::npos);
    for (const char* number : {"18446744073709551616", "1e400", "1e3", "0.5", "-0", "9223372036854775808", "\"1\""}) {
        const std::string text = R"({"version": 1, "runs": [{"lost": )" + std::string(number) + "}]}";
        EXPECT_NE(errorOf(text), "") << number;
    }
    // Sums of what others have counted are never made.
    const std::string much = R"({"lost": 9223372036854775807, "added": 9223372036854775807})";
    Recording all = learn::read(R"({"version": 1, "runs": [)" + much + ", " + much + "]}", "file");
    EXPECT_EQ(learn::gapsOf(all).size(), 2u);
    EXPECT_NE(errorOf("{\"\\n\\u001b[31m\": 1}").find("\\x0a\\x1b[31m"), std::string::npos)
        << errorOf("{\"\\n\\u001b[31m\": 1}");
    EXPECT_EQ(errorOf(R"({"version": 1, "runs": [{"unseen": ["\n\u001b"]}]})"), "");
    const auto gaps = learn::gapsOf(learn::read(R"({"version": 1, "runs": [{"unseen": ["\n\u001b"]}]})", "file"));
    EXPECT_EQ(gaps.at(0).find_first_of("\n\x1b"), std::string::npos);
}

TEST(Recording, IsAFile)
{
    const support::Temporary base;
    const auto refused = [](const std::string& path) {
        try {
            learn::readFile(path);
            return std::string();
        } catch (const sys::Error& error) {
            return std::string(error.what());
        }
    };
    const std::string fifo = base.path("fifo\n");
    ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
    EXPECT_NE(refused(fifo).find("fifo\\x0a: not a regular file"), std::string::npos) << refused(fifo);
    EXPECT_NE(refused("/dev/zero").find("not a regular file"), std::string::npos);
    EXPECT_NE(refused(base.path()).find("not a regular file"), std::string::npos);
    EXPECT_NE(refused(base.path("absent")).find("No such file"), std::string::npos);
    EXPECT_EQ(refused(base.file("good", R"({"version": 1})")), "");
    const std::string large = base.file("large", "");
    ASSERT_EQ(truncate(large.c_str(), learn::maxRecordingBytes + 1), 0);
    EXPECT_NE(refused(large).find("larger than"), std::string::npos);
}

}  // namespace
