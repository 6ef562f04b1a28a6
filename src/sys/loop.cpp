// SPDX-License-Identifier: Apache-2.0
#include "sys/loop.hpp"

#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <span>
#include <utility>

#include "sys/error.hpp"

namespace sys {

Loop::Watch::Watch(Watch&& other) noexcept : loop_(std::exchange(other.loop_, nullptr)), id_(other.id_), fd_(other.fd_)
{
}

Loop::Watch& Loop::Watch::operator=(Watch&& other) noexcept
{
    if (this != &other) {
        reset();
        loop_ = std::exchange(other.loop_, nullptr);
        id_ = other.id_;
        fd_ = other.fd_;
    }
    return *this;
}

void Loop::Watch::reset()
{
    if (loop_ != nullptr) {
        std::exchange(loop_, nullptr)->remove(id_, fd_);
    }
}

Loop::Loop() : epoll_(epoll_create1(EPOLL_CLOEXEC))
{
    if (!epoll_) {
        throw errnoError("epoll");
    }
}

Loop::Watch Loop::watch(int fd, std::uint32_t events, Callback callback)
{
    const std::uint64_t id = ++lastId_;
    callbacks_.emplace(id, std::make_shared<Callback>(std::move(callback)));
    epoll_event event{};
    event.events = events;
    event.data.u64 = id;
    if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
        const Error error = errnoError("epoll");
        callbacks_.erase(id);
        throw error;
    }
    return {*this, id, fd};
}

void Loop::wait(std::chrono::milliseconds timeout)
{
    std::array<epoll_event, 64> ready;
    const auto bounded = std::clamp<std::chrono::milliseconds::rep>(timeout.count(), 0, INT_MAX);
    const int count = epoll_wait(epoll_.get(), ready.data(), static_cast<int>(ready.size()), static_cast<int>(bounded));
    if (count < 0 && errno != EINTR) {
        throw errnoError("epoll");
    }
    for (const epoll_event& event : std::span(ready).first(static_cast<std::size_t>(std::max(count, 0)))) {
        const auto found = callbacks_.find(event.data.u64);
        if (found == callbacks_.end()) {
            continue;
        }
        const std::shared_ptr<Callback> callback = found->second;  // it may take itself out
        (*callback)(event.events);
    }
}

// Explicitly: closing does not do it while a child still has a copy of the descriptor.
void Loop::remove(std::uint64_t id, int fd)
{
    callbacks_.erase(id);
    epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

}  // namespace sys
