// SPDX-License-Identifier: Apache-2.0
#include "cli/settings.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "profile/model.hpp"
#include "temporary.hpp"

namespace {

using Directories = std::vector<std::string>;

class SettingsTest : public testing::Test {
protected:
    void SetUp() override
    {
        if (geteuid() != 0) {
            GTEST_SKIP() << "needs root";
        }
        umask(022);
    }

    cli::Settings read(const std::string& text) const { return cli::readSettings(base_.file("etc/config.json", text)); }

    support::Temporary base_;
};

TEST_F(SettingsTest, DefaultsWithoutAFile)
{
    for (const std::string& path : {base_.path("config.json"), base_.path("none/config.json")}) {
        const cli::Settings settings = cli::readSettings(path);
        EXPECT_EQ(settings.profileDirectories,
                  (Directories{"/etc/oci-landlock/profiles", "/usr/share/oci-landlock/profiles"}));
        EXPECT_EQ(settings.baseline, std::nullopt);
        EXPECT_TRUE(settings.allowInline);
    }
}

TEST_F(SettingsTest, AllOfThem)
{
    const cli::Settings settings =
        read(R"({"profileDirectories":["/a","/b/c"],"baseline":"base","allowInline":false,"applier":"launch"})");
    EXPECT_EQ(settings.profileDirectories, (Directories{"/a", "/b/c"}));
    EXPECT_EQ(settings.baseline, "base");
    EXPECT_FALSE(settings.allowInline);
    EXPECT_TRUE(settings.launch);
    EXPECT_FALSE(read("{}").launch);
    EXPECT_TRUE(read("{}").allowInline);
    EXPECT_FALSE(read("{}").auditOnly);
    EXPECT_TRUE(read(R"({"auditOnly":true})").auditOnly);
    support::expectError([&] { read(R"({"auditOnly":"true"})"); }, "auditOnly (boolean)");
    EXPECT_EQ(read(R"({"profileDirectories":[]})").profileDirectories, Directories{});
}

// Whatever else is wrong: what runs can be stopped.
TEST_F(SettingsTest, TheRuntimeAlone)
{
    const auto runtime = [&](const std::string& text) {
        return cli::runtimeSetting(base_.file("etc/config.json", text));
    };
    EXPECT_EQ(cli::runtimeSetting(base_.path("none/config.json")), std::nullopt);
    EXPECT_EQ(runtime("{}"), std::nullopt);
    EXPECT_EQ(runtime(R"({"baselin":1,"runtime":"/usr/bin/crun"})"), "/usr/bin/crun");
    EXPECT_EQ(read(R"({"runtime":"/usr/bin/crun"})").runtime, "/usr/bin/crun");
    for (const char* value : {"1", "null", R"("crun")", R"("")", R"("/a\u0000")"}) {
        const std::string text = std::string(R"({"runtime":)") + value + "}";
        support::expectError([&] { runtime(text); }, "/runtime: must be an absolute path", text);
        support::expectError([&] { read(text); }, "/runtime: unknown or of the wrong type", text);
    }
    support::expectError([&] { runtime("{"); }, "not valid JSON");
    const std::string path = base_.file("etc/config.json", "{}");
    ASSERT_EQ(chmod(path.c_str(), 0666), 0);
    support::expectError([&] { cli::runtimeSetting(path); }, "must belong to root");
}

TEST_F(SettingsTest, Refuses)
{
    const std::pair<std::string, const char*> all[] = {
        {"", "not valid JSON at byte 1"},
        {"[]", "not a JSON object"},
        {R"({"allowInline":false,"allowInline":true})", "member \"allowInline\" appears twice"},
        {R"({"allowInline":"no"})", "/allowInline: unknown or of the wrong type"},
        {R"({"applier":"inject"})", "/applier: unknown or of the wrong type"},
        {R"({"allowInline":null})", "/allowInline: unknown or of the wrong type"},
        {R"({"baseline":null})", "/baseline: unknown or of the wrong type"},
        {R"({"baseline":["a"]})", "/baseline: unknown or of the wrong type"},
        {R"({"profileDirectories":"/a"})", "/profileDirectories: unknown or of the wrong type"},
        {R"({"profileDirectories":["a"]})", "/profileDirectories: must hold absolute paths"},
        {R"({"profileDirectories":["/a",1]})", "/profileDirectories: must hold absolute paths"},
        {R"({"profileDirectories":["/a\u0000b"]})", "/profileDirectories: must hold absolute paths"},
        {R"({"allowinline":false})", "/allowinline: unknown or of the wrong type"},
        {R"({"":1})", "unknown or of the wrong type"},
        {std::string(70000, ' '), "larger than 65536 bytes"},
    };
    for (const auto& [text, message] : all) {
        support::expectError([&] { read(text); }, message, text);
    }
}

TEST_F(SettingsTest, OnlyFromRoot)
{
    const std::string path = base_.file("etc/config.json", "{}");
    const auto check = [&] { cli::readSettings(path); };
    EXPECT_NO_THROW(check());
    ASSERT_EQ(chmod(path.c_str(), 0664), 0);
    support::expectError(check, "config.json: must belong to root");
    ASSERT_EQ(chmod(path.c_str(), 0644), 0);
    ASSERT_EQ(chown(path.c_str(), 1, 1), 0);
    support::expectError(check, "config.json: must belong to root");
    ASSERT_EQ(chown(path.c_str(), 0, 0), 0);
    // Whoever may write the directory could take the file away, and the baseline with it.
    ASSERT_EQ(chmod(base_.path("etc").c_str(), 0777), 0);
    support::expectError(check, "/etc: must belong to root");
    ASSERT_EQ(chmod(base_.path("etc").c_str(), 0755), 0);
    ASSERT_EQ(rename(path.c_str(), base_.path("real").c_str()), 0);
    base_.link("etc/config.json", base_.path("real"));
    support::expectError(check, "config.json: is a symbolic link");
    unlink(path.c_str());
    base_.directory("etc/config.json");
    support::expectError(check, "not a regular file");
    rmdir(path.c_str());
    ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
    support::expectError(check, "not a regular file");
}

class FindProfile : public SettingsTest {
protected:
    cli::Settings settings_{{base_.directory("first"), base_.path("absent"), base_.directory("second")},
                            std::nullopt,
                            true};

