// SPDX-License-Identifier: Apache-2.0
// The way of an injection. "Call" means: the task makes a system call for us, at its instruction pointer, between a
// syscall-entry-stop, where number and arguments are checked, and a syscall-exit-stop, where the result is.
//
//   exec event    seccomp filters are suspended, all signals blocked; on to the return of execve
//   execve's end  registers, the instructions at the instruction pointer and the top of the stack are saved
//   calls         socketpair, recvmsg: the rulesets are handed over (Handover)
//   calls         prctl(PR_SET_NO_NEW_PRIVS) if a layer asks for it, landlock_restrict_self for each layer
//   calls         close, of everything that was opened
//   end           everything saved is put back, and the task detached
//
// Whatever goes wrong on the way, the task is killed before it can execute an instruction of its own.
#include "applier/injection/injection.hpp"

#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <exception>
#include <utility>

#include "bpf/abi.h"
#include "sys/error.hpp"

namespace applier::injection {

namespace {

// PTRACE_SETOPTIONS replaces all options.
constexpr unsigned long traceOptions = PTRACE_O_EXITKILL | PTRACE_O_TRACEEXEC | PTRACE_O_TRACESYSGOOD;
constexpr const char* noNewPrivilegesCall = "prctl(PR_SET_NO_NEW_PRIVS)";
constexpr int syscallStop = SIGTRAP | 0x80;  // PTRACE_O_TRACESYSGOOD

// At the end, a SIGSTOP that a namespace's init must not see is waited for in a call; a flood of them is not.
constexpr std::size_t maxCalls = 256;

}  // namespace

Injection::Injection(pid_t task, std::vector<InjectedLayer> layers, Options options)
    : task_(task),
      layers_(std::move(layers)),
      options_(std::move(options))
{
}

Injection::~Injection()
{
    if (state_ == State::underWay && at_ != At::execEvent) {
        task_.kill();
    }
}

void Injection::end(State state, std::string error, int code)
{
    state_ = state;
    error_ = std::move(error);
    errorCode_ = code;
}

Injection::State Injection::step(int status)
{
    if (state_ != State::underWay) {
        return state_;
    }
    const bool filterKilled = filtersStay_ && at_ == At::exit && WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
    if ((WIFEXITED(status) || WIFSIGNALED(status)) && !filterKilled) {
        end(State::gone, "the program ended", ESRCH);
        return state_;
    }
    try {
        if (filterKilled) {
            calls_.failDenied();
        }
        state_ = advance(status);
    } catch (const Gone&) {
        task_.kill();
        end(State::gone, "the program ended", ESRCH);
    } catch (const Failure& failure) {
        task_.kill();
        end(State::failed, sys::errnoError(failure.what, failure.code).what(), failure.code);
    } catch (const std::exception& exception) {
        task_.kill();
        end(State::failed, exception.what(), EIO);
    }
    return state_;
}

Injection::State Injection::advance(int status)
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
        task_.resume();
        return State::underWay;
    }
    if (event == 0 && signal == syscallStop) {
        return syscallStopped();
    }
    // The one signal that cannot be blocked.
    if (event == 0 && signal == SIGSTOP) {
        task_.resume(task_.signalToDeliver(signal, namespaceInit_));
        return State::underWay;
    }
    fail("unexpected stop of the program, status " + std::to_string(status), EPROTO);
}

// A SIGSTOP that StoppedTask::signalToDeliver() leaves out: the task must not be detached before it has been seen.
bool Injection::stopPending() const
{
    const StatusFields status = task_.status();
    constexpr std::uint64_t stop = 1ULL << (SIGSTOP - 1);
    return ((status.number("SigPnd", 0, 16) | status.number("ShdPnd", 0, 16)) & stop) != 0;
}

bool Injection::wantsNoNewPrivileges() const
{
    return std::ranges::any_of(layers_, [](const InjectedLayer& layer) {
        return (layer.restrictFlags & OLL_RESTRICT_NO_NEW_PRIVS) != 0;
    });
}

void Injection::begin()
{
    if (layers_.size() > OLL_MAX_LAYERS) {
        fail("restricting the program with more than " + std::to_string(OLL_MAX_LAYERS) + " layers", E2BIG);
    }
    if (layers_.empty()) {
        if (options_.signalMask) {
            task_.setSignalMask(*options_.signalMask);
        }
        task_.detach();
        return;
    }
    task_.hold();
    const StatusFields status = task_.status();
    suspendFilters(status);
    namespaceInit_ = status.isNamespaceInit();
    signalMask_ = options_.signalMask ? *options_.signalMask : task_.signalMask();
    task_.setSignalMask(~0ULL);
    enoughFiles_ = task_.raiseFileLimit(status.number("FDSize", 0), 2 + layers_.size());
    at_ = At::execReturn;
    task_.resume();
}

