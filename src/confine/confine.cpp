// SPDX-License-Identifier: Apache-2.0
#include "confine/confine.hpp"

#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <initializer_list>
#include <memory>
#include <set>

#include "landlock/access.hpp"
#include "landlock/ruleset.hpp"
#include "sys/error.hpp"

namespace confine {

namespace {

constexpr rlim_t memoryBytes = 256UL << 20;
constexpr rlim_t serverMemoryBytes = 512UL << 20;
constexpr rlim_t processorSeconds = 10;

void limit(__rlimit_resource resource, rlim_t value)
{
    const rlimit both{value, value};
    if (setrlimit(resource, &both) != 0) {
        throw sys::errnoError("setrlimit");
    }
}

void closeBetween(unsigned first, unsigned last)
{
    if (first <= last && syscall(SYS_close_range, first, last, 0) != 0) {
        throw sys::errnoError("close_range");
    }
}

void closeAllBut(std::initializer_list<int> descriptors)
{
    unsigned next = 0;
    for (const int kept : std::set(descriptors)) {
        if (kept > 0) {
            closeBetween(next, static_cast<unsigned>(kept) - 1);
        }
        next = static_cast<unsigned>(kept) + 1;
    }
    closeBetween(next, ~0U);
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

class Filter {
public:
    template <typename... Arguments>
    void allow(int call, Arguments... arguments)
    {
        if (error_ == 0) {
            error_ = seccomp_rule_add(filter_.get(), SCMP_ACT_ALLOW, call, sizeof...(arguments), arguments...);
        }
    }

    // For good.
    void load()
    {
        allow(SCMP_SYS(exit_group));
        // The allocator.
        allow(SCMP_SYS(brk));
        allow(SCMP_SYS(mmap), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
        allow(SCMP_SYS(mremap));
        allow(SCMP_SYS(munmap));
        allow(SCMP_SYS(madvise));
        allow(SCMP_SYS(futex));
        allow(SCMP_SYS(getrandom));
        if (error_ == 0) {
            error_ = seccomp_load(filter_.get());
        }
        if (error_ != 0) {
            throw sys::errnoError("seccomp filter", -error_);
        }
    }

private:
    std::unique_ptr<void, decltype(&seccomp_release)> filter_{seccomp_init(SCMP_ACT_KILL_PROCESS), seccomp_release};
    int error_ = filter_ ? 0 : -ENOMEM;
};

void giveUpTheRest()
{
    limit(RLIMIT_CORE, 0);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
        throw sys::errnoError("prctl");
    }
    denyFilesAndNetwork();
}

}  // namespace

void confineSelf(int channel)
{
    closeAllBut({channel});
    limit(RLIMIT_AS, memoryBytes);
    limit(RLIMIT_CPU, processorSeconds);
    giveUpTheRest();
    const auto descriptor = static_cast<scmp_datum_t>(channel);
    Filter filter;
    filter.allow(SCMP_SYS(read), SCMP_A0(SCMP_CMP_EQ, descriptor));
    filter.allow(SCMP_SYS(write), SCMP_A0(SCMP_CMP_EQ, descriptor));
    filter.load();
}

void confineServer(int listener, int channel)
{
    closeAllBut({listener, channel});
    limit(RLIMIT_AS, serverMemoryBytes);
    giveUpTheRest();
    Filter filter;
    filter.allow(SCMP_SYS(accept4), SCMP_A0(SCMP_CMP_EQ, static_cast<scmp_datum_t>(listener)));
    filter.allow(SCMP_SYS(recvmsg), SCMP_A0(SCMP_CMP_EQ, static_cast<scmp_datum_t>(channel)));
    // poll(2) is ppoll on aarch64, and fstat(2) newfstatat in some libraries.
    // The time is a call where the machine's clock cannot be read without one, as hpet or Xen's. And by restart_syscall
    // the kernel goes on with a poll(2) that was stopped, or frozen, on its way.
    for (const int call :
         {SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(pread64), SCMP_SYS(recvfrom),
          SCMP_SYS(sendto), SCMP_SYS(shutdown), SCMP_SYS(close), SCMP_SYS(clock_gettime), SCMP_SYS(restart_syscall)}) {
        filter.allow(call);
    }
    filter.load();
}

}  // namespace confine
