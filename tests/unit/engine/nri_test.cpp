// SPDX-License-Identifier: Apache-2.0
// What doctor says of our plugin of containerd's NRI.
#include <gtest/gtest.h>

#include "support.hpp"

namespace {

using nri::Running;
using support::remedies;
using support::text;
using support::wrong;

constexpr const char* pluginLink = "opt/nri/plugins/90-oci-landlock";
constexpr const char* pluginUnit = "etc/systemd/system/multi-user.target.wants/oci-landlock-nri.service";
constexpr const char* on17 = "version = 2\n[plugins.\"io.containerd.nri.v1.nri\"]\ndisable = false\n";
const Running served{.version = "1",
                     .program = "/usr/bin/oci-landlock",
                     .socket = "/run/nri/nri.sock",
                     .connected = true};
const Running waits{.version = "1", .program = "/usr/bin/oci-landlock", .socket = "/run/nri/nri.sock"};
const Running started{.version = "1", .program = "/usr/bin/oci-landlock", .connected = true};

class Nri : public testing::Test {
protected:
    void SetUp() override
    {
        node_.program("usr/bin/containerd");
        node_.program("usr/bin/oci-landlock");
        settings(on17);
        listens({"/run/containerd/containerd.sock", "/var/run/nri/nri.sock"});
    }

    void settings(const std::string& content) const { node_.file("etc/containerd/config.toml", content); }

    void listens(const std::vector<std::string>& paths) const
    {
        std::string sockets =
            "Num       RefCount Protocol Flags    Type St Inode Path\n"
            "0000000000000000: 00000003 00000000 00000000 0001 03 12 /run/nri/nri.sock\n"
            "0000000000000000: 00000003 00000000 00000000 0001 03 13\n";
        for (const std::string& path : paths) {
            sockets += "0000000000000000: 00000002 00000000 00010000 0001 01 14 " + path + "\n";
        }
        node_.file("proc/net/unix", sockets);
    }

    sys::Findings look(const std::optional<std::vector<Running>>& plugins) const
    {
        return engine::containerdFindings(node_.files(), {.version = "1", .plugins = plugins});
    }

    void expectProblem(const std::vector<Running>& plugins, const std::string& message, const std::string& remedy) const
    {
        EXPECT_EQ(wrong(look(plugins)), "problem containerd.nri");
        EXPECT_NE(text(look(plugins)).find(message), std::string::npos) << text(look(plugins));
        EXPECT_NE(remedies(look(plugins)).find(remedy), std::string::npos) << remedies(look(plugins));
    }

