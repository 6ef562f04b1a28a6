// SPDX-License-Identifier: Apache-2.0
#include "cli/doctor.hpp"

#include <gtest/gtest.h>

#include "../engine/support.hpp"

namespace {

using support::remedies;
using support::wrong;

TEST(Doctor, WhatTheNextBootIsTold)
{
    const support::Node node;
    const std::optional<std::string> launch = "because";
    const auto look = [&](const std::optional<std::string>& how = std::nullopt) {
        return cli::bootFindings(node.files(), how);
    };
    EXPECT_EQ(wrong(look()), "");
    node.file("etc/default/grub", "GRUB_CMDLINE_LINUX=\"quiet lsm=landlock,yama,bpf audit=1\"\n");
    EXPECT_EQ(wrong(look()), "");
    node.file(
        "etc/default/grub",
        "# lsm=none\nGRUB_CMDLINE_LINUX=\"quiet lsm=yama,apparmor,bpf\"\nGRUB_CMDLINE_LINUX_DEFAULT=lsm=landlock\n");
    EXPECT_EQ(wrong(look()), "problem kernel.boot, problem kernel.boot");
    EXPECT_EQ(remedies(look()),
              "lsm=landlock,yama,apparmor,bpf in /etc/default/grub\n"
              "lsm=landlock,bpf in /etc/default/grub\n");
    EXPECT_EQ(wrong(look(launch)), "problem kernel.boot, note kernel.boot");
    node.remove("etc/default/grub");
    node.file("etc/default/grub.d/lsm.cfg", "GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX lsm=\"");
    EXPECT_EQ(remedies(look()), "lsm=landlock,bpf in /etc/default/grub.d/lsm.cfg\n");
    node.remove("etc/default/grub.d");
    node.file("etc/kernel/cmdline", "evlsm=none nolsm= root=/dev/sda");
    EXPECT_EQ(wrong(look()), "");
    node.file("etc/kernel/cmdline", "root=/dev/sda lsm=a\x1b[2J");
    EXPECT_EQ(wrong(look()), "problem kernel.boot");
    node.file("etc/kernel/cmdline", std::string(2'000'000, 'x'));
    EXPECT_EQ(wrong(look()), "note kernel.boot");
}

TEST(Doctor, AdviceOfAnErrorIsTheRemedy)
{
    const auto found = sys::findingOf("a", std::make_exception_ptr(sys::Error("x; y; do z")), "w");
    EXPECT_EQ(found.message + "|" + found.remedy, "x; y|do z");
    EXPECT_EQ(sys::findingOf("a", std::make_exception_ptr(sys::Error("x")), "w").remedy, "w");
}

}  // namespace
