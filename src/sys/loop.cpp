// SPDX-License-Identifier: Apache-2.0
#include "sys/loop.hpp"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <utility>

#include "sys/error.hpp"

namespace sys {

Loop::Watch::Watch(Watch&& other) noexcept : loop_(std::exchange(other.loop_, nullptr)), id_(other.id_) {}

Loop::Watch& Loop::Watch::operator=(Watch&& other) noexcept
{
    if (this != &other) {
        reset();
        loop_ = std::exchange(other.loop_, nullptr);
        id_ = other.id_;
    }
    return *this;
}

void Loop::Watch::reset()
{
    if (loop_ != nullptr) {
        std::exchange(loop_, nullptr)->watched_.erase(id_);
    }
}

Loop::Watch Loop::watch(int fd, short events, Callback callback)
{
    if (fd < 0) {
        throw Error("poll: no descriptor");
    }
    // wait() is to need no memory: where there is none, it is watch() that says so.
    const std::size_t needed = watched_.size() + 1;
    if (polled_.capacity() < needed || ids_.capacity() < needed) {
        polled_.reserve(2 * needed);
        ids_.reserve(2 * needed);
    }
    const std::uint64_t id = ++lastId_;
    watched_.emplace(id, Watched{fd, events, std::make_shared<Callback>(std::move(callback))});
    return {*this, id};
}

void Loop::wait(std::chrono::milliseconds timeout)
{
    polled_.clear();
    ids_.clear();
    for (const auto& [id, watched] : watched_) {
        polled_.push_back({watched.fd, watched.events, 0});
        ids_.push_back(id);
    }
    const auto bounded = std::clamp<std::chrono::milliseconds::rep>(timeout.count(), 0, INT_MAX);
    const int count = poll(polled_.data(), polled_.size(), static_cast<int>(bounded));
    if (count < 0 && errno != EINTR) {
        throw errnoError("poll");
    }
    for (std::size_t i = 0; count > 0 && i < polled_.size(); ++i) {
        if (polled_[i].revents == 0) {
            continue;
        }
        const auto found = watched_.find(ids_[i]);
        if (found == watched_.end()) {
            continue;
        }
        const std::shared_ptr<Callback> callback = found->second.callback;  // it may take itself out
        (*callback)(polled_[i].revents);
    }
}

}  // namespace sys
