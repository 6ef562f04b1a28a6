// SPDX-License-Identifier: Apache-2.0
#include "applier/launch/launch.hpp"

#include <fcntl.h>
#include <linux/kcmp.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <ctime>
#include <thread>

#include "applier/launch/records.hpp"
#include "applier/launch/tracer.hpp"
#include "container/rootfs.hpp"
#include "sys/error.hpp"
#include "sys/fd.hpp"

namespace applier::launch {

namespace {

using Clock = std::chrono::steady_clock;

// Nothing of it takes so long unless somebody has stopped the tracer, or nothing is executed.
constexpr auto patience = std::chrono::seconds(10);
constexpr auto pause = std::chrono::milliseconds(2);
constexpr std::size_t maxMessage = 4096;

Identity identityOf(pid_t init)
{
    const auto identity = Identity::of(init);
    if (!identity) {
        throw sys::Error("the container's init (pid " + std::to_string(init) + ") has exited");
    }
    return *identity;
}

// What the tracer says first; "": nothing within our patience. Ends at the end of the pipe.
std::string listen(int pipe)
{
    std::string message;
    const auto end = Clock::now() + patience;
    while (message.size() < maxMessage && message != readyMessage) {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now()).count();
        pollfd source{pipe, POLLIN, 0};
        const int ready = left > 0 ? poll(&source, 1, static_cast<int>(left)) : 0;
        if (ready < 0 && errno == EINTR) {
            continue;
        }
        char text[512];
        const ssize_t length = ready > 0 ? read(pipe, text, sizeof text) : 0;
        if (length <= 0) {
            break;
        }
        message.append(text, static_cast<std::size_t>(length));
    }
    return message;
}

void endContainer(const Identity& init)
{
    const sys::Fd pidfd(static_cast<int>(syscall(SYS_pidfd_open, init.pid, 0)));
    if (pidfd && Identity::of(init.pid) == init) {
        syscall(SYS_pidfd_send_signal, pidfd.get(), SIGKILL, nullptr, 0);
    }
}

}  // namespace

void requireAble()
{
    if (syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE, STDIN_FILENO, STDIN_FILENO) < 0) {
        throw sys::errnoError(
            "this kernel does not compare open files (kcmp), which the launch applier needs; build it "
            "with CONFIG_KCMP");
    }
}

bool attached(const std::string& id, pid_t init)
{
    const auto record = Records().find(identityOf(init));
    if (record && record->id != id) {
        throw sys::Error("process " + std::to_string(init) + " is the init of container " + sys::printable(record->id) +
                         " already; each container needs an init of its own");
    }
    if (record && !record->traced && !record->applied) {
        throw sys::Error(record->failure.empty() ? "the tracer of the container has ended" : record->failure);
    }
    return record.has_value();
}

void attach(const Container& container, const container::Process& init)
{
    const Records records;
    records.collectGarbage();
    Record record;
    record.init = identityOf(container.pid);
    record.id = container.id;
    record.created = static_cast<std::uint64_t>(std::time(nullptr));
    record.report = container.report;
    record.about = container.about;
    record.policy = container.policy;
    const sys::Fd file = records.create(record);
    Task task{.label = container.label,
              .init = container.pid,
              .root = {},
              .layers = container.layers,
              .record = file.get()};
    {
        const container::Rootfs root = container::Rootfs::of(init, container.rootPath);
        task.root = Place::of(root.directory());
    }
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        throw sys::errnoError("pipe");
    }
    const sys::Fd heard(ends[0]);
    sys::Fd said(ends[1]);
    const pid_t tracer = fork();
    if (tracer < 0) {
        throw sys::errnoError("start the tracer");
    }
    if (tracer == 0) {
        becomeTracer(task, said.get());
    }
    said.reset();
    const std::string message = listen(heard.get());
    if (message != readyMessage) {
        kill(tracer, SIGKILL);
        waitpid(tracer, nullptr, 0);
        throw sys::Error(message.empty() ? "the tracer of the container does not answer, or has ended" : message);
    }
}

void requireApplied(pid_t init, bool created)
{
    const auto identity = Identity::of(init);
    if (!identity) {
        return;  // it is over, whatever it was
    }
    const Records records;
    const auto end = Clock::now() + patience;
    for (;;) {
        const auto record = records.find(*identity);
        if (record && (record->applied || (created && record->traced))) {
            return;
        }
        const bool hopeless = !record || !record->traced;
        if (hopeless || Clock::now() > end) {
            endContainer(*identity);
            throw sys::Error(!record                    ? "it is ended, for nobody has attached to it before its start"
                             : !record->failure.empty() ? record->failure
                             : hopeless ? "it is ended, for its tracer has ended before its entrypoint was restricted"
                                        : "it is ended, for its entrypoint has not been restricted within 10 s: its "
                                          "runtime executes none, or something has stopped its tracer");
        }
        std::this_thread::sleep_for(pause);
    }
}

void forgetEnded()
{
    if (access(recordDirectory().c_str(), F_OK) == 0) {
        Records().collectGarbage();
    }
}

}  // namespace applier::launch
