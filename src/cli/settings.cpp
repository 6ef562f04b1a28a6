// SPDX-License-Identifier: Apache-2.0
#include "cli/settings.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "sys/error.hpp"
#include "sys/fd.hpp"
#include "sys/file.hpp"
#include "sys/json.hpp"
#include "sys/user.hpp"

namespace cli {

using nlohmann::json;

namespace {

constexpr std::size_t maxSettingsBytes = 64 * 1024;
constexpr std::size_t maxNameBytes = 128;

// No link is followed at the end: what was checked is what is read. Empty when there is none.
sys::Fd openTrustedDirectory(const std::string& path)
{
    sys::Fd directory(open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
    if (directory) {
        sys::requireTrustedDirectory(directory.get(), path);
    } else if (errno == ENOTDIR) {
        throw sys::Error(path + ": not a directory, or a symbolic link; put the directory itself there");
    } else if (errno != ENOENT) {
        throw sys::errnoError(path);
    }
    return directory;
}

// std::nullopt when there is no such file.
std::optional<std::string> readTrusted(const std::string& directory, const std::string& name, std::size_t limit)
{
    const sys::Fd parent = openTrustedDirectory(directory);
    if (!parent) {
        return std::nullopt;
    }
    const std::string path = directory + "/" + name;
    const sys::Fd file(openat(parent.get(), name.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    if (!file) {
        if (errno == ENOENT) {
            return std::nullopt;
        }
        if (errno == ELOOP) {
            throw sys::Error(path + ": is a symbolic link; put the file itself there");
        }
        throw sys::errnoError(path);
    }
    sys::requireTrustedFile(file.get(), path);
    return sys::readAll(file.get(), limit, path);
}

bool isAbsolutePath(const json& value)
{
    return value.is_string() && value.get_ref<const std::string&>().starts_with('/') &&
           value.get_ref<const std::string&>().find('\0') == std::string::npos;
}

bool isName(const std::string& name)
{
    return !name.empty() && name.size() <= maxNameBytes && name.front() != '.' &&
           std::ranges::all_of(name, [](unsigned char c) {
               return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                      c == '_' || c == '.';
           });
}

}  // namespace

namespace {

// Empty without the file.
json documentOf(const std::string& path)
{
    const std::size_t slash = path.rfind('/');
    const auto text = readTrusted(path.substr(0, slash), path.substr(slash + 1), maxSettingsBytes);
    return text ? sys::readJsonObject(*text, path) : json::object();
}

Settings readFile(const std::string& path)
{
    Settings settings;
    const json document = documentOf(path);
    for (const auto& [key, value] : document.items()) {
        const std::string where = path + ": /" + sys::printable(key);
        if (key == "profileDirectories" && value.is_array()) {
            settings.profileDirectories.clear();
            for (const json& directory : value) {
                if (!isAbsolutePath(directory)) {
                    throw sys::Error(where + ": must hold absolute paths");
                }
                settings.profileDirectories.push_back(directory.get<std::string>());
            }
        } else if (key == "baseline" && value.is_string()) {
            settings.baseline = value.get<std::string>();
        } else if (key == "allowInline" && value.is_boolean()) {
            settings.allowInline = value.get<bool>();
        } else if (key == "applier" && value == "launch") {
            settings.launch = true;
        } else if (key == "runtime" && isAbsolutePath(value)) {
            settings.runtime = value.get<std::string>();
        } else {
            throw sys::Error(where +
                             ": unknown or of the wrong type; there are profileDirectories (array of absolute "
                             "paths), baseline (string), allowInline (boolean), applier (\"launch\") and runtime "
                             "(absolute path)");
        }
    }
    return settings;
}

}  // namespace

Settings readSettings(const std::string& path)
{
    Settings settings = readFile(path);
    if (geteuid() != 0 || !sys::inInitialUserNamespace()) {
        const std::string given = sys::pathInEnvironment("XDG_CONFIG_HOME");
        const std::string own = given.empty() ? sys::homeDirectory() + "/.config" : given;
        settings.profileDirectories.insert(settings.profileDirectories.begin(), own + "/oci-landlock/profiles");
    }
    return settings;
}

std::optional<std::string> runtimeSetting(const std::string& path)
{
    const json document = documentOf(path);
    const auto found = document.find("runtime");
    if (found == document.end()) {
        return std::nullopt;
    }
    if (!isAbsolutePath(*found)) {
        throw sys::Error(path + ": /runtime: must be an absolute path");
    }
    return found->get<std::string>();
}

ProfileFile findProfile(const Settings& settings, const std::string& name)
{
    if (!isName(name)) {
        throw sys::Error("profile name \"" + sys::printable(name) +
                         "\": must be 1 to 128 letters, digits, '-', '_' or "
                         "'.', and not start with '.'");
    }
    std::string tried;
    for (const std::string& directory : settings.profileDirectories) {
        for (const char* ending : {".json", ".toml"}) {
            if (auto text = readTrusted(directory, name + ending, profile::maxDocumentBytes)) {
                return {directory + "/" + name + ending, std::move(*text)};
            }
        }
        tried += (tried.empty() ? "" : " and ") + directory + "/" + name + ".json";
    }
    throw sys::Error("no profile \"" + name + "\": tried " +
                     (tried.empty() ? "no directory" : tried + ", and the same in .toml"));
}

ProfileFile readProfileFile(const std::string& path)
{
    const std::string name = sys::printable(path);
    const sys::Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    if (!file) {
        throw sys::errnoError(name);
    }
    sys::requireTrustedFile(file.get(), name);
    return {path, sys::readAll(file.get(), profile::maxDocumentBytes, name)};
}

}  // namespace cli
