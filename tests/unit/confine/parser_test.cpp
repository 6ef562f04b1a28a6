// SPDX-License-Identifier: Apache-2.0
#include "confine/parser.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fstream>
#include <functional>
#include <iterator>
#include <set>

#include "confine/archive.hpp"
#include "confine/message.hpp"
#include "confine/sound.hpp"

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

// The children of this process.
std::vector<pid_t> children()
{
    std::ifstream list("/proc/self/task/" + std::to_string(gettid()) + "/children");
    return {std::istream_iterator<pid_t>(list), {}};
}

TEST(Parser, WaitsNoLongerThanItsPatience)
{
    const auto before = children();
    confine::Parser parser(std::chrono::milliseconds(300));
    const auto after = children();
    ASSERT_EQ(after.size(), before.size() + 1);
    ASSERT_EQ(kill(after.back(), SIGSTOP), 0);
    const auto start = std::chrono::steady_clock::now();
    EXPECT_THROW(parser.state("{}"), sys::Error);
    // More than the socket takes, so that the question does not get through either.
    EXPECT_THROW(parser.state(std::string(8UL << 20, ' ')), sys::Error);
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
}

// Whoever takes over the child that reads config.json has no say in what the node's own files mean.
TEST(Parser, ReadsTheNodesFilesInAnother)
{
    const auto before = children();
    confine::Parser parser(std::chrono::seconds(5));
    ASSERT_EQ(children().size(), before.size() + 1);
    kill(children().back(), SIGKILL);
    EXPECT_THROW(parser.bundle(R"({"root": {"path": "r"}})", "/b"), sys::Error);
    EXPECT_THROW(parser.profile(document, "test", profile::Origin::inlined, 6), sys::Error);
    EXPECT_THROW(parser.programs("/bin/a"), sys::Error);
    const profile::Fragment fragment{"a", "/f/a.json", R"({"use":["b"]})"};
    EXPECT_THROW(parser.usesOf(fragment, profile::Origin::inlined), sys::Error);
    EXPECT_EQ(parser.profile(document, "test", profile::Origin::nodeFile, 6).entries.size(), 1U);
    EXPECT_EQ(parser.usesOf(fragment, profile::Origin::nodeFile).at(0).fragment, "b");
}

TEST(Parser, ReadsFragments)
{
    confine::Parser parser;
    const std::string text = R"({"use":["a"]})";
    const profile::Profile bare = parser.profile(text, "test", profile::Origin::inlined, 6);
    EXPECT_TRUE(bare.entries.empty());
    EXPECT_EQ(bare.uses.at(0).pointer, "/use/0");
    const profile::Fragment fragment{"a", "/f/a.toml",
                                     "[[path_beneath]]\nallowed_access = [\"execute\"]\nparent = [\"/a\"]"};
    EXPECT_TRUE(parser.usesOf(fragment, profile::Origin::inlined).empty());
    const profile::Profile whole = parser.profile(text, "test", profile::Origin::inlined, 6, {fragment});
    EXPECT_TRUE(whole.uses.empty());
    EXPECT_TRUE(whole.entries.at(0).layers.at(0).paths.at(0).optional);
    EXPECT_THROW(parser.usesOf({"a", "/f/a.json", "{"}, profile::Origin::inlined), sys::Error);
}

TEST(Parser, LeavesSignalsAsTheyAre)
{
    const auto before = signal(SIGPIPE, SIG_DFL);
    {
        confine::Parser parser;
        kill(children().back(), SIGKILL);
        EXPECT_THROW(parser.state(std::string(8UL << 20, ' ')), sys::Error);
    }
    EXPECT_EQ(signal(SIGPIPE, before), SIG_DFL);
}

// An honest answer, and what a child that was taken over could make of it.
// Each of what documents, annotations and settings can change makes it another one.
TEST(Identity, IsThatOfTheProfile)
{
    profile::Profile profile;
    profile.digest = sys::digest("own");
    profile.entries.push_back({.name = "one"});
    const sys::Digest identity = confine::identityOf(profile);
    EXPECT_EQ(confine::identityOf(profile::Profile(profile)), identity);
    const std::function<void(profile::Profile&)> changes[] =
        {[](auto& other) { other.digest = sys::digest("another"); },
         [](auto& other) { other.baselineDigest = sys::digest("baseline"); },
         [](auto& other) { std::swap(other.digest, other.baselineDigest); },
         [](auto& other) { other.entries.push_back({.name = "two"}); },
         [](auto& other) { other.entries[0].name = "another"; },
         [](auto& other) { other.entries[0].origin = profile::Origin::nodeFile; },
         [](auto& other) { other.entries[0].mode = profile::Mode::audit; },
         [](auto& other) { other.entries[0].select.kind = profile::Selector::program; },
         [](auto& other) { other.entries[0].select.programs = {"/bin/a"}; },
         [](auto& other) { other.entries[0].select.sessions = false; }};
    std::set<sys::Digest> all{identity};
    for (const auto& change : changes) {
        profile::Profile other = profile;
        change(other);
        all.insert(confine::identityOf(other));
    }
    EXPECT_EQ(all.size(), std::size(changes) + 1);
}

