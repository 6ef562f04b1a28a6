// SPDX-License-Identifier: Apache-2.0
// The program that containers in the tests run: says what it may do, and reaches other programs in unusual ways.
// Static, so that it is the only file it needs. Many commands can follow each other, separated by "+". A "++" among the
// words for another program reaches it as "+", and so on.
#include <arpa/inet.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/bpf.h>
#include <linux/landlock.h>
#include <netinet/in.h>
#include <sched.h>
#include <spawn.h>
#include <sys/auxv.h>
#include <sys/fanotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

namespace {

using Words = std::vector<std::string>;

int failed(const Words& words)
{
    std::printf("%s %s: %s\n", words[0].c_str(), words.size() > 1 ? words[1].c_str() : "", std::strerror(errno));
    return 1;
}

// "read PATH": opened for reading?
int tryRead(const Words& words)
{
    const int fd = open(words.at(1).c_str(), O_RDONLY | O_CLOEXEC);
    std::printf("read %s: %s\n", words[1].c_str(), fd >= 0 ? "allowed" : std::strerror(errno));
    close(fd);
    return 0;
}

// "write PATH": created or opened for writing?
int tryWrite(const Words& words)
{
    const int fd = open(words.at(1).c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    std::printf("write %s: %s\n", words[1].c_str(), fd >= 0 ? "allowed" : std::strerror(errno));
    close(fd);
    return 0;
}

// "flood COUNT PATH": so many tries to open it for reading; how many were denied.
int flood(const Words& words)
{
    int denied = 0;
    for (int i = std::stoi(words.at(1)); i > 0; --i) {
        const int fd = open(words.at(2).c_str(), O_RDONLY | O_CLOEXEC);
        denied += fd < 0 && errno == EACCES ? 1 : 0;
        close(fd);
    }
    std::printf("flood: %d denied\n", denied);
    return 0;
}

// "mkdir PATH": takes no descriptor.
int tryMakeDirectory(const Words& words)
{
    const bool made = mkdir(words.at(1).c_str(), 0755) == 0;
    std::printf("mkdir %s: %s\n", words[1].c_str(), made ? "allowed" : std::strerror(errno));
    return 0;
}

sockaddr_in loopback(const std::string& port)
{
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(std::stoi(port)));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

// "udp bind|connect|send PORT", of the loopback address, with a socket of its own.
int tryUdp(const Words& words)
{
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const sockaddr_in address = loopback(words.at(2));
    const auto* to = reinterpret_cast<const sockaddr*>(&address);
    const bool worked = words[1] == "bind"      ? bind(fd, to, sizeof address) == 0
                        : words[1] == "connect" ? connect(fd, to, sizeof address) == 0
                                                : sendto(fd, "x", 1, 0, to, sizeof address) == 1;
    std::printf("udp %s %s: %s\n", words[1].c_str(), words[2].c_str(), worked ? "allowed" : std::strerror(errno));
    close(fd);
    return 0;
}

// "fastopen PORT": sends over TCP without having connected.
int tryFastOpen(const Words& words)
{
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_in address = loopback(words.at(1));
    const bool worked =
        sendto(fd, "x", 1, MSG_FASTOPEN, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 1;
    std::printf("fastopen %s: %s\n", words[1].c_str(), worked ? "allowed" : std::strerror(errno));
    close(fd);
    return 0;
}

// "ioctl PATH", of a device, and as programs of 32 bits do where there are such: "ioctl32 PATH".
int tryIoctl(const Words& words)
{
    const int fd = open(words.at(1).c_str(), O_RDONLY | O_CLOEXEC);
    int error = 0;
    if (words[0] == "ioctl") {
        int number = 0;
        error = ioctl(fd, TCGETS, &number) == 0 ? 0 : errno;
    } else {
#ifdef __x86_64__
        long result = 54;  // __NR_ioctl
        asm volatile("int $0x80" : "+a"(result) : "b"(fd), "c"(TCGETS), "d"(0) : "memory", "r8", "r9", "r10", "r11");
        error = static_cast<int>(-result);
#else
        error = ENOSYS;
#endif
    }
    std::printf("%s %s: %s\n", words[0].c_str(), words[1].c_str(), error == 0 ? "allowed" : std::strerror(error));
    close(fd);
    return 0;
}

// "unix PATH": connects to who listens there.
int tryUnix(const Words& words)
{
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    words.at(1).copy(address.sun_path, sizeof address.sun_path - 1);
    const bool worked = connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    std::printf("unix %s: %s\n", words[1].c_str(), worked ? "allowed" : std::strerror(errno));
    close(fd);
    return 0;
}

// "notified PATH": is told by fanotify that it has written there, with a descriptor that the kernel opens for it.
int beNotified(const Words& words)
{
    const int group = fanotify_init(FAN_CLASS_NOTIF | FAN_CLOEXEC, O_RDONLY | O_CLOEXEC);
    const int file = open(words.at(1).c_str(), O_WRONLY | O_CLOEXEC);
    fanotify_event_metadata event{};
    if (fanotify_mark(group, FAN_MARK_ADD, FAN_MODIFY, AT_FDCWD, words[1].c_str()) != 0 || write(file, "x", 1) != 1 ||
        read(group, &event, sizeof event) != sizeof event) {
        return failed(words);
    }
    std::printf("notified %s: %s\n", words[1].c_str(), event.fd >= 0 ? "opened" : "not opened");
    close(event.fd);
    close(file);
    close(group);
    return 0;
}

// "groups COUNT": belongs to so many.
int setGroups(const Words& words)
{
    std::vector<gid_t> groups(std::stoul(words.at(1)));
    std::iota(groups.begin(), groups.end(), 100000);
    return setgroups(groups.size(), groups.data()) == 0 ? 0 : failed(words);
}

int printNoNewPrivileges(const Words&)
{
    std::printf("no_new_privs: %d\n", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    return 0;
}

// "ids": real and effective user, and whether the kernel calls this program more privileged than who started it.
int printIds(const Words&)
{
    std::printf("uid %d euid %d secure %lu\n", getuid(), geteuid(), getauxval(AT_SECURE));
    return 0;
}

// "status NAME...": lines of /proc/self/status.
int printStatus(const Words& words)
{
    FILE* file = std::fopen("/proc/self/status", "re");
    char line[4096];
    while (file != nullptr && std::fgets(line, sizeof line, file) != nullptr) {
        for (std::size_t i = 1; i < words.size(); ++i) {
            if (words[i] + ":" == std::string(line).substr(0, words[i].size() + 1)) {
                std::fputs(line, stdout);
            }
        }
    }
    return file != nullptr && std::fclose(file) == 0 ? 0 : failed(words);
}

enum Verdict { restricted = 42, unrestricted = 43, denied = 44, unsure = 45 };

// "verdict": whether /etc/secret can be read, as the exit status, at once; for "swarm".
int verdict(const Words&)
{
    const int fd = open("/etc/secret", O_RDONLY | O_CLOEXEC);
    _exit(fd >= 0 ? unrestricted : errno == EACCES ? restricted : unsure);
}

// argv for another program, from the word at `first` on; one "+" off the separators that are meant for it.
std::vector<char*> argumentsFrom(const Words& words, std::size_t first)
{
    std::vector<char*> argv;
    for (std::size_t i = first; i < words.size(); ++i) {
        const bool nested = words[i].size() > 1 && words[i].find_first_not_of('+') == std::string::npos;
        argv.push_back(const_cast<char*>(words[i].c_str()) + (nested ? 1 : 0));
    }
    argv.push_back(nullptr);
    std::fflush(stdout);
    return argv;
}

int waitFor(pid_t child)
{
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    if (WIFSIGNALED(status)) {
        std::printf("killed by signal %d\n", WTERMSIG(status));
        return 128 + WTERMSIG(status);
    }
    return WEXITSTATUS(status);
}

int execFd(int fd, const char* path, const Words& words, std::size_t first)
{
    const std::vector<char*> argv = argumentsFrom(words, first);
    syscall(SYS_execveat, fd, path, argv.data(), environ, *path == '\0' ? AT_EMPTY_PATH : 0);
    return failed(words);
}

// "exec PATH WORD...": becomes another program.
int execute(const Words& words)
{
    execv(words.at(1).c_str(), argumentsFrom(words, 1).data());
    return failed(words);
}

// "exec-fd PATH WORD...": likewise, by execveat(2) of a descriptor.
int executeFd(const Words& words)
{
    return execFd(open(words.at(1).c_str(), O_PATH), "", words, 1);
}

// "exec-at DIRECTORY NAME WORD...": likewise, by execveat(2) of a name in a directory.
int executeAt(const Words& words)
{
    return execFd(open(words.at(1).c_str(), O_PATH), words.at(2).c_str(), words, 2);
}

// "exec-proc PATH WORD...": likewise, by the descriptor's name in /proc, as fexecve(3) once did.
int executeProc(const Words& words)
{
    const int fd = open(words.at(1).c_str(), O_PATH);
    execv(("/proc/self/fd/" + std::to_string(fd)).c_str(), argumentsFrom(words, 1).data());
    return failed(words);
}

int heldFd = -1;

// "hold PATH": keeps the file open for "exec-held WORD...".
int hold(const Words& words)
{
    heldFd = open(words.at(1).c_str(), O_PATH);
    return heldFd < 0 ? failed(words) : 0;
}

int executeHeld(const Words& words)
{
    return execFd(heldFd, "", words, 0);
}

// "exec-memory PATH WORD...": from a copy of the file in memory.
int executeMemory(const Words& words)
{
    const int from = open(words.at(1).c_str(), O_RDONLY | O_CLOEXEC);
    const int copy = memfd_create("copy", 0);
    char buffer[65536];
    ssize_t length = 0;
    while ((length = read(from, buffer, sizeof buffer)) > 0) {
        if (write(copy, buffer, static_cast<std::size_t>(length)) != length) {
            return failed(words);
        }
    }
    return execFd(copy, "", words, 1);
}

// "script-memory INTERPRETER WORD...": a script in memory; its interpreter gets "skip", the script's name, and WORD...
int executeMemoryScript(const Words& words)
{
    const std::string text = "#!" + words.at(1) + " skip\n";
    const int script = memfd_create("script", 0);
    if (write(script, text.data(), text.size()) < 0) {
        return failed(words);
    }
    return execFd(script, "", words, 1);
}

// "thread-exec PATH WORD...": exec by a thread that is not the leader.
int executeInThread(const Words& words)
{
    int result = 0;
    std::thread([&] { result = execute(words); }).join();
    return result;
}

// "vfork-exec PATH WORD...": another program as a child, which shares the memory until then.
int executeVfork(const Words& words)
{
    const std::vector<char*> argv = argumentsFrom(words, 1);
    const pid_t child = vfork();
    if (child == 0) {
        execv(argv[0], argv.data());
        _exit(127);
    }
    return child < 0 ? failed(words) : waitFor(child);
}

// "spawn PATH WORD...": another program as a child, by posix_spawn(3).
int executeSpawn(const Words& words)
{
    const std::vector<char*> argv = argumentsFrom(words, 1);
    pid_t child = 0;
    errno = posix_spawn(&child, argv[0], nullptr, nullptr, argv.data(), environ);
    return errno != 0 ? failed(words) : waitFor(child);
}

// "race-exec COUNT PATH WORD...": exec by many threads at once, of which one gets there.
int executeRace(const Words& words)
{
    const std::vector<char*> argv = argumentsFrom(words, 2);
    std::vector<std::thread> threads;
    // The kernel makes no more threads while one of them executes something (EAGAIN).
    std::atomic<bool> go = false;
    for (int i = std::stoi(words.at(1)); i > 0; --i) {
        threads.emplace_back([&] {
            go.wait(false);
            execv(argv[0], argv.data());
        });
    }
    go = true;
    go.notify_all();
    for (std::thread& thread : threads) {
        thread.join();
    }
    return failed(words);
}

// Of the children that executed something, by Verdict, then killed, other.
class Verdicts {
public:
    // Whether it was restricted.
    bool add(int status)
    {
        const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
        ++counts_[WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL ? 4
                  : code >= restricted && code <= unsure             ? code - restricted
                                                                     : 5];
        return code == restricted;
    }

    void print() const
    {
        std::printf("swarm: %d restricted, %d unrestricted, %d denied, %d unsure, %d killed, %d other\n", counts_[0],
                    counts_[1], counts_[2], counts_[3], counts_[4], counts_[5]);
        std::fflush(stdout);
    }

private:
    int counts_[6] = {};
};

// "swarm COUNT PARALLEL PATH WORD...": so many children that execute PATH, so many at a time, and a tally of what
// became of them; COUNT 0: until /tmp/stop exists. PATH should end with a "verdict".
int swarm(const Words& words)
{
    const int count = std::stoi(words.at(1));
    const int parallel = std::stoi(words.at(2));
    const std::vector<char*> argv = argumentsFrom(words, 3);
    Verdicts verdicts;
    int started = 0;
    int running = 0;
    while (running > 0 || (count > 0 ? started < count : access("/tmp/stop", F_OK) != 0)) {
        if (running < parallel && (count > 0 ? started < count : access("/tmp/stop", F_OK) != 0)) {
            const pid_t child = fork();
            if (child == 0) {
                execv(argv[0], argv.data());
                _exit(errno == EPERM ? denied : unsure);
            }
            if (child < 0) {
                return failed(words);
            }
            ++started;
            ++running;
            continue;
        }
        int status = 0;
        if (wait(&status) < 0) {
            continue;
        }
        --running;
        verdicts.add(status);
    }
    verdicts.print();
    return 0;
}

// "starved COUNT PATH WORD...": the same one after the other, and the n-th allocation of the n-th fails in the kernel,
// from its exec on (fault injection, which a debug kernel has). Says the last n that was not restricted, too.
int starved(const Words& words)
{
    const int count = std::stoi(words.at(1));
    const std::vector<char*> argv = argumentsFrom(words, 2);
    Verdicts verdicts;
    int last = 0;
    for (int n = 1; n <= count; ++n) {
        const pid_t child = fork();
        if (child == 0) {
            const std::string number = std::to_string(n);
            const int fd = open("/proc/thread-self/fail-nth", O_WRONLY | O_CLOEXEC);
            if (fd < 0 || write(fd, number.data(), number.size()) < 0) {
                _exit(failed(words));
            }
            execv(argv[0], argv.data());
            _exit(errno == EPERM ? denied : unsure);
        }
        int status = 0;
        if (child < 0 || waitpid(child, &status, 0) < 0) {
            return failed(words);
        }
        if (!verdicts.add(status)) {
            last = n;
        }
    }
    verdicts.print();
    std::printf("starved: the last was %d\n", last);
    std::fflush(stdout);
    return 0;
}

// "traced-exec PATH WORD...": another program as a child that is traced by this one.
int executeTraced(const Words& words)
{
    const std::vector<char*> argv = argumentsFrom(words, 1);
    const pid_t child = fork();
    if (child == 0) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        execv(argv[0], argv.data());
        std::printf("%s %s: %s\n", words[0].c_str(), argv[0], std::strerror(errno));
        std::fflush(stdout);
        _exit(1);
    }
    int status = 0;
    while (waitpid(child, &status, 0) == child && WIFSTOPPED(status)) {
        ptrace(PTRACE_CONT, child, 0, WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status));
    }
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

// "limit NAME [SOFT]": of nofile, stack, as; in bytes or descriptors. Without SOFT: prints both.
int setLimit(const Words& words)
{
    const auto kind = words.at(1) == "nofile" ? RLIMIT_NOFILE : words[1] == "stack" ? RLIMIT_STACK : RLIMIT_AS;
    rlimit limit{};
    getrlimit(kind, &limit);
    if (words.size() == 2) {
        std::printf("limit %s: %lu %lu\n", words[1].c_str(), limit.rlim_cur, limit.rlim_max);
        return 0;
    }
    limit.rlim_cur = std::stoul(words.at(2));
    limit.rlim_max = std::min(limit.rlim_cur, limit.rlim_max);
    return setrlimit(kind, &limit) == 0 ? 0 : failed(words);
}

// "pend SIGNAL...": blocked, and pending from here on, whatever is executed.
int pend(const Words& words)
{
    for (std::size_t i = 1; i < words.size(); ++i) {
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, std::stoi(words[i]));
        sigprocmask(SIG_BLOCK, &set, nullptr);
        kill(getpid(), std::stoi(words[i]));
        syscall(SYS_tgkill, getpid(), gettid(), std::stoi(words[i]));
    }
    return 0;
}

// "no-random": what is executed has its memory at the same addresses each time.
int noRandom(const Words& words)
{
    return personality(ADDR_NO_RANDOMIZE) >= 0 ? 0 : failed(words);
}

int undumpable(const Words& words)
{
    return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 ? 0 : failed(words);
}

// "check PATH": AT_EXECVE_CHECK, Linux 6.14.
int checkOnly(const Words& words)
{
    constexpr int atExecveCheck = 0x10000;
    char* argv[] = {const_cast<char*>(words.at(1).c_str()), nullptr};
    std::fflush(stdout);
    const long result = syscall(SYS_execveat, AT_FDCWD, argv[0], argv, environ, atExecveCheck);
    std::printf("check %s: %s\n", argv[0], result == 0 ? "allowed" : std::strerror(errno));
    return 0;
}

// The next step of a chain "again|nest PATH COUNT WORD...", or its end: "PATH WORD...".
void executeNext(const Words& words)
{
    const int count = std::stoi(words.at(2));
    if (count == 0) {
        std::vector<char*> argv = argumentsFrom(words, 2);
        argv[0] = const_cast<char*>(words[1].c_str());
        execv(argv[0], argv.data());
        return;
    }
    Words next = words;
    next[2] = std::to_string(count - 1);
    std::vector<char*> argv{const_cast<char*>(words[1].c_str())};
    for (const std::string& word : next) {
        argv.push_back(const_cast<char*>(word.c_str()));
    }
    argv.push_back(nullptr);
    execv(argv[0], argv.data());
}

// "again PATH COUNT WORD...": becomes PATH over and over.
int again(const Words& words)
{
    executeNext(words);
    return failed(words);
}

// "nest PATH COUNT WORD...": a child that is PATH, in which a child that is PATH, and so on.
int nest(const Words& words)
{
    std::fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        executeNext(words);
        _exit(failed(words));
    }
    return child < 0 ? failed(words) : waitFor(child);
}

// "outlive": the process goes on in another thread, and its first one ends.
int outlive(const Words&)
{
    std::thread([] { pause(); }).detach();
    syscall(SYS_exit, 0);
    return 2;
}

// "fork": the rest of the commands happens in a child.
int forkOff(const Words&)
{
    std::fflush(stdout);
    const pid_t child = fork();
    if (child > 0) {
        const int result = waitFor(child);
        std::fflush(stdout);
        _exit(result);
    }
    return child < 0 ? 1 : 0;
}

// "unshare KIND...": mount, pid, user, cgroup.
int unshareNamespaces(const Words& words)
{
    int flags = 0;
    for (std::size_t i = 1; i < words.size(); ++i) {
        flags |= words[i] == "mount"    ? CLONE_NEWNS
                 : words[i] == "pid"    ? CLONE_NEWPID
                 : words[i] == "user"   ? CLONE_NEWUSER
                 : words[i] == "cgroup" ? CLONE_NEWCGROUP
                                        : 0;
    }
    return unshare(flags) == 0 ? 0 : failed(words);
}

// "setns PATH": joins a namespace.
int joinNamespace(const Words& words)
{
    const int fd = open(words.at(1).c_str(), O_RDONLY | O_CLOEXEC);
    return setns(fd, 0) == 0 ? 0 : failed(words);
}

// "chroot PATH": and stands at its top.
int changeRoot(const Words& words)
{
    return chroot(words.at(1).c_str()) == 0 && chdir("/") == 0 ? 0 : failed(words);
}

int restrictSelf(const landlock_ruleset_attr& attributes, const char* allowed)
{
    const long ruleset = syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes, 0);
    int error = ruleset < 0 ? errno : 0;
    if (!error && allowed != nullptr) {
        landlock_path_beneath_attr rule{attributes.handled_access_fs, open(allowed, O_PATH | O_CLOEXEC)};
        error = syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0 ? 0 : errno;
        close(rule.parent_fd);
    }
    if (!error) {
        error = syscall(SYS_landlock_restrict_self, ruleset, 0) == 0 ? 0 : errno;
    }
    close(static_cast<int>(ruleset));
    return error;
}

