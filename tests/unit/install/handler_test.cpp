// SPDX-License-Identifier: Apache-2.0
#include "install/handler.hpp"

#include <gtest/gtest.h>

#include <string>

#include "sys/error.hpp"

namespace {

constexpr const char* runtime = "/opt/oci-landlock/oci-landlock-runtime";

// The node's own settings; all handlers that containerd knows by them, as containerd 1 has them.
class HandlerSettings : public testing::Test {
protected:
    static bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

    static install::Dump containerd1()
    {
        return [](const std::string& settings) {
            const bool named = has(settings, ".runtimes.");
            return named ? settings : settings + R"(
[plugins."io.containerd.grpc.v1.cri".containerd]
  default_runtime_name = "runc"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
)";
        };
    }

    static std::string refusal(const std::string& settings, const install::Dump& dump = containerd1())
    {
        try {
            install::withHandler(settings, runtime, dump);
        } catch (const sys::Error& error) {
            return error.what();
        }
        return "";
    }

    static constexpr const char* own = "version = 2\n# the administrator's\n";
    static constexpr const char* runc = R"(version = 2
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
    SystemdCgroup = true
)";
};

TEST_F(HandlerSettings, AreAddedOnceAndTakenAwayAgain)
{
    const std::string once = install::withHandler(own, runtime, containerd1());
    EXPECT_TRUE(once.starts_with(own));
    EXPECT_TRUE(has(once, std::string("  BinaryName = \"") + runtime + "\"\n")) << once;
    EXPECT_TRUE(has(once, R"(pod_annotations = ["io.landlock.*", "io.landlock.*/*"])")) << once;
    EXPECT_EQ(install::withHandler(once, runtime, containerd1()), once);
    EXPECT_EQ(install::withoutHandler(once), own);
    EXPECT_EQ(install::withoutHandler(own), own);
}

TEST_F(HandlerSettings, KeepTheHandlerThatWasBuiltIn)
{
    EXPECT_TRUE(has(install::withHandler(own, runtime, containerd1()), ".runtimes.runc]\n"));
    const std::string named = install::withHandler(runc, runtime, containerd1());
    EXPECT_EQ(named.find(".runtimes.runc]\n"), named.rfind(".runtimes.runc]\n")) << named;
}

TEST_F(HandlerSettings, MakeCgroupsAsTheUsualHandlerDoes)
{
    const std::string own2 = install::withHandler(own, runtime, containerd1());
    EXPECT_FALSE(has(own2, "SystemdCgroup = true")) << own2;
    const std::string named = install::withHandler(runc, runtime, containerd1());
    EXPECT_FALSE(has(named, "SystemdCgroup = false")) << named;
}

TEST_F(HandlerSettings, AreInTheWordsOfTheirVersion)
{
    const std::string three = R"(version = 3
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
)";
    const std::string after = install::withHandler(three, runtime, containerd1());
    EXPECT_TRUE(has(after, "[plugins.\"io.containerd.cri.v1.runtime\".containerd.runtimes.landlock]\n")) << after;
}

TEST_F(HandlerSettings, OfANodeThatHasNoneBegin)
{
    EXPECT_TRUE(install::withHandler("", runtime, containerd1()).starts_with("version = 2\n"));
}

TEST_F(HandlerSettings, ThatWouldBeSpoiltAreLeftAlone)
{
    const std::string theirs = std::string(runc) + R"([plugins."io.containerd.grpc.v1.cri".containerd.runtimes.landlock]
  runtime_type = "io.containerd.runc.v2"
)";
    EXPECT_TRUE(has(refusal(theirs), "has a handler landlock already"));
    EXPECT_TRUE(has(refusal("# none\n"), "no version = 2 or 3"));
    EXPECT_TRUE(has(refusal("version = 1\n"), "no version = 2 or 3"));
    // Another file says otherwise.
    const install::Dump deaf = [](const std::string&) { return std::string(runc); };
    EXPECT_TRUE(has(refusal(own, deaf), "does not take the handler"));
    // A handler that only stays while no other is named.
    const install::Dump forgetful = [](const std::string& settings) {
        return has(settings, ".runtimes.landlock]") ? settings : settings + R"(
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.kata]
  runtime_type = "io.containerd.kata.v2"
)";
    };
    EXPECT_TRUE(has(refusal(runc, forgetful), "would lose its handler kata"));
}

TEST_F(HandlerSettings, OfWhichSomebodyHasTakenAPartAreNotGuessed)
{
    const std::string once = install::withHandler(own, runtime, containerd1());
    const std::string last = "# to here.\n";
    EXPECT_THROW(install::withoutHandler(once.substr(0, once.find(last))), sys::Error);
    EXPECT_THROW(install::withoutHandler(once + once), sys::Error);
    EXPECT_THROW(install::withoutHandler(std::string(own) + last), sys::Error);
}

}  // namespace
