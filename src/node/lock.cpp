// SPDX-License-Identifier: Apache-2.0
#include "node/lock.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <string>

#include "sys/error.hpp"
#include "sys/file.hpp"
#include "sys/places.hpp"

namespace node {

namespace {

// "process 12 (oci-landlock)", of a number that somebody wrote.
std::string nameOfProcess(const std::string& pid)
{
    if (pid.empty() || pid.find_first_not_of("0123456789") != std::string::npos) {
        return "a process";
    }
    const sys::Fd file(open(("/proc/" + pid + "/comm").c_str(), O_RDONLY | O_CLOEXEC));
    std::string name = file ? sys::readAll(file.get(), 64, "comm") : "";
    name = name.substr(0, name.find('\n'));
    return "process " + pid + (name.empty() ? "" : " (" + sys::printable(name) + ")");
}

}  // namespace

Lock::Lock(std::chrono::seconds patience)
{
    if (mkdir(sys::runDirectory, 0700) != 0 && errno != EEXIST) {
        throw sys::errnoError(std::string("make ") + sys::runDirectory);
    }
    const std::string path = sys::inRunDirectory("lock");
    file_ = sys::Fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!file_) {
        throw sys::errnoError(path);
    }
    const auto end = std::chrono::steady_clock::now() + patience;
    while (flock(file_.get(), LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR) {
            throw sys::errnoError("lock " + path);
        }
        if (std::chrono::steady_clock::now() >= end) {
            const std::string holder = sys::readAll(file_.get(), 64, path);
            throw sys::Error(nameOfProcess(holder.substr(0, holder.find('\n'))) + " has held " + path + " for " +
                             std::to_string(patience.count()) +
                             " s; end it if it hangs, then start the container again");
        }
        usleep(5000);
    }
    // For who waits. Where there is no room for it, it is left out: what is taken away makes room.
    static_cast<void>(ftruncate(file_.get(), 0) == 0 && sys::writeAll(file_.get(), std::to_string(getpid()) + "\n"));
}

}  // namespace node
