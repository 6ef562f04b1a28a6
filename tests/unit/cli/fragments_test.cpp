// SPDX-License-Identifier: Apache-2.0
// How the fragments of a profile are found, and what is in the way.
#include "cli/fragments.hpp"

#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "cli/request.hpp"
#include "temporary.hpp"

namespace {

constexpr const char* denial = R"("ruleset":[{"handledAccessFs":["abi.all"]}])";

class Fragments : public testing::Test {
protected:
    void SetUp() override
    {
        if (getuid() != 0) {
            GTEST_SKIP() << "needs root, whom files of the node belong to";
        }
        umask(022);
        settings_.profileDirectories = {base_.directory("first"), base_.directory("second")};
    }

    std::string put(const std::string& name, const std::string& fields)
    {
        return base_.file("second/fragments/" + name, R"({"abi":6,)" + std::string(denial) + fields + "}");
    }

    profile::Profile load(const std::string& uses, profile::Origin origin = profile::Origin::nodeFile)
    {
        const std::string text =
            R"({"entries":[{"name":"web","policy":{"use":[)" + uses + R"(],"abi":6,)" + denial + "}}]}";
        return cli::readProfile(settings_, {"/p/web.json", text}, origin, cli::parseHere(6));
    }

    void expectProblem(const std::string& uses, const std::string& expected)
    {
        support::expectError([&] { load(uses); }, expected, uses);
    }