    support::Node node_;
};

TEST_F(Nri, NobodyHasSetItUp)
{
    EXPECT_EQ(wrong(look(std::vector<Running>{})), "note containerd");
    node_.file("opt/nri/plugins/10-of-others");
    node_.file("etc/systemd/system/multi-user.target.wants/oci-landlock.service");
    EXPECT_EQ(wrong(look(std::vector<Running>{})), "note containerd");
}

TEST_F(Nri, Works)
{
    node_.file(pluginUnit);
    EXPECT_EQ(text(look({{served}})),
              "ok containerd.nri: the plugin at /run/nri/nri.sock is connected, and gives pods their hooks, whatever "
              "their handler\n");
    node_.remove(pluginUnit);
    node_.program(pluginLink);
    EXPECT_EQ(text(look({{started}})),
              "ok containerd.nri: the plugin that containerd has started is connected, and gives pods their hooks, "
              "whatever their handler\n");
    // As containerd 2 has it without a word.
    for (const char* silent : {"version = 3\n", "version = 2\n"}) {
        settings(silent);
        EXPECT_EQ(wrong(look({{started}})), "") << silent;
    }
    node_.remove("etc/containerd");
    EXPECT_EQ(wrong(look({{started}})), "");
}

TEST_F(Nri, Off)
{
    node_.file(pluginUnit);
    const std::string line =
        "disable = false beneath [plugins.\"io.containerd.nri.v1.nri\"] in /etc/containerd/config.toml, then: ";
    settings("version = 3\n[plugins.\"io.containerd.nri.v1.nri\"]\ndisable = true\n");
    expectProblem({served}, "containerd's NRI is off by /etc/containerd/config.toml: pods without a handler of ours ",
                  line);
    settings(std::string("disabled_plugins = [\"io.containerd.nri.v1.nri\"]\n") + on17);
    expectProblem({waits}, "containerd's NRI is off by ", "");
    // Nothing is said: nobody listens where it is not on by itself.
    settings("version = 2\n");
    listens({"/run/containerd/containerd.sock"});
    expectProblem({waits}, "listens for no plugin at /run/nri/nri.sock: before version 2 its NRI is off", line);
    expectProblem({}, "listens for no plugin at ", line);
    settings(on17);
    expectProblem({waits}, "listens for no plugin at /run/nri/nri.sock: pods ", "systemctl restart containerd");
    settings("version = 3\n");
    expectProblem({waits}, "listens for no plugin at /run/nri/nri.sock: pods ", "systemctl restart containerd");
    settings("version = 2\n");
    EXPECT_NE(text(engine::containerdFindings(node_.files(), {.version = "1", .containerd = 2, .plugins = {{waits}}}))
                  .find("listens for no plugin at /run/nri/nri.sock: pods "),
              std::string::npos);
    listens({});
    EXPECT_EQ(wrong(look({{waits}})), "note containerd.nri");
    EXPECT_NE(text(look({{waits}})).find("containerd does not run"), std::string::npos);
}

TEST_F(Nri, ImportedSettings)
{
    node_.file(pluginUnit);
    settings(std::string("imports = [\"more/*.toml\"]\n") + on17 + "socket_path = \"/run/one.sock\"\n");
    node_.file("etc/containerd/more/nri.toml",
               "[grpc]\naddress = \"/run/other.sock\"\n"
               "[plugins.\"io.containerd.nri.v1.nri\"]\nsocket_path = \"/run/two.sock\"\n");
    listens({"/run/other.sock", "/run/two.sock"});
    expectProblem({waits},
                  "containerd listens for plugins at /run/two.sock, and the plugin that runs looks at /run/nri/",
                  "socket_path = \"/run/nri/nri.sock\" beneath [plugins.\"io.containerd.nri.v1.nri\"] in "
                  "/etc/containerd/more/nri.toml");
}

TEST_F(Nri, NotConnected)
{
    node_.file(pluginUnit);
    expectProblem({}, "oci-landlock-nri.service is enabled, and no plugin runs", "systemctl start oci-landlock-nri");
    expectProblem({waits}, "containerd does not take the plugin that runs", "journalctl -u oci-landlock-nri.service");
    settings(std::string(on17) + "disable_connections = true\n");
    listens({"/run/containerd/containerd.sock"});
    for (const std::vector<Running>& plugins : {std::vector<Running>(), {waits}}) {
        expectProblem(plugins, "containerd takes no plugin that it has not started itself",
                      "disable_connections = false");
    }
    node_.remove(pluginUnit);
    expectProblem({waits}, "containerd takes no plugin that it has not started itself", "disable_connections = false");
    node_.program(pluginLink);
    expectProblem({}, "containerd does not run the plugin /opt/nri/plugins/90-oci-landlock", "");
    SetUp();
    settings(std::string(on17) + "plugin_path = \"/opt/other/\"\n");
    node_.program("opt/other/10-oci-landlock");
    expectProblem({}, "containerd does not run the plugin /opt/other/10-oci-landlock", "systemctl restart containerd");
}

TEST_F(Nri, ProgramMissing)
{
    node_.link(pluginLink, "/nowhere/oci-landlock");
    expectProblem({}, "/opt/nri/plugins/90-oci-landlock leads to nothing that can be executed", "ln -sfn ");
    node_.remove(pluginLink);
    node_.remove("usr/bin/oci-landlock");
    expectProblem({served}, "/usr/bin/oci-landlock, which the hooks of the plugin that runs call, is not there",
                  "install /usr/bin/oci-landlock");
}

TEST_F(Nri, AfterAnUpgrade)
{
    node_.file(pluginUnit);
    Running old = served;
    old.version = "0\x1b[2J";
    EXPECT_EQ(wrong(look({{old}})), "note containerd.nri");
    EXPECT_NE(text(look({{old}})).find("the plugin that runs is of version 0"), std::string::npos);
    EXPECT_NE(remedies(look({{old}})).find("systemctl restart oci-landlock-nri.service"), std::string::npos);
    old.socket = "";
    EXPECT_EQ(remedies(look({{old}})), "\nsystemctl restart containerd\n");
}

TEST_F(Nri, NotAfterTheNextBoot)
{
    EXPECT_EQ(wrong(look({{served}})), "note containerd.nri");
    EXPECT_NE(text(look({{served}})).find("nothing starts it after the next boot"), std::string::npos);
}

// What cannot be seen is nothing that is wrong, nor right.
TEST_F(Nri, CannotBeTold)
{
    EXPECT_EQ(text(look(std::nullopt)), "");
    node_.file(pluginUnit);
    EXPECT_EQ(text(look(std::nullopt)), "");
    node_.remove("proc/net/unix");
    EXPECT_EQ(text(look({{waits}})),
              "note containerd.nri: the plugin of containerd's NRI cannot be looked at: /proc/net/unix is not there\n");
    node_.file("opt/nri/plugins");
    node_.remove(pluginUnit);
    EXPECT_EQ(wrong(look(std::vector<Running>{})), "note containerd");
}

}  // namespace
