// SPDX-License-Identifier: Apache-2.0
// What can be tested without a traced task; run-aarch64 runs the same under an emulator.
#include "applier/injection/machine.hpp"

#include <gtest/gtest.h>
#include <linux/audit.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <unistd.h>

#include <cstring>

#include "sys/fd.hpp"

namespace {

using namespace applier::injection::machine;

// The instruction, in memory that can be executed, with a return behind it.
class Code {
public:
    explicit Code(std::initializer_list<unsigned char> returnInstruction)
        : memory_(
              static_cast<std::byte*>(mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)))
    {
        const auto instruction = callInstruction();
        std::memcpy(memory_, instruction.data(), instruction.size());
        std::memcpy(memory_ + instruction.size(), returnInstruction.begin(), returnInstruction.size());
        EXPECT_EQ(mprotect(memory_, size, PROT_READ | PROT_EXEC), 0);
        __builtin___clear_cache(reinterpret_cast<char*>(memory_), reinterpret_cast<char*>(memory_ + size));
    }
    Code(const Code&) = delete;
    Code& operator=(const Code&) = delete;
    ~Code() { munmap(memory_, size); }

    const void* start() const { return memory_; }

private:
    static constexpr std::size_t size = 4096;
    std::byte* memory_;
};

// Executes the instruction with the registers that a call is made with.
#if defined(__x86_64__)
using UserRegisters = user_regs_struct;
constexpr std::uint32_t architecture = AUDIT_ARCH_X86_64;

long execute(const Registers& registers)
{
    const Code code({0xc3});
    UserRegisters user;
    std::memcpy(&user, registers.words.data(), sizeof user);
    long result = 0;
    register auto r10 __asm__("r10") = user.r10;
    register auto r8 __asm__("r8") = user.r8;
    register auto r9 __asm__("r9") = user.r9;
    register const void* r12 __asm__("r12") = code.start();
    // Past the red zone, which the compiler may use.
    __asm__ volatile("sub $128, %%rsp; call *%%r12; add $128, %%rsp"
                     : "=a"(result)
                     : "a"(user.rax), "D"(user.rdi), "S"(user.rsi), "d"(user.rdx), "r"(r10), "r"(r8), "r"(r9), "r"(r12)
                     : "rcx", "r11", "memory", "cc");
    return result;
}
#elif defined(__aarch64__)
using UserRegisters = user_regs_struct;
constexpr std::uint32_t architecture = AUDIT_ARCH_AARCH64;

long execute(const Registers& registers)
{
    const Code code({0xc0, 0x03, 0x5f, 0xd6});
    UserRegisters user;
    std::memcpy(&user, registers.words.data(), sizeof user);
    register auto x0 __asm__("x0") = user.regs[0];
    register auto x1 __asm__("x1") = user.regs[1];
    register auto x2 __asm__("x2") = user.regs[2];
    register auto x3 __asm__("x3") = user.regs[3];
    register auto x4 __asm__("x4") = user.regs[4];
    register auto x5 __asm__("x5") = user.regs[5];
    register auto x8 __asm__("x8") = user.regs[8];
    register const void* x9 __asm__("x9") = code.start();
    __asm__ volatile("blr x9"
                     : "+r"(x0)
                     : "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5), "r"(x8), "r"(x9)
                     : "x30", "memory", "cc");
    return static_cast<long>(x0);
}
#endif

Registers filled()
{
    Registers registers;
    for (std::size_t i = 0; i < registers.words.size(); ++i) {
        registers.words[i] = 0x1111111111111111 * (i % 15 + 1) + i;
    }
    return registers;
}

TEST(Machine, SaysWhatItIs)
{
    EXPECT_EQ(auditArchitecture, architecture);
}

TEST(Machine, CallsWithoutArguments)
{
    EXPECT_EQ(execute(forCall(filled(), {SYS_getpid, {}})), getpid());
    EXPECT_EQ(execute(forCall(filled(), {SYS_close, {~0ULL}})), -EBADF);
}

TEST(Machine, PassesAllArguments)
{
    constexpr std::size_t page = 4096;
    const sys::Fd file(memfd_create("it", MFD_CLOEXEC));
    ASSERT_EQ(ftruncate(file.get(), 3 * page), 0);
    ASSERT_EQ(pwrite(file.get(), "x", 1, 2 * page), 1);
    // Each of the six has its part in it.
    void* const place = mmap(nullptr, 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(place, MAP_FAILED);
    const auto address = reinterpret_cast<std::uint64_t>(place);
    const long result = execute(forCall(filled(), {SYS_mmap,
                                                   {address, page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
                                                    static_cast<std::uint64_t>(file.get()), 2 * page}}));
    ASSERT_EQ(static_cast<std::uint64_t>(result), address);
    auto* const bytes = static_cast<volatile char*>(place);
    EXPECT_EQ(bytes[0], 'x');
    bytes[1] = 'y';
    char both[2] = {};
    EXPECT_EQ(pread(file.get(), both, 2, 2 * page), 2);
    EXPECT_EQ(std::string(both, 2), "xy");
    munmap(place, 2 * page);
}

#if defined(__x86_64__)

TEST(Machine, ChangesWhatItMustOnly)
{
    const Registers before = filled();
    const Registers after = forCall(before, {1, {2, 3, 4, 5, 6, 7}});
    UserRegisters expected, found;
    std::memcpy(&expected, before.words.data(), sizeof expected);
    std::memcpy(&found, after.words.data(), sizeof found);
    expected.rax = 1;
    expected.rdi = 2;
    expected.rsi = 3;
    expected.rdx = 4;
    expected.r10 = 5;
    expected.r8 = 6;
    expected.r9 = 7;
    expected.orig_rax = ~0ULL;
    EXPECT_EQ(std::memcmp(&found, &expected, sizeof found), 0);
}

TEST(Machine, Makes64BitCallsIn32BitPrograms)
{
    Registers before{};
    UserRegisters user{};
    for (const auto& [segment, expected] : {std::pair{0x23ULL, 0x33ULL}, {0x33ULL, 0x33ULL}}) {
        user.cs = segment;
        std::memcpy(before.words.data(), &user, sizeof user);
        const Registers after = forCall(before, {});
        UserRegisters found;
        std::memcpy(&found, after.words.data(), sizeof found);
        EXPECT_EQ(found.cs, expected);
    }
}

#elif defined(__aarch64__)

TEST(Machine, ChangesWhatItMustOnly)
{
    const Registers before = filled();
    const Registers after = forCall(before, {1, {2, 3, 4, 5, 6, 7}});
    UserRegisters expected, found;
    static_assert(sizeof expected == 34 * sizeof(std::uint64_t));
    std::memcpy(&expected, before.words.data(), sizeof expected);
    std::memcpy(&found, after.words.data(), sizeof found);
    for (std::size_t i = 0; i < 6; ++i) {
        expected.regs[i] = i + 2;
    }
    expected.regs[8] = 1;
    EXPECT_EQ(std::memcmp(&found, &expected, sizeof found), 0);
}

#endif

}  // namespace
