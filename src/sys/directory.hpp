// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <dirent.h>

#include <memory>
#include <string>

#include "sys/fd.hpp"

namespace sys {

// What is in a directory, one after the other, but for "." and "..".
class Directory {
public:
    // `what` is what an error says. Throws sys::Error, also, with errno as it stands, when `directory` is not open.
    Directory(Fd directory, std::string what);

    // Valid until the next call; nullptr after the last. Throws sys::Error: what could not be read is not the end.
    const dirent* next();

private:
    struct Close {
        void operator()(DIR* stream) const { closedir(stream); }
    };
    std::unique_ptr<DIR, Close> stream_;
    std::string what_;
};

// For Directory. Not open, with errno, when there is none; a link at the end of `path` is followed.
Fd openDirectory(const std::string& path);

// The same directory, from its beginning, whatever `directory` was opened for.
Fd openAgain(int directory);

}  // namespace sys
