// SPDX-License-Identifier: Apache-2.0
#include "applier/inject/look.hpp"

#include <elf.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>

#include "bpf/abi.h"
#include "sys/error.hpp"
#include "sys/fd.hpp"
#include "sys/file.hpp"

namespace applier::inject {

namespace {

constexpr std::size_t pageSize = 4096;  // or a multiple

#if defined(__x86_64__)
constexpr long compatExecve = 11;
constexpr long compatExecveat = 358;
#else
constexpr long compatExecve = 11;
constexpr long compatExecveat = 387;
#endif

std::string readString(pid_t thread, std::uintptr_t address)
{
    std::string text;
    while (text.size() < OLL_PATH_SIZE) {
        char buffer[OLL_PATH_SIZE];
        const std::size_t size = std::min<std::size_t>(OLL_PATH_SIZE - text.size(), pageSize - address % pageSize);
        const iovec local{buffer, size};
        const iovec remote{reinterpret_cast<void*>(address), size};
        const ssize_t n = process_vm_readv(thread, &local, 1, &remote, 1, 0);
        if (n <= 0) {
            return "";
        }
        const std::size_t length = strnlen(buffer, static_cast<std::size_t>(n));
        text.append(buffer, length);
        if (length < static_cast<std::size_t>(n)) {
            return text;
        }
        address += static_cast<std::size_t>(n);
    }
    return "";
}

}  // namespace

std::string nameGiven(pid_t thread)
{
    const std::string path = "/proc/" + std::to_string(thread) + "/syscall";
    const sys::Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file) {
        return "";
    }
    char text[256] = {};
    if (read(file.get(), text, sizeof text - 1) <= 0) {
        return "";
    }
    long number = -1;
    unsigned long first = 0;
    unsigned long second = 0;
    if (std::sscanf(text, "%ld %lx %lx", &number, &first, &second) != 3) {
        return "";
    }
    if (number == SYS_execve || number == compatExecve) {
        return readString(thread, first);
    }
    return number == SYS_execveat || number == compatExecveat ? readString(thread, second) : "";
}

bool isElf(int file)
{
    char magic[SELFMAG];
    return pread(file, magic, sizeof magic, 0) == SELFMAG && std::memcmp(magic, ELFMAG, SELFMAG) == 0;
}

}  // namespace applier::inject
