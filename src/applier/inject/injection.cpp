// SPDX-License-Identifier: Apache-2.0
// The way of an injection. "Call" means: the task makes a system call for us, at its instruction pointer, between a
// syscall-entry-stop, where number and arguments are checked, and a syscall-exit-stop, where the result is.
//
//   exec event    seccomp filters are suspended, all signals blocked; on to the return of execve
//   execve's end  registers, the instructions at the instruction pointer and the top of the stack are saved
//   calls         prctl: not dumpable until the end, so that no other process of the container gets at its descriptors.
//                 Who has a ruleset's descriptor can add rules to it, and it serves other programs too.
//   call          socketpair; pidfd_getfd takes one end, and all rulesets are sent from it in one message
//   call          recvmsg; each descriptor that arrived is compared with ours
//   calls         for each layer prctl(PR_SET_NO_NEW_PRIVS) if asked for and not done yet, landlock_restrict_self
//   calls         close, of everything that was opened
//   end           everything saved is put back, and the task detached
//
// Whatever goes wrong on the way, the task is killed before it can execute an instruction of its own.
#include "applier/inject/injection.hpp"

#include <fcntl.h>
#include <linux/kcmp.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstring>
#include <exception>
#include <span>
#include <string_view>
#include <utility>

#include "applier/inject/machine.hpp"
#include "bpf/abi.h"
#include "sys/error.hpp"
#include "sys/fd.hpp"
#include "sys/file.hpp"

namespace applier::inject {

namespace {

using Address = std::uint64_t;
using Word = unsigned long;

// PTRACE_SETOPTIONS replaces all options.
constexpr unsigned long traceOptions = PTRACE_O_EXITKILL | PTRACE_O_TRACEEXEC | PTRACE_O_TRACESYSGOOD;
constexpr int syscallStop = SIGTRAP | 0x80;  // PTRACE_O_TRACESYSGOOD

constexpr std::size_t maxStatusFile = 64UL * 1024;

// What the calls read and write in the task's memory. It lies over the top of the task's stack, where the kernel has
// just put the argument vector: memory that is there and writable whatever the stack limit, and large enough even for
// a 32-bit program without arguments, whose auxiliary vector alone has some 20 pairs.
struct Scratch {
    int pair[2];
    char byte;
    iovec data;
    msghdr message;
    struct {  // a cmsghdr with its data
        std::size_t length;
        int level;
        int type;
        int rulesets[OLL_MAX_LAYERS];
    } control;
};
static_assert(sizeof(Scratch) <= 176);
static_assert(sizeof(Scratch) % sizeof(Word) == 0);
static_assert(offsetof(decltype(Scratch::control), rulesets) == CMSG_LEN(0));

constexpr std::int64_t anyResult = -1;  // but no error

// At the end, a SIGSTOP that a namespace's init must not see is waited for in a call; a flood of them is not.
constexpr std::size_t maxCalls = 256;

struct Failure {
    std::string what;
    int code;
};

// The task does not exist any more, or is about to end.
struct Gone {};

[[noreturn]] void fail(std::string what, int code = errno)
{
    if (code == ESRCH) {
        throw Gone{};
    }
    throw Failure{std::move(what), code};
}

std::size_t controlLength(std::size_t rulesets)
{
    return CMSG_LEN(rulesets * sizeof(int));
}

// The number after "\n<name>:\t".
std::uint64_t statusField(std::string_view status, std::string_view name, std::uint64_t absent, int base = 10)
{
    std::string start = "\n";
    start.append(name).append(":\t");
    const std::size_t at = status.find(start);
    if (at == std::string_view::npos) {
        return absent;
    }
    std::uint64_t value = absent;
    std::from_chars(status.data() + at + start.size(), status.data() + status.size(), value, base);
    return value;
}

std::uint64_t numberInFile(const char* path, std::uint64_t absent)
{
    const sys::Fd file(open(path, O_RDONLY | O_CLOEXEC));
    char text[32];
    const ssize_t length = file ? read(file.get(), text, sizeof text) : -1;
    std::uint64_t value = absent;
    if (length > 0) {
        std::from_chars(text, text + length, value);
    }
    return value;
}

}  // namespace

struct Injection::Steps {
    Steps(pid_t task, std::vector<InjectedLayer> layers, std::function<void()> beforeRelease)
        : task_(task), layers_(std::move(layers)), beforeRelease_(std::move(beforeRelease))
    {
    }
    ~Steps();
    Steps(const Steps&) = delete;
    Steps& operator=(const Steps&) = delete;

