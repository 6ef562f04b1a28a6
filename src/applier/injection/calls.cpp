// SPDX-License-Identifier: Apache-2.0
#include "applier/injection/calls.hpp"

#include <sys/syscall.h>

#include <algorithm>
#include <utility>

namespace applier::injection {

void Calls::add(const char* name, long number, std::array<std::uint64_t, 6> arguments, std::int64_t result,
                std::function<void()> then)
{
    calls_.push_back({name, {static_cast<std::uint64_t>(number), arguments}, result, std::move(then)});
}

void Calls::addClose(int fd)
{
    add("close", SYS_close, {static_cast<std::uint64_t>(fd)});
}

void Calls::expectFilters(bool noNewPrivileges)
{
    filters_ = true;
    noNewPrivileges_ = noNewPrivileges;
}

machine::Registers Calls::registersFor(const machine::Registers& saved) const
{
    return machine::forCall(saved, calls_[next_].call);
}

void Calls::entered(const __ptrace_syscall_info& info) const
{
    const Call& call = calls_[next_];
    if (info.arch != machine::auditArchitecture || info.entry.nr != call.call.number ||
        !std::equal(call.call.arguments.begin(), call.call.arguments.end(), info.entry.args)) {
        fail(std::string("the program makes another call than ") + call.name, EPROTO);
    }
}

void Calls::failDenied() const
{
    failDenied(calls_[next_].name);
}

void Calls::failDenied(const char* name)
{
    throw Failure{std::string(name) + " in the program, which its seccomp filter denies; allow it there", EPERM};
}

// None of our calls fails so by itself, but a domain needs no_new_privs or CAP_SYS_ADMIN.
bool Calls::filterDenies(const Call& call, int code) const
{
    const bool mayBeLandlock = call.call.number == SYS_landlock_restrict_self && !noNewPrivileges_;
    return filters_ && (code == ENOSYS || (code == EPERM && !mayBeLandlock));
}

void Calls::returned(const __ptrace_syscall_info& info)
{
    const Call& call = calls_[next_];
    const std::string what = std::string(call.name) + " in the program";
    const bool wanted = call.result != anyResult && info.exit.rval == call.result;
    if (info.exit.is_error != 0 && !wanted) {
        const auto code = static_cast<int>(-info.exit.rval);
        if (filterDenies(call, code)) {
            failDenied();
        }
        restrictionRefused_ = call.call.number == SYS_landlock_restrict_self;
        // Not by way of fail(): the program is there, whatever the call says.
        throw Failure{what, code};
    }
    if (call.result != anyResult && !wanted) {
        if (filters_) {
            failDenied();  // with a signal, which comes next
        }
        fail("unexpected result of " + what, EPROTO);
    }
    // What `then` adds may move the others.
    const std::function<void()> then = std::move(calls_[next_++].then);
    if (then) {
        then();
    }
}

}  // namespace applier::injection
