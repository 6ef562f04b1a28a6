// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>

#include "sys/fd.hpp"

namespace sys {

// Waits for many descriptors at once (epoll, level-triggered). For one thread.
class Loop {
public:
    // `events` as of epoll_wait(2).
    using Callback = std::function<void(std::uint32_t events)>;

    // Keeps a descriptor in the loop. To be destroyed before the descriptor is closed and before the loop; may be
    // destroyed by its own callback.
    class Watch {
    public:
        Watch() = default;
        Watch(Watch&& other) noexcept;
        Watch& operator=(Watch&& other) noexcept;
        Watch(const Watch&) = delete;
        Watch& operator=(const Watch&) = delete;
        ~Watch() { reset(); }
        void reset();

    private:
        friend class Loop;
        Watch(Loop& loop, std::uint64_t id, int fd) : loop_(&loop), id_(id), fd_(fd) {}
        Loop* loop_ = nullptr;
        std::uint64_t id_ = 0;
        int fd_ = -1;
    };

    // Throws sys::Error.
    Loop();

    // `fd` is borrowed. Throws sys::Error, and std::bad_alloc.
    [[nodiscard]] Watch watch(int fd, std::uint32_t events, Callback callback);

    // Runs the callbacks of what is ready, once; waits for `timeout` at most. What a callback takes out of the loop is
    // not called any more, not even when it was ready too. Throws sys::Error.
    void wait(std::chrono::milliseconds timeout);

    int fd() const { return epoll_.get(); }

private:
    void remove(std::uint64_t id, int fd);

    sys::Fd epoll_;
    std::uint64_t lastId_ = 0;  // never used twice, unlike the numbers of descriptors
    std::map<std::uint64_t, std::shared_ptr<Callback>> callbacks_;
};

}  // namespace sys
