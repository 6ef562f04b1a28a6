// SPDX-License-Identifier: Apache-2.0
// Writes to standard output everything that a program can see of itself at its first instruction: registers, stack,
// memory maps, open files, and what /proc says. Needs no C library and no headers, so that it builds for every
// processor that the compiler knows.

namespace {

using Word = unsigned long;

#if defined(__x86_64__)
enum Number : long {
    callRead = 0,
    callWrite = 1,
    callExit = 60,
    callGetdents = 217,
    callOpenat = 257,
    callReadlinkat = 267
};

long call(long number, Word a, Word b = 0, Word c = 0, Word d = 0)
{
    long result;
    register Word fourth __asm__("r10") = d;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(fourth)
                     : "rcx", "r11", "memory");
    return result;
}
#elif defined(__i386__)
enum Number : long {
    callExit = 1,
    callRead = 3,
    callWrite = 4,
    callGetdents = 220,
    callOpenat = 295,
    callReadlinkat = 305
};

long call(long number, Word a, Word b = 0, Word c = 0, Word d = 0)
{
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c), "S"(d) : "memory");
    return result;
}
#elif defined(__aarch64__)
enum Number : long {
    callOpenat = 56,
    callGetdents = 61,
    callRead = 63,
    callWrite = 64,
    callReadlinkat = 78,
    callExit = 93
};

long call(long number, Word a, Word b = 0, Word c = 0, Word d = 0)
{
    register Word x8 __asm__("x8") = static_cast<Word>(number);
    register Word x0 __asm__("x0") = a;
    register Word x1 __asm__("x1") = b;
    register Word x2 __asm__("x2") = c;
    register Word x3 __asm__("x3") = d;
    __asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
    return static_cast<long>(x0);
}
#endif

constexpr long currentDirectory = -100;  // AT_FDCWD
constexpr Word page = 4096;

}  // namespace

extern "C" {
// Filled by _start. The stack is only looked at: the program runs on its own.
Word initialRegisters[40];
alignas(64) unsigned char initialFloatingPoint[512];
alignas(64) unsigned char ownStack[65536];

void _start();
[[noreturn]] void initial();

// No library has them.
void* memset(void* to, int value, Word length)
{
    for (volatile unsigned char* byte = static_cast<unsigned char*>(to); length > 0; --length) {
        *byte++ = static_cast<unsigned char>(value);
    }
    return to;
}
}