    State step(int status);

    const std::string& error() const { return error_; }
    int errorCode() const { return errorCode_; }
    bool refused() const { return refused_; }

private:
    enum class At {
        execEvent,   // its status comes next
        execReturn,  // on the way to execve's syscall-exit-stop
        entry,       // on the way to the syscall-entry-stop of calls_[next_]
        exit,        // likewise, exit
    };

    struct Call {
        const char* name;
        machine::Call call;
        std::int64_t result = 0;
        void (Steps::*then)(std::int64_t result) = nullptr;
    };

    State advance(int status);
    void begin();
    State syscallStopped();
    void atExecReturn(const __ptrace_syscall_info& info);
    void checkEntry(const __ptrace_syscall_info& info) const;
    void checkExit(const __ptrace_syscall_info& info);
    void gotDumpable(std::int64_t dumpable);
    void handOver(std::int64_t);
    void requireNewDescriptor(int fd) const;
    void received(std::int64_t);
    void finish();

    void add(const char* name, long number, std::array<std::uint64_t, 6> arguments, std::int64_t result = 0,
             void (Steps::*then)(std::int64_t) = nullptr);
    void addClose(int fd);
    void prepareNextCall();
    int signalToDeliver(int signal) const;
    bool stopPending() const;
    std::string readStatus() const;

    void raiseFileLimit(std::uint64_t tableSize);
    void restoreFileLimit() const;
    void resume(int request, int signal = 0) const;
    std::vector<Word> read(Address address, std::size_t bytes) const;
    void write(Address address, std::span<const Word> words) const;
    Address at(const void* member) const;
    void readScratch();
    void writeScratch();

    void kill() const;
    void end(State state, std::string error, int code);

    pid_t task_;
    std::vector<InjectedLayer> layers_;
    std::function<void()> beforeRelease_;
    State state_ = State::underWay;
    std::string error_;
    int errorCode_ = 0;
    bool refused_ = false;

    At at_ = At::execEvent;
    std::vector<Call> calls_;
    std::size_t next_ = 0;
    std::vector<int> received_;  // descriptors of the task

    sys::Fd pidfd_;
    bool namespaceInit_ = false;
    bool wasDumpable_ = false;
    bool fileLimitRaised_ = false;
    bool enoughFiles_ = false;

    // Put back at the end.
    std::uint64_t signalMask_ = 0;
    machine::Registers registers_{};
    Address instructionAddress_ = 0;  // of a word
    std::vector<Word> instructions_;
    Address scratchAddress_ = 0;
    std::vector<Word> stack_;
    rlimit fileLimit_{};
    rlimit raisedFileLimit_{};

    Scratch scratch_{};
};

Injection::Steps::~Steps()
{
    if (state_ == State::underWay && pidfd_) {
        kill();
    }
}

// A zombie keeps its pid until the tracer has reaped it, which it cannot have if it has not told us.
void Injection::Steps::kill() const
{
    if (pidfd_) {
        syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0);
    } else {
        ::kill(task_, SIGKILL);
    }
}

void Injection::Steps::end(State state, std::string error, int code)
{
    state_ = state;
    error_ = std::move(error);
    errorCode_ = code;
}

Injection::State Injection::Steps::step(int status)
{
    if (state_ != State::underWay) {
        return state_;
    }
    if (WIFEXITED(status) || WIFSIGNALED(status)) {
        end(State::gone, "the program ended", ESRCH);
        return state_;
    }
    try {
        state_ = advance(status);
    } catch (const Gone&) {
        kill();
        end(State::gone, "the program ended", ESRCH);
    } catch (const Failure& failure) {
        kill();
        end(State::failed, sys::errnoError(failure.what, failure.code).what(), failure.code);
    } catch (const std::exception& exception) {
        kill();
        end(State::failed, exception.what(), EIO);
    }
    return state_;
}

