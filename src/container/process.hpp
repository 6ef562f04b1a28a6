// SPDX-License-Identifier: Apache-2.0
// The container's init as the runtime named it, held by descriptors: its pid is trusted for one moment only.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "sys/fd.hpp"

namespace container {

class Process {
public:
    // Throws sys::Error when there is no such process.
    explicit Process(pid_t pid);

    int pidfd() const { return pidfd_.get(); }

    // "/proc/<pid>/<name>", O_PATH for directories and magic links (root). Throws sys::Error; also when the process is
    // gone by then, so that what is returned belongs to it and not to the next owner of its pid.
    sys::Fd open(const char* name, int flags) const;

private:
    void requireAlive() const;

    pid_t pid_;
    sys::Fd pidfd_;  // pidfd_open(2), Linux 5.3
    sys::Fd proc_;
};

// The cgroup v2 directory that a process is in.
struct Cgroup {
    sys::Fd directory;
    std::uint64_t id = 0;  // 64 bits, never reused (kernfs, Linux 5.5)
    unsigned level = 0;    // 0: root, of the cgroup namespace
    std::string path;      // from the root of the hierarchy

    // Throws sys::Error when there is no cgroup v2 or the process is in none.
    static Cgroup of(const Process& process);

    // Whether `other` is this cgroup or lies beneath it.
    bool contains(const Cgroup& other) const;

    // Whether `pid` is the one process in it, and nobody is in a cgroup beneath it.
    bool holdsOnly(pid_t pid) const;
};

// The cgroup of a container's init, which must not be its runtime's. Throws sys::Error.
Cgroup ownCgroup(const Process& init);

// The directory of the cgroup with this id; empty when it is gone. Throws sys::Error when that cannot be told.
sys::Fd openCgroup(std::uint64_t id);
// Whether it exists and a process is in it or beneath it.
bool cgroupPopulated(std::uint64_t id);
// The same of the directory of a cgroup, which may be gone.
bool populated(int cgroup);

}  // namespace container
