// SPDX-License-Identifier: Apache-2.0
#include "applier/inject/events.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/fanotify.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "sys/error.hpp"
#include "sys/file.hpp"

namespace applier::inject {

namespace {

constexpr const char* groupLimit = "/proc/sys/fs/fanotify/max_user_groups";  // Linux 5.13

void mark(const sys::Fd& group, unsigned kind, int target, const char* what)
{
    const std::string path = "/proc/self/fd/" + std::to_string(target);
    if (fanotify_mark(group.get(), FAN_MARK_ADD | kind, FAN_OPEN_EXEC_PERM, AT_FDCWD, path.c_str()) != 0) {
        throw sys::errnoError(std::string("watch execs of ") + what);
    }
}

// The kernel refuses such marks there, and nothing there can be executed: its links lead to files elsewhere.
bool isProc(int fd)
{
    struct statfs fs {};
    return fstatfs(fd, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC;
}

}  // namespace

sys::Fd watchExecs(const applier::Offer& offer)
{
    sys::Fd group(fanotify_init(FAN_CLASS_CONTENT | FAN_CLOEXEC | FAN_NONBLOCK | FAN_REPORT_TID | FAN_UNLIMITED_QUEUE |
                                    FAN_UNLIMITED_MARKS,
                                O_RDONLY | O_CLOEXEC | O_LARGEFILE));
    if (!group) {
        throw errno == EMFILE ? sys::Error(std::string("no more fanotify groups: raise ") + groupLimit)
                              : sys::errnoError("fanotify_init");
    }
    for (const Mount& mount : offer.mounts) {
        if (isProc(mount.directory)) {
            continue;
        }
        mark(group, mount.ownFileSystem ? FAN_MARK_FILESYSTEM : FAN_MARK_MOUNT, mount.directory, "a mount");
    }
    for (const int program : offer.programs) {
        mark(group, FAN_MARK_INODE, program, "a program");
    }
    return group;
}

void allowManyGroups()
{
    const std::string wanted = std::to_string(OLL_MAX_CONTAINERS);
    const sys::Fd file(open(groupLimit, O_RDWR | O_CLOEXEC));
    if (!file) {
        throw sys::errnoError(groupLimit);
    }
    if (std::strtoul(sys::readAll(file.get(), 64, groupLimit).c_str(), nullptr, 10) < OLL_MAX_CONTAINERS &&
        pwrite(file.get(), wanted.data(), wanted.size(), 0) < 0) {
        throw sys::errnoError(std::string("raise ") + groupLimit);
    }
}

}  // namespace applier::inject
