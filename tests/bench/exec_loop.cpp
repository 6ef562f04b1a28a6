// SPDX-License-Identifier: Apache-2.0
// For the benchmarks, inside the VM:
//   exec-loop cost COUNT COMMAND... [-- COMMAND...]...
//                                     runs the commands in turn, COUNT times; prints the first decile of each one's
//                                     nanoseconds
//   exec-loop memory FILE PROGRAM...  runs the program; its peak resident memory in KiB goes to the file
//   exec-loop fill COUNT DIRECTORY    makes COUNT cgroups beneath the cgroup directory, each with an entry
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "landlock/ruleset.hpp"
#include "node/node.hpp"
#include "node/pins.hpp"

namespace {

using Clock = std::chrono::steady_clock;

using Command = std::vector<char*>;  // words, and a null pointer

long long runOnce(const Command& command)
{
    const auto start = Clock::now();
    pid_t child = -1;
    int status = 0;
    if (posix_spawnp(&child, command[0], nullptr, nullptr, command.data(), environ) != 0 ||
        waitpid(child, &status, 0) != child || status != 0) {
        std::fprintf(stderr, "%s failed\n", command[0]);
        std::exit(1);
    }
    return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - start).count();
}

// A low one and not the mean: what else the machine does comes on top. The least of all is now and then one that found
// more ready than usual.
int cost(int count, char** words)
{
    std::vector<Command> commands(1);
    for (; *words != nullptr; ++words) {
        if (std::strcmp(*words, "--") == 0) {
            commands.emplace_back();
        } else {
            commands.back().push_back(*words);
        }
    }
    std::vector<std::vector<long long>> found(commands.size());
    for (Command& command : commands) {
        command.push_back(nullptr);
        runOnce(command);  // into the page cache
    }
    for (int i = 0; i < count; ++i) {
        for (std::size_t k = 0; k < commands.size(); ++k) {
            found[k].push_back(runOnce(commands[k]));
        }
    }
    for (std::vector<long long>& all : found) {
        std::ranges::sort(all);
        std::printf("%lld\n", all.at(all.size() / 10));
    }
    return 0;
}

// Not from a larger process: a child's peak counts from the size of what forked it.
int memory(const char* file, char** program)
{
    const pid_t child = fork();
    if (child == 0) {
        execv(program[0], program);
        _exit(127);
    }
    int status = 0;
    rusage usage{};
    wait4(child, &status, 0, &usage);
    if (FILE* out = std::fopen(file, "w")) {
        std::fprintf(out, "%ld\n", usage.ru_maxrss);
        std::fclose(out);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

// A process that could be a container's init, in a mount namespace of its own.
class Init {
public:
    Init() : child_(fork())
    {
        if (child_ == 0) {
            pause();
            _exit(0);
        }
    }
    ~Init()
    {
        kill(child_, SIGKILL);
        waitpid(child_, nullptr, 0);
    }
    Init(const Init&) = delete;
    Init& operator=(const Init&) = delete;

    pid_t pid() const { return child_; }

private:
    pid_t child_;
};

int fill(int count, const std::string& directory)
{
    const landlock::Ruleset ruleset({1});
    node::requireAccess();
    for (int i = 0; i < count; ++i) {
        const std::string path = directory + "/bench-" + std::to_string(i);
        mkdir(path.c_str(), 0755);
        const sys::Fd cgroup(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        struct stat st {};
        fstat(cgroup.get(), &st);
        // Its init gets a namespace that nobody else has had.
        const sys::Fd own(open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC));
        if (unshare(CLONE_NEWNS) != 0) {
            std::perror("unshare");
            return 1;
        }
        const sys::Fd mountNamespace(open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC));
        const Init init;
        if (setns(own.get(), CLONE_NEWNS) != 0) {
            std::perror("setns");
            return 1;
        }
        const sys::Fd pidfd(static_cast<int>(syscall(SYS_pidfd_open, init.pid(), 0)));
        node::Container container;
        container.id = "bench-" + std::to_string(i);
        container.report = "{}";
        container.init = pidfd.get();
        container.mountNamespace = mountNamespace.get();
        container.cgroup = cgroup.get();
        container.cgroupId = st.st_ino;
        container.entries = {{OLL_SELECT_ENTRYPOINT, true}};
        container.layers = {{ruleset.fd(), 0, OLL_RESTRICT_NO_NEW_PRIVS}};
        const node::Reservation reservation(container);
        {
            const node::Lock lock;
            node::Node(lock).install(container, reservation);
        }
        reservation.confirm();
    }
    return 0;
}

}  // namespace

int main(int argc, char** argv)
{
    if (argc >= 4 && std::strcmp(argv[1], "cost") == 0) {
        return cost(std::atoi(argv[2]), argv + 3);
    }
    if (argc >= 4 && std::strcmp(argv[1], "memory") == 0) {
        return memory(argv[2], argv + 3);
    }
    if (argc == 4 && std::strcmp(argv[1], "fill") == 0) {
        return fill(std::atoi(argv[2]), argv[3]);
    }
    std::fputs(
        "usage: exec-loop cost COUNT COMMAND... [-- COMMAND...]... | memory FILE PROGRAM... | fill COUNT DIRECTORY\n",
        stderr);
    return 2;
}
