// SPDX-License-Identifier: Apache-2.0
// What systemd hears, and what it keeps from one supervisor to the next.
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <map>
#include <mutex>
#include <set>

#include "applier/inject/store.hpp"

#include "applier/supervisor_support.hpp"

namespace {

using namespace support;
using inject::SupervisedContainer;

// Plays the part of systemd that matters here: takes notifications, keeps descriptors by name. No check of who sends.
class Systemd {
public:
    explicit Systemd(const std::string& path) : path_(path), socket_(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0))
    {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::ranges::copy(path, address.sun_path);
        if (bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
            throw std::runtime_error("bind");
        }
        work();  // before there is a thread
        thread_ = std::jthread([this](const std::stop_token& stop) {
            began_ = true;
            began_.notify_one();
            while (!stop.stop_requested()) {
                pollfd waiting{socket_.get(), POLLIN, 0};
                const bool told = poll(&waiting, 1, 20) == 1 && !deaf;
                const std::lock_guard guard(work());
                if (told) {
                    take();
                }
                if (!stalled) {
                    barriers_.clear();
                }
            }
        });
        began_.wait(false);  // a thread takes memory for itself, which is work, too
    }

    // What it has for the next one: names and descriptors. Not in that one's process: this one's thread may have had
    // the lock when that was forked.
    std::vector<std::pair<std::string, int>> held() const
    {
        const std::lock_guard guard(mutex_);
        std::vector<std::pair<std::string, int>> all;
        for (const auto& [name, descriptor] : store_) {
            all.emplace_back(name, descriptor.get());
        }
        return all;
    }

    // In the supervisor's process.
    void prepare(const std::vector<std::pair<std::string, int>>& held = {}) const
    {
        std::vector<int> descriptors;
        std::string names;
        for (const auto& [name, descriptor] : held) {
            descriptors.push_back(fcntl(descriptor, F_DUPFD, 1000));
            names += (names.empty() ? "" : ":") + name;
        }
        int next = 3;
        for (const int descriptor : descriptors) {
            dup2(descriptor, next++);
            close(descriptor);
        }
        setenv("NOTIFY_SOCKET", path_.c_str(), 1);
        setenv("WATCHDOG_USEC", "300000", 1);
        setenv("WATCHDOG_PID", std::to_string(getpid()).c_str(), 1);
        if (!descriptors.empty()) {
            setenv("LISTEN_PID", std::to_string(getpid()).c_str(), 1);
            setenv("LISTEN_FDS", std::to_string(descriptors.size()).c_str(), 1);
            setenv("LISTEN_FDNAMES", names.c_str(), 1);
        }
    }

    void put(const std::string& name, int descriptor)
    {
        const std::lock_guard guard(mutex_);
        store_.emplace(name, sys::Fd(fcntl(descriptor, F_DUPFD_CLOEXEC, 3)));
    }
    void drop(const std::string& name)
    {
        const std::lock_guard guard(mutex_);
        store_.erase(name);
    }
    std::set<std::string> names() const
    {
        const std::lock_guard guard(mutex_);
        std::set<std::string> names;
        for (const auto& [name, descriptor] : store_) {
            names.insert(name);
        }
        return names;
    }
    // How often it was told that.
    int count(const std::string& line) const
    {
        const std::lock_guard guard(mutex_);
        const auto found = told_.find(line);
        return found == told_.end() ? 0 : found->second;
    }
    void forget()
    {
        const std::lock_guard guard(mutex_);
        told_.clear();
    }
    std::atomic<bool> stalled = false;  // it does not get as far as a barrier
    std::atomic<bool> deaf = false;     // it reads nothing

