// SPDX-License-Identifier: Apache-2.0
#include "container/mounts.hpp"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <set>
#include <sstream>

#include "sys/error.hpp"
#include "sys/file.hpp"

namespace container {

namespace {

constexpr std::size_t maxMountinfo = 8 * 1024 * 1024;
constexpr std::size_t maxMounts = 4096;

// A line of /proc/<pid>/mountinfo, proc_pid_mountinfo(5).
struct Line {
    std::uint64_t id = 0;
    std::uint64_t parent = 0;
    std::string device;
    std::string root;   // within its file system
    std::string point;  // from the root of the process
};

// Space, tab, newline and backslash come as three octal digits.
std::string unescape(const std::string& text)
{
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        unsigned value = 0;
        if (text[i] == '\\' && i + 3 < text.size() &&
            std::from_chars(text.data() + i + 1, text.data() + i + 4, value, 8).ptr == text.data() + i + 4) {
            out += static_cast<char>(value);
            i += 3;
        } else {
            out += text[i];
        }
    }
    return out;
}

std::vector<Line> parse(const std::string& text)
{
    std::vector<Line> lines;
    std::istringstream all(text);
    for (std::string one; std::getline(all, one);) {
        std::istringstream fields(one);
        Line line;
        if (!(fields >> line.id >> line.parent >> line.device >> line.root >> line.point)) {
            throw sys::Error("mountinfo of the container's init: cannot be read");
        }
        line.point = unescape(line.point);
        lines.push_back(std::move(line));
    }
    return lines;
}

std::vector<Line> linesOf(const sys::Fd& file, const char* what)
{
    return parse(sys::readAll(file.get(), maxMountinfo, what));
}

bool beneath(const std::string& path, const std::string& directory)
{
    return path == directory || directory == "/" || path.starts_with(directory + "/");
}

// Devices that are mounted on the host, or where the hook runs, anywhere but in this container's root.
std::set<std::string> devicesElsewhere(const std::string& rootPath)
{
    std::set<std::string> devices;
    for (const char* path : {"/proc/self/mountinfo", "/proc/1/mountinfo"}) {
        const sys::Fd file(open(path, O_RDONLY | O_CLOEXEC));
        if (!file) {
            throw sys::errnoError(path);
        }
        for (const Line& line : linesOf(file, path)) {
            if (!beneath(line.point, rootPath)) {
                devices.insert(line.device);
            }
        }
    }
    return devices;
}

struct Identity {
    std::uint64_t mount = 0;
    bool isRoot = false;  // of its mount
};

Identity identityOf(int fd)
{
    struct statx st {};
    if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &st) != 0 || (st.stx_mask & STATX_MNT_ID) == 0) {
        throw sys::errnoError("statx of a mount of the container");
    }
    return {st.stx_mnt_id, (st.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0};
}

sys::Fd openBeneath(int root, const std::string& path)
{
    open_how how{};
    how.flags = O_PATH | O_CLOEXEC;
    how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS;
    return sys::Fd(static_cast<int>(syscall(SYS_openat2, root, path.c_str(), &how, sizeof how)));
}

}  // namespace

std::vector<Mount> mountsOf(const Process& init, const Rootfs& rootfs, const std::string& rootPath)
{
    const std::vector<Line> lines = linesOf(init.open("mountinfo", O_RDONLY), "mountinfo of the container's init");
    const std::set<std::string> elsewhere = devicesElsewhere(rootPath);
    const auto own = [&](const Line& line) { return line.root == "/" && !elsewhere.contains(line.device); };
    const Identity root = identityOf(rootfs.directory());
    std::vector<Mount> mounts;
    std::set<std::uint64_t> found{root.mount};
    std::string top;
    for (const Line& line : lines) {
        if (line.id == root.mount) {
            top = line.point;
            sys::Fd again = openBeneath(rootfs.directory(), "/");
            if (!again) {
                throw sys::errnoError("container root");
            }
            mounts.push_back({std::move(again), root.isRoot && own(line)});
        }
    }
    if (mounts.empty()) {
        throw sys::Error("the container's root " + sys::printable(rootPath) + " is not among the mounts of its init");
    }
    // What is beneath a root that is no mount of its own cannot be told from what is beside it.
    for (bool more = root.isRoot; more;) {
        more = false;
        for (const Line& line : lines) {
            if (!found.contains(line.parent) || !found.insert(line.id).second) {
                continue;
            }
            more = true;
            if (mounts.size() >= maxMounts) {
                throw sys::Error("the container has more than " + std::to_string(maxMounts) + " mounts");
            }
            const std::string relative =
                top == "/" ? line.point : line.point.substr(std::min(top.size(), line.point.size()));
            sys::Fd directory = openBeneath(rootfs.directory(), relative.empty() ? "/" : relative);
            // Another mount may hide it.
            if (directory && identityOf(directory.get()).mount == line.id) {
                mounts.push_back({std::move(directory), own(line)});
            }
        }
    }
    return mounts;
}

}  // namespace container