void Injection::suspendFilters(const StatusFields& status)
{
    if (task_.setOptions(traceOptions | PTRACE_O_SUSPEND_SECCOMP)) {
        return;
    }
    // Absent: the kernel was built without, and without PTRACE_O_SUSPEND_SECCOMP, too.
    const bool filtered = status.number("Seccomp", 0) != 0;
    if (filtered && !(options_.filtersMayStay && errno == EPERM)) {
        fail("suspending the program's seccomp filter");
    }
    if (!task_.setOptions(traceOptions)) {
        fail("setting the options of the trace");
    }
    if (filtered) {
        filtersStay_ = true;
        calls_.expectFilters(status.number("NoNewPrivs", 0) != 0 || wantsNoNewPrivileges());
    }
}

Injection::State Injection::syscallStopped()
{
    const __ptrace_syscall_info info = task_.systemCall();
    const bool entry = at_ == At::entry;
    if (info.op != (entry ? PTRACE_SYSCALL_INFO_ENTRY : PTRACE_SYSCALL_INFO_EXIT)) {
        fail("unexpected system call stop of the program", EPROTO);
    }
    if (entry) {
        calls_.entered(info);
        at_ = At::exit;
        task_.resume();
        return State::underWay;
    }

    if (at_ == At::execReturn) {
        atExecReturn(info);
    } else {
        calls_.returned(info);
    }
    if (calls_.allMade() && calls_.made() < maxCalls && namespaceInit_ && stopPending()) {
        calls_.add("sched_yield", SYS_sched_yield, {});
    }
    if (calls_.allMade()) {
        finish();
        return State::done;
    }
    task_.setRegisters(calls_.registersFor(registers_));
    at_ = At::entry;
    task_.resume();
    return State::underWay;
}

void Injection::atExecReturn(const __ptrace_syscall_info& info)
{
    if (info.exit.rval != 0) {
        fail("unexpected result of execve", EPROTO);
    }
    registers_ = task_.registers();
    instructionAddress_ = info.instruction_pointer & ~(sizeof(Word) - 1);
    const std::span<const std::byte> instruction = machine::callInstruction();
    const std::size_t offset = info.instruction_pointer % sizeof(Word);
    const std::size_t words = (offset + instruction.size() + sizeof(Word) - 1) / sizeof(Word);
    instructions_ = task_.read(instructionAddress_, words * sizeof(Word));
    std::vector<Word> changed = instructions_;
    std::memcpy(reinterpret_cast<std::byte*>(changed.data()) + offset, instruction.data(), instruction.size());

    std::vector<int> rulesets;
    for (const InjectedLayer& layer : layers_) {
        rulesets.push_back(layer.ruleset);
    }
    handover_.start(info.stack_pointer, std::move(rulesets), enoughFiles_,
                    [this](const std::vector<int>& received) { enforce(received); });
    task_.write(instructionAddress_, changed);
}

// `rulesets`: as the task numbers them.
void Injection::enforce(const std::vector<int>& rulesets)
{
    // What one of the layers asks for holds for all of them, in whatever order they come.
    if (wantsNoNewPrivileges()) {
        calls_.add(noNewPrivilegesCall, SYS_prctl, {PR_SET_NO_NEW_PRIVS, 1});
    }
    for (std::size_t i = 0; i < layers_.size(); ++i) {
        // The bit for no_new_privs is not known to the call before Linux 7.3.
        calls_.add("landlock_restrict_self", SYS_landlock_restrict_self,
                   {static_cast<std::uint64_t>(rulesets[i]), layers_[i].restrictFlags & ~OLL_RESTRICT_NO_NEW_PRIVS});
    }
    handover_.addCloses(filtersStay_);
    // A filter can have a call return 0 that was never made. It sees number and arguments, and cannot tell these calls
    // from those above; what has changed is that the descriptors are closed, which only the kernel says.
    for (std::size_t i = 0; filtersStay_ && i < layers_.size(); ++i) {
        calls_.add("landlock_restrict_self", SYS_landlock_restrict_self,
                   {static_cast<std::uint64_t>(rulesets[i]), layers_[i].restrictFlags & ~OLL_RESTRICT_NO_NEW_PRIVS},
                   -EBADF);
    }
}

// Of the rest that a filter can claim.
void Injection::requireDone() const
{
    if (wantsNoNewPrivileges() && task_.status().number("NoNewPrivs", 0) == 0) {
        Calls::failDenied(noNewPrivilegesCall);
    }
}

void Injection::finish() const
{
    if (filtersStay_) {
        requireDone();
    }
    handover_.restore();
    task_.write(instructionAddress_, instructions_);
    task_.restoreFileLimit();
    task_.setRegisters(registers_);
    task_.setSignalMask(signalMask_);
    if (options_.beforeRelease) {
        options_.beforeRelease();
    }
    task_.detach();
}

}  // namespace applier::injection