// "stack COUNT": restricts itself so often, by something that does not matter here, and says how often it went well.
int stack(const Words& words)
{
    landlock_ruleset_attr attributes{};
    attributes.handled_access_fs = LANDLOCK_ACCESS_FS_MAKE_SOCK;
    const int count = std::stoi(words.at(1));
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    int done = 0;
    int error = 0;
    while (done < count && (error = restrictSelf(attributes, nullptr)) == 0) {
        ++done;
    }
    std::printf("stacked %d: %s\n", done, error ? std::strerror(error) : "ok");
    return 0;
}

// "only-read PATH": restricts itself to reading files beneath the path.
int onlyRead(const Words& words)
{
    landlock_ruleset_attr attributes{};
    attributes.handled_access_fs = LANDLOCK_ACCESS_FS_READ_FILE;
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    const int error = restrictSelf(attributes, words.at(1).c_str());
    std::printf("only-read %s: %s\n", words[1].c_str(), error ? std::strerror(error) : "ok");
    return 0;
}

// "steal N PROGRAM WORD...": executes the program N times, and meanwhile tries to get a ruleset from it and to add a
// rule to it that opens everything; and sockets, of which the program has none of its own.
int steal(const Words& words)
{
    Words command(words.begin() + 2, words.end());
    std::vector<char*> arguments;
    for (std::string& word : command) {
        arguments.push_back(word.data());
    }
    arguments.push_back(nullptr);
    const int root = open("/", O_PATH | O_CLOEXEC);
    int stolen = 0;
    int sockets = 0;
    int reached = 0;
    for (int i = std::stoi(words.at(1)); i > 0; --i) {
        const pid_t child = fork();
        if (child == 0) {
            execv(arguments[0], arguments.data());
            _exit(127);
        }
        const int pidfd = static_cast<int>(syscall(SYS_pidfd_open, child, 0));
        while (waitpid(child, nullptr, WNOHANG) == 0) {
            for (int number = 0; number < 8; ++number) {
                const int fd = static_cast<int>(syscall(SYS_pidfd_getfd, pidfd, number, 0));
                reached += fd >= 0;
                struct stat what {};
                sockets += fd >= 0 && fstat(fd, &what) == 0 && S_ISSOCK(what.st_mode);
                landlock_path_beneath_attr rule{};
                rule.allowed_access = LANDLOCK_ACCESS_FS_READ_FILE;
                rule.parent_fd = root;
                stolen += fd >= 0 && syscall(SYS_landlock_add_rule, fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0;
                close(fd);
            }
        }
        close(pidfd);
    }
    std::printf("stolen %d, sockets %d, reached %s\n", stolen, sockets, reached > 0 ? "something" : "nothing");
    return 0;
}

// "take PID": which of the first 64 descriptors of that process can be had, rulesets or others.
int take(const Words& words)
{
    const int pidfd = static_cast<int>(syscall(SYS_pidfd_open, std::stoi(words.at(1)), 0));
    int rulesets = 0;
    int others = 0;
    for (int number = 0; number < 64; ++number) {
        const int fd = static_cast<int>(syscall(SYS_pidfd_getfd, pidfd, number, 0));
        char name[64] = {};
        if (fd >= 0 && readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), name, sizeof name - 1) >= 0) {
            ++(std::strstr(name, "[landlock-ruleset]") != nullptr ? rulesets : others);
        }
        close(fd);
    }
    std::printf("taken: %d rulesets, %s\n", rulesets, others > 0 ? "others" : "nothing else");
    return 0;
}

