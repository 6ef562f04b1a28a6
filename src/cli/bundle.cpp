// SPDX-License-Identifier: Apache-2.0
// `oci-landlock check --bundle`: the paths of a profile in the root file system of a bundle.
#include <fcntl.h>

#include <algorithm>

#include "cli/check.hpp"
#include "container/rootfs.hpp"
#include "oci/bundle.hpp"
#include "oci/json.hpp"
#include "profile/path.hpp"
#include "sys/file.hpp"

namespace cli {

namespace {

using json = nlohmann::ordered_json;

// Destinations of the bundle's mounts: what is beneath them is not in its root file system.
std::vector<std::string> mountsOf(const std::string& directory)
{
    const std::string path = directory + "/config.json";
    const sys::Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!file) {
        throw sys::errnoError(sys::printable(path));
    }
    const std::string text = sys::readAll(file.get(), oci::maxConfigBytes, sys::printable(path));
    const nlohmann::json config = oci::parseJson(text, sys::printable(path), [](int depth, std::string_view key) {
        return depth == 1 ? key == "mounts" : key == "destination";
    });
    std::vector<std::string> mounts;
    for (const nlohmann::json& mount : config.value("mounts", nlohmann::json::array())) {
        if (mount.is_object() && mount.contains("destination") && mount["destination"].is_string()) {
            mounts.push_back(profile::normalisedPath("/" + mount["destination"].get<std::string>()));
        }
    }
    return mounts;
}

class Comparison {
public:
    explicit Comparison(const std::string& directory) : bundle_(oci::readBundle(directory)), root_(openRoot(bundle_)), mounts_(mountsOf(directory)) {}

    json entry(const profile::Entry& entry, bool& failed) const
    {
        json out = {{"name", entry.name}, {"missingPaths", json::array()}, {"missingPrograms", json::array()}, {"onMounts", json::array()}};
        for (const profile::Layer& layer : entry.layers) {
            for (const profile::PathRule& rule : layer.paths) {
                note(out, "missingPaths", rule.path, rule.pointer);
            }
        }
        for (const std::string& program : entry.select.programs) {
            note(out, "missingPrograms", program, "");
        }
        failed = failed || (!out["missingPaths"].empty() && entry.missingPaths == profile::MissingPaths::error);
        return out;
    }

private:
    static container::Rootfs openRoot(const oci::Bundle& bundle)
    {
        sys::Fd root(open(bundle.rootPath.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
        if (!root) {
            throw sys::errnoError("root file system " + sys::printable(bundle.rootPath));
        }
        return container::Rootfs(std::move(root));
    }

    void note(json& out, const char* list, const std::string& path, const std::string& pointer) const
    {
        const std::string full = profile::normalisedPath(path.starts_with('/') ? path : bundle_.cwd + "/" + path);
        const bool mounted = std::any_of(mounts_.begin(), mounts_.end(), [&](const std::string& mount) {
            return full == mount || full.starts_with(mount + "/");
        });
        json item = {{"path", path}};
        if (!pointer.empty()) {
            item["pointer"] = pointer;
        }
        if (mounted) {
            out["onMounts"].push_back(std::move(item));
            return;
        }
        try {
            root_.resolve(path, bundle_.cwd);
        } catch (const sys::Error& error) {
            item["message"] = error.what();
            out[list].push_back(std::move(item));
        }
    }

    oci::Bundle bundle_;
    container::Rootfs root_;
    std::vector<std::string> mounts_;
};

}  // namespace

json compareWithBundle(const profile::Profile& profile, const std::string& directory, bool& failed)
{
    const Comparison comparison(directory);
    json out = json::array();
    for (const profile::Entry& entry : profile.entries) {
        out.push_back(comparison.entry(entry, failed));
    }
    return out;
}

}  // namespace cli
