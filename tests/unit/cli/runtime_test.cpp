// SPDX-License-Identifier: Apache-2.0
#include "cli/runtime.hpp"

#include <gtest/gtest.h>

#include <sstream>

namespace {

cli::RuntimeCall callOf(const std::string& line)
{
    std::istringstream stream(line);
    cli::Arguments words;
    for (std::string word; stream >> word;) {
        words.push_back(word);
    }
    return cli::runtimeCallOf(words);
}

TEST(Runtime, AsDockerCallsIt)
{
    const cli::RuntimeCall call = callOf(
        "--root /var/run/docker/runtime-runc/moby --log /run/t/moby/1/log.json --log-format json create "
        "--bundle /run/t/moby/1 --pid-file /run/t/moby/1/init.pid 1");
    EXPECT_EQ(call.subcommand, "create");
    EXPECT_EQ(call.bundle, "/run/t/moby/1");
    EXPECT_EQ(call.log, "/run/t/moby/1/log.json");
    EXPECT_TRUE(call.jsonLog);
    EXPECT_EQ(call.unknownOption, "");
    EXPECT_FALSE(call.otherConfig);
}

TEST(Runtime, TheBundle)
{
    const std::pair<const char*, const char*> all[] = {
        {"create --bundle /b x", "/b"},
        {"create --bundle=/b x", "/b"},
        {"create -bundle /b x", "/b"},
        {"create -b /b x", "/b"},
        {"create -b=/b x", "/b"},
        {"create -b/b x", "/b"},
        {"run -db /b x", "/b"},
        {"run -d -b /b x", "/b"},
        {"run x --bundle /b", "/b"},
        {"run --bundle /a --bundle /b x", "/b"},
        {"run --bun /b x", "/b"},
        {"run x", "."},
        {"run --bundle= x", "."},
        {"run --bundle", "."},
        {"run -- --bundle /b", "."},
        {"run --pid-file --bundle x", "."},
        {"run --console-socket --bundle --bundle /b x", "/b"},
        {"run --preserve-fds=1 -b /b x", "/b"},
        {"restore --image-path --bundle -b /b x", "/b"},
        {"run --no-such --bundle /b x", "/b"},
        {"--debug --log-level debug --cgroup-manager systemd run -b /b x", "/b"},
        {"--root=/r --systemd-cgroup run -b /b x", "/b"},
        // Other subcommands have other options of these names.
        {"exec -b /b x", "."},
        {"exec x run -b /b", "."},
    };
    for (const auto& [line, bundle] : all) {
        EXPECT_EQ(callOf(line).bundle, bundle) << line;
        EXPECT_FALSE(callOf(line).otherConfig) << line;
    }
}

TEST(Runtime, AnotherConfiguration)
{
    for (const char* line : {"run --config /c x", "run --config=/c x", "run --conf /c x", "run -f /c x", "run -f/c x",
                             "run -df /c x", "create x --config /c"}) {
        EXPECT_TRUE(callOf(line).otherConfig) << line;
    }
    EXPECT_FALSE(callOf("run -- --config").otherConfig);
    EXPECT_FALSE(callOf("exec --config x").otherConfig);
}

TEST(Runtime, TheSubcommand)
{
    const std::pair<const char*, const char*> all[] = {
        {"", ""},
        {"--version", ""},
        {"--root", ""},
        {"--root create start x", "start"},
        {"--root=create start x", "start"},
        {"-log create start x", "start"},
        {"--systemd-cgroup=true kill --all x 9", "kill"},
        {"--no-such=1 delete --force x", "delete"},
    };
    for (const auto& [line, subcommand] : all) {
        EXPECT_EQ(callOf(line).subcommand, subcommand) << line;
        EXPECT_EQ(callOf(line).unknownOption, "") << line;
    }
}

TEST(Runtime, OptionsThatNobodyKnows)
{
    for (const char* line : {"--roo /r create x", "--new create x", "-x create x", "-- create x", "- create x"}) {
        EXPECT_NE(callOf(line).unknownOption, "") << line;
    }
}

TEST(Runtime, TheLog)
{
    EXPECT_EQ(callOf("--log /l run x").log, "/l");
    EXPECT_FALSE(callOf("--log /l run x").jsonLog);
    EXPECT_FALSE(callOf("--log-format=json --log-format=text run x").jsonLog);
    EXPECT_EQ(callOf("--log syslog:x run x").log, "");
    EXPECT_EQ(callOf("run --log /l x").log, "");
}

}  // namespace
