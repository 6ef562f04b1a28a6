// SPDX-License-Identifier: Apache-2.0
// A ring buffer that BPF programs write, as in the kernel's Documentation/bpf/ringbuf.rst. Read by hand: libbpf's
// reader needs an epoll watch, of which a container whose root is root can leave us none.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

namespace sys {

class Ring {
public:
    // `map` stays the caller's; it is readable when something has come. `size`: the map's, in bytes. Throws Error about
    // `what`.
    Ring(int map, std::size_t size, const std::string& what);

    // Hands over, one by one, what had been written when it was called, up to what is still being written: once that is
    // done the map is readable again. Needs no memory. False: `take` wants no more; that, and what it throws, ends it
    // behind this one.
    bool read(const std::function<bool(const void* data, std::size_t size)>& take);

private:
    struct Unmap {
        std::size_t size = 0;
        void operator()(void* mapping) const;
    };
    using Mapping = std::unique_ptr<void, Unmap>;

    static Mapping map(int map, std::size_t size, int protection, std::size_t offset, const std::string& what);

    std::size_t size_;
    Mapping reader_;   // a page that begins with how far it is read
    Mapping writers_;  // one with how far it is written, and the data twice in a row
};

}  // namespace sys