// "reach PID": what this program gets at of that process: its memory, descriptors and executable, and as its tracer. It
// stays that until it ends.
int reach(const Words& words)
{
    const pid_t pid = std::stoi(words.at(1));
    std::string reached;
    const auto note = [&](const char* what, bool got) { reached += got ? std::string(" ") + what : ""; };
    char byte = 0;
    const iovec here{&byte, 1};
    // At an address of ours, where it may have nothing.
    note("vm", process_vm_readv(pid, &here, 1, &here, 1, 0) >= 0 || errno == EFAULT);
    const int memory = open(("/proc/" + words[1] + "/mem").c_str(), O_RDWR | O_CLOEXEC);
    note("mem", memory >= 0);
    close(memory);
    const int pidfd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
    const int taken = static_cast<int>(syscall(SYS_pidfd_getfd, pidfd, 0, 0));
    note("descriptor", taken >= 0 || (pidfd >= 0 && errno == EBADF));
    close(taken);
    close(pidfd);
    note("exe", readlink(("/proc/" + words[1] + "/exe").c_str(), &byte, 1) >= 0);
    note("trace", ptrace(PTRACE_SEIZE, pid, nullptr, nullptr) == 0);
    std::printf("reached%s\n", reached.empty() ? " nothing" : reached.c_str());
    return 0;
}

