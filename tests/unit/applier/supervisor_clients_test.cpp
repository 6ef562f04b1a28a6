// SPDX-License-Identifier: Apache-2.0
// Clients that are no hooks: they stall, they say what they should not, they are not root.
#include <linux/capability.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include <grp.h>

#include <algorithm>
#include <cstring>
#include <random>

#include "applier/supervisor_support.hpp"

namespace {

using namespace support;
using inject::SupervisedContainer;

int rawClient(const std::string& path)
{
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::ranges::copy(path, address.sun_path);
    const int client = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (connect(client, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        close(client);
        return -1;
    }
    return client;
}

// A packet of any bytes, with `count` copies of a descriptor.
void sendRaw(int client, std::string_view bytes, std::size_t count, int descriptor)
{
    std::vector<int> descriptors(count, descriptor);
    std::vector<char> control(CMSG_SPACE(count * sizeof(int)));
    iovec part{const_cast<char*>(bytes.data()), bytes.size()};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    if (count > 0) {
        header.msg_control = control.data();
        header.msg_controllen = control.size();
        cmsghdr* rights = CMSG_FIRSTHDR(&header);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(count * sizeof(int));
        std::memcpy(CMSG_DATA(rights), descriptors.data(), count * sizeof(int));
    }
    ASSERT_EQ(sendmsg(client, &header, MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
}

template <typename Message>
std::string_view bytesOf(const Message& message)
{
    return {reinterpret_cast<const char*>(&message), sizeof message};
}

// Waits for the end of the connection; the refusal that came before it, if any.
std::string refusalOf(int client)
{
    std::string text;
    inject::Answer answer;
    const timeval limit{60, 0};
    setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    inject::Received received;
    while ((received = inject::receive(client, answer)) == inject::Received::message) {
        EXPECT_EQ(answer.reply, inject::Reply::refused);
        text = inject::textOf(answer);
    }
    EXPECT_EQ(received, inject::Received::closed);
    return text;
}

TEST_F(Supervisor, StalledClientsStallNobody)
{
    const Daemon daemon(options_);
    ASSERT_TRUE(daemon.answers());
    const std::size_t before = daemon.descriptors();
    std::vector<sys::Fd> stalled;
    for (int i = 0; i < 300; ++i) {
        stalled.emplace_back(rawClient(daemon.socket()));
        ASSERT_TRUE(stalled.back());
    }
    const Box box("good");
    daemon.keep(box);
    EXPECT_TRUE(daemon.holds(1));
    for (const sys::Fd& client : stalled) {
        EXPECT_EQ(refusalOf(client.get()), "the client took too long");
    }
    EXPECT_TRUE(daemon.comesBackTo(before + 4));
}

// So many that a shell's usual limit of open files is less.
class ManyFiles {
public:
    explicit ManyFiles(rlim_t wanted)
    {
        getrlimit(RLIMIT_NOFILE, &before_);
        const rlimit files{std::max(before_.rlim_cur, wanted), std::max(before_.rlim_max, wanted)};
        had_ = setrlimit(RLIMIT_NOFILE, &files) == 0;
    }
    ManyFiles(const ManyFiles&) = delete;
    ManyFiles& operator=(const ManyFiles&) = delete;
    ~ManyFiles() { setrlimit(RLIMIT_NOFILE, &before_); }

    bool had() const { return had_; }

private:
    rlimit before_{};
    bool had_ = false;
};

TEST_F(Supervisor, MoreClientsThanItTakesAreServedInTurn)
{
    const ManyFiles many(4096);
    if (!many.had()) {
        GTEST_SKIP() << "the limit of open files cannot be raised to 4,096 here";
    }
    options_.times.client = 500ms;
    const Daemon daemon(options_, [] {
        const rlimit files{4096, 4096};
        setrlimit(RLIMIT_NOFILE, &files);
    });
    ASSERT_TRUE(daemon.answers());
    std::vector<sys::Fd> clients;
    for (int i = 0; i < 1300; ++i) {
        clients.emplace_back(rawClient(daemon.socket()));
        ASSERT_TRUE(clients.back());
    }
    const Box box("good");
    daemon.keep(box);
    EXPECT_TRUE(daemon.holds(1));
}

TEST_F(Supervisor, RefusesMalformedMessages)
{
    const Daemon daemon(options_);
    ASSERT_TRUE(daemon.answers());
    const std::size_t before = daemon.descriptors();
    const Box box("good", 2);
    const applier::Offer offer = box.offer();
    inject::Request good;
    good.word = inject::Word::offer;
    good.description.generation = offer.generation;
    good.description.cgroupId = offer.cgroupId;
    good.description.layerCount = 2;
    const auto refused = [&](const char* part, std::string_view bytes, std::size_t descriptors) {
        const sys::Fd client(rawClient(daemon.socket()));
        sendRaw(client.get(), bytes, descriptors, offer.cgroup);
        const std::string why = refusalOf(client.get());
        EXPECT_NE(why.find(part), why.npos) << part << ": " << why;
    };
    const auto changed = [&](const char* part, std::size_t descriptors,
                             const std::function<void(inject::Request&)>& change) {
        inject::Request request = good;
        change(request);
        refused(part, bytesOf(request), descriptors);
    };
    const auto no = [](inject::Request&) {};
    for (const std::size_t count : {0U, 1U, 2U, 4U, 17U, 18U}) {
        changed(count == 18 ? "" : "wrong number", count, no);
    }
    for (const std::size_t count : {19U, 32U, 100U, 253U}) {
        changed("did not all arrive", count, no);
    }
    changed("another version", 3, [](inject::Request& request) { request.version = 1; });
    changed("unknown word", 3, [](inject::Request& request) { request.word = static_cast<inject::Word>(0); });
    changed("unknown word", 3, [](inject::Request& request) { request.word = static_cast<inject::Word>(5); });
    changed("out of order", 0, [](inject::Request& request) {
        request = {};
        request.word = inject::Word::keep;
    });
    changed("wrong generation", 3, [](inject::Request& request) { request.generation = 1; });
    changed("wrong generation", 0, [](inject::Request& request) {
        request = {};
        request.word = inject::Word::release;
    });
    for (const inject::Word word : {inject::Word::keep, inject::Word::status, inject::Word::release}) {
        changed("where none belongs", 3, [&](inject::Request& request) { request.word = word; });
        changed("wrong number", 1, [&](inject::Request& request) {
            request = {};
            request.word = word;
            request.generation = word == inject::Word::release ? 1 : 0;
        });
    }
    changed("of another version", 3, [](inject::Request& request) { request.description.layout = 1; });
    changed("no generation", 3, [](inject::Request& request) { request.description.generation = 0; });
    changed("too many layers", 18, [](inject::Request& request) { request.description.layerCount = 17; });
    changed("too many layers", 3, [](inject::Request& request) { request.description.layerCount = ~0U; });
    changed("entry of a layer", 3, [](inject::Request& request) { request.description.layers[0].entry = 16; });
    changed("entry of a layer", 3, [](inject::Request& request) { request.description.layers[2].restrictFlags = 1; });
    changed("too long", 3, [](inject::Request& request) { std::ranges::fill(request.description.label, 'x'); });
    changed("bytes after", 3, [](inject::Request& request) { request.description.label[200] = 'x'; });
    for (const std::size_t size : {1U, 3U, 4U, 8U, 16U, 407U}) {
        refused("", bytesOf(good).substr(0, size), 3);
    }
    refused("", std::string(bytesOf(good)) + "x", 3);
    refused("", std::string(60000, 'x'), 3);
    refused("", std::string(bytesOf(good)) + std::string(1000, '\0'), 3);
    // Out of order: an offer within an offer.
    {
        const sys::Fd client(rawClient(daemon.socket()));
        const Box slow("slow");
        inject::Request request = good;
        std::ranges::copy(std::string("slow"), request.description.label);
        request.description.cgroupId = slow.offer().cgroupId;
        request.description.layerCount = 0;
        request.description.generation = slow.generation();
        const int cgroup = slow.offer().cgroup;
        ASSERT_TRUE(inject::send(client.get(), request, {cgroup}));
        ASSERT_TRUE(daemon.holds(1));
        ASSERT_TRUE(inject::send(client.get(), request, {cgroup}));
        EXPECT_EQ(refusalOf(client.get()), "message out of order");
    }
    EXPECT_TRUE(daemon.holds(0));
    EXPECT_TRUE(daemon.comesBackTo(before));
}

TEST_F(Supervisor, SurvivesAnyBytes)
{
    const Daemon daemon(options_);
    ASSERT_TRUE(daemon.answers());
    const std::size_t before = daemon.descriptors();
    const Box box("good", 2);
    std::mt19937 random(4711);
    inject::Request good;
    good.word = inject::Word::offer;
    good.description.generation = box.generation();
    good.description.cgroupId = box.offer().cgroupId;
    good.description.layerCount = 2;
    for (int i = 0; i < 2000; ++i) {
        std::string bytes(bytesOf(good));
        if (i % 2 == 0) {
            bytes.resize(1 + random() % (i % 4 == 0 ? 1000 : sizeof good));
            for (char& byte : bytes) {
                byte = static_cast<char>(random());
            }
        } else {
            for (unsigned k = random() % 6; k > 0; --k) {
                bytes[random() % 120] = static_cast<char>(random());
            }
        }
        const sys::Fd client(rawClient(daemon.socket()));
        ASSERT_TRUE(client);
        sendRaw(client.get(), bytes, random() % 24, i % 3 == 0 ? box.offer().cgroup : STDERR_FILENO);
        if (i % 5 == 0) {
            refusalOf(client.get());
        }
    }
    EXPECT_TRUE(daemon.holds(0));
    EXPECT_TRUE(daemon.comesBackTo(before));
    daemon.keep(box);
}

// They may come without end: nothing is said of them.
TEST_F(Supervisor, TurnsAwayWhoIsNotRoot)
{
    const std::string said = directory_.path("said");
    const Daemon daemon(options_, [&] {
        append(said, "");
        const sys::Fd file(open(said.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
        dup2(file.get(), STDERR_FILENO);
    });
    ASSERT_TRUE(daemon.answers());
    struct stat socket {};
    struct stat directory {};
    ASSERT_EQ(stat(daemon.socket().c_str(), &socket), 0);
    ASSERT_EQ(stat(options_.paths.directory.c_str(), &directory), 0);
    EXPECT_EQ(socket.st_mode & 07777, 0600U);
    EXPECT_EQ(directory.st_mode & 07777, 0700U);
    // Even if somebody opens the way.
    for (const std::string& path : {directory_.path(), options_.paths.directory}) {
        chmod(path.c_str(), 0755);
    }
    chmod(daemon.socket().c_str(), 0666);
    const Box box("good");
    const pid_t other = fork();
    if (other == 0) {
        if (setresgid(65534, 65534, 65534) != 0 || setresuid(65534, 65534, 65534) != 0) {
            _exit(2);
        }
        try {
            daemon.offer(box);
        } catch (const sys::Error& error) {
            _exit(std::string(error.what()).find("ended before it answered") == std::string::npos ? 3 : 0);
        }
        _exit(4);
    }
    int status = -1;
    waitpid(other, &status, 0);
    EXPECT_EQ(status, 0);
    EXPECT_TRUE(daemon.holds(0));
    daemon.keep(box);
    EXPECT_EQ(contentOf(said), "oci-landlock: supervisor ready\n");
}

bool loseCapabilities()
{
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    const __user_cap_data_struct none[2]{};
    return syscall(SYS_capset, &header, none) == 0;
}

// Where the socket is mounted in a container, that one's root is the host's by its number.
TEST_F(Supervisor, TurnsAwayRootWithoutCapabilitiesOfTheHost)
{
    const Daemon daemon(options_);
    ASSERT_TRUE(daemon.answers());
    const std::size_t before = daemon.descriptors();
    const Box box("good");
    daemon.keep(box);
    inject::Request instead;
    instead.word = inject::Word::offer;
    instead.description.generation = box.generation();
    instead.description.cgroupId = box.offer().cgroupId;
    const auto withItsOwn = [] { return unshare(CLONE_NEWUSER) == 0; };
    // So that what the kernel says of it is longer than anybody reads.
    const auto ofManyGroups = [] {
        const std::vector<gid_t> groups(20000, 4000000000U);
        return setgroups(groups.size(), groups.data()) == 0 && loseCapabilities();
    };
    const std::vector<std::pair<std::function<bool()>, std::string>> peers = {{loseCapabilities, "capabilit"},
                                                                              {withItsOwn, "capabilit"},
                                                                              {ofManyGroups, "larger than"}};
    for (const auto& [become, words] : peers) {
        const pid_t other = fork();
        if (other == 0) {
            const sys::Fd client(become() ? rawClient(daemon.socket()) : -1);
            inject::send(client.get(), instead, {box.offer().cgroup});
            _exit(!client ? 2 : refusalOf(client.get()).find(words) == std::string::npos ? 3 : 0);
        }
        int status = -1;
        waitpid(other, &status, 0);
        EXPECT_EQ(status, 0);
        EXPECT_TRUE(daemon.holds(1));
    }
    EXPECT_TRUE(daemon.comesBackTo(before + 4));
}

TEST_F(Supervisor, WhoIsTurnedAwayOverAndOverKeepsNobodyElseWaiting)
{
    const Daemon daemon(options_);
    ASSERT_TRUE(daemon.answers());
    std::vector<pid_t> others;
    for (int i = 0; i < 8; ++i) {
        others.push_back(fork());
        if (others.back() == 0) {
            for (bool lost = loseCapabilities(); lost;) {
                const sys::Fd client(rawClient(daemon.socket()));
            }
            _exit(1);
        }
    }
    for (int i = 0; i < 3; ++i) {
        const Box box("good");
        EXPECT_NO_THROW(daemon.keep(box));
    }
    for (const pid_t other : others) {
        kill(other, SIGKILL);
        waitpid(other, nullptr, 0);
    }
    EXPECT_TRUE(daemon.holds(0));
}

TEST_F(Supervisor, OfAnybodyElseIsNoSupervisor)
{
    chmod(directory_.path().c_str(), 0777);
    const std::string path = directory_.path("socket");
    const pid_t other = fork();
    if (other == 0) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::ranges::copy(path, address.sun_path);
        const int listener = socket(AF_UNIX, SOCK_SEQPACKET, 0);
        _exit(setresuid(65534, 65534, 65534) == 0 &&
                      bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
                      listen(listener, 8) == 0
                  ? pause()
                  : 1);
    }
    const Box box("good");
    std::string why;
    EXPECT_TRUE(within([&] {
        try {
            const SupervisedContainer supervised(box.offer(), path, 100ms);
        } catch (const sys::Error& error) {
            why = error.what();
        }
        return why.find("not root") != why.npos;
    })) << why;
    kill(other, SIGKILL);
    waitpid(other, nullptr, 0);
}

}  // namespace
