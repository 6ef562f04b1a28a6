// SPDX-License-Identifier: Apache-2.0
#include "learn/background.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <string_view>
#include <thread>

#include "sys/digest.hpp"
#include "sys/error.hpp"
#include "sys/file.hpp"
#include "sys/places.hpp"

namespace learn {

namespace {

constexpr std::size_t maxLeftBytes = 1024UL * 1024;
constexpr std::string_view endWord = "ended ";
constexpr std::chrono::milliseconds lookAgain{50};
constexpr std::chrono::seconds lockPatience{10};

std::string directoryPath()
{
    return sys::inRunDirectory("learn");
}

// Names are of any form; a digest is a name of a file.
std::string fileOf(const Subject& subject)
{
    return sys::toText(sys::digest((subject.annotation ? "annotation " : "container ") + subject.name)).substr(7);
}

// Empty when there is none.
sys::Fd openDirectory()
{
    sys::Fd directory(open(directoryPath().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
    if (!directory && errno != ENOENT) {
        throw sys::errnoError(directoryPath());
    }
    if (directory) {
        sys::requireTrustedDirectory(directory.get(), directoryPath());
    }
    return directory;
}

// For who makes files there or takes them away. Whoever has it waits for nobody.
void lock(const sys::Fd& directory)
{
    const auto end = std::chrono::steady_clock::now() + lockPatience;
    while (flock(directory.get(), LOCK_EX | LOCK_NB) != 0) {
        if ((errno != EWOULDBLOCK && errno != EINTR) || std::chrono::steady_clock::now() >= end) {
            throw sys::errnoError("lock " + directoryPath());
        }
        std::this_thread::sleep_for(lookAgain);
    }
}

// Empty when there is none.
sys::Fd openFile(const sys::Fd& directory, const Subject& subject)
{
    sys::Fd file(directory ? openat(directory.get(), fileOf(subject).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1);
    if (directory && !file && errno != ENOENT) {
        throw sys::errnoError("the file of the recorder of " + textOf(subject));
    }
    return file;
}

// Whether its recorder has ended.
bool ended(const sys::Fd& file)
{
    if (flock(file.get(), LOCK_SH | LOCK_NB) == 0) {
        return true;
    }
    if (errno != EWOULDBLOCK && errno != EINTR) {
        throw sys::errnoError("lock the file of a recorder");
    }
    return false;
}

// Whoever has ended has written its last.
Left leftIn(const sys::Fd& file)
{
    Left left{.said = sys::readAll(file.get(), maxLeftBytes, "the file of a recorder"), .status = std::nullopt};
    const std::string_view text = left.said;
    const std::size_t last = text.substr(0, text.empty() ? 0 : text.size() - 1).rfind('\n') + 1;
    const std::string_view line = text.substr(last);
    int status = 0;
    if (line.starts_with(endWord) && line.ends_with('\n')) {
        const char* const end = line.data() + line.size() - 1;
        if (std::from_chars(line.data() + endWord.size(), end, status).ptr == end) {
            left.status = status;
            left.said.resize(last);
        }
    }
    return left;
}

}  // namespace

std::string textOf(const Subject& subject)
{
    return (subject.annotation ? "io.landlock.learn: " : "") + sys::printable(subject.name);
}

Background::Background(const Subject& subject)
{
    for (const std::string& path : {std::string(sys::runDirectory), directoryPath()}) {
        if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
            throw sys::errnoError("make " + path);
        }
    }
    const sys::Fd directory = openDirectory();
    lock(directory);
    const std::string name = fileOf(subject);
    if (const sys::Fd other = openFile(directory, subject)) {
        if (!learn::ended(other)) {
            throw sys::Error("there is a recorder of " + textOf(subject) +
                             " already; end that one with `oci-landlock learn stop`");
        }
        before_ = leftIn(other);
        unlinkat(directory.get(), name.c_str(), 0);
    }
    file_ = sys::Fd(
        openat(directory.get(), name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!file_ || flock(file_.get(), LOCK_EX | LOCK_NB) != 0) {
        throw sys::errnoError("make the file of a recorder in " + directoryPath());
    }
}

bool Background::tell(const std::string& line) const
{
    if (!sys::writeAll(file_.get(), line + "\n")) {
        throw sys::errnoError("write in " + directoryPath());
    }
    return !stopped();
}

bool Background::leave() const
{
    const sys::Fd nothing(open("/dev/null", O_RDONLY | O_CLOEXEC));
    if (!nothing || std::fflush(nullptr) != 0) {
        throw sys::errnoError("/dev/null");
    }
    const pid_t child = fork();
    if (child < 0) {
        throw sys::errnoError("fork");
    }
    if (child > 0) {
        return false;
    }
    if (setsid() < 0 || chdir("/") != 0 || dup2(nothing.get(), STDIN_FILENO) < 0 ||
        dup2(file_.get(), STDOUT_FILENO) < 0 || dup2(file_.get(), STDERR_FILENO) < 0) {
        throw sys::errnoError("go on in the background");
    }
    return true;
}

bool Background::stopped() const
{
    struct stat st {};
    return fstat(file_.get(), &st) != 0 || st.st_nlink == 0;
}

void Background::conclude(int status) const
{
    // What cannot be written is missed by whoever asks.
    sys::writeAll(file_.get(), std::string(endWord) + std::to_string(status) + "\n");
}

bool watched(const Subject& subject)
{
    const sys::Fd file = openFile(openDirectory(), subject);
    struct stat st {};
    // One that is not watching yet has still to lock it, perhaps, and must not find it locked.
    return file && fstat(file.get(), &st) == 0 && st.st_size > 0 && !ended(file);
}

std::optional<Left> stop(const Subject& subject, std::chrono::seconds patience)
{
    sys::Fd file;
    {
        const sys::Fd directory = openDirectory();
        if (directory) {
            lock(directory);
        }
        file = openFile(directory, subject);
        if (!file) {
            return std::nullopt;
        }
        if (unlinkat(directory.get(), fileOf(subject).c_str(), 0) != 0) {
            throw sys::errnoError("take away the file of the recorder of " + textOf(subject));
        }
    }
    const auto end = std::chrono::steady_clock::now() + patience;
    while (!ended(file)) {
        if (std::chrono::steady_clock::now() >= end) {
            throw sys::Error(
                "the recorder of " + textOf(subject) + " has not ended within " + std::to_string(patience.count()) +
                " s; it writes the recording when it does, and `learn profile` says whether that is whole");
        }
        std::this_thread::sleep_for(lookAgain);
    }
    return leftIn(file);
}

}  // namespace learn
