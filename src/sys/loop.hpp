// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <poll.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

namespace sys {

// Waits for many descriptors at once, level-triggered. For one thread. By poll(2): what epoll(7) watches is charged to
// the user, and root of many a container is the same one (fs.epoll.max_user_watches).
class Loop {
public:
    // `events` as of poll(2).
    using Callback = std::function<void(short events)>;

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
        Watch(Loop& loop, std::uint64_t id) : loop_(&loop), id_(id) {}
        Loop* loop_ = nullptr;
        std::uint64_t id_ = 0;
    };

    Loop() = default;
    Loop(const Loop&) = delete;
    Loop& operator=(const Loop&) = delete;

    // `fd` is borrowed. Throws sys::Error when it is none, and std::bad_alloc.
    [[nodiscard]] Watch watch(int fd, short events, Callback callback);

    // Runs the callbacks of what is ready, once; waits for `timeout` at most. What a callback takes out of the loop is
    // not called any more, not even when it was ready too. Takes no memory. Throws sys::Error.
    void wait(std::chrono::milliseconds timeout);

private:
    struct Watched {
        int fd = -1;
        short events = 0;
        std::shared_ptr<Callback> callback;
    };
    std::uint64_t lastId_ = 0;  // never used twice, unlike the numbers of descriptors
    std::map<std::uint64_t, Watched> watched_;
    std::vector<pollfd> polled_;  // of the last wait(), with the ids beside
    std::vector<std::uint64_t> ids_;
};

}  // namespace sys
