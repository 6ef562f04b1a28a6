// SPDX-License-Identifier: Apache-2.0
// The mounts of a container, as the runtime made them.
#pragma once

#include <string>
#include <vector>

#include "container/process.hpp"
#include "container/rootfs.hpp"
#include "sys/fd.hpp"

namespace container {

struct Mount {
    sys::Fd root;                // O_PATH; a file where one is mounted
    bool ownFileSystem = false;  // its file system is mounted in this container only, as far as the host can see
};

// The mount that the rootfs lies on, and all beneath it that can be reached. `rootPath`: as the runtime names it. Throws
// sys::Error. STATX_MNT_ID: Linux 5.8.
std::vector<Mount> mountsOf(const Process& init, const Rootfs& rootfs, const std::string& rootPath);

}  // namespace container
