// SPDX-License-Identifier: Apache-2.0
#include "container/rootfs.hpp"

#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>

namespace container {

namespace {

constexpr std::chrono::seconds patience{20};

int openInRoot(int root, const std::string& path, std::uint64_t flags)
{
    open_how how{};
    how.flags = O_PATH | O_CLOEXEC | flags;
    how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
    // EAGAIN: a ".." met a rename or mount somewhere on the system, and nobody can tell that it stayed inside. Somebody
    // who renames without end wins some races, not all.
    const auto end = std::chrono::steady_clock::now() + patience;
    for (unsigned attempt = 0;; ++attempt) {
        const int fd = static_cast<int>(syscall(SYS_openat2, root, path.c_str(), &how, sizeof how));
        if (fd >= 0 || errno != EAGAIN || std::chrono::steady_clock::now() > end) {
            return fd;
        }
        if (attempt >= 100) {
            usleep(static_cast<useconds_t>(random() % 2000));
        }
    }
}

std::string fullOf(const std::string& path, const std::string& cwd)
{
    return path.starts_with('/') ? path : cwd + "/" + path;
}

std::string linkOf(int fd)
{
    char buffer[PATH_MAX];
    const std::string link = "/proc/self/fd/" + std::to_string(fd);
    const ssize_t length = readlink(link.c_str(), buffer, sizeof buffer);
    if (length < 0 || length == sizeof buffer) {
        throw sys::errnoError("readlink " + link);
    }
    return {buffer, static_cast<std::size_t>(length)};
}

}  // namespace

Rootfs::Rootfs(sys::Fd root, const char* place) : root_(std::move(root)), name_(linkOf(root_.get())), place_(place) {}

Rootfs Rootfs::of(const Process& init, const std::string& path)
{
    const sys::Fd view = init.open("root", O_PATH | O_DIRECTORY);
    sys::Fd root(openInRoot(view.get(), path, O_DIRECTORY));
    if (!root) {
        throw sys::errnoError("container root " + sys::printable(path));
    }
    return Rootfs(std::move(root));
}

Rootfs Rootfs::here()
{
    sys::Fd root(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!root) {
        throw sys::errnoError("/");
    }
    return Rootfs(std::move(root), "on this machine");
}

sys::Fd Rootfs::resolve(const std::string& path, const std::string& cwd) const
{
    std::optional<sys::Fd> fd = find(path, cwd);
    if (!fd) {
        throw notFound(path, cwd);
    }
    return std::move(*fd);
}

NotFound Rootfs::notFound(const std::string& path, const std::string& cwd) const
{
    return NotFound(sys::printable(fullOf(path, cwd)) + ": does not exist " + place_);
}

std::optional<sys::Fd> Rootfs::find(const std::string& path, const std::string& cwd) const
{
    const std::string full = fullOf(path, cwd);
    sys::Fd fd(openInRoot(root_.get(), full, 0));
    if (!fd) {
        const int code = errno;
        if (code == ENOENT || code == ENOTDIR) {
            return std::nullopt;
        }
        const std::string name = sys::printable(full);
        if (code == ELOOP) {
            throw sys::Error(name + ": too many symbolic links, or a magic link, " + place_);
        }
        if (code == EAGAIN) {
            throw sys::Error(name +
                             ": not resolved, because files are renamed all the time somewhere on this node; try "
                             "again, or write the path without \"..\" and links that have it");
        }
        throw sys::errnoError(name, code);
    }
    return fd;
}

sys::Fd Rootfs::resolveStraight(const std::string& path) const
{
    open_how how{};
    how.flags = O_PATH | O_CLOEXEC;
    how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS;
    return sys::Fd(static_cast<int>(syscall(SYS_openat2, root_.get(), path.c_str(), &how, sizeof how)));
}

std::optional<std::string> Rootfs::linkAt(const std::string& path) const
{
    const sys::Fd link(openInRoot(root_.get(), path, O_NOFOLLOW));
    char buffer[PATH_MAX];
    const ssize_t length = link ? readlinkat(link.get(), "", buffer, sizeof buffer) : -1;
    if (length < 0) {
        // EINVAL, and ENOENT of the empty name: it is there, and is none.
        if (errno == ENOENT || errno == ENOTDIR || errno == EINVAL) {
            return std::nullopt;
        }
        throw sys::errnoError(sys::printable(path));
    }
    return std::string(buffer, static_cast<std::size_t>(length));
}

std::string Rootfs::nameOf(int fd) const
{
    // Both names come from the same point of view, whatever it is; only the rest matters.
    const std::string name = linkOf(fd);
    if (name_ == "/") {
        return name;
    }
    if (name == name_) {
        return "/";
    }
    if (!name.starts_with(name_ + "/")) {
        throw sys::Error(sys::printable(name) + ": not beneath the container's root");
    }
    return name.substr(name_.size());
}

}  // namespace container
