// SPDX-License-Identifier: Apache-2.0
// Making and taking away what is pinned on this node under /sys/fs/bpf/oci-landlock.
#pragma once

#include <string>

#include "bpf/abi.h"
#include "node/lock.hpp"
#include "sys/error.hpp"

namespace node {

// Throw sys::Error when this process cannot work on the node: not root in the initial user namespace, no bpffs.
void requireRoot();
void requireAccess();

// Without bpffs nothing is pinned here. It may be where somebody else sees one, and the selector be at work.
bool hasBpffs();
// Throws sys::Error when the kernel has a program of the selector's name, or does not say what it has.
void requireNoSelector();

// This kernel, or how the node was loaded, is the obstacle: it is no use to try again.
class Unfit : public sys::Error {
public:
    using sys::Error::Error;
};

// What `load` finds of the running kernel.
struct Capabilities {
    bool bpfLsm = false;
    unsigned landlockAbi = 0;
    bool bridge = false;
    std::string injectObstacle;  // why the inject applier cannot work; "": it can
    std::string lsm;             // the kernel's own list
};
Capabilities probe();

enum class Choice { automatic, kfunc, inject };

// The applier that load() would leave this node with; changes nothing. `automatic`: kfunc where the kernel has the
// bridge, else inject; what is loaded already will do. Throws Unfit when the kernel lacks something or another applier
// is loaded, sys::Error when an incompatible version is.
oll_applier choose(const Lock&, Choice choice);

// Loads and pins, unless that was done already. Throws as choose() does, and sys::Error.
void load(const Lock&, Choice choice = Choice::automatic);

// Takes everything away. Throws sys::Error while containers depend on it, unless `force`. False: nothing was loaded.
bool unload(const Lock&, bool force);

}  // namespace node
