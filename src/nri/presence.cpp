// SPDX-License-Identifier: Apache-2.0
#include "nri/presence.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "sys/directory.hpp"
#include "sys/error.hpp"
#include "sys/file.hpp"
#include "sys/json.hpp"
#include "sys/places.hpp"

namespace nri {

namespace {

using nlohmann::json;

constexpr std::size_t maxPresenceBytes = 16UL * 1024;
constexpr std::size_t maxPresences = 64;

// Without the drafts; none where there is no directory.
std::vector<std::string> namesIn(const std::string& directory)
{
    sys::Fd opened = sys::openDirectory(directory);
    if (!opened && errno == ENOENT) {
        return {};
    }
    sys::Directory files(std::move(opened), directory);
    std::vector<std::string> names;
    while (const dirent* entry = files.next()) {
        const std::string name = entry->d_name;
        if (name.starts_with('.')) {
            continue;
        }
        if (names.size() == maxPresences) {
            throw sys::Error(directory + ": more than " + std::to_string(maxPresences) + " files; remove them");
        }
        names.push_back(name);
    }
    return names;
}

sys::Fd openPresence(const std::string& path)
{
    sys::Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    if (!file && errno != ENOENT) {
        throw sys::errnoError(path);
    }
    return file;
}

// By its process, which lives then.
bool isHeld(int file, const std::string& path)
{
    if (flock(file, LOCK_SH | LOCK_NB) == 0) {
        return false;
    }
    if (errno != EWOULDBLOCK) {
        throw sys::errnoError("lock " + path);
    }
    return true;
}

}  // namespace

std::string presenceDirectory()
{
    return sys::inRunDirectory("nri");
}

Presence::Presence(std::string directory) : directory_(std::move(directory))
{
    for (const std::string& path : {directory_.substr(0, directory_.rfind('/')), directory_}) {
        if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
            throw sys::errnoError("make " + path);
        }
    }
    for (const std::string& name : namesIn(directory_)) {
        const std::string path = directory_ + "/" + name;
        if (const sys::Fd file = openPresence(path); file && !isHeld(file.get(), path)) {
            unlink(path.c_str());
        }
    }
}

// Renamed when it is locked and complete: whoever sees it unlocked takes it for one whose process has ended.
void Presence::say(const Running& what)
{
    const std::string name = std::to_string(getpid());
    const std::string path = directory_ + "/" + name;
    const std::string draft = directory_ + "/." + name;
    unlink(draft.c_str());
    sys::Fd file(open(draft.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    const json content = {{"version", what.version},
                          {"program", what.program},
                          {"socket", what.socket},
                          {"connected", what.connected}};
    if (!file || flock(file.get(), LOCK_EX | LOCK_NB) != 0 || !sys::writeAll(file.get(), sys::oneLineOf(content)) ||
        rename(draft.c_str(), path.c_str()) != 0) {
        const sys::Error error = sys::errnoError("write " + path);
        unlink(draft.c_str());
        throw error;
    }
    file_ = std::move(file);
}

std::vector<Running> allRunning(const std::string& directory)
{
    std::vector<Running> all;
    for (const std::string& name : namesIn(directory)) {
        const std::string path = directory + "/" + sys::printable(name);
        const sys::Fd file = openPresence(directory + "/" + name);
        if (!file || !isHeld(file.get(), path)) {
            continue;
        }
        const json content = sys::readJsonObject(sys::readAll(file.get(), maxPresenceBytes, path), path);
        all.push_back({.version = sys::stringIn(content, "version"),
                       .program = sys::stringIn(content, "program"),
                       .socket = sys::stringIn(content, "socket"),
                       .connected = content.value("connected", json()) == true});
    }
    return all;
}

}  // namespace nri
