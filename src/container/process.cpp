// SPDX-License-Identifier: Apache-2.0
#include "container/process.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <sstream>
#include <string>
#include <string_view>

#include "sys/directory.hpp"
#include "sys/error.hpp"
#include "sys/file.hpp"
#include "sys/user.hpp"

namespace container {

namespace {

constexpr std::size_t maxProcFile = 1024 * 1024;

// Hybrid hosts keep the v2 hierarchy beside the v1 ones.
sys::Fd openHierarchy()
{
    for (const char* path : {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"}) {
        sys::Fd fd(::open(path, O_PATH | O_DIRECTORY | O_CLOEXEC));
        struct statfs fs {};
        if (fd && fstatfs(fd.get(), &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC) {
            return fd;
        }
    }
    throw sys::Error("no cgroup v2 hierarchy at /sys/fs/cgroup; boot with systemd.unified_cgroup_hierarchy=1");
}

std::uint64_t inodeOf(int fd)
{
    struct stat st {};
    if (fstat(fd, &st) != 0) {
        throw sys::errnoError("stat cgroup");
    }
    return st.st_ino;
}

bool hasPopulatedChild(int cgroup)
{
    sys::Directory children(sys::openAgain(cgroup), "list the container's cgroup");
    while (const dirent* entry = children.next()) {
        if (entry->d_type != DT_DIR) {
            continue;
        }
        const sys::Fd child(openat(cgroup, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        if (child ? populated(child.get()) : errno != ENOENT) {
            return true;
        }
    }
    return false;
}

std::string cgroupPath(const Process& process)
{
    const sys::Fd fd = process.open("cgroup", O_RDONLY);
    const std::string text = sys::readAll(fd.get(), maxProcFile, "/proc/<pid>/cgroup");
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = std::min(text.find('\n', at), text.size());
        const std::string_view line = std::string_view(text).substr(at, end - at);
        if (line.starts_with("0::/")) {
            return std::string(line.substr(3));
        }
        at = end + 1;
    }
    throw sys::Error("the container's init is in no cgroup v2; only the unified hierarchy is supported");
}

}  // namespace

Process::Process(pid_t pid) : pid_(pid), pidfd_(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)))
{
    const std::string proc = "/proc/" + std::to_string(pid);
    if (!pidfd_) {
        throw sys::errnoError("pid " + std::to_string(pid) + " of the container's init");
    }
    proc_ = sys::Fd(::open(proc.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!proc_) {
        throw sys::errnoError(proc);
    }
    requireAlive();
}

void Process::requireAlive() const
{
    pollfd poller{pidfd_.get(), POLLIN, 0};
    if (poll(&poller, 1, 0) != 0) {
        throw sys::Error("the container's init (pid " + std::to_string(pid_) + ") has exited");
    }
}

sys::Fd Process::open(const char* name, int flags) const
{
    sys::Fd fd(openat(proc_.get(), name, flags | O_CLOEXEC));
    const int code = errno;
    const std::string path = "/proc/" + std::to_string(pid_) + "/" + name;
    if (!fd && code == EACCES) {
        // The usual reason: a runtime that an ordinary user calls makes a user namespace for the container alone.
        throw sys::Error(path +
                         ": the container's init may not be looked at by who runs this hook; a runtime without "
                         "root has to be called in the user namespace of its engine, or by `unshare -Urm`");
    }
    if (!fd) {
        throw sys::errnoError(path, code);
    }
    requireAlive();
    return fd;
}

Cgroup Cgroup::of(const Process& process)
{
    const sys::Fd hierarchy = openHierarchy();
    Cgroup cgroup;
    cgroup.path = cgroupPath(process);
    open_how how{};
    how.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
    const std::string relative = "." + cgroup.path;
    cgroup.directory =
        sys::Fd(static_cast<int>(syscall(SYS_openat2, hierarchy.get(), relative.c_str(), &how, sizeof how)));
    if (!cgroup.directory) {
        throw sys::errnoError("cgroup " + sys::printable(cgroup.path));
    }
    if (cgroupPath(process) != cgroup.path) {
        throw sys::Error("the container's init changed its cgroup meanwhile");
    }
    cgroup.id = inodeOf(cgroup.directory.get());
    cgroup.level = cgroup.path == "/" ? 0 : static_cast<unsigned>(std::ranges::count(cgroup.path, '/'));
    return cgroup;
}

bool Cgroup::contains(const Cgroup& other) const
{
    return id == other.id || path == "/" || other.path.starts_with(path + "/");
}

bool Cgroup::holdsOnly(pid_t pid) const
{
    const sys::Fd procs(openat(directory.get(), "cgroup.procs", O_RDONLY | O_CLOEXEC));
    if (!procs) {
        throw sys::errnoError("cgroup.procs of " + sys::printable(path));
    }
    // One without a number was reaped while the kernel was listing it, unless it is of another pid namespace.
    const bool allHaveNumbers = sys::inInitialPidNamespace();
    std::istringstream lines(sys::readAll(procs.get(), maxProcFile, "cgroup.procs"));
    bool found = false;
    for (std::string line; std::getline(lines, line);) {
        if (line == std::to_string(pid)) {
            found = true;
        } else if (line != "0" || !allHaveNumbers) {
            return false;
        }
    }
    return found && !hasPopulatedChild(directory.get());
}

Cgroup ownCgroup(const Process& init)
{
    Cgroup cgroup = Cgroup::of(init);
    const Cgroup hooks = Cgroup::of(Process(getpid()));
    if (cgroup.level == 0 || cgroup.contains(hooks)) {
        throw sys::Error("the container has no cgroup of its own (it shares " + sys::printable(cgroup.path) +
                         " with its runtime); start it with cgroups enabled");
    }
    return cgroup;
}

sys::Fd openCgroup(std::uint64_t id)
{
    const sys::Fd root = openHierarchy();
    const sys::Fd mount(openat(root.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!mount) {
        throw sys::errnoError("open the cgroup v2 hierarchy");
    }
    alignas(file_handle) char buffer[sizeof(file_handle) + sizeof id];
    auto* handle = reinterpret_cast<file_handle*>(buffer);
    handle->handle_bytes = sizeof id;
    handle->handle_type = 0xfe;  // FILEID_KERNFS, Linux 5.5
    std::memcpy(handle->f_handle, &id, sizeof id);
    sys::Fd fd(open_by_handle_at(mount.get(), handle, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd && errno != ESTALE && errno != ENOENT) {
        throw sys::errnoError("open cgroup by id");
    }
    return fd;
}

bool populated(int cgroup)
{
    const sys::Fd events(openat(cgroup, "cgroup.events", O_RDONLY | O_CLOEXEC));
    if (!events) {
        return errno != ENOENT && errno != ENODEV;
    }
    char text[4096] = {};
    // ENODEV: it was removed since.
    return read(events.get(), text, sizeof text - 1) >= 0 ? std::strstr(text, "populated 0") == nullptr
                                                          : errno != ENODEV;
}

bool cgroupPopulated(std::uint64_t id)
{
    const sys::Fd directory = openCgroup(id);
    if (!directory) {
        return false;
    }
    return populated(directory.get());
}

}  // namespace container