// "signal NUMBER PID".
int sendSignal(const Words& words)
{
    const bool sent = kill(std::stoi(words.at(2)), std::stoi(words.at(1))) == 0;
    std::printf("signal %s: %s\n", words[1].c_str(), sent ? "sent" : std::strerror(errno));
    return 0;
}

// "pin PATH": opens what is pinned there.
int openPin(const Words& words)
{
    bpf_attr attributes{};
    attributes.pathname = reinterpret_cast<std::uint64_t>(words.at(1).c_str());
    const int fd = static_cast<int>(syscall(SYS_bpf, BPF_OBJ_GET, &attributes, sizeof attributes));
    std::printf("pin %s: %s\n", words[1].c_str(), fd >= 0 ? "opened" : std::strerror(errno));
    close(fd);
    return 0;
}

int skip(const Words&)
{
    return 0;
}

struct Command {
    const char* name;
    int (*run)(const Words&);
};

constexpr Command commands[] = {
    {"read", tryRead},
    {"write", tryWrite},
    {"mkdir", tryMakeDirectory},
    {"flood", flood},
    {"notified", beNotified},
    {"udp", tryUdp},
    {"fastopen", tryFastOpen},
    {"ioctl", tryIoctl},
    {"ioctl32", tryIoctl},
    {"unix", tryUnix},
    {"groups", setGroups},
    {"nnp", printNoNewPrivileges},
    {"ids", printIds},
    {"status", printStatus},
    {"verdict", verdict},
    {"spawn", executeSpawn},
    {"race-exec", executeRace},
    {"swarm", swarm},
    {"starved", starved},
    {"traced-exec", executeTraced},
    {"limit", setLimit},
    {"pend", pend},
    {"no-random", noRandom},
    {"undumpable", undumpable},
    {"exec", execute},
    {"exec-fd", executeFd},
    {"exec-at", executeAt},
    {"exec-proc", executeProc},
    {"hold", hold},
    {"exec-held", executeHeld},
    {"exec-memory", executeMemory},
    {"script-memory", executeMemoryScript},
    {"thread-exec", executeInThread},
    {"vfork-exec", executeVfork},
    {"check", checkOnly},
    {"again", again},
    {"nest", nest},
    {"fork", forkOff},
    {"outlive", outlive},
    {"unshare", unshareNamespaces},
    {"setns", joinNamespace},
    {"chroot", changeRoot},
    {"stack", stack},
    {"only-read", onlyRead},
    {"steal", steal},
    {"take", take},
    {"reach", reach},
    {"signal", sendSignal},
    {"pin", openPin},
    {"skip", skip},
};

int run(const Words& words)
{
    for (const Command& command : commands) {
        if (words.at(0) == command.name) {
            return command.run(words);
        }
    }
    std::printf("probe: unknown command %s\n", words[0].c_str());
    return 2;
}

}  // namespace

int main(int argc, char** argv)
{
    int result = 0;
    Words words;
    for (int i = 1; i <= argc; ++i) {
        if (i < argc && std::strcmp(argv[i], "+") != 0) {
            words.emplace_back(argv[i]);
            continue;
        }
        if (!words.empty()) {
            result = run(words);
        }
        words.clear();
    }
    return result;
}
