// SPDX-License-Identifier: Apache-2.0
#include "node/policies.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <vector>

#include "sys/directory.hpp"
#include "sys/error.hpp"
#include "sys/fd.hpp"
#include "sys/file.hpp"
#include "sys/places.hpp"

namespace node::policies {

namespace {

constexpr std::size_t maxBytes = 256UL * 1024;

std::string directory()
{
    return sys::inRunDirectory("policies");
}

std::string pathOf(const Key& key)
{
    return directory() + "/" + std::to_string(key.cgroupId) + "-" + std::to_string(key.generation);
}

std::optional<Key> keyOf(const std::string& name)
{
    const char* const end = name.data() + name.size();
    Key key;
    const auto cgroup = std::from_chars(name.data(), end, key.cgroupId);
    if (cgroup.ec != std::errc() || cgroup.ptr == end || *cgroup.ptr != '-') {
        return std::nullopt;
    }
    const auto generation = std::from_chars(cgroup.ptr + 1, end, key.generation);
    return generation.ec == std::errc() && generation.ptr == end ? std::optional(key) : std::nullopt;
}

// Those that there are a file of.
std::vector<Key> all()
{
    sys::Fd opened = sys::openDirectory(directory());
    if (!opened && errno == ENOENT) {
        return {};
    }
    sys::Directory all(std::move(opened), directory());
    std::vector<Key> keys;
    while (const dirent* entry = all.next()) {
        if (const auto key = keyOf(entry->d_name)) {
            keys.push_back(*key);
        }
    }
    return keys;
}

}  // namespace

// Renamed when it is complete, for those who read without the lock.
void write(const Key& key, const std::string& policy)
{
    if (mkdir(directory().c_str(), 0700) != 0 && errno != EEXIST) {
        throw sys::errnoError("make " + directory());
    }
    const std::string draft = directory() + "/draft";
    const sys::Fd file(open(draft.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!file || !sys::writeAll(file.get(), policy) || rename(draft.c_str(), pathOf(key).c_str()) != 0) {
        throw sys::errnoError("record the container's policy in " + directory());
    }
}

std::optional<std::string> read(const Key& key)
{
    const std::string path = pathOf(key);
    const sys::Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!file) {
        if (errno == ENOENT) {
            return std::nullopt;
        }
        throw sys::errnoError(path);
    }
    return sys::readAll(file.get(), maxBytes, path);
}

void remove(const Key& key) noexcept
{
    try {
        unlink(pathOf(key).c_str());
    } catch (...) {
        return;  // no memory for the name: the next clean-up has some
    }
}

void removeAllBut(const std::set<std::uint64_t>& generations)
{
    for (const Key& key : all()) {
        if (!generations.contains(key.generation)) {
            remove(key);
        }
    }
}

}  // namespace node::policies
