// SPDX-License-Identifier: Apache-2.0
#include "confine/confine.hpp"

#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "landlock/access.hpp"
#include "landlock/ruleset.hpp"
#include "sys/error.hpp"

namespace confine {

namespace {

constexpr rlim_t memoryBytes = 256UL << 20;
constexpr rlim_t processorSeconds = 10;

void limit(__rlimit_resource resource, rlim_t value)
{
    const rlimit both{value, value};
    if (setrlimit(resource, &both) != 0) {
        throw sys::errnoError("setrlimit");
    }
}

void closeAllBut(int channel)
{
    const auto kept = static_cast<unsigned>(channel);
    const bool below = kept == 0 || syscall(SYS_close_range, 0U, kept - 1, 0) == 0;
    if (!below || syscall(SYS_close_range, kept + 1, ~0U, 0) != 0) {
        throw sys::errnoError("close_range");
    }
}

void denyFilesAndNetwork()
{
    const unsigned abi = landlock::kernelAbi();
    if (abi == 0) {
        return;
    }
    const landlock::Ruleset nothing({landlock::groupRights(landlock::Group::all, landlock::Kind::fs, abi),
                                     landlock::groupRights(landlock::Group::all, landlock::Kind::net, abi),
                                     landlock::groupRights(landlock::Group::all, landlock::Kind::scope, abi)});
    landlock::restrictSelf(nothing.fd());
}

void filterSystemCalls(int channel)
{
    const std::unique_ptr<void, decltype(&seccomp_release)> filter(seccomp_init(SCMP_ACT_KILL_PROCESS),
                                                                   seccomp_release);
    int error = filter ? 0 : -ENOMEM;
    const auto allow = [&](int call, auto... arguments) {
        if (error == 0) {
            error = seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, call, sizeof...(arguments), arguments...);
        }
    };
    const auto descriptor = static_cast<scmp_datum_t>(channel);
    allow(SCMP_SYS(read), SCMP_A0(SCMP_CMP_EQ, descriptor));
    allow(SCMP_SYS(write), SCMP_A0(SCMP_CMP_EQ, descriptor));
    allow(SCMP_SYS(exit_group));
    // The allocator.
    allow(SCMP_SYS(brk));
    allow(SCMP_SYS(mmap), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    allow(SCMP_SYS(mremap));
    allow(SCMP_SYS(munmap));
    allow(SCMP_SYS(madvise));
    allow(SCMP_SYS(futex));
    allow(SCMP_SYS(getrandom));
    if (error == 0) {
        error = seccomp_load(filter.get());
    }
    if (error != 0) {
        throw sys::errnoError("seccomp filter", -error);
    }
}

}  // namespace

void confineSelf(int channel)
{
    closeAllBut(channel);
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_AS, memoryBytes);
    limit(RLIMIT_CPU, processorSeconds);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
        throw sys::errnoError("prctl");
    }
    denyFilesAndNetwork();
    filterSystemCalls(channel);
}

}  // namespace confine
