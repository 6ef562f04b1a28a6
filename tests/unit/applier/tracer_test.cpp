// SPDX-License-Identifier: Apache-2.0
// A tracer in a process of its own, with verdicts of the test's.
#include "applier/inject/tracer.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <fstream>
#include <string>
#include <thread>

#include "temporary.hpp"

namespace {

namespace inject = applier::inject;

// Every thread is held, and nothing is owed. Who is asked about is written to a pipe.
class AllAreHeld : public inject::Verdicts {
public:
    explicit AllAreHeld(int asked) : asked_(asked) {}
    void registerTracer() override {}
    bool held(pid_t thread) override { return write(asked_, &thread, sizeof thread) == sizeof thread; }
    inject::Debt owed(pid_t) override { return {}; }
    void settle(pid_t) override {}
    void reportFailure(pid_t, std::uint32_t, oll_reason, int) override {}

private:
    int asked_;
};

std::string fieldOf(pid_t process, const std::string& name)
{
    std::ifstream status("/proc/" + std::to_string(process) + "/status");
    for (std::string line; std::getline(status, line);) {
        if (line.starts_with(name + ":\t")) {
            return line.substr(name.size() + 2);
        }
    }
    return "";
}

class Tracer : public testing::Test {
protected:
    void SetUp() override
    {
        std::ofstream(directory_.path("cgroup.events")) << "populated 1\n";
        ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control_.data()), 0);
        ASSERT_EQ(pipe2(asked_.data(), O_CLOEXEC), 0);
        tracer_ = fork();
        if (tracer_ == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            close(control_[0]);
            inject::Held held;
            held.cgroup = sys::Fd(open(directory_.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
            AllAreHeld verdicts(asked_[1]);
            _exit(inject::trace(std::move(held), sys::Fd(control_[1]), verdicts));
        }
        ASSERT_EQ(heard(), inject::controlReady);
    }
    void TearDown() override
    {
        for (const pid_t child : {tracer_, target_}) {
            if (child > 0) {
                kill(child, SIGKILL);
                waitpid(child, nullptr, 0);
            }
        }
        for (const auto& pair : {control_, asked_, go_, ready_}) {
            close(pair[0]);
            close(pair[1]);
        }
    }

    void say(inject::Control word, pid_t thread = 0) const
    {
        const inject::ControlMessage message{word, thread};
        ASSERT_EQ(send(control_[0], &message, sizeof message, 0), ssize_t{sizeof message});
    }
    inject::Control heard() const
    {
        inject::ControlMessage message;
        return recv(control_[0], &message, sizeof message, 0) == sizeof message ? message.word : inject::controlCall;
    }
    // The next thread that the tracer asks about; 0: none within a minute.
    pid_t asked() const
    {
        pid_t thread = 0;
        pollfd source{asked_[0], POLLIN, 0};
        return poll(&source, 1, 60000) == 1 && read(asked_[0], &thread, sizeof thread) == sizeof thread ? thread : 0;
    }

    // Its first thread computes for good, without a system call; the other one executes a program when it is told to.
    void startTarget()
    {
        ASSERT_EQ(pipe2(go_.data(), O_CLOEXEC), 0);
        ASSERT_EQ(pipe2(ready_.data(), O_CLOEXEC), 0);
        target_ = fork();
        if (target_ == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            std::thread([this] {
                char told = 0;
                if (read(go_[0], &told, 1) == 1) {
                    execl("/bin/sleep", "sleep", "600", nullptr);
                }
                _exit(1);
            }).detach();
            if (write(ready_[1], "", 1) != 1) {
                _exit(1);
            }
            for (;;) {
                asm volatile("");
            }
        }
        char ready = 0;
        ASSERT_EQ(read(ready_[0], &ready, 1), 1);
    }

    static void waitFor(pid_t process, const std::string& field, const std::string& value)
    {
        constexpr int milliseconds = 60000;
        for (int i = 0; fieldOf(process, field) != value; ++i) {
            ASSERT_LT(i, milliseconds) << field << " is not " << value;
            usleep(1000);
        }
    }

    support::Temporary directory_;
    std::array<int, 2> control_{-1, -1}, asked_{-1, -1}, go_{-1, -1}, ready_{-1, -1};
    pid_t tracer_ = -1;
    pid_t target_ = -1;
};

TEST_F(Tracer, AttachesAgainWhereAnotherThreadHasTakenTheIdOver)
{
    startTarget();
    // It lets go of a thread that computes for long: it is stopped before that.
    do {
        kill(tracer_, SIGCONT);
        say(inject::controlCall, target_);
        // When it attaches, and when the thread has stopped. From then on that goes on with its computation.
        ASSERT_EQ(asked(), target_);
        ASSERT_EQ(asked(), target_);
        waitFor(target_, "State", "R (running)");
        kill(tracer_, SIGSTOP);
        waitFor(tracer_, "State", "T (stopped)");
    } while (fieldOf(target_, "TracerPid") != std::to_string(tracer_));
    ASSERT_EQ(write(go_[1], "", 1), 1);
    waitFor(target_, "Name", "sleep");
    ASSERT_EQ(fieldOf(target_, "TracerPid"), "0");
    kill(tracer_, SIGCONT);
    say(inject::controlPing);
    ASSERT_EQ(heard(), inject::controlPing);
    say(inject::controlCall, target_);
    EXPECT_EQ(asked(), target_);
}

}  // namespace
