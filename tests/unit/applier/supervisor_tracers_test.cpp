// SPDX-License-Identifier: Apache-2.0
// The life of tracers.
#include <algorithm>
#include <filesystem>

#include "applier/supervisor_support.hpp"

namespace {

using namespace support;

TEST_F(Supervisor, ReplacesATracerThatHangs)
{
    const Daemon daemon(options_);
    ASSERT_TRUE(daemon.answers());
    const Box box("deaf:" + pids());
    daemon.keep(box);
    const pid_t deaf = lastTracer();
    EXPECT_TRUE(within([&] { return started() == 2; }));
    EXPECT_TRUE(isGone(deaf));
    // The second one stays: more pings than the first one missed.
    std::this_thread::sleep_for(options_.times.ping * (options_.times.missedPings + 3));
    EXPECT_EQ(started(), 2U);
    EXPECT_TRUE(daemon.holds(1));
    // Stopped is hung, too.
    const pid_t stopped = lastTracer();
    kill(stopped, SIGSTOP);
    EXPECT_TRUE(within([&] { return started() == 3; }));
    EXPECT_TRUE(isGone(stopped));
}

TEST_F(Supervisor, BlamesNoTracerForItsOwnSleep)
{
    const Daemon daemon(options_);
    ASSERT_TRUE(daemon.answers());
    const Box box("good:" + pids());
    daemon.keep(box);
    for (int i = 0; i < 3; ++i) {
        daemon.freeze();
        std::this_thread::sleep_for(options_.times.ping * (options_.times.missedPings + 3));
        kill(daemon.pid(), SIGCONT);
        ASSERT_TRUE(daemon.answers());
    }
    EXPECT_EQ(started(), 1U);
}

TEST_F(Supervisor, ReplacesATracerThatIsKilledOrBabbles)
{
    const Daemon daemon(options_);
    ASSERT_TRUE(daemon.answers());
    const Box box("babble:" + pids());
    daemon.keep(box);
    EXPECT_TRUE(within([&] { return started() == 2; }));
    kill(lastTracer(), SIGKILL);
    EXPECT_TRUE(within([&] { return started() == 3; }));
    EXPECT_TRUE(daemon.holds(1));
}

TEST_F(Supervisor, GoesOnStartingATracerThatKeepsEnding)
{
    const Daemon daemon(options_);
    ASSERT_TRUE(daemon.answers());
    const std::size_t before = daemon.descriptors();
    Box box("crash:" + pids());
    Box other("good:" + directory_.path("other"));
    daemon.keep(other);
    // It may end before or after the hook says `keep`; both are well.
    daemon.keep(box);
    EXPECT_TRUE(within([&] { return started() >= 8; }));
    EXPECT_TRUE(daemon.holds(2));
    box.empty();
    EXPECT_TRUE(daemon.holds(1));
    EXPECT_EQ(contentOf(directory_.path("other")).find('\n'), contentOf(directory_.path("other")).size() - 1);
    box.forgetDescriptors();
    other.remove();
    EXPECT_TRUE(daemon.holds(0));
    EXPECT_TRUE(daemon.comesBackTo(before));
}

TEST_F(Supervisor, ATracerHasItsOwnDescriptorsAlone)
{
    const Daemon daemon(options_);
    ASSERT_TRUE(daemon.answers());
    std::vector<std::unique_ptr<Box>> others;
    for (int i = 0; i < 5; ++i) {
        others.push_back(std::make_unique<Box>("good", 2));
        daemon.keep(*others.back());
    }
    const Box box("list:" + pids(), 2);
    daemon.keep(box);
    ASSERT_TRUE(within([&] { return contentOf(pids()).ends_with("end\n"); }));
    const std::string found = contentOf(pids());
    const auto count = [&](const std::string& what) {
        std::size_t number = 0;
        for (std::size_t at = 0; (at = found.find(what, at)) != found.npos; ++at) {
            ++number;
        }
        return number;
    };
    // Its standard error is that of this program.
    EXPECT_EQ(count("/dev/null\n"), 2U + (std::filesystem::read_symlink("/proc/self/fd/2") == "/dev/null")) << found;
    EXPECT_EQ(count("anon_inode:[landlock-ruleset]\n"), 2U) << found;
    EXPECT_EQ(count("oci-landlock-test."), 1U + (found.find("run.error") != found.npos)) << found;
    EXPECT_EQ(count("socket:["), 1U) << found;
    EXPECT_EQ(count("eventpoll"), 0U) << found;
    EXPECT_EQ(count("signalfd"), 0U) << found;
    EXPECT_EQ(count("memfd"), 0U) << found;
    EXPECT_EQ(count("/run/lock"), 0U) << found;
    // Two of /dev/null, standard error, cgroup, two rulesets, control, the directory that it lists.
    EXPECT_EQ(std::ranges::count(found, '\n'), 9) << found;
}

}  // namespace
