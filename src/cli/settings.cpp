// SPDX-License-Identifier: Apache-2.0
#include "cli/settings.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <set>
#include <string_view>

#include "profile/model.hpp"
#include "sys/directory.hpp"
#include "sys/error.hpp"
#include "sys/fd.hpp"
#include "sys/file.hpp"
#include "sys/json.hpp"
#include "sys/user.hpp"

namespace cli {

using nlohmann::json;

namespace {

constexpr std::size_t maxSettingsBytes = 64 * 1024;
constexpr std::size_t maxNameBytes = profile::maxFragmentName;  // of a profile, too
constexpr const char* fragmentDirectory = "/fragments";
constexpr std::array<std::string_view, 2> endings = {".json", ".toml"};

// No link is followed at the end: one that leads nowhere would look as if there were nothing. Empty when there is none.
// `name`: in the directory `above`. In a user namespace /etc may be its engine's own, with links to what is in the
// node's (rootlesskit --copy-up): there they are followed, and must lead somewhere.
sys::Fd openTrustedDirectory(const std::string& path, int above = AT_FDCWD, const std::string& name = "")
{
    const char* const there = name.empty() ? path.c_str() : name.c_str();
    const int links = sys::inInitialUserNamespace() ? O_NOFOLLOW : 0;
    sys::Fd directory(openat(above, there, O_PATH | O_DIRECTORY | O_CLOEXEC | links));
    if (directory) {
        sys::requireTrustedDirectory(directory.get(), path);
        return directory;
    }
    const int error = errno;
    struct stat st {};
    if (error == ENOTDIR || (error == ENOENT && fstatat(above, there, &st, AT_SYMLINK_NOFOLLOW) == 0)) {
        throw sys::Error(path + ": not a directory, or a symbolic link; put the directory itself there");
    }
    if (error != ENOENT) {
        throw sys::errnoError(path, error);
    }
    return directory;
}

// Empty when the profile directory has none.
sys::Fd openFragments(const std::string& directory)
{
    const sys::Fd above = openTrustedDirectory(directory);
    return above ? openTrustedDirectory(directory + fragmentDirectory, above.get(), fragmentDirectory + 1) : sys::Fd();
}

// std::nullopt when there is no such file. `parent`: the directory.
std::optional<std::string> readTrusted(const sys::Fd& parent, const std::string& directory, const std::string& name,
                                       std::size_t limit)
{
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
    const std::string directory = path.substr(0, slash);
    const auto text = readTrusted(openTrustedDirectory(directory), directory, path.substr(slash + 1), maxSettingsBytes);
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
        } else if (key == "auditOnly" && value.is_boolean()) {
            settings.auditOnly = value.get<bool>();
        } else if (key == "applier" && value == "launch") {
            settings.launch = true;
        } else if (key == "runtime" && isAbsolutePath(value)) {
            settings.runtime = value.get<std::string>();
        } else {
            throw sys::Error(where +
                             ": unknown or of the wrong type; there are profileDirectories (array of absolute "
                             "paths), baseline (string), allowInline (boolean), auditOnly (boolean), applier "
                             "(\"launch\") and runtime (absolute path)");
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

void requireName(const std::string& name, const std::string& what)
{
    if (!isName(name)) {
        throw sys::Error(what + " name \"" + sys::printable(name, maxNameBytes) +
                         "\": must be 1 to 128 letters, digits, '-', '_' or "
                         "'.', and not start with '.'");
    }
}

namespace {

enum class Document { profile, fragment };

ProfileFile find(const Settings& settings, Document kind, const std::string& name)
{
    const bool fragment = kind == Document::fragment;
    const std::string what = fragment ? "fragment" : "profile";
    requireName(name, what);
    std::string tried;
    for (const std::string& above : settings.profileDirectories) {
        const std::string directory = above + (fragment ? fragmentDirectory : "");
        const sys::Fd opened = fragment ? openFragments(above) : openTrustedDirectory(above);
        for (const std::string_view ending : endings) {
            const std::string file = name + std::string(ending);
            if (auto text = readTrusted(opened, directory, file, profile::maxDocumentBytes)) {
                return {directory + "/" + file, std::move(*text)};
            }
        }
        tried += (tried.empty() ? "" : " and ") + directory + "/" + name + ".json";
    }
    throw sys::Error("no " + what + " \"" + name + "\": tried " +
                     (tried.empty() ? "no directory" : tried + ", and the same in .toml"));
}

}  // namespace

ProfileFile findProfile(const Settings& settings, const std::string& name)
{
    return find(settings, Document::profile, name);
}

ProfileFile findFragment(const Settings& settings, const std::string& name)
{
    return find(settings, Document::fragment, name);
}

namespace {

std::vector<std::string> filesIn(const sys::Fd& directory, const std::string& path)
{
    sys::Directory files(sys::openAgain(directory.get()), path);
    std::vector<std::string> names;
    while (const dirent* entry = files.next()) {
        names.emplace_back(entry->d_name);
    }
    return names;
}

}  // namespace

std::vector<std::string> fragmentNames(const Settings& settings)
{
    std::set<std::string> names;
    for (const std::string& above : settings.profileDirectories) {
        const sys::Fd opened = openFragments(above);
        if (!opened) {
            continue;
        }
        for (const std::string& file : filesIn(opened, above + fragmentDirectory)) {
            const std::size_t dot = std::min(file.rfind('.'), file.size());
            const std::string name = file.substr(0, dot);
            if (std::ranges::find(endings, file.substr(dot)) != endings.end() && isName(name)) {
                names.insert(name);
            }
        }
    }
    return {names.begin(), names.end()};
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
