// SPDX-License-Identifier: Apache-2.0
// The supervisor's one loop, and until when it may wait.
#pragma once

#include <algorithm>
#include <chrono>

#include "sys/loop.hpp"

namespace applier::inject {

using Clock = std::chrono::steady_clock;
using Time = Clock::time_point;

inline constexpr Time never = Time::max();

struct Schedule {
    sys::Loop loop;
    Time next = Time::min();  // when somebody has a deadline
    bool stopping = false;

    void wakeAt(Time time) { next = std::min(next, time); }
};

}  // namespace applier::inject
