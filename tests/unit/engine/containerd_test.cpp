// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "support.hpp"

namespace {

using support::text;
using support::wrong;

constexpr const char* settings = "etc/containerd/config.toml";
constexpr const char* specification = "etc/containerd/oci-landlock.json";
constexpr const char* runc2 = R"(
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
)";

class Containerd : public testing::Test {
protected:
    void SetUp() override
    {
        node_.program("usr/bin/containerd");
        node_.program("usr/bin/oci-landlock");
        node_.copy("hooks/hooks.json", specification);
        node_.copy("hooks/containerd/version-2.toml", settings);
        version2_ = "version = 2\n" + node_.files().read("/etc/containerd/config.toml").value();
        node_.file(settings, version2_ + runc2);
    }

    sys::Findings look(const engine::Needs& needs = {}) const
    {
        return engine::containerdFindings(node_.files(), needs);
    }

    void replace(const std::string& what, const std::string& with) const
    {
        std::string changed = version2_ + runc2;
        const std::size_t at = changed.find(what);
        ASSERT_NE(at, std::string::npos) << what;
        node_.file(settings, changed.replace(at, what.size(), with));
    }

    support::Node node_;
    std::string version2_;
};

// A directory in the place of a file: nobody can tell whether another one's handler means us.
TEST_F(Containerd, SpecificationOfAnotherThatCannotBeRead)
{
    node_.file(settings, version2_ + runc2 + "  base_runtime_spec = \"/etc/containerd\"\n");
    EXPECT_NE(text(look()).find("note containerd.specification: the base specification of the handler runc cannot be "
                                "looked at: /etc/containerd"),
              std::string::npos)
        << text(look());
    EXPECT_EQ(wrong(look()), "note containerd.specification");
}

TEST_F(Containerd, AsTheGuideSays)
{
    EXPECT_EQ(
        text(look()),
        "ok containerd.handler: the handler landlock in /etc/containerd/config.toml runs the hook for its pods\n");
    EXPECT_EQ(wrong(look({.launch = true, .baseline = false})), "");
    node_.file(settings, "version = 3\nimports = [\"conf.?/*.toml\"]\n");
    node_.copy("hooks/containerd/version-3.toml", "etc/containerd/conf.d/landlock.toml");
    EXPECT_EQ(text(look()),
              "ok containerd.handler: the handler landlock in /etc/containerd/conf.d/landlock.toml runs "
              "the hook for its pods\n");
    node_.remove("usr/bin/containerd");
    EXPECT_EQ(text(look()), "");
}

TEST_F(Containerd, NothingThatRunsTheHook)
{
    node_.file(settings, "version = 2\n" + std::string(runc2));
    EXPECT_EQ(wrong(look()), "note containerd");
    node_.remove(settings);
    EXPECT_EQ(wrong(look()), "note containerd");
    node_.file(settings, "version = 2\ndisabled_plugins = [\"cri\"]\n" + std::string(runc2));
    EXPECT_NE(text(look()).find("its CRI plugin is off"), std::string::npos);
}

TEST_F(Containerd, Annotations)
{
    for (const char* patterns : {R"([])", R"(["io.kubernetes.*"])", R"(["landlock"])", R"("io.landlock.*")"}) {
        replace(R"(["io.landlock.*", "io.landlock.*/*"])", patterns);
        EXPECT_EQ(wrong(look()), "problem containerd.annotations") << patterns;
        EXPECT_NE(text(look()).find("io.landlock.profile pass: its pods start without"), std::string::npos) << patterns;
    }
    for (const char* patterns : {R"(["io.landlock.*"])", R"(["io.landlock.profile"])", R"(["*"])"}) {
        replace(R"(["io.landlock.*", "io.landlock.*/*"])", patterns);
        EXPECT_EQ(wrong(look()), "problem containerd.annotations") << patterns;
        EXPECT_NE(text(look()).find("io.landlock.profile/web pass"), std::string::npos) << patterns;
    }
    // Those of containers are none that a pod can have.
    replace("pod_annotations", "others");
    EXPECT_EQ(wrong(look()), "problem containerd.annotations");
    replace(R"(["io.landlock.*", "io.landlock.*/*"])", R"(["*", "*/*"])");
    EXPECT_EQ(wrong(look()), "");
}

