// SPDX-License-Identifier: Apache-2.0
// Preloaded into a program: it has no memory left for as long as the file /run/no-memory holds its pid, as a native
// int. A resource limit does not show that: what was freed before is given out again.
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>

extern "C" {

void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* malloc(std::size_t size) noexcept;
void* calloc(std::size_t count, std::size_t size) noexcept;
void* realloc(void* old, std::size_t size) noexcept;
}

namespace {

const volatile int* whose = nullptr;
int self = 0;  // a process that is confined may not ask

void note()
{
    self = getpid();
}

__attribute__((constructor)) void look()
{
    note();
    pthread_atfork(nullptr, nullptr, note);
    const int file = open("/run/no-memory", O_RDONLY | O_CLOEXEC);
    void* const mapped = mmap(nullptr, sizeof *whose, PROT_READ, MAP_SHARED, file, 0);
    if (mapped != MAP_FAILED) {
        whose = static_cast<const volatile int*>(mapped);
    }
    close(file);
}

bool isLeft()
{
    if (whose == nullptr || *whose != self) {
        return true;
    }
    errno = ENOMEM;
    return false;
}

}  // namespace

void* malloc(std::size_t size) noexcept
{
    return isLeft() ? __libc_malloc(size) : nullptr;
}

void* calloc(std::size_t count, std::size_t size) noexcept
{
    return isLeft() ? __libc_calloc(count, size) : nullptr;
}

void* realloc(void* old, std::size_t size) noexcept
{
    return isLeft() ? __libc_realloc(old, size) : nullptr;
}