    support::Temporary base_;
    cli::Settings settings_;
};

const std::string start = "/p/web.json: /entries/0/policy/use/0: entry web: fragment ";

TEST_F(Fragments, AreFoundInOrderAndOnce)
{
    put("b.json", R"(,"use":["c"])");
    put("c.json", "");
    base_.file("second/fragments/a.toml", "use = [\"b\", \"c\"]\n");
    base_.file("first/fragments/c.json", R"({"variable":[{"name":"v"}]})");
    const profile::Profile profile = load(R"("a","b")");
    ASSERT_EQ(profile.fragments.size(), 3U);
    EXPECT_EQ(profile.fragments[0].path, base_.path("second/fragments/a.toml"));
    EXPECT_EQ(profile.fragments[2].path, base_.path("first/fragments/c.json"));
    // `learn profile` puts these into documents.
    for (const char* name : {"a b.json", ".json", ".hidden.json", "x\"],\"abi\":[\".json", "README", "d.json~"}) {
        base_.file("second/fragments/" + std::string(name), "{}");
    }
    EXPECT_EQ(cli::fragmentNames(settings_), (std::vector<std::string>{"a", "b", "c"}));
}

// What is computed here in another way is what docs/profiles.md says.
TEST_F(Fragments, HaveASayInTheDigest)
{
    put("a.json", "");
    put("b.json", R"(,"use":["a"])");
    const profile::Profile one = load(R"("b")");
    const auto digestOfFile = [&](const std::string& name) {
        std::ifstream file(base_.path("second/fragments/" + name));
        return sys::toText(sys::digest(std::string(std::istreambuf_iterator(file), {})));
    };
    const std::string text =
        R"({"entries":[{"name":"web","policy":{"use":["b"],"abi":6,)" + std::string(denial) + "}}]}";
    const std::string list =
        sys::toText(sys::digest(text)) + "\n" + digestOfFile("a.json") + " a\n" + digestOfFile("b.json") + " b\n";
    EXPECT_EQ(*one.digest, sys::digest(list));
    put("a.json", " ");
    const profile::Profile other = load(R"("b")");
    EXPECT_NE(other.digest, one.digest);
    // Pinned, it is not taken.
    cli::ProfileFile file{base_.file("second/web.json", text), text};
    const auto ask = [&](const sys::Digest& digest) {
        return cli::profileAskedFor(settings_, {"web", "io.landlock.profile", {}, digest, "io.landlock.digest"},
                                    cli::parseHere(6));
    };
    EXPECT_EQ(ask(*other.digest).digest, other.digest);
    support::expectError([&] { ask(*one.digest); }, "web.json: has the digest " + sys::toText(*other.digest));
    support::expectError([&] { ask(sys::digest(text)); }, "web.json: has the digest " + sys::toText(*other.digest));
}

TEST_F(Fragments, ThatCannotBeHadSayWhoseTheyAre)
{
    expectProblem("\"a\"", start + "a: no fragment \"a\": tried " + base_.path("first/fragments/a.json") + " and ");
    put("a.json", R"(,"use":["b"])");
    expectProblem("\"a\"", start + "a > b: no fragment \"b\": tried ");
    put("b.json", R"(,"exec":1)");
    expectProblem("\"a\"", start + "a > b: " + base_.path("second/fragments/b.json") + ": /exec: unknown field");
    base_.file("second/fragments/b.json", R"({"entries":[]})");
    expectProblem("\"a\"", start + "a > b: " + base_.path("second/fragments/b.json") + ": /entries: this is a profile");
    put("b.json", R"(,"use":["a"])");
    expectProblem("\"a\"", start + "a > b > a: it uses itself");
    put("a.json", R"(,"use":["a"])");
    expectProblem("\"a\"", start + "a > a: it uses itself");
}

TEST_F(Fragments, NamesAreNoPaths)
{
    base_.file("second/secret.json", "secret");
    for (const char* name : {"../secret", "/etc/passwd", "..", ".", "a/b", "a b", "\\u001b[31m", "\\n"}) {
        expectProblem("\"" + std::string(name) + "\"", "must be 1 to 128 letters");
    }
    // As many characters as the schema allows, and more bytes.
    std::string umlauts;
    for (int i = 0; i < 128; ++i) {
        umlauts += "\xc3\xa4";
    }
    expectProblem("\"" + umlauts + "\"", "must be 1 to 128 letters");
}

TEST_F(Fragments, OnlyFilesThatRootAloneMayWrite)
{
    const std::string path = put("a.json", "");
    const std::string directory = base_.path("second/fragments");
    EXPECT_EQ(load("\"a\"").fragments.size(), 1U);
    ASSERT_EQ(chmod(path.c_str(), 0666), 0);
    expectProblem("\"a\"", start + "a: " + path + ": must belong to root");
    ASSERT_EQ(chmod(path.c_str(), 0644), 0);
    for (const std::string& above : {directory, base_.path("second")}) {
        ASSERT_EQ(chmod(above.c_str(), 0777), 0);
        expectProblem("\"a\"", start + "a: " + above + ": must belong to root");
        support::expectError([&] { cli::fragmentNames(settings_); }, above + ": must belong to root");
        ASSERT_EQ(chmod(above.c_str(), 0755), 0);
    }
    ASSERT_EQ(rename(path.c_str(), base_.path("elsewhere").c_str()), 0);
    base_.link("second/fragments/a.json", base_.path("elsewhere"));
    expectProblem("\"a\"", start + "a: " + path + ": is a symbolic link");
    unlink(path.c_str());
    ASSERT_EQ(mkfifo(path.c_str(), 0644), 0);
    expectProblem("\"a\"", start + "a: " + path + ": not a regular file");
    unlink(path.c_str());
    base_.file("second/fragments/a.json", std::string(profile::maxDocumentBytes + 1, ' '));
    expectProblem("\"a\"", start + "a: " + path + ": larger than 262144 bytes");
    ASSERT_EQ(rename(directory.c_str(), base_.path("moved").c_str()), 0);
    base_.link("second/fragments", base_.path("moved"));
    expectProblem("\"a\"", start + "a: " + directory + ": not a directory, or a symbolic link");
}

TEST_F(Fragments, AreBoundedInNumberDepthAndSize)
{
    // Each uses two, 40 deep: as many ways as there is no end to.
    for (int i = 0; i < 40; ++i) {
        for (const std::string side : {"l", "r"}) {
            const std::string next = std::to_string(i + 1);
            put(side + std::to_string(i) + ".json", R"(,"use":["l)" + next + R"(","r)" + next + "\"]");
        }
    }
    expectProblem("\"l0\"", start + "l0 > l1 > l2 > l3 > l4 > l5 > l6 > l7 > l8: fragments use fragments more than 8");
    put("l7.json", "");
    put("r7.json", "");
    EXPECT_EQ(load("\"l0\"").fragments.size(), 15U);
    // Known already, and yet deeper than where it was met first.
    put("deep.json", R"(,"use":["l0"])");
    expectProblem(R"("l0","deep")", "/use/1: entry web: fragment deep > l0: fragments use fragments more than 8 deep");

    std::string names;
    for (std::size_t i = 0; i < profile::maxFragments; ++i) {
        const std::string name = "n" + std::to_string(i);
        put(name + ".json", i == 0 ? R"(,"use":["n32"])" : "");
        names += (i == 0 ? "\"" : ",\"") + name + "\"";
    }
    put("n32.json", "");
    expectProblem(names, "/use/31: entry web: fragment n31: more than 32 fragments in the profile");

    put("big.json", std::string(200 * 1024, ' '));
    put("large.json", std::string(100 * 1024, ' '));
    EXPECT_EQ(load("\"big\"").fragments.size(), 1U);
    expectProblem(R"("big","large")", "fragment large: the fragments of the profile are larger than 262144 bytes");
}

