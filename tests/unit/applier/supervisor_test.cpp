// SPDX-License-Identifier: Apache-2.0
#include "applier/inject/supervisor.hpp"

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <map>
#include <mutex>
#include <random>

#include "applier/inject/store.hpp"
#include "supervisor_support.hpp"

namespace support {

int fakeTrace(inject::Held held, sys::Fd control)
{
    const std::string word = held.containerId.substr(0, held.containerId.find(':'));
    const std::string path = word == held.containerId ? "" : held.containerId.substr(word.size() + 1);
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

}  // namespace support

namespace {

using namespace support;
using inject::Handover;

class Supervisor : public testing::Test {
protected:
    void SetUp() override
    {
        if (getuid() != 0 || cgroupRoot().empty() || landlock::kernelAbi() == 0) {
            GTEST_SKIP() << "needs root, a writable cgroup v2 and Landlock";
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

// ---- Hooks

TEST_F(Supervisor, HoldsWhatIsKeptUntilItsCgroupIsEmpty)
{
    const Daemon daemon(options_);
    ASSERT_TRUE(daemon.answers());
    const std::size_t before = daemon.descriptors();
    Box box("good:" + pids(), 3);
    daemon.keep(box);
    EXPECT_EQ(started(), 1U);
    EXPECT_FALSE(isGone(lastTracer()));
    box.forgetDescriptors();
    // cgroup, three rulesets, the description, the control socket
    EXPECT_TRUE(daemon.comesBackTo(before + 6));
    EXPECT_TRUE(daemon.holds(1));
    box.empty();
    EXPECT_TRUE(daemon.holds(0));
    EXPECT_TRUE(daemon.comesBackTo(before));
    EXPECT_TRUE(isGone(lastTracer()));
}

TEST_F(Supervisor, DropsWhatItsHookDidNotKeep)
{
    const Daemon daemon(options_);
    ASSERT_TRUE(daemon.answers());
    const std::size_t before = daemon.descriptors();
    const Box box("good:" + pids());
    {
        const Handover handover = daemon.offer(box);
        EXPECT_TRUE(daemon.holds(1));
    }
    EXPECT_TRUE(daemon.holds(0));
    EXPECT_TRUE(daemon.comesBackTo(before));
    EXPECT_TRUE(within([&] { return isGone(lastTracer()); }));
    // The hook is killed.
    const pid_t hook = fork();
    if (hook == 0) {
        const Handover handover = daemon.offer(box);
        raise(SIGKILL);
    }
    waitpid(hook, nullptr, 0);
    EXPECT_TRUE(daemon.holds(0));
    EXPECT_EQ(started(), 2U);
    // It takes too long.
    Handover late = daemon.offer(box);
    EXPECT_TRUE(daemon.holds(0));
    expectError([&] { late.keep(); }, "took too long");
    EXPECT_TRUE(daemon.comesBackTo(before));
}

TEST_F(Supervisor, TakesSixteenLayersAndTheLongestId)
{
    const Daemon daemon(options_);
    ASSERT_TRUE(daemon.answers());
    const Box plain(std::string(OLL_ID_SIZE - 1, 'x'), OLL_MAX_LAYERS);
    daemon.keep(plain);
    EXPECT_TRUE(daemon.holds(1));
    const Box none("good", 0);
    daemon.keep(none);
    EXPECT_TRUE(daemon.holds(2));
    const Box more("good", OLL_MAX_LAYERS + 1);
    EXPECT_THROW(daemon.offer(more), sys::Error);
    const Box longer(std::string(OLL_ID_SIZE, 'x'));
    EXPECT_THROW(daemon.offer(longer), sys::Error);
}

TEST_F(Supervisor, RefusesWhatIsNotAContainer)
{
    const Daemon daemon(options_);
    ASSERT_TRUE(daemon.answers());
    const std::size_t before = daemon.descriptors();
    const Box box("good", 2);
    const auto refused = [&](const char* part, const std::function<void(inject::Offer&)>& change) {
        inject::Offer offer = box.offer();
        change(offer);
        expectError([&] { const Handover handover(offer, daemon.socket()); }, part);
    };
    refused("not the directory", [](inject::Offer& offer) { offer.cgroup = STDERR_FILENO; });
    refused("not the directory", [](inject::Offer& offer) { ++offer.cgroupId; });
    refused("not a landlock-ruleset", [](inject::Offer& offer) { offer.layers[1].ruleset = offer.cgroup; });
    refused("twice", [](inject::Offer& offer) { offer.layers[1].ruleset = offer.layers[0].ruleset; });
    refused("entry", [](inject::Offer& offer) { offer.layers[1].entry = OLL_MAX_ENTRIES; });
    refused("generation", [](inject::Offer& offer) { offer.generation = 0; });
    refused("Bad file", [](inject::Offer& offer) { offer.layers[1].ruleset = -1; });
    EXPECT_TRUE(daemon.holds(0));
    EXPECT_TRUE(daemon.comesBackTo(before));
}

TEST_F(Supervisor, TellsTheHookWhyThereIsNoTracer)
{
    const Daemon daemon(options_);
    ASSERT_TRUE(daemon.answers());
    const std::size_t before = daemon.descriptors();
    const Box early("early");
    expectError([&] { daemon.offer(early); }, "exit status 3 before it was ready");
    const Box slow("slow");
    expectError([&] { daemon.offer(slow); }, "not ready in time");
    EXPECT_TRUE(daemon.holds(0));
    EXPECT_TRUE(daemon.comesBackTo(before));
}

TEST_F(Supervisor, LeavesNothingWhenDescriptorsRunOut)
{
    const Daemon daemon(options_, [] {
        const rlimit files{64, 64};
        setrlimit(RLIMIT_NOFILE, &files);
    });
    ASSERT_TRUE(daemon.answers());
    const std::size_t before = daemon.descriptors();
    std::vector<std::unique_ptr<Box>> boxes;
    std::string why;
    while (why.empty() && boxes.size() < 64) {
        boxes.push_back(std::make_unique<Box>("good", 2));
        try {
            daemon.keep(*boxes.back());
        } catch (const sys::Error& error) {
            why = error.what();
        }
    }
    EXPECT_NE(why.find("oo many open files"), why.npos) << why;
    EXPECT_GT(boxes.size(), 4U);
    EXPECT_TRUE(daemon.holds(static_cast<unsigned>(boxes.size()) - 1));
    boxes.clear();
    EXPECT_TRUE(daemon.holds(0));
    EXPECT_TRUE(daemon.comesBackTo(before));
    const Box box("good", 2);
    daemon.keep(box);
}

TEST_F(Supervisor, TwoHundredHooksAtOnce)
{
    constexpr unsigned count = 200;
    const Daemon daemon(options_);
    ASSERT_TRUE(daemon.answers());
    const std::size_t before = daemon.descriptors();
    std::vector<std::unique_ptr<Box>> boxes;
    for (unsigned i = 0; i < count; ++i) {
        boxes.push_back(std::make_unique<Box>("good", 1));
    }
    std::vector<pid_t> hooks;
    for (const auto& box : boxes) {
        hooks.push_back(fork());
        if (hooks.back() == 0) {
            try {
                daemon.keep(*box);
                _exit(0);
            } catch (const std::exception& error) {
                append(pids(), std::string(error.what()) + "\n");
            }
            _exit(1);
        }
    }
    for (const pid_t hook : hooks) {
        int status = -1;
        waitpid(hook, &status, 0);
        EXPECT_EQ(status, 0);
    }
    EXPECT_EQ(contentOf(pids()), "");
    EXPECT_TRUE(daemon.holds(count));
    EXPECT_FALSE(inject::release(boxes[0]->generation(), daemon.socket())) << "it runs";
    for (unsigned i = 0; i < count / 2; ++i) {
        boxes[i]->remove();
        EXPECT_TRUE(inject::release(boxes[i]->generation(), daemon.socket()));
    }
    EXPECT_TRUE(inject::release(boxes[0]->generation(), daemon.socket())) << "it is gone already";
    EXPECT_TRUE(daemon.holds(count / 2));
    boxes.clear();
    EXPECT_TRUE(daemon.holds(0));
    EXPECT_TRUE(daemon.comesBackTo(before));
}

TEST_F(Supervisor, ANewContainerReplacesALeftoverWithItsGeneration)
{
    const Daemon daemon(options_);
    ASSERT_TRUE(daemon.answers());
    const Box old("good:" + pids());
    daemon.keep(old);
    const pid_t tracer = lastTracer();
    const Box box("good:" + pids());
    inject::Offer offer = box.offer();
    offer.generation = old.generation();
    Handover handover(offer, daemon.socket());
    handover.keep();
    EXPECT_TRUE(daemon.holds(1));
    EXPECT_TRUE(within([&] { return isGone(tracer); }));
    EXPECT_FALSE(isGone(lastTracer()));
}

// ---- Clients that are not hooks

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

TEST_F(Supervisor, MoreClientsThanItTakesAreServedInTurn)
{
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
    const inject::Offer offer = box.offer();
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
    changed("too long", 3, [](inject::Request& request) { std::ranges::fill(request.description.containerId, 'x'); });
    changed("bytes after", 3, [](inject::Request& request) { request.description.containerId[200] = 'x'; });
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
        std::ranges::copy(std::string("slow"), request.description.containerId);
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

TEST_F(Supervisor, TurnsAwayWhoIsNotRoot)
{
    const Daemon daemon(options_);
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
            const Handover handover(box.offer(), path, 100ms);
        } catch (const sys::Error& error) {
            why = error.what();
        }
        return why.find("not root") != why.npos;
    })) << why;
    kill(other, SIGKILL);
    waitpid(other, nullptr, 0);
}

// ---- Tracers

TEST_F(Supervisor, ReplacesATracerThatHangs)
{
    const Daemon daemon(options_);
    ASSERT_TRUE(daemon.answers());
    const Box box("deaf:" + pids());
    daemon.keep(box);
    const pid_t deaf = lastTracer();
    EXPECT_TRUE(within([&] { return started() == 2; }));
    EXPECT_TRUE(isGone(deaf));
    // The second one stays: more pings than the first one missed.
    std::this_thread::sleep_for(options_.times.ping * (options_.times.missedPings + 3));
    EXPECT_EQ(started(), 2U);
    EXPECT_TRUE(daemon.holds(1));
    // Stopped is hung, too.
    const pid_t stopped = lastTracer();
    kill(stopped, SIGSTOP);
    EXPECT_TRUE(within([&] { return started() == 3; }));
    EXPECT_TRUE(isGone(stopped));
}

TEST_F(Supervisor, BlamesNoTracerForItsOwnSleep)
{
    const Daemon daemon(options_);
    ASSERT_TRUE(daemon.answers());
    const Box box("good:" + pids());
    daemon.keep(box);
    for (int i = 0; i < 3; ++i) {
        daemon.freeze();
        std::this_thread::sleep_for(options_.times.ping * (options_.times.missedPings + 3));
        kill(daemon.pid(), SIGCONT);
        ASSERT_TRUE(daemon.answers());
    }
    EXPECT_EQ(started(), 1U);
}

TEST_F(Supervisor, ReplacesATracerThatIsKilledOrBabbles)
{
    const Daemon daemon(options_);
    ASSERT_TRUE(daemon.answers());
    const Box box("babble:" + pids());
    daemon.keep(box);
    EXPECT_TRUE(within([&] { return started() == 2; }));
    kill(lastTracer(), SIGKILL);
    EXPECT_TRUE(within([&] { return started() == 3; }));
    EXPECT_TRUE(daemon.holds(1));
}

TEST_F(Supervisor, GoesOnStartingATracerThatKeepsEnding)
{
    const Daemon daemon(options_);
    ASSERT_TRUE(daemon.answers());
    const std::size_t before = daemon.descriptors();
    Box box("crash:" + pids());
    Box other("good:" + directory_.path("other"));
    daemon.keep(other);
    // It may end before or after the hook says `keep`; both are well.
    daemon.keep(box);
    EXPECT_TRUE(within([&] { return started() >= 8; }));
    EXPECT_TRUE(daemon.holds(2));
    box.empty();
    EXPECT_TRUE(daemon.holds(1));
    EXPECT_EQ(contentOf(directory_.path("other")).find('\n'), contentOf(directory_.path("other")).size() - 1);
    box.forgetDescriptors();
    other.remove();
    EXPECT_TRUE(daemon.holds(0));
    EXPECT_TRUE(daemon.comesBackTo(before));
}

TEST_F(Supervisor, ATracerHasItsOwnDescriptorsAlone)
{
    const Daemon daemon(options_);
    ASSERT_TRUE(daemon.answers());
    std::vector<std::unique_ptr<Box>> others;
    for (int i = 0; i < 5; ++i) {
        others.push_back(std::make_unique<Box>("good", 2));
        daemon.keep(*others.back());
    }
    const Box box("list:" + pids(), 2);
    daemon.keep(box);
    ASSERT_TRUE(within([&] { return contentOf(pids()).ends_with("end\n"); }));
    const std::string found = contentOf(pids());
    const auto count = [&](const std::string& what) {
        std::size_t number = 0;
        for (std::size_t at = 0; (at = found.find(what, at)) != found.npos; ++at) {
            ++number;
        }
        return number;
    };
    EXPECT_EQ(count("/dev/null\n"), 2U) << found;
    EXPECT_EQ(count("anon_inode:[landlock-ruleset]\n"), 2U) << found;
    EXPECT_EQ(count("oci-landlock-test."), 1U + (found.find("run.error") != found.npos)) << found;
    EXPECT_EQ(count("socket:["), 1U) << found;
    EXPECT_EQ(count("eventpoll"), 0U) << found;
    EXPECT_EQ(count("signalfd"), 0U) << found;
    EXPECT_EQ(count("memfd"), 0U) << found;
    EXPECT_EQ(count("/run/lock"), 0U) << found;
    // Two of /dev/null, standard error, cgroup, two rulesets, control, the directory that it lists.
    EXPECT_EQ(std::ranges::count(found, '\n'), 9) << found;
}

// ---- The supervisor's own life

TEST_F(Supervisor, AbsentOrHungIsSaidWithAdvice)
{
    const Box box("good");
    const std::string nowhere = directory_.path("run/supervisor.sock");
    expectError([&] { const Handover handover(box.offer(), nowhere); }, "oci-landlock supervise");
    EXPECT_FALSE(inject::askSupervisor(nowhere));
    EXPECT_FALSE(inject::release(1, nowhere));
    Daemon daemon(options_);
    ASSERT_TRUE(daemon.answers());
    daemon.freeze();
    expectError([&] { const Handover handover(box.offer(), daemon.socket(), 1000ms); }, "does not answer within 1 s");
    expectError([&] { inject::askSupervisor(daemon.socket()); }, "systemctl restart oci-landlock-supervisor");
    EXPECT_FALSE(inject::release(1, daemon.socket()));
    kill(daemon.pid(), SIGCONT);
    EXPECT_TRUE(daemon.holds(0));
    daemon.end(SIGKILL);
    // Its socket is there still.
    expectError([&] { const Handover handover(box.offer(), daemon.socket()); }, "no supervisor is running");
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
            Handover(box.offer(), options_.paths.socket, 60s).keep();
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
        const Handover handover = daemon.offer(offered);
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

// ---- systemd

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
        thread_ = std::jthread([this](const std::stop_token& stop) {
            while (!stop.stop_requested()) {
                if (!stalled) {
                    barriers_.clear();
                }
                pollfd waiting{socket_.get(), POLLIN, 0};
                if (poll(&waiting, 1, 20) == 1) {
                    take();
                }
            }
        });
    }

    // In the supervisor's process.
    void prepare() const
    {
        std::vector<int> descriptors;
        std::string names;
        {
            const std::lock_guard guard(mutex_);
            for (const auto& [name, descriptor] : store_) {
                descriptors.push_back(fcntl(descriptor.get(), F_DUPFD, 1000));
                names += (names.empty() ? "" : ":") + name;
            }
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

private:
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
    std::jthread thread_;
};

class SupervisorUnderSystemd : public Supervisor {
protected:
    std::unique_ptr<Daemon> start()
    {
        systemd_.forget();
        return std::make_unique<Daemon>(options_, [this] { systemd_.prepare(); });
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
    const Handover handover = daemon->offer(offered);
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
    Handover handover = daemon->offer(box);
    systemd_.stalled = true;
    // The others go on meanwhile, and in time the hook hears that it failed.
    expectError([&] { handover.keep(); }, "took too long");
    EXPECT_TRUE(daemon->holds(0));
    systemd_.stalled = false;
    EXPECT_TRUE(within([&] { return systemd_.names().empty(); }));
    daemon->keep(box);
    EXPECT_EQ(systemd_.names().size(), 3U);
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
