// SPDX-License-Identifier: Apache-2.0
#include "oci/bundle.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>

#include "oci/member.hpp"
#include "sys/error.hpp"
#include "sys/fd.hpp"
#include "sys/file.hpp"
#include "sys/json.hpp"

namespace oci {

using nlohmann::json;

namespace {

constexpr std::string_view prefix = "io.landlock.";
constexpr std::string_view profileKey = "io.landlock.profile";
constexpr std::string_view programKey = "io.landlock.program";

// containerd, CRI-O and dockershim's successors say in these which container of a pod it is.
constexpr std::array nameKeys = {"io.kubernetes.cri.container-name", "io.kubernetes.container.name"};
constexpr std::array typeKeys = {"io.kubernetes.cri.container-type", "io.kubernetes.cri-o.ContainerType"};

bool concernsUs(std::string_view key)
{
    return key.starts_with(prefix) || std::ranges::find(nameKeys, key) != nameKeys.end() ||
           std::ranges::find(typeKeys, key) != typeKeys.end();
}

// Members of the same name in other places are kept too; they are few and small.
bool wanted(std::size_t depth, std::string_view key)
{
    switch (depth) {
        case 1:
            return key == "root" || key == "process" || key == "annotations";
        case 2:
            return key == "path" || key == "cwd" || concernsUs(key);
        default:
            return false;
    }
}

std::string firstOf(const Bundle& bundle, const auto& keys)
{
    for (const char* key : keys) {
        if (const auto found = bundle.annotations.find(key); found != bundle.annotations.end()) {
            return found->second;
        }
    }
    return {};
}

}  // namespace

Bundle parseBundle(std::string_view config, const std::string& directory)
{
    const std::string what = sys::printable(directory) + "/config.json";
    const json document = sys::readJsonObject(config, what, wanted);
    Bundle bundle;
    bundle.directory = directory;
    if (const json* root = member(document, "root", json::value_t::object, what, "")) {
        if (const json* path = member(*root, "path", json::value_t::string, what, "/root")) {
            bundle.rootPath = path->get<std::string>();
        }
    }
    if (bundle.rootPath.empty() || bundle.rootPath.find('\0') != std::string::npos) {
        throw sys::Error(what + ": /root/path: missing or has a NUL");
    }
    if (!bundle.rootPath.starts_with('/')) {
        bundle.rootPath = directory + "/" + bundle.rootPath;
    }
    if (const json* process = member(document, "process", json::value_t::object, what, "")) {
        if (const json* cwd = member(*process, "cwd", json::value_t::string, what, "/process")) {
            bundle.cwd = cwd->get<std::string>();
        }
    }
    if (!bundle.cwd.starts_with('/') || bundle.cwd.find('\0') != std::string::npos) {
        throw sys::Error(what + ": /process/cwd: must be an absolute path");
    }
    if (const json* annotations = member(document, "annotations", json::value_t::object, what, "")) {
        for (const auto& [key, value] : annotations->items()) {
            if (!concernsUs(key)) {
                continue;
            }
            if (!value.is_string()) {
                throw sys::Error(what + ": /annotations/" + sys::printable(key) + ": must be a string");
            }
            bundle.annotations[key] = value.get<std::string>();
        }
    }
    return bundle;
}

Bundle readBundle(const std::string& directory)
{
    return parseBundle(readConfig(directory), directory);
}

std::string readConfig(const std::string& directory)
{
    const std::string path = directory + "/config.json";
    const sys::Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    if (!file) {
        throw sys::errnoError(sys::printable(path));
    }
    struct stat st {};
    if (fstat(file.get(), &st) != 0 || !S_ISREG(st.st_mode)) {
        throw sys::Error(sys::printable(path) + ": not a regular file");
    }
    return sys::readAll(file.get(), maxConfigBytes, sys::printable(path));
}

std::optional<Request> requestOf(const Bundle& bundle)
{
    const std::string type = firstOf(bundle, typeKeys);
    const std::string name = firstOf(bundle, nameKeys);
    const std::string own = std::string(profileKey) + "/" + name;
    Request request;
    bool forOthers = false;
    for (const auto& [key, value] : bundle.annotations) {
        if (!key.starts_with(prefix)) {
            continue;
        }
        if (!name.empty() && key == own) {
            request.profile = value;
            request.profileKey = key;
        } else if (key == profileKey) {
            if (!request.profile) {
                request.profile = value;
                request.profileKey = key;
            }
        } else if (key == programKey) {
            request.program = value;
        } else if (key.starts_with(std::string(profileKey) + "/")) {
            forOthers = true;
        } else {
            throw sys::Error("annotation " + sys::printable(key) + ": unknown; there are " + std::string(profileKey) +
                             ", " + std::string(profileKey) + "/<container> and " + std::string(programKey));
        }
    }
    if (type == "sandbox") {
        return std::nullopt;
    }
    if (forOthers && name.empty()) {
        throw sys::Error("annotation " + std::string(profileKey) + "/<container>: this runtime does not say which " +
                         "container of the pod this is; use " + std::string(profileKey));
    }
    if (!request.profile && !request.program) {
        return std::nullopt;
    }
    return request;
}

}  // namespace oci
