// SPDX-License-Identifier: Apache-2.0
#include "oci/amend.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "oci/bundle.hpp"
#include "temporary.hpp"

namespace {

using nlohmann::ordered_json;

constexpr const char* hookProgram = "/usr/bin/oci-landlock";
constexpr const char* asking = R"("annotations":{"io.landlock.profile":"nginx"})";

oci::Amended amended(const std::string& config, bool everyone = false)
{
    return oci::amend(config, "/b/config.json", hookProgram, everyone);
}

std::string bytesIn(const std::string& path)
{
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
}

ordered_json installedHooks()
{
    return ordered_json::parse(bytesIn(std::string(SOURCE_ROOT) + "/hooks/hooks.json"))["hooks"];
}

void refuses(const std::string& config, std::string_view part)
{
    support::expectError([&] { amended(config); }, part, config);
    support::expectError([&] { amended(config, true); }, part, config);
}

TEST(Amend, AddsTheHooksThatAreInstalled)
{
    const oci::Amended result = amended(std::string("{") + asking + "}");
    EXPECT_TRUE(result.covered);
    EXPECT_EQ(ordered_json::parse(result.config)["hooks"], installedHooks());
}

TEST(Amend, LeavesAloneWhatAsksForNothing)
{
    for (const char* config : {"{}", R"({"annotations":{"io.landlockx":"a","org.example":"b"}})",
                               R"({"annotations":null,"hooks":{"prestart":[{"path":"/x"}]}})",
                               R"({"process":{"env":["PATH=/bin","XOCI_LANDLOCK_PROFILE=a"]}})"}) {
        const oci::Amended result = amended(config);
        EXPECT_FALSE(result.covered) << config;
        EXPECT_EQ(result.config, config);
    }
}

TEST(Amend, ForEveryoneWhereTheNodeWantsIt)
{
    const oci::Amended result = amended(" { } ", true);
    EXPECT_TRUE(result.covered);
    EXPECT_EQ(ordered_json::parse(result.config), ordered_json({{"hooks", installedHooks()}}));
}

// The hook says what is wrong with it.
TEST(Amend, AnyAnnotationOfOursAsks)
{
    for (const char* key : {"io.landlock.profil", "io.landlock.", "io.landlock.profile/web", "\\u0069o.landlock.x"}) {
        EXPECT_TRUE(amended(std::string(R"({"annotations":{")") + key + R"(":1}})").covered) << key;
    }
}

TEST(Amend, TwiceIsOnce)
{
    for (const std::string& config :
         {std::string("{") + asking + "}", std::string(R"({"process":{"env":["OCI_LANDLOCK_PROFILE=a"]}})")}) {
        const std::string once = amended(config).config;
        EXPECT_NE(once, config);
        const oci::Amended twice = amended(once);
        EXPECT_TRUE(twice.covered);
        EXPECT_EQ(twice.config, once);
    }
}

TEST(Amend, StandsBehindTheHooksOfOthers)
{
    const std::string result = amended(std::string("{") + asking + R"(,"hooks":{
        "prestart":[{"path":"/proc/1/exe","args":["libnetwork-setkey"]}],
        "createRuntime":[ {"path":"/a"} , {"path":"/usr/bin/oci-landlock","args":["oci-landlock","hook","poststop"]}],
        "poststop":null}})")
                                   .config;
    const ordered_json hooks = ordered_json::parse(result)["hooks"];
    EXPECT_EQ(hooks["prestart"], ordered_json::parse(R"([{"path":"/proc/1/exe","args":["libnetwork-setkey"]}])"));
    ASSERT_EQ(hooks["createRuntime"].size(), 3U) << result;
    EXPECT_EQ(hooks["createRuntime"][0], ordered_json({{"path", "/a"}}));
    EXPECT_EQ(hooks["createRuntime"][2], installedHooks()["createRuntime"][0]);
    EXPECT_EQ(hooks["poststop"], installedHooks()["poststop"]);
}

