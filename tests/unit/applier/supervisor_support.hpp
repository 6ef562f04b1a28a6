// SPDX-License-Identifier: Apache-2.0
// A supervisor in a process of its own, with tracers that do what the container's label says instead of tracing.
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <linux/magic.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstring>
#include <fstream>
#include <functional>
#include <iostream>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "applier/inject/client.hpp"
#include "applier/inject/supervisor.hpp"
#include "applier/inject/tracer.hpp"
#include "container/process.hpp"
#include "landlock/ruleset.hpp"
#include "temporary.hpp"

namespace support {

using namespace std::chrono_literals;
namespace inject = applier::inject;

// Long enough for any machine; nothing passes or fails by how fast it is.
inline bool within(const std::function<bool()>& condition, std::chrono::seconds limit = 60s)
{
    const auto end = std::chrono::steady_clock::now() + limit;
    while (!condition()) {
        if (std::chrono::steady_clock::now() > end) {
            return false;
        }
        std::this_thread::sleep_for(5ms);
    }
    return true;
}

inline std::string contentOf(const std::string& path)
{
    std::ifstream file(path);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
}

inline void append(const std::string& path, const std::string& text)
{
    const sys::Fd file(open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600));
    if (write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
        std::abort();
    }
}

inline std::string cgroupRoot()
{
    for (const char* path : {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"}) {
        struct statfs fs {};
        if (statfs(path, &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC && access(path, W_OK) == 0) {
            return path;
        }
    }
    return "";
}

// As links to descriptors name them, the datagram sockets of this machine: "socket:[<inode>]".
inline std::set<std::string> datagramSockets()
{
    std::set<std::string> found;
    std::ifstream table("/proc/net/unix");
    for (std::string line; std::getline(table, line);) {
        std::istringstream words(line);
        std::string address, references, protocol, flags, type, state, inode;
        if (words >> address >> references >> protocol >> flags >> type >> state >> inode && type == "0002") {
            found.insert("socket:[" + inode + "]");
        }
    }
    return found;
}

// The names of a process's descriptors, "<number> <what>"; but for the one for the system's log, which comes with the
// first line that is written where that listens, and others may make it listen at any time.
inline std::vector<std::string> descriptorsOf(pid_t pid)
{
    const std::set<std::string> logs = datagramSockets();
    std::vector<std::string> found;
    const std::string directory = "/proc/" + std::to_string(pid) + "/fd";
    const std::unique_ptr<DIR, int (*)(DIR*)> stream(opendir(directory.c_str()), closedir);
    while (const dirent* entry = stream ? readdir(stream.get()) : nullptr) {
        char link[256] = {};
        if (entry->d_name[0] != '.' &&
            readlink((directory + "/" + entry->d_name).c_str(), link, sizeof link - 1) >= 0 && !logs.contains(link)) {
            found.push_back(std::string(entry->d_name) + " " + link);
        }
    }
    return found;
}

// A cgroup with one process in it, and what a hook would have made for it.
class Box {
public:
    explicit Box(const std::string& id, unsigned layers = 1) : id_(id)
    {
        static unsigned count = 0;
        path_ = cgroupRoot() + "/oci-landlock-test." + std::to_string(getpid()) + "." + std::to_string(++count);
        generation_ = count;
        mkdir(path_.c_str(), 0755);
        process_ = fork();
        if (process_ == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            append(path_ + "/cgroup.procs", "0");
            for (;;) {
                pause();
            }
        }
        within([&] { return contentOf(path_ + "/cgroup.events").find("populated 1") != std::string::npos; });
        cgroup_ = sys::Fd(open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        for (unsigned i = 0; i < layers; ++i) {
            rulesets_.push_back(std::make_unique<landlock::Ruleset>(landlock::RulesetAttributes{.handledFs = 1}));
        }
    }
    Box(const Box&) = delete;
    Box& operator=(const Box&) = delete;
    ~Box()
    {
        empty();
        within([&] { return rmdir(path_.c_str()) == 0 || errno != EBUSY; });
    }

    void empty()
    {
        if (process_ > 0) {
            kill(process_, SIGKILL);
            waitpid(process_, nullptr, 0);
            process_ = -1;
        }
    }

    void remove()
    {
        empty();
        within([&] { return rmdir(path_.c_str()) == 0 || errno != EBUSY; });
    }

    // As if the hook had ended.
    void forgetDescriptors()
    {
        cgroup_.reset();
        rulesets_.clear();
    }

    applier::Offer offer() const
    {
        struct stat st {};
        fstat(cgroup_.get(), &st);
        applier::Offer offer;
        offer.generation = generation_;
        offer.cgroupId = st.st_ino;
        offer.label = id_;
        offer.cgroup = cgroup_.get();
        for (std::size_t i = 0; i < rulesets_.size(); ++i) {
            offer.layers.push_back({rulesets_[i]->fd(), static_cast<std::uint32_t>(i % 2), 16});
        }
        return offer;
    }

    std::uint64_t generation() const { return generation_; }

private:
    std::string id_;
    std::string path_;
    std::uint64_t generation_ = 0;
    pid_t process_ = -1;
    sys::Fd cgroup_;
    std::vector<std::unique_ptr<landlock::Ruleset>> rulesets_;
};

// What the id of a container makes its tracer do: "word:path".
//   good        is ready, answers, ends with its container; appends its pid to the file
//   early       ends before it is ready
//   slow        is never ready
//   deaf        the first one does not answer pings, the others are good
//   crash       is ready and ends; the first one not before the supervisor has heard so, for its hook waits for that
//   stuck       is ready and does nothing more, not even when its container or the supervisor ends
//   babble      the first one says what it should not, the others are good
//   list        writes what it has open
inline int fakeTrace(inject::Held held, sys::Fd control)
{
    const std::string word = held.label.substr(0, held.label.find(':'));
    const std::string path = word == held.label ? "" : held.label.substr(word.size() + 1);
    const bool first = path.empty() || contentOf(path).empty();
    if (word == "early") {
        return 3;
    }
    if (word == "slow") {
        pause();
    }
    if (word == "list") {
        std::string text;
        for (const std::string& line : descriptorsOf(getpid())) {
            text += line.substr(line.find(' ') + 1) + "\n";
        }
        append(path, text + "end\n");
    } else if (!path.empty()) {
        append(path, std::to_string(getpid()) + "\n");
    }
    const auto say = [&](inject::Control what) {
        const inject::ControlMessage message{what};
        return send(control.get(), &message, sizeof message, MSG_NOSIGNAL) == sizeof message;
    };
    say(inject::controlReady);
    if (word == "crash") {
        inject::ControlMessage ping;
        if (first) {
            recv(control.get(), &ping, sizeof ping, 0);
        }
        return 7;
    }
    if (word == "stuck") {
        for (;;) {
            pause();
        }
    }
    if (word == "babble" && first) {
        say(static_cast<inject::Control>('?'));
    }
    const sys::Fd events(openat(held.cgroup.get(), "cgroup.events", O_RDONLY | O_CLOEXEC));
    for (;;) {
        pollfd waiting[] = {{control.get(), POLLIN, 0}, {events.get(), POLLPRI, 0}};
        poll(waiting, 2, -1);
        char text[64] = {};
        if (pread(events.get(), text, sizeof text - 1, 0) < 0 || std::strstr(text, "populated 0") != nullptr) {
            return 0;
        }
        inject::ControlMessage message;
        if (waiting[0].revents != 0) {
            if (recv(control.get(), &message, sizeof message, 0) != sizeof message) {
                return 0;
            }
            if (message.word == inject::controlPing && !(word == "deaf" && first)) {
                say(inject::controlPing);
            }
        }
    }
}

inline inject::SupervisorOptions quickOptions(const Temporary& directory)
{
    inject::SupervisorOptions options;
    options.trace = fakeTrace;
    options.paths = {directory.path("run"), directory.path("run/supervisor.sock"), directory.path("run/lock")};
    options.times.client = 3000ms;
    options.times.tracerStart = 2000ms;
    options.times.ping = 100ms;
    options.times.missedPings = 10;
    options.times.quickStarts = 3;
    options.times.startDelay = 100ms;
    return options;
}

// A name that somebody left behind who was killed is nobody.
class Daemon {
public:
    // `prepare` runs in its process first.
    explicit Daemon(const inject::SupervisorOptions& options, const std::function<void()>& prepare = {})
        : options_(options)
    {
        std::cout.flush();
        pid_ = fork();
        if (pid_ == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            try {
                if (prepare) {
                    prepare();
                }
                inject::supervise(options);
                _exit(0);
            } catch (const std::exception& error) {
                append(options.paths.directory + ".error", error.what());
            }
            _exit(1);
        }
    }
    Daemon(const Daemon&) = delete;
    Daemon& operator=(const Daemon&) = delete;
    ~Daemon() { end(SIGKILL); }

    pid_t pid() const { return pid_; }
    const std::string& socket() const { return options_.paths.socket; }

    // Whether it is there.
    bool answers() const
    {
        return within([this] {
            const auto status = inject::askSupervisor(socket());
            return status && status->pid == pid_;
        });
    }

    bool holds(unsigned count) const
    {
        return within([&] {
            const auto status = inject::askSupervisor(socket());
            return status && status->containers == count;
        });
    }

    inject::SupervisedContainer offer(const Box& box, std::chrono::milliseconds timeout = 60s) const
    {
        return inject::SupervisedContainer(box.offer(), socket(), timeout);
    }

    void keep(const Box& box) const { offer(box).confirm(); }

    std::size_t descriptors() const
    {
        std::vector<std::string> found;
        // All clients are gone: there is the socket that it listens at.
        EXPECT_TRUE(within([&] {
            found = descriptorsOf(pid_);
            return std::ranges::count_if(found, [](const auto& line) { return line.contains("socket:["); }) == 1;
        }));
        return found.size();
    }

    bool comesBackTo(std::size_t count) const
    {
        const bool good = within([&] { return descriptorsOf(pid_).size() == count; });
        if (!good) {
            for (const std::string& line : descriptorsOf(pid_)) {
                std::cout << line << "\n";
            }
        }
        return good;
    }

    // The status that waitpid(2) gave.
    int end(int signal)
    {
        int status = -1;
        if (pid_ > 0) {
            kill(pid_, signal);
            waitpid(pid_, &status, 0);
            pid_ = -1;
        }
        return status;
    }

    // Stopped when this returns.
    void freeze() const
    {
        kill(pid_, SIGSTOP);
        waitpid(pid_, nullptr, WUNTRACED);
    }

    int wait()
    {
        int status = -1;
        waitpid(pid_, &status, 0);
        pid_ = -1;
        return status;
    }

private:
    inject::SupervisorOptions options_;
    pid_t pid_ = -1;
};

inline bool isGone(pid_t pid)
{
    return kill(pid, 0) != 0 && errno == ESRCH;
}

class Supervisor : public testing::Test {
protected:
    void SetUp() override
    {
        if (getuid() != 0 || cgroupRoot().empty() || landlock::kernelAbi() == 0) {
            GTEST_SKIP() << "needs root, a writable cgroup v2 and Landlock";
        }
        // As on Debian 12's own kernel, which cannot inject anyway.
        constexpr int peerPidfd = 77;
        const sys::Fd any(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
        int pidfd = -1;
        socklen_t size = sizeof pidfd;
        if (getsockopt(any.get(), SOL_SOCKET, peerPidfd, &pidfd, &size) != 0 && errno == ENOPROTOOPT) {
            GTEST_SKIP() << "this kernel has no SO_PEERPIDFD (Linux 6.5)";
        }
    }

    Temporary directory_;
    inject::SupervisorOptions options_ = quickOptions(directory_);
    std::string error() const { return contentOf(directory_.path("run.error")); }
    std::string pids() const { return directory_.path("pids"); }
    // How many tracers wrote to the file.
    std::size_t started() const { return static_cast<std::size_t>(std::ranges::count(contentOf(pids()), '\n')); }
    pid_t lastTracer() const
    {
        const std::string all = contentOf(pids());
        const std::size_t at = all.size() < 2 ? all.npos : all.rfind('\n', all.size() - 2);
        return std::atoi(all.c_str() + (at == all.npos ? 0 : at + 1));
    }
};

}  // namespace support