TEST_F(Containerd, Specification)
{
    replace("base_runtime_spec", "other");
    EXPECT_NE(text(look()).find("has no base specification"), std::string::npos);
    node_.file(settings, version2_ + runc2);
    const auto hooks = nlohmann::json::parse(node_.files().read("/etc/containerd/oci-landlock.json").value());
    const auto change = [&](const auto& how) {
        auto changed = hooks;
        how(changed);
        node_.file(specification, changed.dump());
    };
    change([](auto& document) { document["hooks"].erase("createRuntime"); });
    EXPECT_NE(text(look()).find("has no createRuntime hook of ours"), std::string::npos);
    change([](auto& document) { document["hooks"].erase("poststart"); });
    EXPECT_EQ(wrong(look()), "");
    EXPECT_EQ(wrong(look({.launch = true, .baseline = false})), "problem containerd.specification");
    change([](auto& document) { document["hooks"]["createRuntime"][0]["args"][2] = "poststop"; });
    EXPECT_EQ(wrong(look()), "problem containerd.specification");
    change([](auto& document) { document["hooks"]["createRuntime"][0]["path"] = "/usr/bin/other"; });
    EXPECT_EQ(wrong(look()), "problem containerd.specification");
    change([](auto& document) { document["process"]["rlimits"] = {{{"type", "RLIMIT_NOFILE"}, {"soft", 1024}}}; });
    EXPECT_EQ(wrong(look()), "note containerd.specification");
    for (const char* nonsense :
         {"", "[]", "{", "{}", R"({"hooks":[]})", R"({"hooks":{"createRuntime":7}})",
          R"({"hooks":{"createRuntime":[7,{"path":7},{"path":"/usr/bin/oci-landlock","args":7}]}})"}) {
        node_.file(specification, nonsense);
        EXPECT_EQ(wrong(look()), "problem containerd.specification") << nonsense;
    }
    node_.remove(specification);
    EXPECT_NE(text(look()).find("does not exist: none of its pods starts"), std::string::npos);
}

// It brings the hooks, so that no base specification need have them.
TEST_F(Containerd, RuntimeThatAddsHooks)
{
    const std::string runtime = "options.BinaryName = \"/usr/bin/oci-landlock-runtime\"";
    node_.program("usr/bin/oci-landlock-runtime");
    replace("base_runtime_spec = \"/etc/containerd/oci-landlock.json\"", runtime);
    EXPECT_EQ(
        text(look()),
        "ok containerd.handler: the handler landlock in /etc/containerd/config.toml runs the hook for its pods\n");
    // Without a name and annotations that mean us.
    node_.file(settings, "version = 2\n" + std::string(runc2) + runtime + "\n");
    EXPECT_EQ(wrong(look()), "problem containerd.annotations");
    for (const char* missing : {"usr/bin/oci-landlock", "usr/bin/oci-landlock-runtime"}) {
        SetUp();
        node_.program("usr/bin/oci-landlock-runtime");
        replace("base_runtime_spec = \"/etc/containerd/oci-landlock.json\"", runtime);
        node_.remove(missing);
        EXPECT_EQ(wrong(look()), "problem containerd.program");
        EXPECT_NE(text(look()).find("/" + std::string(missing) + ", which the handler landlock needs, is not there"),
                  std::string::npos)
            << text(look());
    }
    node_.remove("usr/bin/oci-landlock");
    replace("base_runtime_spec = \"/etc/containerd/oci-landlock.json\"",
            "options.BinaryName = \"/usr/bin/other-oci-landlock-runtime\"");
    EXPECT_EQ(wrong(look()), "problem containerd.specification");
}

TEST_F(Containerd, ProgramMissing)
{
    node_.remove("usr/bin/oci-landlock");
    EXPECT_EQ(wrong(look()), "problem containerd.specification");
    EXPECT_NE(text(look()).find("names /usr/bin/oci-landlock, which is not there"), std::string::npos);
}

