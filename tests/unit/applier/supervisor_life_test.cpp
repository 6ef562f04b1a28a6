// SPDX-License-Identifier: Apache-2.0
// The supervisor's own life: its start, its absence, its end.
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <optional>
#include <thread>

#include "applier/supervisor_support.hpp"

namespace {

using namespace support;
using inject::SupervisedContainer;

TEST_F(Supervisor, AbsentOrHungIsSaidWithAdvice)
{
    const Box box("good");
    const std::string nowhere = directory_.path("run/supervisor.sock");
    expectError([&] { const SupervisedContainer supervised(box.offer(), nowhere); }, "oci-landlock supervise");
    EXPECT_FALSE(inject::askSupervisor(nowhere));
    EXPECT_FALSE(inject::release(1, nowhere));
    Daemon daemon(options_);
    ASSERT_TRUE(daemon.answers());
    daemon.freeze();
    expectError([&] { const SupervisedContainer supervised(box.offer(), daemon.socket(), 1000ms); },
                "does not answer within 1 s");
    expectError([&] { inject::askSupervisor(daemon.socket()); }, "systemctl restart oci-landlock-supervisor");
    EXPECT_FALSE(inject::release(1, daemon.socket()));
    kill(daemon.pid(), SIGCONT);
    EXPECT_TRUE(daemon.holds(0));
    daemon.end(SIGKILL);
    // Its socket is there still; a child of it that has not gone yet may have it open for a moment.
    EXPECT_TRUE(within([&] {
        try {
            const SupervisedContainer supervised(box.offer(), daemon.socket());
        } catch (const sys::Error& error) {
            return std::string_view(error.what()).contains("no supervisor is running");
        }
        ADD_FAILURE() << "somebody took the offer";
        return true;
    }));
}

TEST_F(Supervisor, AHookWaitsForOneThatIsBeingRestarted)
{
    std::optional<Daemon> daemon(std::in_place, options_);
    ASSERT_TRUE(daemon->answers());
    daemon.reset();
    const Box box("good");
    std::string why = "nothing";
    std::thread hook([&] {
        try {
            SupervisedContainer(box.offer(), options_.paths.socket, 60s).confirm();
            why = "";
        } catch (const sys::Error& error) {
            why = error.what();
        }
    });
    daemon.emplace(options_);
    hook.join();
    EXPECT_EQ(why, "");
    EXPECT_TRUE(daemon->holds(1));
}

TEST_F(Supervisor, ASecondOneIsRefused)
{
    const Daemon first(options_);
    ASSERT_TRUE(first.answers());
    Daemon second(options_);
    EXPECT_EQ(second.wait(), 1 << 8);
    EXPECT_NE(error().find("another supervisor runs already (pid " + std::to_string(first.pid()) + ")"),
              std::string::npos)
        << error();
    EXPECT_TRUE(first.answers());
}

// As where /run is full. It needs room to hold a container, but in memory.
TEST_F(Supervisor, StartsWhereThereIsNoRoomForItsNumber)
{
    const Daemon daemon(options_, [] {
        const rlimit none{0, RLIM_INFINITY};
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &none);
    });
    ASSERT_TRUE(daemon.answers());
    EXPECT_EQ(contentOf(options_.paths.lock), "");
    const rlimit enough{RLIM_INFINITY, RLIM_INFINITY};
    ASSERT_EQ(prlimit(daemon.pid(), RLIMIT_FSIZE, &enough, nullptr), 0);
    const Box box("good");
    daemon.keep(box);
    EXPECT_TRUE(daemon.holds(1));
}

TEST_F(Supervisor, WantsADirectoryForRootAlone)
{
    directory_.directory("run");
    chmod(options_.paths.directory.c_str(), 0777);
    Daemon daemon(options_);
    EXPECT_EQ(daemon.wait(), 1 << 8);
    EXPECT_NE(error().find("writable by root alone"), std::string::npos) << error();
}

TEST_F(Supervisor, StopsInOrder)
{
    for (const int signal : {SIGTERM, SIGINT}) {
        Daemon daemon(options_);
        ASSERT_TRUE(daemon.answers());
        const Box box("good:" + pids());
        daemon.keep(box);
        const std::string stuckPid = directory_.path("stuck." + std::to_string(signal));
        const Box stuck("stuck:" + stuckPid);
        daemon.keep(stuck);
        const Box offered("good");
        const SupervisedContainer supervised = daemon.offer(offered);
        kill(daemon.pid(), SIGHUP);
        EXPECT_TRUE(daemon.holds(3));
        EXPECT_EQ(daemon.end(signal), 0);
        EXPECT_TRUE(isGone(lastTracer()));
        EXPECT_TRUE(within([&] { return isGone(std::atoi(contentOf(stuckPid).c_str())); }));
        EXPECT_NE(access(daemon.socket().c_str(), F_OK), 0);
    }
}

TEST_F(Supervisor, TakesItsTracersWithIt)
{
    Daemon daemon(options_);
    ASSERT_TRUE(daemon.answers());
    const Box box("good:" + pids());
    daemon.keep(box);
    const Box stuck("stuck:" + directory_.path("stuck"));
    daemon.keep(stuck);
    daemon.end(SIGKILL);
    EXPECT_TRUE(within([&] { return isGone(lastTracer()); }));
    EXPECT_TRUE(within([&] { return isGone(std::atoi(contentOf(directory_.path("stuck")).c_str())); }));
}

}  // namespace
