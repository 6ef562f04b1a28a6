// SPDX-License-Identifier: Apache-2.0
#include "sys/directory.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <set>
#include <string>
#include <utility>

#include "sys/error.hpp"
#include "temporary.hpp"

namespace {

TEST(Directory, HasAllNamesButItsOwnAndItsParents)
{
    const support::Temporary temporary;
    temporary.file("one", "");
    temporary.file(".two", "");
    const sys::Fd opened = sys::openDirectory(temporary.path());
    std::multiset<std::string> names;
    for (int i = 0; i < 2; ++i) {
        sys::Directory directory(sys::openAgain(opened.get()), "it");
        while (const dirent* entry = directory.next()) {
            names.insert(entry->d_name);
        }
    }
    EXPECT_EQ(names, (std::multiset<std::string>{".two", ".two", "one", "one"}));
}

TEST(Directory, WhatCannotBeReadIsNotTheEnd)
{
    const support::Temporary temporary;
    sys::Fd opened = sys::openDirectory(temporary.path());
    const int number = opened.get();
    sys::Directory directory(std::move(opened), "it");
    // In its place, as no file system at hand fails while it is read.
    const sys::Fd other(open("/dev/null", O_RDONLY | O_CLOEXEC));
    ASSERT_EQ(dup2(other.get(), number), number);
    EXPECT_THROW(directory.next(), sys::Error);
}

TEST(Directory, MustBeOpen)
{
    EXPECT_THROW(sys::Directory(sys::openDirectory("/nowhere"), "it"), sys::Error);
    EXPECT_THROW(sys::Directory(sys::openDirectory("/dev/null"), "it"), sys::Error);
}

}  // namespace