TEST(Sound, Profiles)
{
    const profile::Profile good = profile::load(document, "test", profile::Origin::inlined, 6);
    EXPECT_NO_THROW(confine::requireSound(good));
    const std::pair<const char*, std::function<void(profile::Profile&)>> bends[] = {
        {"no entries", [](auto& p) { p.entries.clear(); }},
        {"entries", [](auto& p) { p.entries.resize(40, p.entries[0]); }},
        {"entries and uses",
         [](auto& p) {
             p.uses.push_back({"a", "one", "/use/0"});
         }},
        {"uses",
         [](auto& p) {
             p.entries.clear(), p.uses.resize(33, {"a", "one", "/use/0"});
         }},
        {"no name",
         [](auto& p) {
             p.entries.clear(), p.uses.resize(1, {"", "one", "/use/0"});
         }},
        {"long name",
         [](auto& p) {
             p.entries.clear(), p.uses.resize(1, {std::string(513, 'a'), "one", "/use/0"});
         }},
        {"no layers", [](auto& p) { p.entries[0].layers.clear(); }},
        {"layers", [](auto& p) { p.entries[0].layers.resize(17, p.entries[0].layers[0]); }},
        {"restricts nothing", [](auto& p) { p.entries[0].layers[0] = {}; }},
        {"privileges", [](auto& p) { p.entries[0].noNewPrivileges = false; }},
        {"flags", [](auto& p) { p.entries[0].restrictFlags = 8; }},
        {"rights", [](auto& p) { p.entries[0].layers[0].paths[0].access = ~std::uint64_t{0}; }},
        {"NUL", [](auto& p) { p.entries[0].layers[0].paths[0].path = std::string("/a\0b", 4); }},
        {"paths", [](auto& p) { p.entries[0].layers[0].paths.resize(4097, p.entries[0].layers[0].paths[0]); }},
        {"port", [](auto& p) { p.entries[0].layers[0].ports[0].port = 65536; }},
        {"ports", [](auto& p) { p.entries[0].layers[0].ports.resize(257, p.entries[0].layers[0].ports[0]); }},
        {"no programs", [](auto& p) { p.entries[0].select.programs.clear(); }},
        {"programs", [](auto& p) { p.entries[0].select.programs.resize(65, "/a"); }},
        {"long program", [](auto& p) { p.entries[0].select.programs[0] = "/" + std::string(511, 'a'); }},
        {"relative program", [](auto& p) { p.entries[0].select.programs[0] = "a"; }},
    };
    for (const auto& [what, bend] : bends) {
        profile::Profile bent = good;
        bend(bent);
        EXPECT_THROW(confine::requireSound(bent), sys::Error) << what;
    }
}

TEST(Sound, StatesAndBundles)
{
    EXPECT_NO_THROW(confine::requireSound(oci::State{"a", "/b", 0}));
    for (const oci::State& bad :
         {oci::State{"", "/b", 1}, {"a", "b", 1}, {"a", "/b", -1}, {std::string(256, 'a'), "/b", 1}}) {
        EXPECT_THROW(confine::requireSound(bad), sys::Error);
    }
    EXPECT_NO_THROW(confine::requireSound(oci::Bundle{"/b", "/b/r", "/", {}}));
    for (const oci::Bundle& bad : {oci::Bundle{"/b", "r", "/", {}},
                                   {"/b", "", "/", {}},
                                   {"/b", "/r", "x", {}},
                                   {"/b", std::string("/r\0", 3), "/", {}}}) {
        EXPECT_THROW(confine::requireSound(bad), sys::Error);
    }
}

enum class Colour : std::uint8_t { red, green };

}  // namespace

template <>
inline constexpr auto confine::lastOf<Colour> = Colour::green;

namespace {

TEST(Archive, EnumerationsHaveAnEnd)
{
    for (const char byte : {0, 1, 2, -1}) {
        const std::string bytes(1, byte);
        confine::Reader reader(bytes);
        Colour colour{};
        if (byte == 0 || byte == 1) {
            reader(colour);
            EXPECT_EQ(static_cast<char>(colour), byte);
        } else {
            EXPECT_THROW(reader(colour), sys::Error) << static_cast<int>(byte);
        }
    }
}

TEST(Message, CarriesDescriptors)
{
    int pair[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    const sys::Fd ours(pair[0]);
    sys::Fd theirs(pair[1]);
    const auto soon = [] { return std::chrono::steady_clock::now() + std::chrono::milliseconds(500); };
    const std::vector<int> sent(300, theirs.get());
    ASSERT_TRUE(confine::send(theirs.get(), "text"));
    ASSERT_TRUE(confine::sendDescriptors(theirs.get(), sent));
    EXPECT_EQ(confine::receive(ours.get(), soon()), "text");
    const auto got = confine::receiveDescriptors(ours.get(), sent.size(), soon());
    ASSERT_TRUE(got);
    EXPECT_EQ(got->size(), sent.size());
    // Fewer, and more than were promised; and none at all.
    ASSERT_TRUE(confine::sendDescriptors(theirs.get(), {0, 0}));
    EXPECT_FALSE(confine::receiveDescriptors(ours.get(), 3, soon()));
    ASSERT_TRUE(confine::sendDescriptors(theirs.get(), {0, 0}));
    EXPECT_FALSE(confine::receiveDescriptors(ours.get(), 1, soon()));
    EXPECT_FALSE(confine::receive(ours.get(), soon()));
    theirs.reset();
    EXPECT_FALSE(confine::receive(ours.get(), soon()));
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
