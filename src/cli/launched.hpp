// SPDX-License-Identifier: Apache-2.0
// The containers of the launch applier, for who looks on: by the records that it leaves, as they come.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "applier/launch/records.hpp"
#include "sys/fd.hpp"

namespace cli {

// The name that the process has now; empty: it is gone.
std::string commandOf(const applier::launch::Identity& process);

class Launched {
public:
    // Throws sys::Error.
    Launched();

    // Can be read when a record has come or changed; -1: the system has nothing left that would tell.
    int changes() const { return notify_.get(); }
    // Whether one may have since the last look.
    bool changed() const;

    struct Container {
        applier::launch::Record record;
        bool ownCgroup = false;
    };
    // Those that live, by the id of their init's cgroup; of one that has none of its own, by a number that no cgroup
    // has. What could be read from changes() is read. Throws sys::Error.
    const std::map<std::uint64_t, Container>& look();

    // Of how many containers the records have come and gone without having been looked at, since it was last asked for.
    std::uint64_t missed() { return std::exchange(missed_, 0); }

private:
    std::vector<applier::launch::Identity> arrivals();
    bool knows(const applier::launch::Identity& init) const;
    std::uint64_t keyOf(const applier::launch::Record& record) const;

    applier::launch::Records records_;
    sys::Fd notify_;
    std::uint64_t own_ = 0;  // the cgroup of this process
    std::map<std::uint64_t, Container> containers_;
    std::uint64_t missed_ = 0;
};

}  // namespace cli
