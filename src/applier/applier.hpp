// SPDX-License-Identifier: Apache-2.0
// What makes a domain take hold on a target.
#pragma once

#include <string>

#include "bpf/abi.h"

namespace applier {

// "kfunc"
const char* nameOf(oll_applier applier);

// Whether the running kernel offers the kfuncs of the bridge (packaging/kernel). Reads the kernel's BTF: slow, some
// ten milliseconds; for `load` only. Throws sys::Error without BTF.
bool kernelHasBridge();

// Loads the programs and maps of the kfunc applier, attaches them and pins all of it by name in `directory`, a bpffs
// directory that exists and is empty. Throws sys::Error; what was pinned by then stays for the caller to remove.
void loadKfunc(const std::string& directory);

}  // namespace applier