    std::string find(const std::string& name) const { return cli::findProfile(settings_, name).text; }
};

TEST_F(FindProfile, InOrder)
{
    base_.file("second/a.json", "2");
    EXPECT_EQ(find("a"), "2");
    EXPECT_EQ(cli::findProfile(settings_, "a").path, base_.path("second/a.json"));
    base_.file("first/a.json", "1");
    EXPECT_EQ(find("a"), "1");
    base_.file("first/A-b_c.2.json", "x");
    EXPECT_EQ(find("A-b_c.2"), "x");
    support::expectError([&] { find("b"); }, "no profile \"b\": tried " + base_.path("first/b.json") + " and ");
    settings_.profileDirectories.clear();
    support::expectError([&] { find("a"); }, "no profile \"a\": tried no directory");
}

TEST_F(FindProfile, NamesAreNoPaths)
{
    base_.file("secret.json", "secret");
    for (const std::string& name :
         {std::string(), std::string("."), std::string(".."), std::string("../secret"), std::string("/etc/passwd"),
          std::string("a/b"), std::string(".hidden"), std::string("a\0", 2), std::string("a b"), std::string("a\n"),
          std::string("\xc3\xa4"), std::string("[1]"), std::string(129, 'a'), std::string(1000000, 'a')}) {
        support::expectError([&] { find(name); }, "must be 1 to 128 letters", name);
    }
    base_.file("first/" + std::string(128, 'a') + ".json", "x");
    EXPECT_EQ(find(std::string(128, 'a')), "x");
}

TEST_F(FindProfile, AnUntrustedOneStopsTheSearch)
{
    base_.file("second/a.json", "2");
    const std::string path = base_.file("first/a.json", "1");
    ASSERT_EQ(chmod(path.c_str(), 0666), 0);
    support::expectError([&] { find("a"); }, "first/a.json: must belong to root");
    unlink(path.c_str());
    base_.link("first/a.json", base_.path("second/a.json"));
    support::expectError([&] { find("a"); }, "first/a.json: is a symbolic link");
    unlink(path.c_str());
    base_.file("first/a.json", std::string(profile::maxDocumentBytes + 1, ' '));
    support::expectError([&] { find("a"); }, "larger than 262144 bytes");
}

TEST_F(FindProfile, OnlyInDirectoriesThatRootAloneMayWrite)
{
    base_.file("second/a.json", "2");
    const std::string first = base_.path("first");
    for (const mode_t mode : {0775U, 0757U, 01777U}) {
        ASSERT_EQ(chmod(first.c_str(), mode), 0);
        support::expectError([&] { find("a"); }, "/first: must belong to root and be writable by root alone");
    }
    ASSERT_EQ(chmod(first.c_str(), 0755), 0);
    EXPECT_EQ(find("a"), "2");
    ASSERT_EQ(chown(first.c_str(), 1, 1), 0);
    support::expectError([&] { find("a"); }, "/first: must belong to root");
    ASSERT_EQ(rmdir(first.c_str()), 0);
    EXPECT_EQ(find("a"), "2");
    base_.link("first", base_.path("second"));
    support::expectError([&] { find("a"); }, "/first: not a directory, or a symbolic link");
    unlink(first.c_str());
    base_.file("first");
    support::expectError([&] { find("a"); }, "/first: not a directory");
}

}  // namespace
