// SPDX-License-Identifier: Apache-2.0
// The ordinary Landlock syscalls (landlock(7)); no JSON, no BPF.
#pragma once

#include <cstdint>

#include "sys/fd.hpp"

namespace landlock {

// Landlock ABI of the running kernel; 0 when Landlock is not built in or not enabled at boot.
unsigned kernelAbi();

// Puts a ruleset on this thread, for good. `flags`: of landlock_restrict_self(2). Throws sys::Error.
void restrictSelf(int ruleset, std::uint32_t flags = 0);

// struct landlock_ruleset_attr as of ABI 10 (Linux 7.2). Older kernels take the longer struct as long as what they do
// not know is 0.
struct RulesetAttributes {
    std::uint64_t handledFs = 0;
    std::uint64_t handledNet = 0;  // ABI 4
    std::uint64_t scoped = 0;      // ABI 6
    std::uint64_t quietFs = 0;     // ABI 10
    std::uint64_t quietNet = 0;
    std::uint64_t quietScoped = 0;
};

// A ruleset under construction; the descriptor is the ruleset.
class Ruleset {
public:
    // Throws sys::Error.
    explicit Ruleset(const RulesetAttributes& attributes);

    // `path` may be O_PATH. `access`: of what is no directory, rights that a file can have. Throws sys::Error, also
    // when it is 0 and the rule is not quiet.
    void allowPath(int path, std::uint64_t access, bool quiet);
    void allowPort(std::uint64_t port, std::uint64_t access, bool quiet);

    int fd() const { return fd_.get(); }
    sys::Fd take() { return std::move(fd_); }

private:
    sys::Fd fd_;
};

}  // namespace landlock
