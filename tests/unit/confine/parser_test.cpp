// SPDX-License-Identifier: Apache-2.0
#include "confine/parser.hpp"

#include <gtest/gtest.h>

#include "confine/archive.hpp"

namespace {

constexpr const char* document = R"({"entries": [{"name": "one", "select": {"program": ["/bin/a"]}, "policy": {"abi": 6,
    "ruleset": [{"handledAccessFs": ["abi.all"], "handledAccessNet": ["bind_tcp"]}],
    "pathBeneath": [{"allowedAccess": ["abi.read_execute"], "parent": ["/usr", "/lib"]}],
    "netPort": [{"allowedAccess": ["bind_tcp"], "port": [80]}]}}]})";

TEST(Parser, AnswersLikeTheFunctionsItStandsFor)
{
    confine::Parser parser;
    const oci::State state = parser.state(R"({"id": "web", "bundle": "/b", "pid": 42})");
    EXPECT_EQ(state.id, "web");
    EXPECT_EQ(state.pid, 42);
    const oci::Bundle bundle =
        parser.bundle(R"({"root": {"path": "r"}, "annotations": {"io.landlock.profile": "nginx"}})", "/b");
    EXPECT_EQ(bundle.rootPath, "/b/r");
    EXPECT_EQ(bundle.annotations.at("io.landlock.profile"), "nginx");
    const auto profile = parser.profile(document, "test", profile::Origin::inlined, 6);
    const auto direct = profile::load(document, "test", profile::Origin::inlined, 6);
    ASSERT_EQ(profile.entries.size(), 1U);
    EXPECT_EQ(profile.entries[0].select.programs, std::vector<std::string>{"/bin/a"});
    EXPECT_EQ(parser.programs("/bin/b"), std::vector<std::string>{"/bin/b"});
    EXPECT_EQ(profile.entries[0].layers[0].handledFs, direct.entries[0].layers[0].handledFs);
    EXPECT_EQ(profile.entries[0].layers[0].paths[1].pointer, direct.entries[0].layers[0].paths[1].pointer);
    EXPECT_EQ(profile.entries[0].layers[0].ports[0].port, 80U);
}

TEST(Parser, ReadsTomlFromTheNodeAlone)
{
    constexpr const char* toml = "abi = 6\n[[ruleset]]\nhandled_access_net = [\"bind_tcp\"]\n";
    confine::Parser parser;
    const auto profile = parser.profile(toml, "/p/a.toml", profile::Origin::nodeFile, 6);
    EXPECT_EQ(profile.entries.at(0).layers.at(0).handledNet, 1U);
    EXPECT_THROW(parser.profile(toml, "annotation a.toml", profile::Origin::inlined, 6), sys::Error);
}

TEST(Parser, PassesErrorsOnAndGoesOn)
{
    confine::Parser parser;
    EXPECT_THROW(
        {
            try {
                parser.state("{");
            } catch (const sys::Error& error) {
                EXPECT_NE(std::string(error.what()).find("not valid JSON"), std::string::npos);
                throw;
            }
        },
        sys::Error);
    EXPECT_EQ(parser.state(R"({"id": "x", "bundle": "/b"})").id, "x");
}

TEST(Parser, SurvivesItsChild)
{
    confine::Parser parser;
    // More than the child may have.
    EXPECT_THROW(parser.state(std::string(63UL << 20, '[')), sys::Error);
}

struct Sample {
    std::uint32_t number = 0;
    bool flag = false;
    std::string text;
    std::vector<std::string> list;
    std::map<std::string, std::string> map;
    std::optional<std::string> maybe;
};

template <typename Archive>
void fields(Archive& archive, Sample& sample)
{
    archive(sample.number, sample.flag, sample.text, sample.list, sample.map, sample.maybe);
}

TEST(Archive, ReadsWhatWasWrittenAndNothingElse)
{
    Sample sample{7, true, "text", {"a", "b"}, {{"k", "v"}}, "m"};
    confine::Writer writer;
    writer(sample);
    Sample back;
    confine::Reader reader(writer.bytes());
    reader(back);
    reader.finish();
    EXPECT_EQ(back.list, sample.list);
    EXPECT_EQ(back.map, sample.map);
    EXPECT_EQ(back.maybe, sample.maybe);
    for (std::size_t length = 0; length < writer.bytes().size(); ++length) {
        confine::Reader cut(std::string_view(writer.bytes()).substr(0, length));
        Sample none;
        EXPECT_THROW(cut(none), sys::Error) << length;
    }
    for (std::size_t i = 0; i < writer.bytes().size(); ++i) {
        std::string bent = writer.bytes();
        bent[i] = static_cast<char>(0xff);
        Sample any;
        try {
            confine::Reader bentReader(bent);
            bentReader(any);
            bentReader.finish();
        } catch (const sys::Error&) {
        }
    }
}

}  // namespace
