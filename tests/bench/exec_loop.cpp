// SPDX-License-Identifier: Apache-2.0
// For the benchmarks, inside the VM:
//   exec-loop cost COUNT COMMAND... [-- COMMAND...]...
//                                     runs the commands in turn, COUNT times; prints the first decile of each one's
//                                     nanoseconds
//   exec-loop calls COUNT open FILE | connect PORT | get PORT
//                                     the same of opening the file, of being refused by this port of 127.0.0.1, or of
//                                     getting a page from it
//   exec-loop memory FILE PROGRAM...  runs the program; its peak resident memory in KiB goes to the file
//   exec-loop fill COUNT DIRECTORY    makes COUNT cgroups beneath the cgroup directory, each with an entry
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
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

bool openFile(const char* path)
{
    return sys::Fd(open(path, O_RDONLY | O_CLOEXEC)).get() >= 0;
}

sys::Fd connected(const char* port)
{
    sys::Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(std::atoi(port)));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ? std::move(fd)
                                                                                               : sys::Fd();
}

bool isRefused(const char* port)
{
    return connected(port).get() < 0 && errno == ECONNREFUSED;
}

bool getPage(const char* port)
{
    const sys::Fd fd = connected(port);
    constexpr std::string_view request = "GET / HTTP/1.0\r\n\r\n";
    if (send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(request.size())) {
        return false;
    }
    std::string answer;
    char part[4096];
    for (ssize_t n = 0; (n = recv(fd.get(), part, sizeof part, 0)) > 0;) {
        answer.append(part, static_cast<std::size_t>(n));
    }
    return answer.starts_with("HTTP/1.1 200 ");
}

int calls(int count, const std::string& what, const char* where)
{
    bool (*const call)(const char*) = what == "open" ? openFile : what == "connect" ? isRefused : getPage;
    constexpr int together = 10;
    std::vector<long long> found;
    for (int i = 0; i < count; ++i) {
        const auto start = Clock::now();
        for (int k = 0; k < together; ++k) {
            if (!call(where)) {
                std::perror((what + " " + where).c_str());
                return 1;
            }
        }
        found.push_back(std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - start).count() / together);
    }
    std::ranges::sort(found);
    std::printf("%lld\n", found.at(found.size() / 10));
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
    if (argc == 5 && std::strcmp(argv[1], "calls") == 0) {
        return calls(std::atoi(argv[2]), argv[3], argv[4]);
    }
    if (argc >= 4 && std::strcmp(argv[1], "memory") == 0) {
        return memory(argv[2], argv + 3);
    }
    if (argc == 4 && std::strcmp(argv[1], "fill") == 0) {
        return fill(std::atoi(argv[2]), argv[3]);
    }
    std::fputs(
        "usage: exec-loop cost COUNT COMMAND... [-- COMMAND...]... | calls COUNT open|connect|get WHERE | "
        "memory FILE PROGRAM... | fill COUNT DIRECTORY\n",
        stderr);
    return 2;
}
