// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "support.hpp"

namespace {

using support::remedies;
using support::text;
using support::wrong;

constexpr const char* daemonSettings = "etc/docker/daemon.json";
constexpr const char* ours = R"("runtimes":{"landlock":{"path":"/usr/bin/oci-landlock-runtime"}})";

class Docker : public testing::Test {
protected:
    void SetUp() override
    {
        node_.program("usr/bin/dockerd");
        node_.program("usr/bin/oci-landlock");
        node_.program("usr/bin/oci-landlock-runtime");
    }

    sys::Findings look(const engine::Needs& needs = {}) const { return engine::dockerFindings(node_.files(), needs); }

    support::Node node_;
};

TEST_F(Docker, IsNotThere)
{
    node_.remove("usr/bin/dockerd");
    EXPECT_EQ(text(look()), "");
    EXPECT_EQ(wrong(engine::findings(node_.files(), {})), "note engines");
}

TEST_F(Docker, IsNotCovered)
{
    EXPECT_EQ(text(look()),
              "note docker: Docker is here, and none of its runtimes is oci-landlock-runtime: no container "
              "gets a sandbox\n");
    node_.file(daemonSettings, R"({"runtimes":{"a\u001b":{"path":"/x/not-oci-landlock-runtime"}}})");
    EXPECT_EQ(wrong(look()), "note docker, note docker.runtimes");
}

TEST_F(Docker, SettingsThatAreNone)
{
    for (const char* nonsense : {"", "[]", "{", "\xff"}) {
        node_.file(daemonSettings, nonsense);
        EXPECT_EQ(wrong(look()), "problem docker.settings") << nonsense;
    }
    node_.file(daemonSettings, R"({"runtimes":[1],"default-runtime":{}})");
    EXPECT_EQ(wrong(look()), "note docker");
}

TEST_F(Docker, AsTheGuideSays)
{
    node_.file(daemonSettings, std::string("{") + ours + R"(,"default-runtime":"landlock"})");
    EXPECT_EQ(wrong(look()), "");
    EXPECT_EQ(wrong(look({.baseline = true})), "");
    EXPECT_EQ(text(look()),
              "ok docker.runtime: Docker's containers run by oci-landlock-runtime, its runtime landlock\n");
}

TEST_F(Docker, ByTheShimsOption)
{
    node_.file(daemonSettings, R"({"runtimes":{"l":{"runtimeType":"io.containerd.runc.v2",)"
                               R"("options":{"BinaryName":"/usr/bin/oci-landlock-runtime"}}},"default-runtime":"l"})");
    EXPECT_EQ(wrong(look()), "");
    node_.file(daemonSettings, R"({"runtimes":{"l":{"path":"oci-landlock-runtime"}},"default-runtime":"l"})");
    EXPECT_EQ(wrong(look()), "");
}

TEST_F(Docker, ForThoseThatChooseIt)
{
    node_.file(daemonSettings, std::string("{") + ours + R"(,"default-runtime":"runc"})");
    EXPECT_EQ(wrong(look()), "note docker.runtime");
    EXPECT_EQ(wrong(look({.baseline = true})), "problem docker.runtime");
    EXPECT_NE(text(look({.baseline = true})).find("go without the node's baseline"), std::string::npos);
    EXPECT_EQ(remedies(look()), "\"default-runtime\": \"landlock\" in /etc/docker/daemon.json\n");
}

TEST_F(Docker, TheDefaultOfTwo)
{
    node_.file(daemonSettings, R"({"runtimes":{"a":{"path":"/usr/bin/oci-landlock-runtime"},)"
                               R"("b":{"path":"/usr/bin/oci-landlock-runtime"}},"default-runtime":"b"})");
    EXPECT_EQ(wrong(look()), "");
}

TEST_F(Docker, ProgramsThatAreMissing)
{
    node_.file(daemonSettings, std::string("{") + ours + R"(,"default-runtime":"landlock"})");
    node_.program("usr/bin/oci-landlock-runtime", 0644);
    EXPECT_EQ(wrong(look()), "problem docker.program");
    node_.program("usr/bin/oci-landlock-runtime");
    node_.remove("usr/bin/oci-landlock");
    EXPECT_EQ(wrong(look()), "problem docker.program");
    EXPECT_EQ(remedies(look()), "install /usr/bin/oci-landlock\n\n");
}

}  // namespace
