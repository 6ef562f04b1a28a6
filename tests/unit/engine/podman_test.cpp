// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "support.hpp"

namespace {

using support::remedies;
using support::text;
using support::wrong;

constexpr const char* hooks = "usr/share/containers/oci/hooks.d/";
constexpr const char* containersConf = "etc/containers/containers.conf";

class Podman : public testing::Test {
protected:
    void SetUp() override
    {
        node_.program("usr/bin/podman");
        node_.program("usr/bin/oci-landlock");
        for (const char* name : {"oci-landlock.json", "oci-landlock-poststart.json", "oci-landlock-poststop.json"}) {
            node_.copy(std::string("hooks/") + name, hooks + std::string(name));
        }
    }

    sys::Findings look(const engine::Needs& needs = {}) const { return engine::podmanFindings(node_.files(), needs); }

    void hook(const std::string& name, std::string_view document) const { node_.file(hooks + name, document); }

    // Ours, with another condition.
    void when(const std::string& condition) const
    {
        hook(
            "oci-landlock.json",
            R"({"version":"1.0.0","hook":{"path":"/usr/bin/oci-landlock","args":["oci-landlock","hook","createRuntime"]},)"
            R"("when":)" +
                condition + R"(,"stages":["createRuntime"]})");
    }

    support::Node node_;
};

TEST_F(Podman, AsInstalled)
{
    EXPECT_EQ(wrong(look()), "");
    EXPECT_EQ(wrong(look({.launch = true, .baseline = false})), "");
    EXPECT_NE(text(look()).find("ok podman.createRuntime: podman runs the hook, by "
                                "/usr/share/containers/oci/hooks.d/oci-landlock.json"),
              std::string::npos);
    node_.remove("usr/bin/podman");
    EXPECT_EQ(text(look()), "");
}

TEST_F(Podman, FilesMissing)
{
    node_.remove(hooks + std::string("oci-landlock-poststart.json"));
    EXPECT_EQ(wrong(look()), "");
    EXPECT_EQ(wrong(look({.launch = true, .baseline = false})), "problem podman.poststart");
    node_.remove(hooks + std::string("oci-landlock-poststop.json"));
    EXPECT_EQ(wrong(look()), "note podman.poststop");
    node_.remove(hooks + std::string("oci-landlock.json"));
    EXPECT_EQ(wrong(look()), "problem podman.createRuntime, note podman.poststop");
    EXPECT_NE(remedies(look()).find("install oci-landlock.json in /usr/share/containers/oci/hooks.d\n"),
              std::string::npos);
    // A link that leads nowhere is no file.
    node_.link(hooks + std::string("oci-landlock.json"), "nowhere");
    EXPECT_EQ(wrong(look()), "problem podman.createRuntime, note podman.poststop");
}

TEST_F(Podman, ProgramMissing)
{
    node_.remove("usr/bin/oci-landlock");
    EXPECT_EQ(wrong(look()), "problem podman.program");
    EXPECT_NE(text(look()).find("podman passes over the hook without a word, and containers with a profile start "
                                "without a sandbox"),
              std::string::npos);
    EXPECT_EQ(text(look()).find("ok podman.createRuntime"), std::string::npos);
    node_.program("usr/bin/oci-landlock", 0644);
    EXPECT_NE(text(look()).find("is not executable: containers that want the hook do not start"), std::string::npos);
    node_.program("usr/bin/oci-landlock");
    // Another one's.
    hook("other.json",
         R"({"version":"1.0.0","hook":{"path":"/opt/gone"},"when":{"always":true},"stages":["prestart"]})");
    EXPECT_EQ(wrong(look()), "note podman.program");
    EXPECT_NE(remedies(look()).find("rm /usr/share/containers/oci/hooks.d/other.json"), std::string::npos);
}

TEST_F(Podman, Malformed)
{
    const std::pair<const char*, const char*> all[] = {
        {"", "is not valid JSON"},
        {"{\"version\":", "is not valid JSON"},
        {"[]", "is not a JSON object"},
        {"{}", "has no \"version\""},
        {R"({"version":"2.0.0"})", "has no \"version\""},
        {R"({"version":"1.0.0"})", "names no program"},
        {R"({"version":"1.0.0","hook":"/bin/true"})", "names no program"},
        {R"({"version":"1.0.0","hook":{"path":7}})", "names no program"},
        {R"({"version":"1.0.0","hook":{"path":"/a","args":"x"},"stages":[]})", "of the wrong type"},
        {R"({"version":"1.0.0","hook":{"path":"/a","timeout":"1"},"stages":[]})", "of the wrong type"},
        {R"({"version":"1.0.0","hook":{"path":"/a"}})", "has no list of stages"},
        {R"({"version":"1.0.0","hook":{"path":"/a"},"stages":[1]})", "has no list of stages"},
        {R"({"version":"1.0.0","hook":{"path":"/a"},"stages":["later\u001b"]})",
         "a stage that there is not, later\\x1b"},
        {R"({"version":"1.0.0","hook":{"path":"/a"},"stages":[],"when":[]})", "a condition (when) of the wrong type"},
        {R"({"version":"1.0.0","hook":{"path":"/a"},"stages":[],"when":{"always":"yes"}})", "of the wrong type"},
        {R"({"version":"1.0.0","hook":{"path":"/a"},"stages":[],"when":{"annotations":{"a":1}}})", "of the wrong type"},
    };
    for (const auto& [document, message] : all) {
        hook("other.json", document);
        EXPECT_EQ(wrong(look()), "problem podman.files") << document;
        EXPECT_NE(text(look()).find(message), std::string::npos) << document << "\n" << text(look());
        EXPECT_EQ(text(look()).find("ok podman"), std::string::npos) << document;
    }
    hook("other.json", std::string(2 * 1024 * 1024, ' '));
    EXPECT_NE(text(look()).find("larger than"), std::string::npos);
    hook("other.json", std::string(500'000, '['));
    EXPECT_EQ(wrong(look()), "problem podman.files");
    node_.remove(hooks + std::string("other.json"));
    node_.directory(hooks + std::string("other.json"));
    EXPECT_NE(text(look()).find("cannot be read"), std::string::npos);
    node_.remove(hooks + std::string("other.json"));
    hook("other.txt", "no hook");
    EXPECT_EQ(wrong(look()), "");
}

TEST_F(Podman, Conditions)
{
    const std::pair<const char*, const char*> all[] = {
        {R"({"always":true})", ""},
        {R"({"annotations":{"^io\\.landlock\\.":".*"}})", ""},
        {R"({"annotations":{"landlock":""}})", ""},
        {R"({"annotations":{"^io[.]landlock[.][a-z/]*$":"^"}})", ""},
        {R"({"annotations":{"^io[.]landlock[.][a-z/]*$":"^.*$"}})", "the annotation io.landlock.profile={\\x0a}:"},
        {R"({"annotations":{"^io[.]landlock[.]pro":".*"}})", "the annotation io.landlock.learn=:"},
        {R"({})", "passes over any container"},
        {R"({"always":false})", "passes over any container"},
        {R"({"annotations":{"^io\\.landlock$":".*"}})", "the annotation io.landlock.profile="},
        {R"({"annotations":{"^io\\.landlock\\.profile$":".*"}})", "the annotation io.landlock.profile/web="},
        {R"({"annotations":{"^io\\.landlock\\.profile":".*"}})", "the annotation io.landlock.program="},
        {R"({"annotations":{"^io\\.landlock\\.":".+"}})", "the annotation io.landlock.profile=:"},
        {R"({"annotations":{"^io\\.landlock\\.":"^[a-z]*$"}})", "profile={\"entries\":[]}:"},
        {R"({"annotations":{"^io\\.landlock\\.":".*","run":".*"}})", "the annotation io.landlock.profile="},
        {R"({"annotations":{"^io\\.landlock\\.":".*"},"commands":["nginx"]})", "another command"},
        {R"({"always":true,"hasBindMounts":true})", "without volumes"},
    };
    for (const auto& [condition, message] : all) {
        when(condition);
        EXPECT_EQ(wrong(look()), *message == '\0' ? "" : "problem podman.createRuntime") << condition;
        EXPECT_NE(text(look()).find(message), std::string::npos) << condition << "\n" << text(look());
    }
}

// What cannot be judged is neither good nor bad.
TEST_F(Podman, ConditionsThatNobodyUnderstands)
{
    for (const std::string& pattern :
         {std::string("(?i)IO.LANDLOCK"), std::string("\\\\Aio"), std::string("("), std::string("a{9999}{9999}"),
          std::string(300, 'a'), std::string(200, '(') + std::string(200, ')')}) {
        when(R"({"annotations":{")" + pattern + R"(":".*"}})");
        EXPECT_EQ(wrong(look()), "note podman.createRuntime") << pattern;
    }
    when(R"({"annotations":{"^(([a-z.]*)*)*$":"(.*.*.*.*.*.*.*.*)*x|"}})");
    EXPECT_EQ(wrong(look()), "problem podman.createRuntime");
}

TEST_F(Podman, WithABaseline)
{
    const engine::Needs needs{.launch = false, .baseline = true};
    EXPECT_EQ(wrong(look(needs)), "problem podman.createRuntime, problem podman.poststart, problem podman.poststop");
    when(R"({"always":true})");
    EXPECT_EQ(wrong(look(needs)), "problem podman.poststart, problem podman.poststop");
}

TEST_F(Podman, TheWrongStage)
{
    hook("oci-landlock.json",
         R"({"version":"1.0.0","hook":{"path":"/usr/bin/oci-landlock","args":["oci-landlock","hook","poststop"]},)"
         R"("when":{"always":true},"stages":["createRuntime"]})");
    EXPECT_EQ(wrong(look()), "problem podman.createRuntime");
    EXPECT_NE(text(look()).find("calls the hook for poststop"), std::string::npos);
    hook("oci-landlock.json",
         R"({"version":"1.0.0","hook":{"path":"/usr/bin/oci-landlock","args":["oci-landlock","hook","prestart"]},)"
         R"("when":{"always":true},"stages":["prestart"]})");
    EXPECT_EQ(wrong(look()), "");
}

TEST_F(Podman, Twice)
{
    node_.copy("hooks/oci-landlock.json", hooks + std::string("again.json"));
    EXPECT_EQ(wrong(look()), "note podman.createRuntime");
    EXPECT_NE(text(look()).find("runs 2 times"), std::string::npos);
}

TEST_F(Podman, Directories)
{
    node_.file(containersConf, "[engine]\nhooks_dir = [\"/etc/containers/oci/hooks.d\"]\n");
    EXPECT_EQ(wrong(look()), "problem podman.createRuntime, note podman.poststop");
    EXPECT_NE(remedies(look()).find("hooks_dir = [\"/usr/share/containers/oci/hooks.d\", "
                                    "\"/etc/containers/oci/hooks.d\"] under [engine]"),
              std::string::npos);
    node_.directory("etc/containers/oci/hooks.d");
    EXPECT_EQ(wrong(look()), "problem podman.createRuntime, note podman.poststop");
    // One of the same name hides the other.
    node_.file(containersConf,
               "[engine]\nhooks_dir = [\"/usr/share/containers/oci/hooks.d\", \"/etc/containers/oci/hooks.d\"]\n");
    EXPECT_EQ(wrong(look()), "");
    node_.file("etc/containers/oci/hooks.d/oci-landlock.json",
               R"({"version":"1.0.0","hook":{"path":"/usr/bin/podman"},"when":{"always":true},"stages":["prestart"]})");
    EXPECT_EQ(wrong(look()), "problem podman.createRuntime");
    // The last file that names any wins; one may add to them.
    node_.file("etc/containers/containers.conf.d/10.conf",
               "[engine]\nhooks_dir = [\"/usr/share/containers/oci/hooks.d\"]");
    node_.file("etc/containers/containers.conf.d/20.conf", "[engine]\nruntime = \"crun\"\n");
    EXPECT_EQ(wrong(look()), "");
    node_.file("etc/containers/containers.conf.d/30.conf", "[engine]\nhooks_dir = [\"/gone\", {append=true}]\n");
    EXPECT_EQ(wrong(look()), "note podman.directories");
}

TEST_F(Podman, SettingsThatCannotBeRead)
{
    for (const std::string& nonsense : {std::string("[engine"), std::string("\xff"), std::string(100'000, '['),
                                        std::string("[engine]\nhooks_dir = [\"a\\u0000\"]"),
                                        std::string(2'000'000, ' '), std::string("when = 1979-05-27\n")}) {
        node_.file(containersConf, nonsense);
        EXPECT_EQ(wrong(look()), "problem podman.settings") << nonsense.substr(0, 100);
    }
    node_.file(containersConf, "engine = 7\n[[containers]]\nhooks_dir = 1\n");
    EXPECT_EQ(wrong(look()), "");
    node_.file(containersConf, "[engine]\nhooks_dir = \"/usr\"\n");
    EXPECT_EQ(wrong(look()), "");
}

}  // namespace
