// SPDX-License-Identifier: Apache-2.0
// A program without a library, for x86 of 64 and 32 bits: says whether /etc/secret can be read. "entry state" before
// that writes all that it can see of itself, as it was before its first instruction: registers, what is above and below
// the stack pointer, its own and the vdso's code, and then what the kernel tells about it.
namespace {

using Word = unsigned long;

extern "C" {
Word entryRegisters[24];
alignas(16) unsigned char entryFpu[512];
alignas(16) unsigned char entryOwnStack[65536];
extern const char __executable_start[];
extern const char etext[];
}

#ifdef __x86_64__
enum Call : Word {
    callRead = 0,
    callWrite = 1,
    callOpen = 2,
    callClose = 3,
    callPrctl = 158,
    callExit = 231,
    callGetdents = 217,
    callReadlink = 89
};

Word call(Call number, Word a = 0, Word b = 0, Word c = 0)
{
    Word result = number;
    asm volatile("syscall" : "+a"(result) : "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
    return result;
}

// In the order of entryRegisters. The frame that a call would make is not made: nothing is below the stack pointer.
asm(R"(
    .globl _start
_start:
    mov %rax, entryRegisters+0(%rip)
    mov %rbx, entryRegisters+8(%rip)
    mov %rcx, entryRegisters+16(%rip)
    mov %rdx, entryRegisters+24(%rip)
    mov %rsi, entryRegisters+32(%rip)
    mov %rdi, entryRegisters+40(%rip)
    mov %rbp, entryRegisters+48(%rip)
    mov %rsp, entryRegisters+56(%rip)
    mov %r8, entryRegisters+64(%rip)
    mov %r9, entryRegisters+72(%rip)
    mov %r10, entryRegisters+80(%rip)
    mov %r11, entryRegisters+88(%rip)
    mov %r12, entryRegisters+96(%rip)
    mov %r13, entryRegisters+104(%rip)
    mov %r14, entryRegisters+112(%rip)
    mov %r15, entryRegisters+120(%rip)
    lea entryOwnStack+65536(%rip), %rsp
    pushfq
    pop entryRegisters+128(%rip)
    mov %cs, entryRegisters+136(%rip)
    mov %ss, entryRegisters+144(%rip)
    mov %ds, entryRegisters+152(%rip)
    mov %es, entryRegisters+160(%rip)
    mov %fs, entryRegisters+168(%rip)
    mov %gs, entryRegisters+176(%rip)
    fxsave entryFpu(%rip)
    call entryMain
)");
#else
enum Call : Word {
    callRead = 3,
    callWrite = 4,
    callOpen = 5,
    callClose = 6,
    callPrctl = 172,
    callExit = 252,
    callGetdents = 220,
    callReadlink = 85
};

Word call(Call number, Word a = 0, Word b = 0, Word c = 0)
{
    Word result = number;
    asm volatile("int $0x80" : "+a"(result) : "b"(a), "c"(b), "d"(c) : "memory");
    return result;
}

asm(R"(
    .globl _start
_start:
    mov %eax, entryRegisters+0
    mov %ebx, entryRegisters+4
    mov %ecx, entryRegisters+8
    mov %edx, entryRegisters+12
    mov %esi, entryRegisters+16
    mov %edi, entryRegisters+20
    mov %ebp, entryRegisters+24
    mov %esp, entryRegisters+28
    lea entryOwnStack+65536, %esp
    pushf
    popl entryRegisters+32
    mov %cs, entryRegisters+36
    mov %ss, entryRegisters+40
    mov %ds, entryRegisters+44
    mov %es, entryRegisters+48
    mov %fs, entryRegisters+52
    mov %gs, entryRegisters+56
    fxsave entryFpu
    call entryMain
)");
#endif

Word lengthOf(const char* text)
{
    Word length = 0;
    while (text[length] != '\0') {
        ++length;
    }
    return length;
}

void print(const char* text)
{
    call(callWrite, 1, Word(text), lengthOf(text));
}

void printHex(const char* name, const void* memory, Word size)
{
    static const char digits[] = "0123456789abcdef";
    static char line[160];
    const auto* bytes = static_cast<const unsigned char*>(memory);
    for (Word at = 0; at < size; at += 32) {
        Word length = 0;
        for (Word i = at; i < at + 32 && i < size; ++i) {
            line[length++] = digits[bytes[i] >> 4];
            line[length++] = digits[bytes[i] & 15];
        }
        line[length++] = '\n';
        print(name);
        print(" ");
        call(callWrite, 1, Word(line), length);
    }
}

// FNV-1a.
void printSum(const char* name, const char* begin, const char* end)
{
    unsigned long long sum = 0xcbf29ce484222325;
    for (; begin != end; ++begin) {
        sum = (sum ^ static_cast<unsigned char>(*begin)) * 0x100000001b3;
    }
    printHex(name, &sum, sizeof sum);
}

void printFile(const char* path)
{
    static char buffer[4096];
    print(path);
    print("\n");
    const Word fd = call(callOpen, Word(path), 0);
    Word length = 0;
    while (static_cast<long>(length = call(callRead, fd, Word(buffer), sizeof buffer)) > 0) {
        call(callWrite, 1, Word(buffer), length);
    }
    call(callClose, fd);
}

void printDescriptors()
{
    static char buffer[4096];
    static char target[256];
    static char path[64] = "/proc/self/fd/";
    const Word fd = call(callOpen, Word(path), 0x10000 /* O_DIRECTORY */);
    const auto length = static_cast<long>(call(callGetdents, fd, Word(buffer), sizeof buffer));
    for (long at = 0; at < length; at += *reinterpret_cast<unsigned short*>(buffer + at + 16)) {
        const char* name = buffer + at + 19;
        constexpr Word end = 14;
        for (Word i = 0; i <= lengthOf(name); ++i) {
            path[end + i] = name[i];
        }
        const Word got = call(callReadlink, Word(path), Word(target), sizeof target - 1);
        target[static_cast<long>(got) > 0 ? got : 0] = '\0';
        print("descriptor ");
        print(name);
        print(" ");
        print(target);
        print("\n");
        path[end] = '\0';
    }
    call(callClose, fd);
}

void printState(Word* stack)
{
    Word* word = stack + 1 + stack[0] + 1;  // argc, argv, its end
    while (*word != 0) {
        ++word;
    }
    const char* lastName = nullptr;
    const char* vdso = nullptr;
    unsigned char* random = nullptr;
    for (++word; *word != 0; word += 2) {
        lastName = word[0] == 31 ? reinterpret_cast<const char*>(word[1]) : lastName;
        vdso = word[0] == 33 ? reinterpret_cast<const char*>(word[1]) : vdso;
        random = word[0] == 25 ? reinterpret_cast<unsigned char*>(word[1]) : random;
    }
    for (int i = 0; random != nullptr && i < 16; ++i) {
        random[i] = 0;  // different in each process
    }
    printHex("register", entryRegisters, sizeof entryRegisters);
    printHex("fpu", entryFpu, sizeof entryFpu);
    printHex("below", reinterpret_cast<const char*>(stack) - 8192, 8192);
    printHex("stack", stack, Word(lastName) + lengthOf(lastName) + 1 - Word(stack));
    printSum("code", __executable_start, etext);
    printSum("vdso", vdso, vdso + 4096);
    printFile("/proc/self/maps");
    printFile("/proc/self/limits");
    printFile("/proc/self/status");
    printFile("/proc/self/stat");
    printFile("/proc/self/timers");
    printDescriptors();
}

}  // namespace

extern "C" [[noreturn]] [[gnu::used]] void entryMain()
{
    auto* stack = reinterpret_cast<Word*>(entryRegisters[7]);
    const char* word = stack[0] > 1 ? reinterpret_cast<const char*>(stack[2]) : "";
    if (word[0] == 's' && word[1] == 't' && word[2] == 'a' && word[3] == 't' && word[4] == 'e' && word[5] == '\0') {
        printState(stack);
    }
    const Word fd = call(callOpen, Word("/etc/secret"), 0);
    print(static_cast<long>(fd) >= 0     ? "read /etc/secret: allowed\n"
          : static_cast<long>(fd) == -13 ? "read /etc/secret: Permission denied\n"
                                         : "read /etc/secret: another error\n");
    for (;;) {
        call(callExit, 0);
    }
}
