// SPDX-License-Identifier: Apache-2.0
#include "sys/file.hpp"

#include <fcntl.h>
#include <stdio_ext.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>

#include "sys/error.hpp"
#include "sys/fd.hpp"
#include "sys/user.hpp"

namespace sys {

std::string readAll(int fd, std::size_t limit, std::string_view what)
{
    std::string data;
    for (;;) {
        const std::size_t used = data.size();
        const std::size_t room = std::min(std::max<std::size_t>(used * 2, 16384), limit + 1);
        if (room <= used) {
            throw Error(std::string(what) + ": larger than " + std::to_string(limit) + " bytes");
        }
        ssize_t n = 0;
        // Most files are small: what is not read into is not filled either.
        data.resize_and_overwrite(room, [&](char* bytes, std::size_t) {
            n = read(fd, bytes + used, room - used);
            return used + static_cast<std::size_t>(std::max<ssize_t>(n, 0));
        });
        if (n < 0 && errno != EINTR) {
            throw errnoError("read " + std::string(what));
        }
        if (n == 0) {
            if (data.size() > limit) {
                throw Error(std::string(what) + ": larger than " + std::to_string(limit) + " bytes");
            }
            return data;
        }
    }
}

bool writeAll(int fd, std::string_view data)
{
    while (!data.empty()) {
        const ssize_t n = write(fd, data.data(), data.size());
        if (n < 0 && errno != EINTR) {
            return false;
        }
        data.remove_prefix(static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
    }
    return true;
}

void flushOutput()
{
    constexpr const char* what = "write to standard output";
    // What has failed before has left no reason.
    const bool failed = std::ferror(stdout) != 0;
    const int code = std::fflush(stdout) == 0 ? 0 : errno;
    if (failed || code != 0) {
        __fpurge(stdout);
        std::clearerr(stdout);
        throw code != 0 ? errnoError(what, code) : Error(std::string(what) + ": not all of it could be written");
    }
}

namespace {

Error cannotWrite(const std::string& path, int code = errno)
{
    return errnoError("cannot write " + printable(path), code);
}

struct Draft {
    std::string path;
    Fd file;
};

// Collectors of files take what ends as the file itself does.
Draft draftOf(const std::string& path)
{
    Draft draft{path + ".XXXXXX", Fd()};
    draft.file = Fd(mkostemp(draft.path.data(), O_CLOEXEC));
    if (!draft.file) {
        throw cannotWrite(path);
    }
    return draft;
}

}  // namespace

void requireRoom(const std::string& path, std::size_t bytes)
{
    const Draft draft = draftOf(path);
    const int code = posix_fallocate(draft.file.get(), 0, static_cast<off_t>(bytes));
    unlink(draft.path.c_str());
    if (code != 0) {
        throw cannotWrite(path, code);
    }
}

void replaceFile(const std::string& path, std::string_view text, FileAttributes attributes)
{
    const Draft draft = draftOf(path);
    if (fchown(draft.file.get(), attributes.user, attributes.group) != 0 ||
        fchmod(draft.file.get(), attributes.mode) != 0 || !writeAll(draft.file.get(), text) ||
        std::rename(draft.path.c_str(), path.c_str()) != 0) {
        const Error error = cannotWrite(path);
        unlink(draft.path.c_str());
        throw error;
    }
}

namespace {

// Root, and whoever we are. Host users whom a user namespace does not know are one to us, and root is among them.
bool isTrusted(uid_t owner)
{
    if (owner == 0 || owner == geteuid()) {
        return true;
    }
    const Fd file(open("/proc/sys/fs/overflowuid", O_RDONLY | O_CLOEXEC));
    return file && !inInitialUserNamespace() && readAll(file.get(), 64, "overflowuid") == std::to_string(owner) + "\n";
}

void requireTrusted(int fd, std::string_view what, mode_t type, const char* typeName)
{
    struct stat st {};
    if (fstat(fd, &st) != 0) {
        throw errnoError("stat " + std::string(what));
    }
    if ((st.st_mode & S_IFMT) != type) {
        throw Error(std::string(what) + ": not a " + typeName);
    }
    if (!isTrusted(st.st_uid) || (st.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        throw Error(std::string(what) +
                    ": must belong to root and be writable by root alone; run chown root and chmod go-w on it");
    }
}

}  // namespace

std::string ownProgram()
{
    std::string path(PATH_MAX, '\0');
    const ssize_t length = readlink("/proc/self/exe", path.data(), path.size());
    if (length < 0) {
        throw errnoError("/proc/self/exe");
    }
    path.resize(static_cast<std::size_t>(length));
    return path;
}

bool isProgram(const std::string& path)
{
    struct stat st {};
    return stat(path.c_str(), &st) == 0 && S_ISREG(st.st_mode) && access(path.c_str(), X_OK) == 0;
}

void requireTrustedFile(int fd, std::string_view what)
{
    requireTrusted(fd, what, S_IFREG, "regular file");
}

void requireTrustedDirectory(int fd, std::string_view what)
{
    requireTrusted(fd, what, S_IFDIR, "directory");
}

}  // namespace sys