TEST(Amend, HooksOfAPluginAreHooks)
{
    std::string hooks = bytesIn(std::string(SOURCE_ROOT) + "/hooks/hooks.json");
    for (std::size_t at = 0; (at = hooks.find("[\"oci-landlock\"", at)) != std::string::npos; ++at) {
        hooks.replace(at, 15, "[\"oci-landlock-nri\"");
    }
    const std::string config = std::string("{") + asking + "," + hooks.substr(hooks.find('{') + 1);
    EXPECT_EQ(amended(config).config, config);
}

TEST(Amend, HooksThatAreNoneYet)
{
    for (const char* hooks : {"null", "{}", "{ }", R"({"createRuntime":null})", R"({"createRuntime":[ ]})"}) {
        const std::string result = amended(std::string("{") + asking + ",\"hooks\":" + hooks + "}").config;
        EXPECT_EQ(ordered_json::parse(result)["hooks"].size(), 3U) << result;
        EXPECT_EQ(ordered_json::parse(result)["hooks"]["createRuntime"].size(), 1U) << result;
    }
}

// What a parser would write in another way.
TEST(Amend, KeepsTheRestByteForByte)
{
    const std::string rest =
        "\"z\": [18446744073709551615, -1, 1.0, 1e3, -0, 0.1000, 9223372036854775808, 18446744073709551616],\n"
        "  \"a\" :{\"\\u0062\": \"\\/ \\u00e9 é \\\"}],\", \"x\": [[], {}, [{}, \"[\"]]},\t\"linux\":{\"b\":1,\"a\":2}";
    const std::string result = amended("{ " + rest + " ,\n" + asking + "}").config;
    EXPECT_TRUE(result.starts_with("{ " + rest + " ,\n" + asking + ",\"hooks\":{\"createRuntime\":[{")) << result;
    const std::string environment = amended("{ " + rest +
                                            R"( ,"process":{"args":["a"], "env":["A=1", )"
                                            R"("OCI_LANDLOCK_PROFILE=b" ,"C=\u0033"],"cwd":"/"}})")
                                        .config;
    EXPECT_TRUE(environment.starts_with("{ " + rest +
                                        R"( ,"process":{"args":["a"], "env":["A=1","C=\u0033"],"cwd":"/"},)"
                                        R"("annotations":{"io.landlock.profile":"b"},"hooks":{)"))
        << environment;
}

TEST(Amend, VariablesBecomeAnnotations)
{
    const ordered_json result = ordered_json::parse(
        amended(R"({"process":{"env":["OCI_LANDLOCK_DIGEST=sha256:0","A=b","OCI_LANDLOCK_PROFILE={\"a\": \"=é\"}"]},)"
                R"("annotations":{"org.example":"x"}})")
            .config);
    EXPECT_EQ(result["process"]["env"], ordered_json({"A=b"}));
    EXPECT_EQ(result["annotations"].dump(),
              R"({"org.example":"x","io.landlock.digest":"sha256:0","io.landlock.profile":"{\"a\": \"=é\"}"})");
    const ordered_json alone =
        ordered_json::parse(amended(R"({"process":{"env":["OCI_LANDLOCK_PROFILE"]},"annotations":null})").config);
    EXPECT_EQ(alone["process"]["env"], ordered_json::array());
    EXPECT_EQ(alone["annotations"], ordered_json({{"io.landlock.profile", ""}}));
}

TEST(Amend, RefusesWhatNobodyCanTell)
{
    const std::string both =
        R"({"annotations":{"io.landlock.digest":"x"},"process":{"env":["OCI_LANDLOCK_PROFILE=a"]}})";
    refuses(both, "asks by annotations and by OCI_LANDLOCK_PROFILE in its environment");
    refuses(R"({"process":{"env":["OCI_LANDLOCK_PROFILE=a","OCI_LANDLOCK_PROFILE=a"]}})", "appears twice");
    refuses(R"({"process":{"env":["OCI_LANDLOCK_PROFIL\u001b=a"]}})",
            "/process/env: OCI_LANDLOCK_PROFIL\\x1b: unknown; there are OCI_LANDLOCK_PROFILE and OCI_LANDLOCK_DIGEST");
    // An image could set it beside another one's profile, and select nothing.
    refuses(R"({"process":{"env":["OCI_LANDLOCK_PROFILE=a","OCI_LANDLOCK_PROGRAM=/none"]}})", "unknown");
}

