// SPDX-License-Identifier: Apache-2.0
// How a stopped task gets descriptors of the tracer: it makes a pair of sockets, of which the tracer takes one end with
// pidfd_getfd(2), Linux 5.6, sends from it, and the task receives.
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <cstddef>
#include <functional>
#include <vector>

#include "applier/injection/calls.hpp"
#include "applier/injection/stopped_task.hpp"
#include "bpf/abi.h"

namespace applier::injection {

class Handover {
public:
    Handover(const StoppedTask& task, Calls& calls) : task_(task), calls_(calls) {}

    // Adds the calls. `stackPointer`: where the task's memory is used, until restore(). `received` is told the numbers
    // that the task has for `rulesets`, OLL_MAX_LAYERS at most. `enoughFiles`: it has room for them for sure.
    void start(Address stackPointer, std::vector<int> rulesets, bool enoughFiles,
               std::function<void(const std::vector<int>&)> received);
    // Adds those that close what the task has opened for it.
    // `doubt`: a filter can answer for the kernel; Failure where one of them is open afterwards.
    void addCloses(bool doubt);
    void restore() const;

private:
    // What the calls read and write in the task's memory. It lies over the top of the task's stack, where the kernel
    // has just put the argument vector: memory that is there and writable whatever the stack limit, and large enough
    // even for a 32-bit program without arguments, whose auxiliary vector alone has some 20 pairs.
    struct Scratch {
        int pair[2];
        char byte;
        iovec data;
        msghdr message;
        struct {  // a cmsghdr with its data
            std::size_t length;
            int level;
            int type;
            int rulesets[OLL_MAX_LAYERS];
        } control;
    };
    static_assert(sizeof(Scratch) <= 176);
    static_assert(sizeof(Scratch) % sizeof(Word) == 0);
    static_assert(offsetof(decltype(Scratch::control), rulesets) == CMSG_LEN(0));

    // In the task.
    template <typename Member>
    Address at(Member Scratch::*member) const
    {
        const Scratch none{};
        return address_ + static_cast<Address>(reinterpret_cast<const char*>(&(none.*member)) -
                                               reinterpret_cast<const char*>(&none));
    }
    Scratch readScratch() const;
    void requireNewDescriptor(int fd) const;
    void send();
    void received();
    void requireClosed() const;

    const StoppedTask& task_;
    Calls& calls_;
    std::vector<int> rulesets_;
    bool enoughFiles_ = false;
    std::function<void(const std::vector<int>&)> then_;
    Address address_ = 0;
    std::vector<Word> saved_;
    // The task's. Its memory is read once after each call, for other processes may write there.
    int pair_[2] = {-1, -1};
    std::vector<int> opened_;
};

}  // namespace applier::injection