Injection::State Injection::Steps::advance(int status)
{
    if (!WIFSTOPPED(status)) {
        return State::underWay;
    }
    const int signal = WSTOPSIG(status);
    const int event = status >> 16;
    if (at_ == At::execEvent) {
        if (event != PTRACE_EVENT_EXEC) {
            fail("not at an exec event", EINVAL);
        }
        begin();
        return layers_.empty() ? State::done : State::underWay;
    }
    if (event == PTRACE_EVENT_STOP) {
        // An interrupt, a group-stop, or its end. A group-stop stays in force and as its parent sees it, while the task
        // goes on with this; the kernel lets it take part again when it is detached, before it returns to its program.
        // With PTRACE_LISTEN it would be left half done for as long as it is stopped.
        resume(PTRACE_SYSCALL);
        return State::underWay;
    }
    if (event == 0 && signal == syscallStop) {
        return syscallStopped();
    }
    // The one signal that cannot be blocked.
    if (event == 0 && signal == SIGSTOP) {
        resume(PTRACE_SYSCALL, signalToDeliver(signal));
        return State::underWay;
    }
    fail("unexpected stop of the program, status " + std::to_string(status), EPROTO);
}

// The init of a pid namespace does not heed a SIGSTOP from inside, but one that came while it was traced would stop it.
int Injection::Steps::signalToDeliver(int signal) const
{
    siginfo_t info{};
    if (ptrace(PTRACE_GETSIGINFO, task_, nullptr, &info) != 0) {
        fail("reading the signal of the program");
    }
    const bool hasSender = info.si_code == SI_USER || info.si_code == SI_QUEUE || info.si_code == SI_TKILL;
    return namespaceInit_ && hasSender && info.si_pid != 0 ? 0 : signal;
}

// Likewise: then it must not be detached before the signal has been seen.
bool Injection::Steps::stopPending() const
{
    const std::string status = readStatus();
    constexpr std::uint64_t stop = 1ULL << (SIGSTOP - 1);
    return ((statusField(status, "SigPnd", 0, 16) | statusField(status, "ShdPnd", 0, 16)) & stop) != 0;
}

std::string Injection::Steps::readStatus() const
{
    const std::string path = "/proc/" + std::to_string(task_) + "/status";
    const sys::Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file) {
        fail(path, errno == ENOENT ? ESRCH : errno);
    }
    return sys::readAll(file.get(), maxStatusFile, path);
}

void Injection::Steps::begin()
{
    if (layers_.size() > OLL_MAX_LAYERS) {
        fail("restricting the program with more than " + std::to_string(OLL_MAX_LAYERS) + " layers", E2BIG);
    }
    if (layers_.empty()) {
        finish();
        return;
    }

    pidfd_ = sys::Fd(static_cast<int>(syscall(SYS_pidfd_open, task_, 0)));
    if (!pidfd_) {
        fail("opening the program's process");
    }

    const std::string status = readStatus();
    // Absent: the kernel was built without, and without PTRACE_O_SUSPEND_SECCOMP, too.
    const bool filtered = statusField(status, "Seccomp", 0) != 0;
    if (ptrace(PTRACE_SETOPTIONS, task_, nullptr, traceOptions | PTRACE_O_SUSPEND_SECCOMP) != 0) {
        if (filtered) {
            fail("suspending the program's seccomp filter");
        }
        if (ptrace(PTRACE_SETOPTIONS, task_, nullptr, traceOptions) != 0) {
            fail("setting the options of the trace");
        }
    }

    // NSpid: one number for each namespace, the innermost last.
    const std::size_t pids = status.find("\nNSpid:");
    const std::size_t pidsEnd = pids == std::string::npos ? pids : status.find('\n', pids + 1);
    namespaceInit_ = pidsEnd != std::string::npos && status.compare(pidsEnd - 2, 2, "\t1") == 0;

    if (ptrace(PTRACE_GETSIGMASK, task_, sizeof signalMask_, &signalMask_) != 0) {
        fail("reading the program's signal mask");
    }
    const std::uint64_t all = ~0ULL;
    if (ptrace(PTRACE_SETSIGMASK, task_, sizeof all, &all) != 0) {
        fail("blocking the program's signals");
    }
    raiseFileLimit(statusField(status, "FDSize", 0));
    at_ = At::execReturn;
    resume(PTRACE_SYSCALL);
}