    // Nothing more can be told until it reads.
    void fill() const
    {
        const sys::Fd sender(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::ranges::copy(path_, address.sun_path);
        while (sendto(sender.get(), "x", 1, MSG_DONTWAIT, reinterpret_cast<const sockaddr*>(&address),
                      sizeof address) == 1) {
        }
    }

private:
    // Held while it works, and by whoever forks: a process that is made meanwhile would have the locks of memory for
    // good, and a barrier's descriptor, whose sender waits until nobody has it.
    static std::mutex& work()
    {
        static std::mutex mutex;
        static const int registered =
            pthread_atfork([] { mutex.lock(); }, [] { mutex.unlock(); }, [] { mutex.unlock(); });
        if (registered != 0) {
            throw std::runtime_error("pthread_atfork");
        }
        return mutex;
    }

    void take()
    {
        char text[1024] = {};
        char control[CMSG_SPACE(8 * sizeof(int))];
        iovec part{text, sizeof text - 1};
        msghdr header{};
        header.msg_iov = &part;
        header.msg_iovlen = 1;
        header.msg_control = control;
        header.msg_controllen = sizeof control;
        if (recvmsg(socket_.get(), &header, MSG_CMSG_CLOEXEC) <= 0) {
            return;
        }
        sys::Fd descriptor;
        for (cmsghdr* rights = CMSG_FIRSTHDR(&header); rights != nullptr; rights = CMSG_NXTHDR(&header, rights)) {
            if (rights->cmsg_type == SCM_RIGHTS) {
                int fd = -1;
                std::memcpy(&fd, CMSG_DATA(rights), sizeof fd);
                descriptor = sys::Fd(fd);
            }
        }
        std::istringstream lines(text);
        std::map<std::string, std::string> values;
        const std::lock_guard guard(mutex_);  // what is told is seen together with what it did
        for (std::string line; std::getline(lines, line);) {
            ++told_[line];
            values[line.substr(0, line.find('='))] = line.substr(line.find('=') + 1);
        }
        if (values.contains("FDSTORE") && descriptor) {
            store_.emplace(values["FDNAME"], std::move(descriptor));
        }
        if (values.contains("BARRIER")) {
            barriers_.push_back(std::move(descriptor));
        }
        if (values.contains("FDSTOREREMOVE")) {
            store_.erase(values["FDNAME"]);
        }
    }

    std::string path_;
    sys::Fd socket_;
    mutable std::mutex mutex_;
    std::multimap<std::string, sys::Fd> store_;
    std::map<std::string, int> told_;
    std::vector<sys::Fd> barriers_;
    std::atomic<bool> began_ = false;
    std::jthread thread_;
};

class SupervisorUnderSystemd : public Supervisor {
protected:
    std::unique_ptr<Daemon> start()
    {
        systemd_.forget();
        return std::make_unique<Daemon>(options_, [this, held = systemd_.held()] { systemd_.prepare(held); });
    }
    bool isReady() const
    {
        return within([this] { return systemd_.count("READY=1") == 1; });
    }