TEST(Amend, RefusesWhatIsNoSoundConfiguration)
{
    refuses("", "not valid JSON");
    refuses("[]", "not a JSON object");
    refuses("{", "not valid JSON");
    refuses("{}{}", "not valid JSON");
    refuses(R"({"a":"b)", "not valid JSON");
    refuses(std::string("{\"a\":\"\xff\"}"), "not valid JSON");
    refuses(R"({"hooks":{},"\u0068ooks":{}})", "member \"hooks\" appears twice");
    refuses(R"({"linux":{"a":1,"a":2}})", "member \"a\" appears twice");
    refuses("{\"a\":" + std::string(100, '[') + std::string(100, ']') + "}", "nested deeper");
    refuses(R"({"Annotations":{"io.landlock.profile":"a"}})", "/Annotations: some runtimes read this as /annotations");
    refuses(R"({"Process":{"env":["OCI_LANDLOCK_PROFILE=a"]}})", "read this as /process");
    refuses("{\"hoo\u212as\":{}}", "read this as /hooks");
    refuses(R"({"hooks\u0000x":{}})", "read this as /hooks");
    refuses(R"({"hooks":{"createRuntime":[],"CreateRuntime":[]}})", "/hooks/CreateRuntime: some runtimes read this as");
    refuses(R"({"hooks":{"poststop\u0000":[]}})", "read this as /hooks/poststop");
    refuses(R"({"hooks":{"poststart":[{"path":"/a"},{"path":"/a","Path":"/b"}]}})",
            "read this as /hooks/poststart/1/path");
    refuses(R"({"process":{"ENV":["OCI_LANDLOCK_PROFILE=a"]}})", "read this as /process/env");
    refuses(R"({"annotations":[]})", "/annotations: must be object");
    refuses(R"({"process":[]})", "/process: must be object");
    refuses(R"({"process":{"env":{}}})", "/process/env: must be array");
    for (const char* hooks : {"[]", R"({"createRuntime":{}})", R"({"poststop":1})"}) {
        support::expectError([&] { amended(std::string("{\"hooks\":") + hooks + "}", true); }, "/hooks");
    }
}

TEST(Amend, TheFileIsReplacedAsItWas)
{
    const support::Temporary base;
    const std::string path = base.file("config.json", "{}");
    ASSERT_EQ(chmod(path.c_str(), 0640), 0);
    if (geteuid() == 0) {
        ASSERT_EQ(chown(path.c_str(), 7, 8), 0);
    }
    struct stat before {};
    ASSERT_EQ(stat(path.c_str(), &before), 0);
    oci::writeConfig(base.path(), "{\"a\":1}");
    struct stat after {};
    ASSERT_EQ(stat(path.c_str(), &after), 0);
    EXPECT_EQ(bytesIn(path), "{\"a\":1}");
    EXPECT_EQ(after.st_mode, before.st_mode);
    EXPECT_EQ(after.st_uid, before.st_uid);
    EXPECT_EQ(after.st_gid, before.st_gid);
    EXPECT_NE(after.st_ino, before.st_ino);  // whoever reads meanwhile sees the one or the other
}

TEST(Amend, TheFileThatCannotBeReplaced)
{
    const support::Temporary base;
    support::expectError([&] { oci::writeConfig(base.path("none"), "{}"); }, "none/config.json: No such file");
    base.directory("b/config.json");
    support::expectError([&] { oci::writeConfig(base.path("b"), "{}"); }, "b/config.json: Is a directory");
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(base.path("b")), {}), 1);  // and nothing is left
}

}  // namespace
