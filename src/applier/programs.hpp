// SPDX-License-Identifier: Apache-2.0
// The BPF programs of an applier: `kfunc` makes a domain take hold in the kernel (bridge), `inject` from outside
// (stock kernels).
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "bpf/abi.h"

namespace applier {

// "kfunc"
const char* nameOf(oll_applier applier);

// Loads the programs and maps, attaches them and pins all of it by name in `directory`, a bpffs directory that exists
// and is empty. Throws sys::Error; what was pinned by then stays for the caller to remove.
void load(oll_applier applier, const std::string& directory);

// Names of the pins without which nothing would be selected.
std::vector<std::string> requiredLinks(oll_applier applier);

// The programs that call tell() (bpf/tell.h).
struct Telling {
    std::string name;
    std::string pin;
    bool attached = false;  // the pin is the program's link
};
std::vector<Telling> tellingPrograms(oll_applier applier);

// `load` loads an object and returns 0 or an error of libbpf; what libbpf and the verifier say of it becomes part of
// the sys::Error then, which is thrown as "<what>: …".
void loadBpf(const char* what, const std::function<int()>& load);

}  // namespace applier
