// SPDX-License-Identifier: Apache-2.0
#include <linux/audit.h>
#include <sys/ptrace.h>
#include <sys/user.h>

#include <cstring>

#include "applier/injection/machine.hpp"

namespace applier::injection::machine {

namespace {

constexpr std::array instruction{std::byte{0x0f}, std::byte{0x05}};  // syscall

constexpr unsigned long long codeSegment32 = 0x23;
constexpr unsigned long long codeSegment64 = 0x33;

}  // namespace

const std::uint32_t auditArchitecture = AUDIT_ARCH_X86_64;

std::span<const std::byte> callInstruction()
{
    return instruction;
}

Registers forCall(const Registers& saved, const Call& call)
{
    user_regs_struct user;
    static_assert(sizeof user <= sizeof saved.words);
    std::memcpy(&user, saved.words.data(), sizeof user);
    user.rax = call.number;
    user.orig_rax = ~0ULL;
    user.rdi = call.arguments[0];
    user.rsi = call.arguments[1];
    user.rdx = call.arguments[2];
    user.r10 = call.arguments[3];
    user.r8 = call.arguments[4];
    user.r9 = call.arguments[5];
    // A 32-bit program makes 64-bit calls like any other, so that there is one set of numbers and layouts.
    if (user.cs == codeSegment32) {
        user.cs = codeSegment64;
    }
    Registers registers;
    std::memcpy(registers.words.data(), &user, sizeof user);
    return registers;
}

// The layout is the 64-bit one also for 32-bit programs, other than with PTRACE_GETREGSET.
bool readRegisters(pid_t task, Registers& registers)
{
    return ptrace(PTRACE_GETREGS, task, nullptr, registers.words.data()) == 0;
}

bool writeRegisters(pid_t task, const Registers& registers)
{
    return ptrace(PTRACE_SETREGS, task, nullptr, registers.words.data()) == 0;
}

}  // namespace applier::injection::machine
