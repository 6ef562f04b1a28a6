// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <string>
#include <string_view>

namespace sys {

// Everything that is left to read from `fd`. Throws Error naming `what` when there are more than `limit` bytes.
std::string readAll(int fd, std::size_t limit, std::string_view what);

// Writes all of `data` to `fd`; false on the first error.
bool writeAll(int fd, std::string_view data);

// Writes out what was printed on standard output. Throws Error unless all of it got there since the last call; what did
// not is given up.
void flushOutput();

// What a new file is to have.
struct FileAttributes {
    mode_t mode = 0644;
    // Ours if not given.
    uid_t user = static_cast<uid_t>(-1);
    gid_t group = static_cast<gid_t>(-1);
};

// Puts a file in the place of the one at `path`, if there is one: who reads it meanwhile gets the one before, or this
// one, whole. Throws Error, and then nothing has changed.
void replaceFile(const std::string& path, std::string_view text, FileAttributes attributes);

// Throws Error unless so many bytes could be put there now, in that way.
void requireRoom(const std::string& path, std::size_t bytes);

// The path of the program that this process executes; " (deleted)" follows where it is not there any more. Throws
// Error.
std::string ownProgram();

// Whether there is a regular file at `path` that we may execute.
bool isProgram(const std::string& path);

// Throws Error unless the open file behind `fd` is a regular file that belongs to root or to our own user, and that
// nobody else may write. In a user namespace the host's root is one of the users that it does not know.
void requireTrustedFile(int fd, std::string_view what);
// The same for a directory; O_PATH is enough.
void requireTrustedDirectory(int fd, std::string_view what);

}  // namespace sys
