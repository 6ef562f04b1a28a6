// SPDX-License-Identifier: Apache-2.0
#include "applier/inject/supervisor.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <deque>
#include <map>
#include <new>
#include <optional>
#include <set>
#include <utility>

#include "applier/inject/description.hpp"
#include "applier/inject/service.hpp"
#include "applier/inject/stored.hpp"
#include "applier/inject/tracer.hpp"
#include "container/process.hpp"
#include "sys/error.hpp"
#include "sys/file.hpp"
#include "sys/log.hpp"
#include "sys/loop.hpp"
#include "version.hpp"

namespace applier::inject {

namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;
using Time = Clock::time_point;

constexpr Time never = Time::max();
constexpr std::size_t maxClients = 1024;  // the others wait in the backlog
constexpr milliseconds lockPatience{1000};

constexpr const char* full = "there are more containers than systemd can keep descriptors of";
constexpr const char* ended = "the container has ended";

// In doubt it is.
bool inUse(const Held& held)
{
    try {
        return container::populated(held.cgroup.get());
    } catch (const sys::Error&) {
        return true;
    }
}

std::string howItEnded(int status)
{
    return WIFSIGNALED(status) ? "was killed by signal " + std::to_string(WTERMSIG(status))
                               : "ended with exit status " + std::to_string(WEXITSTATUS(status));
}

// ---- What it keeps

struct Client {
    enum class Stage {
        fresh,     // said nothing yet
        starting,  // waits for its container's tracer
        offered,   // is to say `keep`
        storing,   // waits for systemd
        done,
    };
    sys::Fd socket;
    sys::Loop::Watch watch;
    Stage stage = Stage::fresh;
    Time deadline = never;
    std::uint64_t generation = 0;  // of its container, 0: none
    sys::Fd barrier;
    sys::Loop::Watch barrierWatch;
};

struct Container {
    enum class Stage {
        starting,  // the tracer has not said that it is ready
        running,
        waiting,  // to start a tracer again
    };
    Held held;
    sys::Fd description;  // sealed
    bool kept = false;
    bool stored = false;
    std::uint64_t client = 0;  // who offered it, until it is kept
    Stage stage = Stage::waiting;
    Time deadline = never;  // starting: then it is killed; waiting: then it is started
    pid_t tracer = 0;       // 0: none
    sys::Fd control;
    sys::Loop::Watch watch;
    bool pinged = false;  // without an answer so far
    unsigned missed = 0;
    std::string trouble;      // why the tracer was killed
    std::deque<Time> starts;  // within the quick period
    bool toldDelay = false;
};

class Supervisor {
public:
    explicit Supervisor(const SupervisorOptions& options);
    Supervisor(const Supervisor&) = delete;
    Supervisor& operator=(const Supervisor&) = delete;

    void run();

private:
    using Containers = std::map<std::uint64_t, Container>;
    using Clients = std::map<std::uint64_t, Client>;

    void takeSignals();
    void lock();
    void listen();
    void restore();
    void restoreOne(std::uint64_t generation, std::map<char, sys::Fd> descriptors);

    void onSignal();
    void watchGate();
    void onCalls();
    void guard(const Held& held);
    void onListener();
    void acceptOne(sys::Fd socket);
    void onClient(std::uint64_t id);
    void onRequest(std::uint64_t id, Client& client, const Request& request, std::vector<sys::Fd> descriptors);
    void offer(std::uint64_t id, Client& client, const Request& request, std::vector<sys::Fd> descriptors);
    void keep(std::uint64_t id, Client& client);
    void stored(std::uint64_t id);
    void release(std::uint64_t id, Client& client, std::uint64_t generation);
    void answer(std::uint64_t id, const Answer& answer);
    void refuse(std::uint64_t id, const std::string& why);
    void endClient(std::uint64_t id);

    void start(Container& container);
    bool startsQuickly(Container& container, Time now) const;
    void startAgain(Container& container, Time now);
    void onControl(std::uint64_t generation);
    void trouble(Container& container, const std::string& what);
    void reap();
    void onEnd(std::uint64_t generation, int status);
    void letGoOfTracer(Container& container);
    void forget(std::uint64_t generation);
    void drop(std::uint64_t generation, const std::string& why);

    void due(Time now);
    void ping(Container& container);
    void wakeAt(Time time) { nextDue_ = std::min(nextDue_, time); }
    void announce();
    void stop();

