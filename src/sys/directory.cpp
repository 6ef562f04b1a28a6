// SPDX-License-Identifier: Apache-2.0
#include "sys/directory.hpp"

#include <fcntl.h>

#include <cerrno>
#include <string_view>
#include <utility>

#include "sys/error.hpp"

namespace sys {

Directory::Directory(Fd directory, std::string what) : what_(std::move(what))
{
    if (directory) {
        stream_.reset(fdopendir(directory.get()));
    }
    if (!stream_) {
        throw errnoError(what_);
    }
    directory.release();
}

const dirent* Directory::next()
{
    for (;;) {
        errno = 0;
        const dirent* const entry = readdir(stream_.get());
        if (entry == nullptr && errno != 0) {
            throw errnoError(what_);
        }
        if (entry == nullptr || (entry->d_name != std::string_view(".") && entry->d_name != std::string_view(".."))) {
            return entry;
        }
    }
}

Fd openDirectory(const std::string& path)
{
    return Fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

Fd openAgain(int directory)
{
    return Fd(openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

}  // namespace sys