// What is written to a fragment later has no say in a profile that was read: each file is read once.
TEST_F(Fragments, AreReadOnce)
{
    put("a.json", "");
    put("b.json", R"(,"use":["a"])");
    std::vector<std::string> found;
    const std::string text = R"({"use":["a","b"]})";
    std::vector<std::string> parsed;
    cli::loadWithFragments(
        [&](const std::string& name) {
            found.push_back(name);
            cli::ProfileFile file = cli::findFragment(settings_, name);
            put(name + ".json", " changed");
            return file;
        },
        "test", text,
        [&](const std::vector<profile::Fragment>& fragments) {
            for (const profile::Fragment& fragment : fragments) {
                parsed.push_back(fragment.text);
            }
            return profile::load(text, "test", profile::Origin::nodeFile, 6, fragments);
        },
        profile::usesOf);
    EXPECT_EQ(found, (std::vector<std::string>{"a", "b"}));
    ASSERT_EQ(parsed.size(), 2U);
    EXPECT_EQ(parsed[0].find("changed"), std::string::npos);
}

// A parser that was taken over cannot have it both ways.
TEST_F(Fragments, AreAskedForOnce)
{
    put("a.json", "");
    unsigned loaded = 0;
    const auto load = [&](const std::vector<profile::Fragment>&) {
        ++loaded;
        profile::Profile profile;
        profile.uses.push_back({"a", "web", "/use/0"});
        return profile;
    };
    const auto find = [&](const std::string& name) { return cli::findFragment(settings_, name); };
    support::expectError([&] { cli::loadWithFragments(find, "test", "{}", load, profile::usesOf); }, "were not taken");
    EXPECT_EQ(loaded, 2U);
}

// It could have written itself whatever a fragment allows, and gets nothing that it could not: its links are followed
// as in what it writes, and it may not relax anything either.
TEST_F(Fragments, OfAnInlineProfile)
{
    put("a.json", R"(,"pathBeneath":[{"allowedAccess":["read_file"],"parent":["/lib"]}])");
    const auto ask = [&](const std::string& fields) {
        return cli::profileAskedFor(
            settings_,
            {R"({"entries":[{)" + fields + R"("policy":{"use":["a"]}}]})", "io.landlock.profile", {}, {}, ""},
            cli::parseHere(6));
    };
    const profile::Profile profile = ask("");
    EXPECT_EQ(profile.entries.at(0).origin, profile::Origin::inlined);
    EXPECT_EQ(profile.entries[0].layers[0].paths.size(), 1U);
    support::expectError([&] { ask(R"("noNewPrivileges":false,)"); }, "false is not allowed in an inline profile");
    settings_.allowInline = false;
    support::expectError([&] { ask(""); }, "switched off on this node");
}

// Each way to it is looked at, and none read it again.
TEST_F(Fragments, AreReadOnceHoweverManyWaysLeadThere)
{
    put("a.json", R"(,"use":["b","c"])");
    put("b.json", R"(,"use":["d"])");
    put("c.json", R"(,"use":["d"])");
    put("d.json", "");
    std::vector<std::string> found;
    const std::string text = R"({"use":["a","d"]})";
    const profile::Profile profile = cli::loadWithFragments(
        [&](const std::string& name) {
            found.push_back(name);
            return cli::findFragment(settings_, name);
        },
        "test", text,
        [&](const std::vector<profile::Fragment>& fragments) {
            return profile::load(text, "test", profile::Origin::nodeFile, 6, fragments);
        },
        profile::usesOf);
    EXPECT_EQ(found, (std::vector<std::string>{"a", "b", "d", "c"}));
    ASSERT_EQ(profile.fragments.size(), 4U);
    EXPECT_EQ(profile.fragments[3].name, "d");
    // Nor does it close a circle, but for who uses itself.
    put("d.json", R"(,"use":["c"])");
    expectProblem("\"a\"", start + "a > b > d > c > d: it uses itself");
}

TEST_F(Fragments, AreNoDevicesAndNotFromElsewhere)
{
    const std::string path = base_.path("second/fragments/a.json");
    base_.directory("second/fragments");
    if (mknod(path.c_str(), S_IFCHR | 0644, makedev(1, 5)) == 0) {  // /dev/zero
        struct statvfs system {};
        ASSERT_EQ(statvfs(path.c_str(), &system), 0);
        const bool unusable = (system.f_flag & ST_NODEV) != 0;
        expectProblem("\"a\"", start + "a: " + path + (unusable ? ": Permission denied" : ": not a regular file"));
        unlink(path.c_str());
    }
    ASSERT_EQ(mkdir(path.c_str(), 0755), 0);
    expectProblem("\"a\"", start + "a: " + path + ": not a regular file");
    ASSERT_EQ(rmdir(path.c_str()), 0);
    base_.file("second/fragments/a.json", std::string("{\"abi\":6,\0}", 11));
    expectProblem("\"a\"", start + "a: " + path);
    base_.file("second/fragments/a.json", "{\"variable\":[{\"name\":\"v\",\"literal\":[\"/\xff\"]}]}");
    expectProblem("\"a\"", start + "a: " + path);
}

}  // namespace
