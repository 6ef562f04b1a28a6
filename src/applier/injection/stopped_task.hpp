// SPDX-License-Identifier: Apache-2.0
// A task in a ptrace-stop, as its tracer sees and changes it. PTRACE_GET_SYSCALL_INFO, Linux 5.3.
#pragma once

#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/types.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "applier/injection/machine.hpp"
#include "sys/fd.hpp"

namespace applier::injection {

using Address = std::uint64_t;
using Word = unsigned long;

// Thrown in this room only: a step that failed, and `code`, its errno.
struct Failure {
    std::string what;
    int code;
};

// Likewise: the task does not exist any more, or is about to end.
struct Gone {};

// ESRCH is Gone.
[[noreturn]] void fail(std::string what, int code = errno);

// /proc/PID/status, and what is written like it.
class StatusFields {
public:
    explicit StatusFields(std::string text) : text_(std::move(text)) {}

    // The number after "\n<name>:\t".
    std::uint64_t number(std::string_view name, std::uint64_t absent, int base = 10) const;
    // The first process of the innermost pid namespace.
    bool isNamespaceInit() const;

private:
    std::string text_;
};

// All of it throws Failure and Gone.
class StoppedTask {
public:
    explicit StoppedTask(pid_t pid) : pid_(pid) {}

    // From here on it is known by a descriptor.
    void hold();
    pid_t pid() const { return pid_; }
    int pidfd() const { return pidfd_.get(); }
    void kill() const;

    StatusFields status() const;
    StatusFields descriptor(int fd) const;  // its fdinfo; without fields when there is none

    // False: with these options as they are, EPERM or EINVAL.
    bool setOptions(unsigned long options) const;
    // On to the next stop at a system call.
    void resume(int signal = 0) const;
    void detach() const;

    __ptrace_syscall_info systemCall() const;
    // 0: none. The init of a pid namespace does not heed a SIGSTOP from inside, but one that came while it is traced
    // would stop it.
    int signalToDeliver(int signal, bool namespaceInit) const;

    machine::Registers registers() const;
    void setRegisters(const machine::Registers& registers) const;
    std::uint64_t signalMask() const;
    void setSignalMask(std::uint64_t mask) const;

    // `bytes` is a number of words. Also what the task may not write.
    std::vector<Word> read(Address address, std::size_t bytes) const;
    void write(Address address, std::span<const Word> words) const;

    // Makes room for `more` descriptors in a table of that size. False when it cannot be had; there may be some free.
    bool raiseFileLimit(std::uint64_t tableSize, std::uint64_t more);
    // Back to what it was, or to what somebody has lowered it to meanwhile.
    void restoreFileLimit() const;

private:
    std::optional<std::string> procFile(const std::string& name) const;

    pid_t pid_;
    sys::Fd pidfd_;
    bool fileLimitRaised_ = false;
    rlimit fileLimit_{};
};

}  // namespace applier::injection
