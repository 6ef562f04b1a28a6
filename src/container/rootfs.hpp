// SPDX-License-Identifier: Apache-2.0
// The container's root file system, as its processes will see it.
#pragma once

#include <optional>
#include <string>

#include "container/process.hpp"
#include "sys/error.hpp"
#include "sys/fd.hpp"

namespace container {

// The path does not exist inside the container (ENOENT, ENOTDIR).
class NotFound : public sys::Error {
public:
    using sys::Error::Error;
};

class Rootfs {
public:
    // `root`: the container's root directory, O_PATH is enough. `place`: what messages call it. Throws sys::Error.
    explicit Rootfs(sys::Fd root, const char* place = "inside the container");

    // This machine's own, as this process sees it. Throws sys::Error.
    static Rootfs here();

    // The directory that will be the root of the container after pivot_root: `path` (absolute, from the runtime) in
    // the mount namespace of `init`, with the mounts that the runtime made beneath it. Throws sys::Error.
    static Rootfs of(const Process& init, const std::string& path);

    // O_PATH descriptor of `path`, which counts from `cwd` when relative. Symbolic links, ".." and mounts resolve as
    // they do inside the container; magic links (/proc/<pid>/root, /proc/<pid>/fd/...) are refused. openat2(2), Linux
    // 5.6. Throws NotFound or sys::Error.
    sys::Fd resolve(const std::string& path, const std::string& cwd) const;

    // The same; std::nullopt instead of NotFound, which costs ten times what the kernel's answer does.
    std::optional<sys::Fd> find(const std::string& path, const std::string& cwd) const;

    // What resolve() throws.
    NotFound notFound(const std::string& path, const std::string& cwd) const;

    // The same of an absolute path, if no symbolic link is on the way, so that the path without "..", "." and needless
    // "/" is where it leads; nothing otherwise, or where this cannot be told.
    sys::Fd resolveStraight(const std::string& path) const;

    // Where the symbolic link `path` points to; std::nullopt for anything else. There must be no other link on the way.
    // Throws sys::Error when it cannot be looked at.
    std::optional<std::string> linkAt(const std::string& path) const;

    // The path of an open file of this root, from this root. Throws sys::Error, also when the root was moved since.
    std::string nameOf(int fd) const;

    int directory() const { return root_.get(); }

private:
    sys::Fd root_;
    std::string name_;  // of the root, as this process would open it
    const char* place_;
};

}  // namespace container