#if defined(__x86_64__)
__asm__(R"(
    .globl _start
_start:
    mov %rax, initialRegisters+0(%rip)
    mov %rbx, initialRegisters+8(%rip)
    mov %rcx, initialRegisters+16(%rip)
    mov %rdx, initialRegisters+24(%rip)
    mov %rsi, initialRegisters+32(%rip)
    mov %rdi, initialRegisters+40(%rip)
    mov %rbp, initialRegisters+48(%rip)
    mov %rsp, initialRegisters+56(%rip)
    mov %r8, initialRegisters+64(%rip)
    mov %r9, initialRegisters+72(%rip)
    mov %r10, initialRegisters+80(%rip)
    mov %r11, initialRegisters+88(%rip)
    mov %r12, initialRegisters+96(%rip)
    mov %r13, initialRegisters+104(%rip)
    mov %r14, initialRegisters+112(%rip)
    mov %r15, initialRegisters+120(%rip)
    mov %cs, initialRegisters+128(%rip)
    mov %ss, initialRegisters+136(%rip)
    mov %ds, initialRegisters+144(%rip)
    mov %es, initialRegisters+152(%rip)
    mov %fs, initialRegisters+160(%rip)
    mov %gs, initialRegisters+168(%rip)
    lea ownStack+65536(%rip), %rsp
    pushfq
    popq initialRegisters+176(%rip)
    fxsave64 initialFloatingPoint(%rip)
    call initial
)");
#elif defined(__i386__)
__asm__(R"(
    .globl _start
_start:
    mov %eax, initialRegisters+0
    mov %ebx, initialRegisters+4
    mov %ecx, initialRegisters+8
    mov %edx, initialRegisters+12
    mov %esi, initialRegisters+16
    mov %edi, initialRegisters+20
    mov %ebp, initialRegisters+24
    mov %esp, initialRegisters+28
    mov %cs, initialRegisters+32
    mov %ss, initialRegisters+36
    mov %ds, initialRegisters+40
    mov %es, initialRegisters+44
    mov %fs, initialRegisters+48
    mov %gs, initialRegisters+52
    lea ownStack+65536, %esp
    pushf
    pop initialRegisters+56
    fxsave initialFloatingPoint
    call initial
)");
#elif defined(__aarch64__)
__asm__(R"(
    .globl _start
_start:
    stp x29, x30, [sp, #-16]
    adrp x30, initialRegisters
    add x30, x30, :lo12:initialRegisters
    stp x0, x1, [x30, #0]
    stp x2, x3, [x30, #16]
    stp x4, x5, [x30, #32]
    stp x6, x7, [x30, #48]
    stp x8, x9, [x30, #64]
    stp x10, x11, [x30, #80]
    stp x12, x13, [x30, #96]
    stp x14, x15, [x30, #112]
    stp x16, x17, [x30, #128]
    stp x18, x19, [x30, #144]
    stp x20, x21, [x30, #160]
    stp x22, x23, [x30, #176]
    stp x24, x25, [x30, #192]
    stp x26, x27, [x30, #208]
    mov x1, sp
    ldp x2, x3, [x1, #-16]
    stp x28, x2, [x30, #224]
    stp x3, x1, [x30, #240]
    adrp x1, ownStack
    add x1, x1, :lo12:ownStack
    add sp, x1, #65536
    bl initial
)");
#endif

namespace {

#if defined(__aarch64__)
constexpr unsigned stackRegister = 31;
#else
constexpr unsigned stackRegister = 7;
#endif

Word address(const void* pointer)
{
    return reinterpret_cast<Word>(pointer);
}

void write(const void* data, Word length)
{
    for (Word done = 0; done < length;) {
        const long written = call(callWrite, 1, address(data) + done, length - done);
        if (written <= 0) {
            call(callExit, 2);
        }
        done += static_cast<Word>(written);
    }
}

void text(const char* string)
{
    Word length = 0;
    while (string[length] != '\0') {
        ++length;
    }
    write(string, length);
}

void hex(const void* data, Word length)
{
    char line[129];
    unsigned used = 0;
    for (Word i = 0; i < length; ++i) {
        const unsigned char byte = static_cast<const unsigned char*>(data)[i];
        line[used++] = "0123456789abcdef"[byte >> 4];
        line[used++] = "0123456789abcdef"[byte & 15];
        if (used == 128 || i + 1 == length) {
            line[used++] = '\n';
            write(line, used);
            used = 0;
        }
    }
}

void dumpFile(const char* path)
{
    static char buffer[page];
    text("= ");
    text(path);
    text("\n");
    const long fd = call(callOpenat, static_cast<Word>(currentDirectory), address(path));
    for (;;) {
        const long length = call(callRead, static_cast<Word>(fd), address(buffer), sizeof buffer);
        if (length <= 0) {
            text(length < 0 ? "unreadable\n" : "");
            break;
        }
        write(buffer, static_cast<Word>(length));
    }
}

// Numbers and targets; the directory itself gets the lowest free number, so it is part of what must be equal.
void dumpDescriptors()
{
    static char entries[page];
    static char target[page];
    text("= descriptors\n");
    const long fd = call(callOpenat, static_cast<Word>(currentDirectory), address("/proc/self/fd"), 0200000);
    for (;;) {
        const long length = call(callGetdents, static_cast<Word>(fd), address(entries), sizeof entries);
        if (length <= 0) {
            break;
        }
        for (long at = 0; at < length;) {
            const char* entry = entries + at;
            const char* name = entry + 19;
            const long size =
                call(callReadlinkat, static_cast<Word>(fd), address(name), address(target), sizeof target);
            text(name);
            text(" ");
            write(target, size > 0 ? static_cast<Word>(size) : 0);
            text("\n");
            at += static_cast<unsigned char>(entry[16]) + 256 * static_cast<unsigned char>(entry[17]);
        }
    }
}

// The bytes at AT_RANDOM are other ones each time.
const Word* pastVector(const Word* pointer)
{
    while (*pointer != 0) {
        ++pointer;
    }
    return pointer + 1;
}

void hideRandomBytes(const Word* stack)
{
    const Word* auxiliary = pastVector(pastVector(stack + 1 + *stack));
    for (; auxiliary[0] != 0; auxiliary += 2) {
        if (auxiliary[0] == 25) {
            memset(reinterpret_cast<void*>(auxiliary[1]), 0, 16);
        }
    }
}

// The end of the stack's mapping: the highest string on the stack is the program's name, in its last page.
Word stackEnd(const Word* stack)
{
    const Word* auxiliary = pastVector(pastVector(stack + 1 + *stack));
    for (; auxiliary[0] != 0; auxiliary += 2) {
        if (auxiliary[0] == 31) {
            return (auxiliary[1] + page) & ~(page - 1);
        }
    }
    return address(stack) + page;
}

}  // namespace

extern "C" void initial()
{
    const Word stack = initialRegisters[stackRegister];
    const auto* top = reinterpret_cast<const Word*>(stack);
    hideRandomBytes(top);
    text("= registers\n");
    hex(initialRegisters, sizeof initialRegisters);
    text("= floating point\n");
    hex(initialFloatingPoint, sizeof initialFloatingPoint);
    text("= instructions\n");
    hex(reinterpret_cast<const void*>(&_start), 256);
    text("= stack\n");
    hex(top, stackEnd(top) - stack);
    text("= below the stack\n");
    const Word start = stack & ~(page - 1);
    hex(reinterpret_cast<const void*>(start), stack - start);
    dumpDescriptors();
    dumpFile("/proc/self/maps");
    dumpFile("/proc/self/limits");
    dumpFile("/proc/self/personality");
    dumpFile("/proc/self/status");
    text("= end\n");
    call(callExit, 0);
    __builtin_trap();
}