// No descriptor is as high as the table is large, so that this much is enough in any case. If it cannot be had, it may
// still turn out that there are some free.
void Injection::Steps::raiseFileLimit(std::uint64_t tableSize)
{
    const std::uint64_t needed =
        std::min<std::uint64_t>(tableSize + 2 + layers_.size(), numberInFile("/proc/sys/fs/nr_open", 1048576));
    bool enough = prlimit(task_, RLIMIT_NOFILE, nullptr, &fileLimit_) == 0;
    if (enough && fileLimit_.rlim_cur < needed) {
        raisedFileLimit_ = {needed, std::max<rlim_t>(needed, fileLimit_.rlim_max)};
        enough = fileLimitRaised_ = prlimit(task_, RLIMIT_NOFILE, &raisedFileLimit_, nullptr) == 0;
    }
    if (!enough && errno == ESRCH) {
        throw Gone{};
    }
    enoughFiles_ = enough;
}

// Somebody may have set another one meanwhile.
void Injection::Steps::restoreFileLimit() const
{
    rlimit now{};
    if (prlimit(task_, RLIMIT_NOFILE, nullptr, &now) != 0) {
        fail("reading the program's limit of open files");
    }
    if (now.rlim_cur == raisedFileLimit_.rlim_cur && now.rlim_max == raisedFileLimit_.rlim_max &&
        prlimit(task_, RLIMIT_NOFILE, &fileLimit_, nullptr) != 0) {
        fail("restoring the program's limit of open files");
    }
}

void Injection::Steps::resume(int request, int signal) const
{
    if (ptrace(static_cast<__ptrace_request>(request), task_, nullptr, static_cast<long>(signal)) != 0) {
        fail("resuming the program");
    }
}

// Word by word: unlike process_vm_writev(2), this writes to instructions.
std::vector<Word> Injection::Steps::read(Address address, std::size_t bytes) const
{
    std::vector<Word> words(bytes / sizeof(Word));
    for (Word& word : words) {
        errno = 0;
        word = static_cast<Word>(ptrace(PTRACE_PEEKDATA, task_, address, nullptr));
        if (errno != 0) {
            fail("reading the program's memory");
        }
        address += sizeof word;
    }
    return words;
}

void Injection::Steps::write(Address address, std::span<const Word> words) const
{
    for (const Word word : words) {
        if (ptrace(PTRACE_POKEDATA, task_, address, word) != 0) {
            fail("writing to the program's memory");
        }
        address += sizeof word;
    }
}

// Where a member of scratch_ is in the task.
Address Injection::Steps::at(const void* member) const
{
    return scratchAddress_ +
           static_cast<Address>(static_cast<const char*>(member) - reinterpret_cast<const char*>(&scratch_));
}

void Injection::Steps::readScratch()
{
    const std::vector<Word> words = read(scratchAddress_, sizeof scratch_);
    std::memcpy(&scratch_, words.data(), sizeof scratch_);
}

void Injection::Steps::writeScratch()
{
    std::array<Word, sizeof(Scratch) / sizeof(Word)> words;
    std::memcpy(words.data(), &scratch_, sizeof scratch_);
    write(scratchAddress_, words);
}

Injection::State Injection::Steps::syscallStopped()
{
    __ptrace_syscall_info info{};
    if (ptrace(static_cast<__ptrace_request>(PTRACE_GET_SYSCALL_INFO), task_, sizeof info, &info) < 0) {
        fail("reading the program's system call");
    }
    const bool entry = at_ == At::entry;
    if (info.op != (entry ? PTRACE_SYSCALL_INFO_ENTRY : PTRACE_SYSCALL_INFO_EXIT)) {
        fail("unexpected system call stop of the program", EPROTO);
    }
    if (entry) {
        checkEntry(info);
        at_ = At::exit;
        resume(PTRACE_SYSCALL);
        return State::underWay;
    }

    if (at_ == At::execReturn) {
        atExecReturn(info);
    } else {
        checkExit(info);
        const auto then = calls_[next_++].then;
        if (then != nullptr) {
            (this->*then)(info.exit.rval);
        }
    }
    if (next_ == calls_.size() && next_ < maxCalls && namespaceInit_ && stopPending()) {
        add("sched_yield", SYS_sched_yield, {});
    }
    if (next_ == calls_.size()) {
        finish();
        return State::done;
    }
    prepareNextCall();
    at_ = At::entry;
    resume(PTRACE_SYSCALL);
    return State::underWay;
}