    const SupervisorOptions& options_;
    Service service_;
    sys::Loop loop_;
    sys::Fd lock_, signals_, listener_, spare_;
    sys::Loop::Watch signalWatch_, listenerWatch_, gateWatch_;
    Containers containers_;
    Clients clients_;
    std::uint64_t lastClient_ = 0;
    std::set<std::uint64_t> restoring_;  // READY=1 waits for their tracers
    bool announced_ = false;
    bool stopping_ = false;
    bool accepting_ = false;
    Time nextDue_ = Time::min();
    Time nextPing_ = Time::min();
    Time nextWatchdog_ = never;
    milliseconds watchdogPeriod_{0};
    std::size_t shown_ = 0;
};

Supervisor::Supervisor(const SupervisorOptions& options) : options_(options)
{
    rlimit files{};
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    // Targets that wait for it keep the processors busy.
    setpriority(PRIO_PROCESS, 0, -10);
    lock();
    takeSignals();
    spare_ = sys::Fd(open("/dev/null", O_RDONLY | O_CLOEXEC));
    if (const auto period = service_.watchdogPeriod()) {
        watchdogPeriod_ = std::chrono::duration_cast<milliseconds>(*period / 3);
        nextWatchdog_ = Clock::now();
    }
    if (options_.gate != nullptr) {
        options_.gate->clear();
        watchGate();
    }
    restore();
    if (options_.gate != nullptr) {
        std::set<std::uint64_t> held;
        for (const auto& [generation, container] : containers_) {
            held.insert(generation);
        }
        options_.gate->forgetAllBut(held);
    }
    listen();
}

// ---- Targets that are held

void Supervisor::watchGate()
{
    gateWatch_.reset();
    gateWatch_ = loop_.watch(options_.gate->descriptor(), POLLIN, [this](short) { onCalls(); });
}

// A call that does not get through is made again.
void Supervisor::onCalls()
{
    for (const Call& call : options_.gate->takeCalls()) {
        const auto found = containers_.find(call.generation);
        if (found != containers_.end() && found->second.stage == Container::Stage::running) {
            const ControlMessage message{controlCall, call.thread};
            ::send(found->second.control.get(), &message, sizeof message, MSG_DONTWAIT | MSG_NOSIGNAL);
        }
    }
}

void Supervisor::guard(const Held& held)
{
    for (const HeldLayer& layer : held.layers) {
        if (options_.gate != nullptr) {
            options_.gate->guard(layer.ruleset.get());
        }
    }
}

void Supervisor::lock()
{
    const SupervisorPaths& paths = options_.paths;
    if (mkdir(paths.directory.c_str(), 0700) != 0 && errno != EEXIST) {
        throw sys::errnoError("make " + paths.directory);
    }
    const sys::Fd directory(open(paths.directory.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!directory) {
        throw sys::errnoError(paths.directory);
    }
    sys::requireTrustedDirectory(directory.get(), paths.directory);
    lock_ = sys::Fd(open(paths.lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!lock_) {
        throw sys::errnoError(paths.lock);
    }
    // A tracer that a killed predecessor had just forked holds it for a moment more.
    const Time patience = Clock::now() + lockPatience;
    while (flock(lock_.get(), LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR) {
            throw sys::errnoError("lock " + paths.lock);
        }
        if (Clock::now() > patience) {
            const std::string pid = sys::readAll(lock_.get(), 64, paths.lock);
            throw sys::Error("another supervisor runs already" +
                             (pid.empty() ? "" : " (pid " + sys::printable(pid.substr(0, pid.find('\n'))) + ")") +
                             "; one is enough for a node");
        }
        usleep(20000);
    }
    if (ftruncate(lock_.get(), 0) != 0 || !sys::writeAll(lock_.get(), std::to_string(getpid()) + "\n")) {
        throw sys::errnoError("write " + paths.lock);
    }
}

void Supervisor::takeSignals()
{
    for (const int ignored : {SIGHUP, SIGPIPE}) {
        signal(ignored, SIG_IGN);
    }
    signal(SIGCHLD, SIG_DFL);  // ignored, children would leave no exit status
    sigset_t wanted;
    sigemptyset(&wanted);
    for (const int number : {SIGTERM, SIGINT, SIGCHLD}) {
        sigaddset(&wanted, number);
    }
    if (sigprocmask(SIG_BLOCK, &wanted, nullptr) != 0) {
        throw sys::errnoError("signals");
    }
    signals_ = sys::Fd(signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!signals_) {
        throw sys::errnoError("signals");
    }
    signalWatch_ = loop_.watch(signals_.get(), POLLIN, [this](short) { onSignal(); });
}

// The lock is ours, so that what is at the socket's place is stale. It is replaced at once: a hook that comes while the
// supervisor starts again sees that there was one, and waits.
void Supervisor::listen()
{
    const std::string& path = options_.paths.socket;
    const std::string fresh = path + ".new";
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (fresh.size() >= sizeof address.sun_path) {
        throw sys::Error(path + ": too long for a socket");
    }
    std::ranges::copy(fresh, address.sun_path);
    listener_ = sys::Fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!listener_ || (unlink(fresh.c_str()) != 0 && errno != ENOENT)) {
        throw sys::errnoError(fresh);
    }
    const mode_t before = umask(0177);
    const bool bound = bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    umask(before);
    if (!bound || ::listen(listener_.get(), SOMAXCONN) != 0 || rename(fresh.c_str(), path.c_str()) != 0) {
        throw sys::errnoError("listen at " + path);
    }
    listenerWatch_ = loop_.watch(listener_.get(), POLLIN, [this](short) { onListener(); });
    accepting_ = true;
}

// ---- What a predecessor left with systemd

void Supervisor::restore()
{
    std::map<std::uint64_t, std::map<char, sys::Fd>> groups;
    std::set<std::uint64_t> broken;
    for (Stored& stored : service_.takeBack()) {
        const auto parsed = parseStoredName(stored.name);
        if (!parsed) {
            sys::tell(LOG_WARNING, "descriptor " + sys::printable(stored.name) + " from systemd is none of ours");
            service_.remove(stored.name);
        } else if (!groups[parsed->first].emplace(parsed->second, std::move(stored.descriptor)).second) {
            broken.insert(parsed->first);
        }
    }
    for (auto& [generation, descriptors] : groups) {
        std::vector<std::string> names;
        for (const auto& [which, descriptor] : descriptors) {
            names.push_back(storedName(generation, which));
        }
        try {
            if (broken.contains(generation)) {
                throw sys::Error("descriptors of the same name");
            }
            restoreOne(generation, std::move(descriptors));
        } catch (const sys::Error& error) {
            sys::tell(LOG_ERR,
                      "container of generation " + std::to_string(generation) +
                          ": cannot be taken back from systemd, its targets are denied from now on: " + error.what());
            std::ranges::for_each(names, [this](const std::string& name) { service_.remove(name); });
        }
    }
}

void Supervisor::restoreOne(std::uint64_t generation, std::map<char, sys::Fd> descriptors)
{
    const auto take = [&](char which) {
        const auto found = descriptors.find(which);
        if (found == descriptors.end()) {
            throw sys::Error("incomplete");
        }
        return std::move(found->second);
    };
    Container container;
    container.description = take(storedDescription);
    const Description description = unseal(container.description.get());
    if (description.generation != generation || descriptors.size() != 2U + description.layerCount) {
        throw sys::Error("descriptors and description do not match");
    }
    std::vector<sys::Fd> ordered;
    ordered.push_back(take(storedCgroup));
    for (std::uint32_t i = 0; i < description.layerCount; ++i) {
        ordered.push_back(take(storedRulesets[i]));
    }
    container.held = hold(description, std::move(ordered));
    container.kept = true;
    container.stored = true;
    guard(container.held);
    Container& there = containers_.emplace(generation, std::move(container)).first->second;
    if (!inUse(there.held)) {
        drop(generation, ended);
        return;
    }
    restoring_.insert(generation);
    startAgain(there, Clock::now());
}

// ---- Clients

void Supervisor::onListener()
{
    while (clients_.size() < maxClients) {
        sys::Fd socket(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
        if (!socket && (errno == EMFILE || errno == ENFILE)) {
            // With the descriptor kept for this, the client hears why; else it would be offered for ever.
            const int error = errno;
            spare_.reset();
            socket = sys::Fd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
            if (socket && peerIsRoot(socket.get())) {
                send(socket.get(), answerWith(Reply::refused, std::strerror(error)));
            }
            socket.reset();
            spare_ = sys::Fd(open("/dev/null", O_RDONLY | O_CLOEXEC));
            return;
        }
        if (!socket) {
            return;
        }
        acceptOne(std::move(socket));
    }
    // Full: whoever comes now waits in the backlog.
    listenerWatch_.reset();
    accepting_ = false;
}

void Supervisor::acceptOne(sys::Fd socket)
{
    if (!peerIsRoot(socket.get())) {
        sys::tell(LOG_WARNING, "a client that is not root was turned away");
        return;
    }
    const std::uint64_t id = ++lastClient_;
    try {
        Client& client = clients_[id];
        client.socket = std::move(socket);
        client.deadline = Clock::now() + options_.times.client;
        wakeAt(client.deadline);
        client.watch = loop_.watch(client.socket.get(), POLLIN | POLLRDHUP, [this, id](short) { onClient(id); });
    } catch (const sys::Error& error) {
        refuse(id, error.what());
    } catch (const std::bad_alloc&) {
        refuse(id, "out of memory");
    }
}

void Supervisor::onClient(std::uint64_t id)
{
    Client& client = clients_.at(id);
    try {
        Request request;
        std::vector<sys::Fd> descriptors;
        switch (receive(client.socket.get(), request, descriptors)) {
            case Received::nothing:
                return;
            case Received::closed:
                if (const auto found = containers_.find(client.generation); found != containers_.end()) {
                    sys::tell(LOG_NOTICE, found->second.held.containerId, "dropped, its hook ended before it was done");
                }
                endClient(id);
                return;
            case Received::message:
                onRequest(id, client, request, std::move(descriptors));
        }
    } catch (const sys::Error& error) {
        refuse(id, error.what());
    } catch (const std::bad_alloc&) {
        refuse(id, "out of memory");
    }
}

void Supervisor::onRequest(std::uint64_t id, Client& client, const Request& request, std::vector<sys::Fd> descriptors)
{
    if (stopping_) {
        throw sys::Error("it is being stopped");
    }
    if (client.stage == Client::Stage::offered && request.word == Word::keep) {
        keep(id, client);
        return;
    }
    if (client.stage != Client::Stage::fresh || request.word == Word::keep) {
        throw sys::Error("message out of order");
    }
    if (request.word == Word::offer) {
        offer(id, client, request, std::move(descriptors));
    } else if (request.word == Word::release) {
        release(id, client, request.generation);
    } else {
        Answer status = answerWith(Reply::status, versionString);
        status.pid = static_cast<std::uint32_t>(getpid());
        status.containers = static_cast<std::uint32_t>(containers_.size());
        client.stage = Client::Stage::done;
        answer(id, status);
    }
}

void Supervisor::offer(std::uint64_t id, Client& client, const Request& request, std::vector<sys::Fd> descriptors)
{
    Container container;
    container.held = hold(request.description, std::move(descriptors));
    container.description = seal(request.description);
    container.client = id;
    if (!service_.hasRoom(storedNames(container.held))) {
        throw sys::Error(full);
    }
    if (options_.gate != nullptr && options_.gate->renew()) {
        watchGate();
    }
    const std::uint64_t generation = container.held.generation;
    if (const auto known = containers_.find(generation); known != containers_.end()) {
        // The node numbers containers anew when it is loaded again: what has this number is a leftover.
        sys::tell(LOG_NOTICE, known->second.held.containerId, "dropped, because a newer container has its generation");
        drop(generation, "a newer container has the same generation");
    }
    Container& there = containers_.emplace(generation, std::move(container)).first->second;
    try {
        guard(there.held);
        start(there);
    } catch (...) {
        forget(generation);
        throw;
    }
    client.generation = generation;
    client.stage = Client::Stage::starting;
    client.deadline = never;  // the tracer's start is bounded
}

void Supervisor::keep(std::uint64_t id, Client& client)
{
    Container& container = containers_.at(client.generation);
    if (!service_.hasRoom(storedNames(container.held))) {
        throw sys::Error(full);
    }
    client.stage = Client::Stage::storing;
    client.deadline = Clock::now() + options_.times.client;
    wakeAt(client.deadline);
    if (!service_.present()) {
        stored(id);
        return;
    }
    container.stored = true;  // from the first one on
    const Held& held = container.held;
    service_.store(storedName(held.generation, storedDescription), container.description.get());
    service_.store(storedName(held.generation, storedCgroup), held.cgroup.get());
    for (std::size_t i = 0; i < held.layers.size(); ++i) {
        service_.store(storedName(held.generation, storedRulesets[i]), held.layers[i].ruleset.get());
    }
    client.barrier = service_.barrier();
    client.barrierWatch = loop_.watch(client.barrier.get(), POLLIN, [this, id](short) { stored(id); });
}

void Supervisor::stored(std::uint64_t id)
{
    Client& client = clients_.at(id);
    Container& container = containers_.at(client.generation);
    container.kept = true;
    container.client = 0;
    client.generation = 0;
    client.stage = Client::Stage::done;
    answer(id, answerWith(Reply::kept));
}

void Supervisor::release(std::uint64_t id, Client& client, std::uint64_t generation)
{
    client.stage = Client::Stage::done;
    const auto found = containers_.find(generation);
    if (found != containers_.end()) {
        if (inUse(found->second.held)) {
            throw sys::Error("a process is in the container's cgroup");
        }
        drop(generation, ended);
    }
    answer(id, answerWith(Reply::released));
}

// The last thing for a client, but for `ready`.
void Supervisor::answer(std::uint64_t id, const Answer& answer)
{
    const auto found = clients_.find(id);
    if (found == clients_.end()) {
        return;
    }
    const bool sent = send(found->second.socket.get(), answer);
    if (!sent || answer.reply != Reply::ready) {
        endClient(id);
    }
}

void Supervisor::refuse(std::uint64_t id, const std::string& why)
{
    if (!clients_.contains(id)) {
        return;
    }
    sys::tell(LOG_WARNING, "refused a client: " + why);
    answer(id, answerWith(Reply::refused, why));
}

void Supervisor::endClient(std::uint64_t id)
{
    const auto found = clients_.find(id);
    if (found == clients_.end()) {
        return;
    }
    const std::uint64_t generation = found->second.generation;
    clients_.erase(found);
    if (generation != 0) {
        drop(generation, "its hook has ended");
    }
    if (!accepting_ && !stopping_) {
        try {
            listenerWatch_ = loop_.watch(listener_.get(), POLLIN, [this](short) { onListener(); });
            accepting_ = true;
        } catch (const std::exception&) {
            // The next client that ends tries again.
        }
    }
}

// ---- Tracers

// Throws sys::Error; the container is as before then.
void Supervisor::start(Container& container)
{
    int ends[2] = {-1, -1};
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
        throw sys::errnoError("start a tracer");
    }
    sys::Fd mine(ends[0]);
    const sys::Fd its(ends[1]);
    // The tracer's own waiting is its affair.
    if (fcntl(its.get(), F_SETFL, 0) != 0) {
        throw sys::errnoError("start a tracer");
    }
    const std::uint64_t generation = container.held.generation;
    sys::Loop::Watch watch = loop_.watch(mine.get(), POLLIN, [this, generation](short) { onControl(generation); });
    const Time now = Clock::now();
    container.starts.push_back(now);
    const pid_t self = getpid();
    const pid_t pid = fork();
    if (pid < 0) {
        throw sys::errnoError("start a tracer");
    }
    if (pid == 0) {
        becomeTracer(options_.trace, container.held, its.get(), self);
    }
    container.tracer = pid;
    container.watch = std::move(watch);
    container.control = std::move(mine);
    container.stage = Container::Stage::starting;
    container.deadline = now + options_.times.tracerStart;
    container.pinged = false;
    container.missed = 0;
    container.trouble.clear();
    wakeAt(container.deadline);
}

bool Supervisor::startsQuickly(Container& container, Time now) const
{
    std::deque<Time>& starts = container.starts;
    while (!starts.empty() && starts.front() + options_.times.quickPeriod <= now) {
        starts.pop_front();
    }
    return starts.size() < options_.times.quickStarts;
}

// At once, or later when that was tried often.
void Supervisor::startAgain(Container& container, Time now)
{
    const bool quick = startsQuickly(container, now);
    container.stage = Container::Stage::waiting;
    const Time earliest = quick ? now : container.starts.back() + options_.times.startDelay;
    if (earliest > now) {
        if (!std::exchange(container.toldDelay, true)) {
            sys::tell(LOG_ERR, container.held.containerId,
                      "its tracer keeps ending; what its profile selects cannot "
                      "be executed meanwhile; trying on without a further message");
        }
        container.deadline = earliest;
        wakeAt(earliest);
        return;
    }
    try {
        start(container);
    } catch (const sys::Error& error) {
        sys::tell(LOG_ERR, container.held.containerId, error.what());
        restoring_.erase(container.held.generation);
        container.deadline = now + options_.times.startDelay;
        wakeAt(container.deadline);
    }
}

void Supervisor::onControl(std::uint64_t generation)
{
    Container& container = containers_.at(generation);
    ControlMessage message;
    const ssize_t size = recv(container.control.get(), &message, sizeof message, MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (size <= 0) {
        container.watch.reset();  // it has ended or is about to: SIGCHLD says how
        return;
    }
    const bool starting = container.stage == Container::Stage::starting;
    const bool whole = size == sizeof message;
    if (whole && message.word == controlReady && starting) {
        container.stage = Container::Stage::running;
        container.deadline = never;
        restoring_.erase(generation);
        const auto client = clients_.find(container.client);
        if (client != clients_.end() && client->second.stage == Client::Stage::starting) {
            client->second.stage = Client::Stage::offered;
            client->second.deadline = Clock::now() + options_.times.client;
            wakeAt(client->second.deadline);
            answer(container.client, answerWith(Reply::ready));
        }
    } else if (whole && message.word == controlPing && container.pinged) {
        container.pinged = false;
        container.missed = 0;
    } else {
        trouble(container, "its tracer says what was not expected");
    }
}

void Supervisor::trouble(Container& container, const std::string& what)
{
    if (container.tracer > 0) {
        kill(container.tracer, SIGKILL);
    }
    container.trouble = what;
    container.watch.reset();
    container.stage = Container::Stage::waiting;  // for its end
    container.deadline = never;
}

void Supervisor::reap()
{
    int status = 0;
    pid_t pid = 0;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        const auto found =
            std::ranges::find_if(containers_, [&](const auto& item) { return item.second.tracer == pid; });
        if (found != containers_.end() && (WIFEXITED(status) || WIFSIGNALED(status))) {
            onEnd(found->first, status);
        }
    }
}

void Supervisor::onEnd(std::uint64_t generation, int status)
{
    Container& container = containers_.at(generation);
    container.tracer = 0;
    letGoOfTracer(container);
    restoring_.erase(generation);
    if (!inUse(container.held)) {
        drop(generation, ended);
        return;
    }
    const std::string how = container.trouble.empty() ? "its tracer " + howItEnded(status) : container.trouble;
    const auto client = clients_.find(container.client);
    if (client != clients_.end() && client->second.stage == Client::Stage::starting) {
        drop(generation,
             "container " + sys::printable(container.held.containerId) + ": " + how + " before it was ready");
        return;
    }
    if (stopping_) {
        return;
    }
    const Time now = Clock::now();
    if (startsQuickly(container, now)) {
        container.toldDelay = false;
    }
    if (!container.toldDelay) {
        sys::tell(LOG_ERR, container.held.containerId, how + "; starting another one");
    }
    startAgain(container, now);
}

void Supervisor::letGoOfTracer(Container& container)
{
    if (container.tracer > 0) {
        kill(container.tracer, SIGKILL);
        container.tracer = 0;
    }
    container.watch.reset();
    container.control.reset();
}

// Nothing is held for it any more, and the gate denies its targets.
void Supervisor::forget(std::uint64_t generation)
{
    const auto found = containers_.find(generation);
    if (found != containers_.end() && options_.gate != nullptr) {
        options_.gate->forget(generation);
        for (const HeldLayer& layer : found->second.held.layers) {
            options_.gate->release(layer.ruleset.get());
        }
    }
    containers_.erase(generation);
}

void Supervisor::drop(std::uint64_t generation, const std::string& why)
{
    const auto found = containers_.find(generation);
    if (found == containers_.end()) {
        return;
    }
    Container& container = found->second;
    letGoOfTracer(container);
    if (container.stored) {
        for (const std::string& name : storedNames(container.held)) {
            service_.remove(name);
        }
    }
    const std::uint64_t client = container.client;
    forget(generation);
    restoring_.erase(generation);
    if (const auto waiting = clients_.find(client); waiting != clients_.end()) {
        waiting->second.generation = 0;
        refuse(client, why);
    }
}

// ---- Time

void Supervisor::ping(Container& container)
{
    if (container.stage != Container::Stage::running) {
        return;
    }
    // Counted, not timed: when this process was stopped itself, the tracer is not to blame.
    if (container.pinged && ++container.missed >= options_.times.missedPings) {
        trouble(container, "its tracer does not answer");
        return;
    }
    // One that cannot be asked any more does not answer either.
    const ControlMessage message{controlPing};
    if (!container.pinged) {
        ::send(container.control.get(), &message, sizeof message, MSG_DONTWAIT | MSG_NOSIGNAL);
        container.pinged = true;
    }
}

void Supervisor::due(Time now)
{
    nextDue_ = never;
    if (now >= nextPing_) {
        nextPing_ = now + options_.times.ping;
        for (auto& [generation, container] : containers_) {
            ping(container);
        }
    }
    wakeAt(nextPing_);
    std::vector<std::uint64_t> late;
    for (const auto& [id, client] : clients_) {
        client.deadline <= now ? late.push_back(id) : wakeAt(client.deadline);
    }
    for (const std::uint64_t id : late) {
        refuse(id, "the client took too long");
    }
    late.clear();
    for (const auto& [generation, container] : containers_) {
        container.deadline <= now ? late.push_back(generation) : wakeAt(container.deadline);
    }
    for (const std::uint64_t generation : late) {
        const auto found = containers_.find(generation);
        if (found == containers_.end()) {
            continue;
        }
        Container& container = found->second;
        if (container.stage == Container::Stage::starting) {
            trouble(container, "its tracer is not ready in time");
        } else if (!inUse(container.held)) {
            drop(generation, ended);
        } else {
            startAgain(container, now);
        }
    }
    if (now >= nextWatchdog_) {
        service_.watchdog();
        nextWatchdog_ = now + watchdogPeriod_;
    }
    wakeAt(nextWatchdog_);
    announce();
}

void Supervisor::announce()
{
    if (!announced_ && restoring_.empty()) {
        announced_ = true;
        service_.ready();
        sys::tell(LOG_INFO, "supervisor ready");
        shown_ = containers_.size() + 1;
    }
    if (announced_ && shown_ != containers_.size()) {
        shown_ = containers_.size();
        service_.status(std::to_string(shown_) + (shown_ == 1 ? " container" : " containers"));
    }
}

// ---- The whole

void Supervisor::onSignal()
{
    std::array<signalfd_siginfo, 16> pending;
    const ssize_t size = read(signals_.get(), pending.data(), sizeof pending);
    bool children = false;
    for (std::size_t i = 0; size > 0 && i < static_cast<std::size_t>(size) / sizeof pending[0]; ++i) {
        children |= pending[i].ssi_signo == SIGCHLD;
        stopping_ |= pending[i].ssi_signo != SIGCHLD;
    }
    if (children) {
        reap();
    }
}

void Supervisor::run()
{
    while (!stopping_) {
        // First what has been said: forking many tracers may take longer than one of them may take to be ready.
        loop_.wait(milliseconds(0));
        const Time now = Clock::now();
        if (now >= nextDue_ || (!announced_ && restoring_.empty())) {
            due(now);
        }
        const auto left = std::chrono::ceil<milliseconds>(nextDue_ - Clock::now());
        loop_.wait(std::max(left, milliseconds(0)));
    }
    stop();
}

// systemd keeps the descriptors of what is kept, if it is a restart.
void Supervisor::stop()
{
    service_.stopping();
    listenerWatch_.reset();
    if (!service_.present()) {
        unlink(options_.paths.socket.c_str());
    }
    while (!clients_.empty()) {
        refuse(clients_.begin()->first, "the supervisor is being stopped");
    }
    for (auto& [generation, container] : containers_) {
        container.watch.reset();
        container.control.reset();
    }
    const Time end = Clock::now() + options_.times.stop;
    const auto runs = [](const auto& item) { return item.second.tracer > 0; };
    while (std::ranges::any_of(containers_, runs) && Clock::now() < end) {
        loop_.wait(std::chrono::ceil<milliseconds>(end - Clock::now()));
    }
    for (auto& [generation, container] : containers_) {
        letGoOfTracer(container);
    }
}

}  // namespace

void supervise(const SupervisorOptions& options)
{
    Supervisor(options).run();
}

}  // namespace applier::inject
