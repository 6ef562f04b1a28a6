// SPDX-License-Identifier: Apache-2.0
// supervisor-probe daemon | offer NAME | status
//
// The supervisor with a tracer that does nothing, a hook for it, and a question. `offer` makes a cgroup with one
// process that sleeps, and prints the pid.
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <exception>
#include <string>

#include "applier/inject/client.hpp"
#include "applier/inject/supervisor.hpp"
#include "applier/inject/tracer.hpp"
#include "landlock/ruleset.hpp"
#include "sys/error.hpp"

namespace {

namespace inject = applier::inject;

int idle(inject::Held held, sys::Fd control)
{
    const auto say = [&](const inject::ControlMessage& message) {
        return send(control.get(), &message, sizeof message, MSG_NOSIGNAL) == sizeof message;
    };
    const sys::Fd populated(openat(held.cgroup.get(), "cgroup.events", O_RDONLY | O_CLOEXEC));
    say({inject::controlReady});
    for (;;) {
        pollfd waiting[] = {{control.get(), POLLIN, 0}, {populated.get(), POLLPRI, 0}};
        poll(waiting, 2, -1);
        char text[64] = {};
        if (pread(populated.get(), text, sizeof text - 1, 0) < 0 || std::strstr(text, "populated 0") != nullptr) {
            return 0;
        }
        inject::ControlMessage message;
        if (waiting[0].revents != 0 &&
            (recv(control.get(), &message, sizeof message, 0) != sizeof message || !say(message))) {
            return 0;
        }
    }
}

void put(const std::string& path, const std::string& text)
{
    const sys::Fd file(open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (write(file.get(), text.data(), text.size()) < 0) {
        throw sys::errnoError(path);
    }
}

void offer(const std::string& name)
{
    const std::string path = "/sys/fs/cgroup/probe-" + name;
    if (mkdir(path.c_str(), 0755) != 0) {
        throw sys::errnoError(path);
    }
    const pid_t init = fork();
    if (init == 0) {
        setsid();
        for (int fd = 0; fd < 3; ++fd) {
            close(fd);
        }
        for (;;) {
            pause();
        }
    }
    put(path + "/cgroup.procs", std::to_string(init));
    const sys::Fd cgroup(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    struct stat st {};
    if (fstat(cgroup.get(), &st) != 0) {
        throw sys::errnoError(path);
    }
    const landlock::Ruleset ruleset(landlock::RulesetAttributes{.handledFs = 1});
    applier::Offer offered;
    offered.generation = st.st_ino;
    offered.cgroupId = st.st_ino;
    offered.label = name;
    offered.cgroup = cgroup.get();
    offered.layers.push_back({ruleset.fd(), 0, 0});
    inject::SupervisedContainer supervised(offered);
    supervised.confirm();
    std::printf("%d\n", init);
}

}  // namespace

int main(int argc, char** argv)
{
    const std::string word = argc > 1 ? argv[1] : "";
    try {
        if (word == "daemon") {
            inject::SupervisorOptions options;
            options.trace = idle;
            inject::supervise(options);
        } else if (word == "offer" && argc == 3) {
            offer(argv[2]);
        } else if (const auto status = inject::askSupervisor()) {
            std::printf("%d %u\n", status->pid, status->containers);
        } else {
            return 1;
        }
        return 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "supervisor-probe: %s\n", error.what());
        return 1;
    }
}
