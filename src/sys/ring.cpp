// SPDX-License-Identifier: Apache-2.0
#include "sys/ring.hpp"

#include <linux/bpf.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>

#include "sys/error.hpp"

namespace sys {

namespace {

std::size_t pageSize()
{
    return static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

// Gives the room back, whatever becomes of what is in it.
class Consumed {
public:
    Consumed(unsigned long& position, unsigned long now) : position_(position), now_(now) {}
    ~Consumed() { std::atomic_ref(position_).store(now_, std::memory_order_release); }
    Consumed(const Consumed&) = delete;
    Consumed& operator=(const Consumed&) = delete;

private:
    unsigned long& position_;
    unsigned long now_;
};

}  // namespace

void Ring::Unmap::operator()(void* mapping) const
{
    munmap(mapping, size);
}

Ring::Mapping Ring::map(int map, std::size_t size, int protection, std::size_t offset, const std::string& what)
{
    void* const mapping = mmap(nullptr, size, protection, MAP_SHARED, map, static_cast<off_t>(offset));
    if (mapping == MAP_FAILED) {
        throw errnoError(what);
    }
    return Mapping(mapping, Unmap{size});
}

Ring::Ring(int map, std::size_t size, const std::string& what)
    : size_(size),
      reader_(Ring::map(map, pageSize(), PROT_READ | PROT_WRITE, 0, what)),
      writers_(Ring::map(map, pageSize() + 2 * size, PROT_READ, pageSize(), what))
{
}

bool Ring::read(const std::function<bool(const void* data, std::size_t size)>& take)
{
    auto& consumed = *static_cast<unsigned long*>(reader_.get());
    auto& produced = *static_cast<unsigned long*>(writers_.get());
    char* const data = static_cast<char*>(writers_.get()) + pageSize();
    const unsigned long end = std::atomic_ref(produced).load(std::memory_order_acquire);
    unsigned long position = consumed;
    while (position < end) {
        char* const record = data + (position & (size_ - 1));
        const std::uint32_t header =
            std::atomic_ref(*reinterpret_cast<std::uint32_t*>(record)).load(std::memory_order_acquire);
        if ((header & BPF_RINGBUF_BUSY_BIT) != 0) {
            break;
        }
        const std::uint32_t size = header & ~BPF_RINGBUF_DISCARD_BIT;
        position += (size + BPF_RINGBUF_HDR_SZ + 7UL) & ~7UL;
        const Consumed done(consumed, position);
        if ((header & BPF_RINGBUF_DISCARD_BIT) == 0 && !take(record + BPF_RINGBUF_HDR_SZ, size)) {
            return false;
        }
    }
    return true;
}

}  // namespace sys
