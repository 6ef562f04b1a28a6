// SPDX-License-Identifier: Apache-2.0
// What differs between processors when a stopped task is to make a system call; machine_<cpu>.cpp implements it.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace applier::injection::machine {

// The general registers of a task, as ptrace(2) gives them; room for the largest set.
struct Registers {
    std::array<std::uint64_t, 34> words{};
};

struct Call {
    std::uint64_t number = 0;
    std::array<std::uint64_t, 6> arguments{};
};

// AUDIT_ARCH_* that a call made with forCall() and callInstruction() is reported with.
extern const std::uint32_t auditArchitecture;

// What must be at the instruction pointer.
std::span<const std::byte> callInstruction();

// `saved`, changed so that the task makes `call` when it executes callInstruction() at its present instruction
// pointer, and so that the kernel takes it for being in no call until then (nothing is restarted).
Registers forCall(const Registers& saved, const Call& call);

// Of a task in a ptrace-stop. On failure they return false and set errno; ENOTSUP: the task runs a kind of program
// that forCall() cannot be used with.
bool readRegisters(pid_t task, Registers& registers);
bool writeRegisters(pid_t task, const Registers& registers);

}  // namespace applier::injection::machine