void Injection::Steps::atExecReturn(const __ptrace_syscall_info& info)
{
    if (info.exit.rval != 0) {
        fail("unexpected result of execve", EPROTO);
    }
    if (!machine::readRegisters(task_, registers_)) {
        fail(errno == ENOTSUP ? "restricting a 32-bit program on this machine" : "reading the program's registers");
    }
    scratchAddress_ = (info.stack_pointer + sizeof(Word) - 1) & ~(sizeof(Word) - 1);
    instructionAddress_ = info.instruction_pointer & ~(sizeof(Word) - 1);
    const std::span<const std::byte> instruction = machine::callInstruction();
    const std::size_t offset = info.instruction_pointer % sizeof(Word);
    const std::size_t words = (offset + instruction.size() + sizeof(Word) - 1) / sizeof(Word);
    instructions_ = read(instructionAddress_, words * sizeof(Word));
    std::vector<Word> changed = instructions_;
    std::memcpy(reinterpret_cast<std::byte*>(changed.data()) + offset, instruction.data(), instruction.size());
    stack_ = read(scratchAddress_, sizeof scratch_);
    write(instructionAddress_, changed);

    add("prctl(PR_GET_DUMPABLE)", SYS_prctl, {PR_GET_DUMPABLE}, anyResult, &Steps::gotDumpable);
}

void Injection::Steps::gotDumpable(std::int64_t dumpable)
{
    wasDumpable_ = dumpable == 1;
    if (wasDumpable_) {
        add("prctl(PR_SET_DUMPABLE)", SYS_prctl, {PR_SET_DUMPABLE, 0});
    }
    add("socketpair", SYS_socketpair, {AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, at(&scratch_.pair)}, 0,
        &Steps::handOver);
}

void Injection::Steps::add(const char* name, long number, std::array<std::uint64_t, 6> arguments, std::int64_t result,
                           void (Steps::*then)(std::int64_t))
{
    calls_.push_back({name, {static_cast<std::uint64_t>(number), arguments}, result, then});
}

void Injection::Steps::addClose(int fd)
{
    add("close", SYS_close, {static_cast<std::uint64_t>(fd)});
}

void Injection::Steps::prepareNextCall()
{
    if (!machine::writeRegisters(task_, machine::forCall(registers_, calls_[next_].call))) {
        fail("setting the program's registers");
    }
}

void Injection::Steps::checkEntry(const __ptrace_syscall_info& info) const
{
    const Call& call = calls_[next_];
    if (info.arch != machine::auditArchitecture || info.entry.nr != call.call.number ||
        !std::equal(call.call.arguments.begin(), call.call.arguments.end(), info.entry.args)) {
        fail(std::string("the program makes another call than ") + call.name, EPROTO);
    }
}

void Injection::Steps::checkExit(const __ptrace_syscall_info& info)
{
    const Call& call = calls_[next_];
    const std::string what = std::string(call.name) + " in the program";
    if (info.exit.is_error != 0) {
        const auto code = static_cast<int>(-info.exit.rval);
        refused_ = call.call.number == SYS_landlock_restrict_self;
        // Not by way of fail(): the program is there, whatever the call says.
        throw Failure{what, code};
    }
    if (call.result != anyResult && info.exit.rval != call.result) {
        fail("unexpected result of " + what, EPROTO);
    }
}

// Another process may have changed the numbers in the task's memory, so that the rulesets would go to a socket of its
// own. What is close-on-exec now was opened after the exec, that is, by our call.
void Injection::Steps::requireNewDescriptor(int fd) const
{
    const std::string path = "/proc/" + std::to_string(task_) + "/fdinfo/" + std::to_string(fd);
    const sys::Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    const std::string info = file ? sys::readAll(file.get(), maxStatusFile, path) : "";
    if ((statusField(info, "flags", 0, 8) & O_CLOEXEC) == 0) {
        fail("the sockets are not those that the program has made", EPROTO);
    }
}

