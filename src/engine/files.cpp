// SPDX-License-Identifier: Apache-2.0
#include "engine/files.hpp"

#include <fcntl.h>
#include <glob.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <nlohmann/json.hpp>

#include "sys/directory.hpp"
#include "sys/error.hpp"
#include "sys/fd.hpp"
#include "sys/file.hpp"

namespace engine {

namespace {

constexpr std::size_t maxBytes = 1024 * 1024;
constexpr std::size_t maxNames = 4096;

// std::nullopt: nothing is there.
std::optional<struct stat> look(const std::string& root, const std::string& path)
{
    struct stat st {};
    if (stat((root + path).c_str(), &st) == 0) {
        return st;
    }
    if (errno == ENOENT || errno == ENOTDIR) {
        return std::nullopt;
    }
    throw sys::errnoError(sys::printable(path));
}

}  // namespace

bool Files::exists(const std::string& path) const
{
    return look(root_, path).has_value();
}

std::optional<bool> Files::executable(const std::string& path) const
{
    const auto st = look(root_, path);
    return st ? std::optional(S_ISREG(st->st_mode) && (st->st_mode & 0111) != 0) : std::nullopt;
}

std::optional<std::string> Files::read(const std::string& path) const
{
    const std::string shown = sys::printable(path);
    const sys::Fd file(open((root_ + path).c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    if (!file) {
        if (errno == ENOENT || errno == ENOTDIR) {
            return std::nullopt;
        }
        throw sys::errnoError(shown);
    }
    struct stat st {};
    if (fstat(file.get(), &st) != 0) {
        throw sys::errnoError(shown);
    }
    if (!S_ISREG(st.st_mode)) {
        throw sys::Error(shown + ": not a regular file");
    }
    return sys::readAll(file.get(), maxBytes, shown);
}

std::optional<std::vector<std::string>> Files::list(const std::string& directory) const
{
    sys::Fd opened = sys::openDirectory(root_ + directory);
    if (!opened && (errno == ENOENT || errno == ENOTDIR)) {
        return std::nullopt;
    }
    sys::Directory files(std::move(opened), sys::printable(directory));
    std::vector<std::string> names;
    while (const dirent* entry = files.next()) {
        if (names.size() == maxNames) {
            throw sys::Error(sys::printable(directory) + ": more than " + std::to_string(maxNames) + " files");
        }
        names.emplace_back(entry->d_name);
    }
    std::ranges::sort(names);
    return names;
}

std::vector<std::string> Files::matching(const std::string& pattern) const
{
    // What is not there matches nothing; what cannot be seen is an error.
    const auto stop = [](const char*, int code) { return code != ENOENT && code != ENOTDIR ? 1 : 0; };
    glob_t results{};
    const std::unique_ptr<glob_t, decltype(&globfree)> owner(&results, globfree);
    const int code = glob((root_ + pattern).c_str(), 0, stop, &results);
    if (code != 0 && code != GLOB_NOMATCH) {
        throw sys::Error(sys::printable(pattern) + ": cannot be looked for");
    }
    if (results.gl_pathc > maxNames) {
        throw sys::Error(sys::printable(pattern) + ": more than " + std::to_string(maxNames) + " files");
    }
    std::vector<std::string> found;
    for (std::size_t i = 0; i < results.gl_pathc; ++i) {
        found.push_back(std::string(results.gl_pathv[i]).substr(root_.size()));
    }
    return found;
}

std::optional<std::string> Files::program(const std::string& name) const
{
    for (const char* directory :
         {"/usr/local/sbin/", "/usr/local/bin/", "/usr/sbin/", "/usr/bin/", "/sbin/", "/bin/"}) {
        if (executable(directory + name).value_or(false)) {
            return directory + name;
        }
    }
    return {};
}

const nlohmann::json& at(const nlohmann::json& value, const char* name)
{
    static const nlohmann::json none;
    const auto found = value.is_object() ? value.find(name) : value.end();
    return value.is_object() && found != value.end() ? *found : none;
}

const nlohmann::json& objectIn(const nlohmann::json& value)
{
    static const nlohmann::json none = nlohmann::json::object();
    return value.is_object() ? value : none;
}

std::vector<std::string> stringsOf(const nlohmann::json& value)
{
    std::vector<std::string> all;
    if (value.is_array()) {
        for (const nlohmann::json& item : value) {
            if (item.is_string()) {
                all.push_back(item.get<std::string>());
            }
        }
    }
    return all;
}

}  // namespace engine
