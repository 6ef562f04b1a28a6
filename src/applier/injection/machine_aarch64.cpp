// SPDX-License-Identifier: Apache-2.0
#include <asm/ptrace.h>
#include <elf.h>
#include <linux/audit.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

#include <cerrno>
#include <cstring>

#include "applier/injection/machine.hpp"

namespace applier::injection::machine {

namespace {

constexpr std::array instruction{std::byte{0x01}, std::byte{0x00}, std::byte{0x00}, std::byte{0xd4}};  // svc #0

constexpr std::size_t numberRegister = 8;

}  // namespace

const std::uint32_t auditArchitecture = AUDIT_ARCH_AARCH64;

std::span<const std::byte> callInstruction()
{
    return instruction;
}

Registers forCall(const Registers& saved, const Call& call)
{
    user_pt_regs user;
    static_assert(sizeof user <= sizeof saved.words);
    std::memcpy(&user, saved.words.data(), sizeof user);
    for (std::size_t i = 0; i < call.arguments.size(); ++i) {
        user.regs[i] = call.arguments[i];
    }
    user.regs[numberRegister] = call.number;
    Registers registers;
    std::memcpy(registers.words.data(), &user, sizeof user);
    return registers;
}

bool readRegisters(pid_t task, Registers& registers)
{
    iovec range{registers.words.data(), sizeof(user_pt_regs)};
    if (ptrace(PTRACE_GETREGSET, task, NT_PRSTATUS, &range) != 0) {
        return false;
    }
    // A 32-bit program has a smaller set.
    if (range.iov_len != sizeof(user_pt_regs)) {
        errno = ENOTSUP;
        return false;
    }
    return true;
}

bool writeRegisters(pid_t task, const Registers& registers)
{
    user_pt_regs user;
    std::memcpy(&user, registers.words.data(), sizeof user);
    iovec range{&user, sizeof user};
    if (ptrace(PTRACE_SETREGSET, task, NT_PRSTATUS, &range) != 0) {
        return false;
    }
    // In no call, as execve leaves it too: there is nothing to restart.
    int none = -1;
    range = {&none, sizeof none};
    return ptrace(PTRACE_SETREGSET, task, NT_ARM_SYSTEM_CALL, &range) == 0;
}

}  // namespace applier::injection::machine