    Systemd systemd_{directory_.path("notify")};
};

TEST_F(SupervisorUnderSystemd, TellsItsState)
{
    const std::unique_ptr<Daemon> daemon = start();
    EXPECT_TRUE(isReady());
    EXPECT_TRUE(within([&] { return systemd_.count("STATUS=0 containers") == 1; }));
    EXPECT_TRUE(within([&] { return systemd_.count("WATCHDOG=1") >= 3; }));
    const Box box("good");
    daemon->keep(box);
    EXPECT_TRUE(within([&] { return systemd_.count("STATUS=1 container") == 1; }));
    EXPECT_EQ(daemon->end(SIGTERM), 0);
    EXPECT_TRUE(within([&] { return systemd_.count("STOPPING=1") == 1; }));
    EXPECT_EQ(access(options_.paths.socket.c_str(), F_OK), 0) << "hooks wait for the next one";
    EXPECT_EQ(systemd_.names().size(), 3U);
}

TEST_F(SupervisorUnderSystemd, TakesBackWhatItHeldBeforeItWasKilled)
{
    std::unique_ptr<Daemon> daemon = start();
    ASSERT_TRUE(isReady());
    const Box offered("good");
    const SupervisedContainer supervised = daemon->offer(offered);
    Box box("good:" + pids(), 3);
    daemon->keep(box);
    const std::set<std::string> names = systemd_.names();
    EXPECT_EQ(names.size(), 5U);
    box.forgetDescriptors();
    for (int i = 2; i < 6; ++i) {
        daemon->end(SIGKILL);
        EXPECT_EQ(systemd_.names(), names);
        daemon = start();
        ASSERT_TRUE(isReady());
        EXPECT_EQ(started(), static_cast<std::size_t>(i));
        EXPECT_TRUE(daemon->holds(1));
        EXPECT_FALSE(isGone(lastTracer()));
        EXPECT_EQ(systemd_.names(), names);
    }
    box.empty();
    EXPECT_TRUE(daemon->holds(0));
    EXPECT_TRUE(within([&] { return systemd_.names().empty(); }));
}

TEST_F(SupervisorUnderSystemd, KeepsAreAnsweredWhenSystemdHasThem)
{
    const std::unique_ptr<Daemon> daemon = start();
    ASSERT_TRUE(isReady());
    const Box box("good");
    SupervisedContainer supervised = daemon->offer(box);
    systemd_.stalled = true;
    // The others go on meanwhile, and in time the hook hears that it failed.
    expectError([&] { supervised.confirm(); }, "took too long");
    EXPECT_TRUE(daemon->holds(0));
    systemd_.stalled = false;
    EXPECT_TRUE(within([&] { return systemd_.names().empty(); }));
    daemon->keep(box);
    EXPECT_EQ(systemd_.names().size(), 3U);
}

// As one that has stopped after an error, while its node goes on.
TEST_F(SupervisorUnderSystemd, GoesOnWhenSystemdReadsNothing)
{
    const std::unique_ptr<Daemon> daemon = start();
    ASSERT_TRUE(isReady());
    const Box kept("good:" + pids());
    daemon->keep(kept);
    Box ending("good");
    daemon->keep(ending);
    systemd_.deaf = true;
    systemd_.fill();
    ending.empty();
    EXPECT_TRUE(within([&] { return daemon->holds(1); }));
    EXPECT_EQ(systemd_.names().size(), 6U);
    std::this_thread::sleep_for(500ms);  // it is told of the watchdog meanwhile
    ASSERT_TRUE(within([&] {
        try {
            return inject::askSupervisor(daemon->socket()).has_value();
        } catch (const sys::Error&) {
            return false;
        }
    }));
    // What would be lost at the next restart does not start.
    const Box box("good");
    SupervisedContainer supervised = daemon->offer(box);
    expectError([&] { supervised.confirm(); }, "give a descriptor to systemd");
    EXPECT_TRUE(daemon->holds(1));
    EXPECT_FALSE(isGone(lastTracer()));
    systemd_.deaf = false;
    const int before = systemd_.count("WATCHDOG=1");
    EXPECT_TRUE(within([&] { return systemd_.count("WATCHDOG=1") > before + 1; }));
    EXPECT_TRUE(within([&] { return systemd_.names().size() == 3; })) << "it is told again who has ended";
    daemon->keep(box);
    EXPECT_EQ(systemd_.names().size(), 6U);
}

TEST_F(SupervisorUnderSystemd, DropsWhatIsBrokenOrGone)
{
    std::unique_ptr<Daemon> daemon = start();
    ASSERT_TRUE(isReady());
    std::vector<std::unique_ptr<Box>> boxes;
    const auto nameOf = [&](std::size_t i, const char* which) {
        std::ostringstream name;
        name << "c" << std::hex << boxes[i]->generation() << "-" << which;
        return name.str();
    };
    for (int i = 0; i < 12; ++i) {
        boxes.push_back(std::make_unique<Box>("good", 2));
        daemon->keep(*boxes.back());
    }
    const std::set<std::string> whole = systemd_.names();
    EXPECT_EQ(whole.size(), 48U);
    daemon->end(SIGKILL);
    std::set<std::string> left;
    for (const char* which : {"m", "c", "0", "1"}) {
        ASSERT_TRUE(whole.contains(nameOf(0, which)));
        left.insert(nameOf(0, which));  // the first one stays whole
    }
    systemd_.drop(nameOf(1, "m"));
    systemd_.drop(nameOf(2, "1"));
    systemd_.drop(nameOf(3, "c"));
    systemd_.drop(nameOf(4, "0"));
    systemd_.put(nameOf(5, "1"), boxes[5]->offer().layers[1].ruleset);  // twice
    systemd_.put(nameOf(6, "2"), boxes[6]->offer().layers[1].ruleset);  // one too many
    systemd_.drop(nameOf(7, "0"));
    systemd_.put(nameOf(7, "0"), boxes[7]->offer().cgroup);  // another thing
    systemd_.drop(nameOf(8, "m"));
    const sys::Fd unsealed(memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    systemd_.put(nameOf(8, "m"), unsealed.get());
    boxes[9]->empty();
    boxes[10]->remove();
    systemd_.drop(nameOf(11, "c"));
    systemd_.put(nameOf(11, "c"), boxes[0]->offer().cgroup);  // another container's
    for (const char* name : {"stored", "c-m", "c0x1-m", "c1", "cffffffffffffffffff-m", "c 1-m"}) {
        systemd_.put(name, STDIN_FILENO);
    }
    daemon = start();
    ASSERT_TRUE(isReady());
    EXPECT_TRUE(daemon->holds(1));
    EXPECT_TRUE(within([&] { return systemd_.names() == left; }));
}

TEST_F(SupervisorUnderSystemd, IsReadyThoughATracerIsNot)
{
    std::unique_ptr<Daemon> daemon = start();
    ASSERT_TRUE(isReady());
    const Box box("crash:" + pids());
    daemon->keep(box);
    daemon->end(SIGKILL);
    daemon = start();
    EXPECT_TRUE(isReady());
    EXPECT_TRUE(daemon->holds(1));
}

TEST_F(SupervisorUnderSystemd, TakesNoMoreThanSystemdKeeps)
{
    const Daemon daemon(options_, [this] {
        systemd_.prepare();
        setenv("FDSTORE", "7", 1);
    });
    ASSERT_TRUE(isReady());
    std::vector<std::unique_ptr<Box>> boxes;
    for (int i = 0; i < 2; ++i) {
        boxes.push_back(std::make_unique<Box>("good", 1));
        daemon.keep(*boxes.back());
    }
    const Box third("good", 1);
    expectError([&] { daemon.offer(third); }, "than systemd can keep");
    boxes[0]->empty();
    EXPECT_TRUE(daemon.holds(1));
    daemon.keep(third);
}

TEST_F(SupervisorUnderSystemd, TheUnitFileKeepsAsManyAsTheProgramThinks)
{
    const std::string unit = contentOf(SOURCE_ROOT "/packaging/systemd/oci-landlock-supervisor.service");
    EXPECT_NE(unit.find("\nFileDescriptorStoreMax=" + std::to_string(inject::maxStored) + "\n"), unit.npos);
}

}  // namespace