TEST_F(Containerd, OtherHandlers)
{
    replace("io.containerd.runc.v2\"\n  base", "io.containerd.runsc.v1\"\n  base");
    EXPECT_EQ(wrong(look()), "problem containerd.handler");
    // As kubelet's usual driver wants it.
    const std::string systemd =
        "[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc.options]\nSystemdCgroup = true\n";
    node_.file(settings, version2_ + runc2 + systemd);
    EXPECT_EQ(wrong(look()), "problem containerd.cgroups");
    EXPECT_NE(support::remedies(look()).find("options.SystemdCgroup = true in /etc/containerd/config.toml"),
              std::string::npos);
    node_.file(settings, version2_ + "  options.SystemdCgroup = true\n" + runc2 + systemd);
    EXPECT_EQ(wrong(look()), "");
    node_.file(settings, version2_);
    EXPECT_EQ(wrong(look()), "problem containerd.runc");
    node_.file(settings,
               version2_ + "[plugins.\"io.containerd.grpc.v1.cri\".containerd]\ndefault_runtime_name = \"landlock\"\n");
    EXPECT_EQ(wrong(look()), "");
}

TEST_F(Containerd, Imports)
{
    node_.file("etc/containerd/more/landlock.toml", version2_);
    node_.file(settings,
               "version = 2\nimports = [\"/etc/containerd/more/*.toml\", \"config.toml\"]\n" + std::string(runc2));
    EXPECT_EQ(wrong(look()), "note containerd.handler");
    for (int i = 0; i < 70; ++i) {
        node_.file("etc/containerd/more/" + std::to_string(i) + ".toml", "version = 2\n");
    }
    EXPECT_EQ(wrong(look()), "problem containerd");
    EXPECT_NE(text(look()).find("imports more than 64 files"), std::string::npos);
}

// containerd 2 has runc built in, and puts files together, whatever version they are of; but all of the same.
TEST_F(Containerd, Version2OfContainerd2)
{
    const engine::Needs two{.containerd = 2};
    node_.file(settings, version2_);
    EXPECT_EQ(wrong(look(two)), "");
    EXPECT_EQ(wrong(look({.containerd = 1})), "problem containerd.runc");
    node_.file("etc/containerd/landlock.toml", version2_);
    node_.file(settings, "version = 2\nimports = [\"landlock.toml\"]\n");
    EXPECT_EQ(wrong(look(two)), "");
    EXPECT_EQ(wrong(look({.containerd = 1})), "note containerd.handler, problem containerd.runc");
}

TEST_F(Containerd, FilesOfSeveralVersions)
{
    const engine::Needs two{.containerd = 2};
    node_.copy("hooks/containerd/version-3.toml", "etc/containerd/landlock.toml");
    node_.file(settings, "version = 2\nimports = [\"landlock.toml\"]\n");
    EXPECT_EQ(wrong(look(two)), "problem containerd.imports");
    EXPECT_NE(text(look(two)).find("passes over what /etc/containerd/config.toml says of pods, and later ones do not"),
              std::string::npos);
    node_.file("etc/containerd/landlock.toml", version2_);
    node_.file(settings, "version = 3\nimports = [\"landlock.toml\"]\n");
    EXPECT_EQ(wrong(look(two)), "problem containerd.imports");
    EXPECT_NE(text(look(two)).find("passes over what /etc/containerd/landlock.toml says of pods\n"), std::string::npos);
    // One without a version is of the main file's; and nothing in them is ours.
    node_.copy("hooks/containerd/version-3.toml", "etc/containerd/landlock.toml");
    node_.file("etc/containerd/other.toml", "oom_score = 1\n");
    node_.file(settings, "version = 3\nimports = [\"landlock.toml\", \"other.toml\"]\n");
    EXPECT_EQ(wrong(look(two)), "");
    node_.file("etc/containerd/other.toml", "version = 2\n");
    EXPECT_EQ(wrong(look(two)), "problem containerd.imports");
    node_.file(settings, "version = 3\nimports = [\"other.toml\"]\n");
    EXPECT_EQ(wrong(look(two)), "note containerd");
}

TEST_F(Containerd, SettingsThatCannotBeRead)
{
    for (const std::string& nonsense : {std::string("version = "), std::string("version = 1\n"), std::string("x = 1\n"),
                                        std::string("version = -2\n"), std::string(100'000, '['),
                                        std::string(2'000'000, ' '), std::string("version = 2\nx = \"a\\u0000\"\n")}) {
        node_.file(settings, nonsense);
        EXPECT_EQ(wrong(look()), "problem containerd") << nonsense.substr(0, 100);
    }
    node_.file(settings, "version = 2\nplugins = 7\nimports = 1\ndisabled_plugins = {}\n");
    EXPECT_EQ(wrong(look()), "note containerd");
}

}  // namespace