void Injection::Steps::handOver(std::int64_t)
{
    readScratch();
    requireNewDescriptor(scratch_.pair[0]);
    requireNewDescriptor(scratch_.pair[1]);
    const int theirs = scratch_.pair[0];
    const sys::Fd ours(static_cast<int>(syscall(SYS_pidfd_getfd, pidfd_.get(), scratch_.pair[1], 0)));
    if (!ours) {
        fail("taking a socket from the program");
    }

    Scratch send{};
    send.data = {&send.byte, 1};
    send.message.msg_iov = &send.data;
    send.message.msg_iovlen = 1;
    send.message.msg_control = &send.control;
    send.message.msg_controllen = controlLength(layers_.size());
    send.control.length = controlLength(layers_.size());
    send.control.level = SOL_SOCKET;
    send.control.type = SCM_RIGHTS;
    for (std::size_t i = 0; i < layers_.size(); ++i) {
        send.control.rulesets[i] = layers_[i].ruleset;
    }
    if (sendmsg(ours.get(), &send.message, MSG_DONTWAIT | MSG_NOSIGNAL) != 1) {
        fail("sending the rulesets to the program");
    }

    const auto pointer = [&](const void* member) { return reinterpret_cast<void*>(at(member)); };
    scratch_.data = {pointer(&scratch_.byte), 1};
    scratch_.message = {};
    scratch_.message.msg_iov = static_cast<iovec*>(pointer(&scratch_.data));
    scratch_.message.msg_iovlen = 1;
    scratch_.message.msg_control = pointer(&scratch_.control);
    scratch_.message.msg_controllen = controlLength(layers_.size());
    scratch_.control = {};
    writeScratch();
    add("recvmsg", SYS_recvmsg,
        {static_cast<std::uint64_t>(theirs), at(&scratch_.message), MSG_CMSG_CLOEXEC | MSG_DONTWAIT}, 1,
        &Steps::received);
}

void Injection::Steps::received(std::int64_t)
{
    readScratch();
    const msghdr& message = scratch_.message;
    const auto& control = scratch_.control;
    if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 || control.level != SOL_SOCKET ||
        control.type != SCM_RIGHTS || control.length != controlLength(layers_.size())) {
        // The kernel does not say why it leaves descriptors out: too many open files, or a security module.
        fail("passing the rulesets to the program", enoughFiles_ ? EACCES : EMFILE);
    }
    for (std::size_t i = 0; i < layers_.size(); ++i) {
        const int fd = control.rulesets[i];
        const long order = syscall(SYS_kcmp, getpid(), task_, KCMP_FILE, layers_[i].ruleset, fd);
        if (order != 0) {
            fail("comparing the rulesets that the program received", order < 0 ? errno : EPROTO);
        }
        received_.push_back(fd);
    }

    bool noNewPrivileges = false;
    for (std::size_t i = 0; i < layers_.size(); ++i) {
        if ((layers_[i].restrictFlags & OLL_RESTRICT_NO_NEW_PRIVS) != 0 && !noNewPrivileges) {
            add("prctl(PR_SET_NO_NEW_PRIVS)", SYS_prctl, {PR_SET_NO_NEW_PRIVS, 1});
            noNewPrivileges = true;
        }
        // The bit for no_new_privs is not known to the call before Linux 7.3.
        add("landlock_restrict_self", SYS_landlock_restrict_self,
            {static_cast<std::uint64_t>(received_[i]), layers_[i].restrictFlags & ~OLL_RESTRICT_NO_NEW_PRIVS});
    }
    for (const int fd : received_) {
        addClose(fd);
    }
    addClose(scratch_.pair[0]);
    addClose(scratch_.pair[1]);
    if (wasDumpable_) {
        add("prctl(PR_SET_DUMPABLE)", SYS_prctl, {PR_SET_DUMPABLE, 1});
    }
}

void Injection::Steps::finish()
{
    if (!layers_.empty()) {
        write(scratchAddress_, stack_);
        write(instructionAddress_, instructions_);
        if (fileLimitRaised_) {
            restoreFileLimit();
        }
        if (!machine::writeRegisters(task_, registers_)) {
            fail("restoring the program's registers");
        }
        if (ptrace(PTRACE_SETSIGMASK, task_, sizeof signalMask_, &signalMask_) != 0) {
            fail("restoring the program's signal mask");
        }
    }
    if (beforeRelease_) {
        beforeRelease_();
    }
    if (ptrace(PTRACE_DETACH, task_, nullptr, nullptr) != 0) {
        fail("detaching from the program");
    }
}

Injection::Injection(pid_t task, std::vector<InjectedLayer> layers, std::function<void()> beforeRelease)
    : steps_(std::make_unique<Steps>(task, std::move(layers), std::move(beforeRelease)))
{
}

Injection::~Injection() = default;
Injection::Injection(Injection&&) noexcept = default;
Injection& Injection::operator=(Injection&&) noexcept = default;

Injection::State Injection::step(int status)
{
    return steps_->step(status);
}

const std::string& Injection::error() const
{
    return steps_->error();
}

int Injection::errorCode() const
{
    return steps_->errorCode();
}

bool Injection::refused() const
{
    return steps_->refused();
}

}  // namespace applier::inject
