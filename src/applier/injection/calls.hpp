// SPDX-License-Identifier: Apache-2.0
// The system calls that a stopped task is to make for us, one after the other, and whether it has made these.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <vector>

#include "applier/injection/stopped_task.hpp"

namespace applier::injection {

class Calls {
public:
    static constexpr std::int64_t anyResult = -1;  // but no error

    // `then` is told of the call's end, and may add more. `result`: an error that is to come is -EXYZ.
    void add(const char* name, long number, std::array<std::uint64_t, 6> arguments, std::int64_t result = 0,
             std::function<void()> then = {});
    void addClose(int fd);

    // The task's seccomp filters are in force: what they can deny is laid to them. `noNewPrivileges`: that is set, or
    // will be before a layer is enforced.
    void expectFilters(bool noNewPrivileges);

    bool allMade() const { return next_ == calls_.size(); }
    std::size_t made() const { return next_; }
    // Of the next one:
    machine::Registers registersFor(const machine::Registers& saved) const;
    void entered(const __ptrace_syscall_info& info) const;
    // Throws Failure with the call's own error.
    void returned(const __ptrace_syscall_info& info);
    // A filter did not let it be made.
    [[noreturn]] void failDenied() const;
    [[noreturn]] static void failDenied(const char* name);

    // Whether the call that failed is landlock_restrict_self(2).
    bool restrictionRefused() const { return restrictionRefused_; }

private:
    struct Call {
        const char* name;
        machine::Call call;
        std::int64_t result;
        std::function<void()> then;
    };

    bool filterDenies(const Call& call, int code) const;

    std::vector<Call> calls_;
    std::size_t next_ = 0;
    bool filters_ = false;
    bool noNewPrivileges_ = false;
    bool restrictionRefused_ = false;
};

}  // namespace applier::injection
