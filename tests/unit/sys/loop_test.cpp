// SPDX-License-Identifier: Apache-2.0
#include "sys/loop.hpp"

#include <gtest/gtest.h>
#include <sys/eventfd.h>

#include <array>
#include <memory>

#include "sys/error.hpp"
#include "sys/fd.hpp"

namespace {

using std::chrono::milliseconds;

TEST(Loop, CallsWhatIsReady)
{
    sys::Loop loop;
    const sys::Fd ready(eventfd(1, EFD_CLOEXEC));
    const sys::Fd idle(eventfd(0, EFD_CLOEXEC));
    int calls = 0;
    const auto watch = loop.watch(ready.get(), POLLIN, [&](short events) {
        EXPECT_EQ(events, POLLIN);
        ++calls;
    });
    const auto other = loop.watch(idle.get(), POLLIN, [](short) { ADD_FAILURE(); });
    loop.wait(milliseconds(1000));
    loop.wait(milliseconds(1000));
    EXPECT_EQ(calls, 2);
}

TEST(Loop, WhatWasTakenOutIsNotCalled)
{
    sys::Loop loop;
    std::array<sys::Fd, 2> ready;
    std::array<sys::Loop::Watch, 2> watches;
    int calls = 0;
    for (std::size_t i = 0; i < 2; ++i) {
        ready[i] = sys::Fd(eventfd(1, EFD_CLOEXEC));
        // Each takes both out, itself as well.
        auto token = std::make_shared<int>(0);
        watches[i] = loop.watch(ready[i].get(), POLLIN, [&, token](short) {
            ++calls;
            watches[0].reset();
            watches[1].reset();
            EXPECT_GE(token.use_count(), 1);  // the callback lives until it returns
        });
    }
    loop.wait(milliseconds(1000));
    EXPECT_EQ(calls, 1);
    loop.wait(milliseconds(0));
    EXPECT_EQ(calls, 1);
}

TEST(Loop, ADescriptorOfTheSameNumberIsAnother)
{
    sys::Loop loop;
    sys::Fd first(eventfd(1, EFD_CLOEXEC));
    const int number = first.get();
    sys::Loop::Watch watch = loop.watch(number, POLLIN, [](short) { ADD_FAILURE(); });
    const sys::Fd copy(dup(number));  // keeps the open file
    watch.reset();
    first.reset();
    const sys::Fd second(eventfd(0, EFD_CLOEXEC));
    ASSERT_EQ(second.get(), number);
    watch = loop.watch(number, POLLIN, [](short) { ADD_FAILURE(); });
    loop.wait(milliseconds(0));
}

TEST(Loop, RefusesWhatIsNoDescriptor)
{
    sys::Loop loop;
    EXPECT_THROW(auto watch = loop.watch(-1, POLLIN, {}), sys::Error);
}

}  // namespace
