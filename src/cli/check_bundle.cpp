// SPDX-License-Identifier: Apache-2.0
// `oci-landlock check --bundle`: the paths of a profile in the root file system of a bundle.
#include <fcntl.h>

#include <algorithm>

#include "cli/check_bundle.hpp"
#include "cli/lookup.hpp"
#include "container/rootfs.hpp"
#include "oci/bundle.hpp"
#include "profile/path.hpp"
#include "sys/json.hpp"

namespace cli {

namespace {

using nlohmann::ordered_json;

// Destinations of the bundle's mounts: what is beneath them is not in its root file system.
std::vector<std::string> mountsOf(const std::string& directory)
{
    const std::string path = directory + "/config.json";
    const auto wanted = [](std::size_t depth, std::string_view key) {
        return depth == 1 ? key == "mounts" : key == "destination";
    };
    const nlohmann::json config = sys::readJsonObject(oci::readConfig(directory), sys::printable(path), wanted);
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
    Comparison(const std::string& directory, unsigned abi)
        : bundle_(oci::readBundle(directory)),
          root_(rootfsOf(bundle_)),
          mounts_(mountsOf(directory)),
          abi_(abi)
    {
    }

    ordered_json entry(const profile::Entry& entry, bool& failed) const
    {
        ordered_json out = {{"name", entry.name},
                            {"missingPaths", ordered_json::array()},
                            {"missingPrograms", ordered_json::array()},
                            {"onMounts", ordered_json::array()},
                            {"links", ordered_json::array()},
                            {"problems", ordered_json::array()}};
        const std::string cwd = profile::cwdOf(entry, bundle_.cwd);
        std::vector<std::vector<Found>> layers;
        bool required = false;  // is a path that is missing
        for (const profile::Layer& layer : entry.layers) {
            std::vector<Found>& all = layers.emplace_back();
            for (const profile::PathRule& rule : layer.paths) {
                const bool there = note(out, "missingPaths", rule.path, cwd, rule.pointer, [&] {
                    sys::Fd file;
                    all.push_back(lookUp(root_, rule, cwd, file));
                });
                required = required || (!there && !profile::mayBeMissing(entry, rule));
            }
            for (const Found* found : ledAstray(all)) {
                out["links"].push_back(
                    {{"path", found->rule->path}, {"to", found->name}, {"pointer", found->rule->pointer}});
            }
            if (entry.origin == profile::Origin::nodeFile) {
                attempt(out, [&] { requireListed(all); });
            }
        }
        const bool exceptsOfNode =
            entry.select.kind == profile::Selector::except && entry.origin == profile::Origin::nodeFile;
        for (const std::string& program : entry.select.programs) {
            std::string name = program;
            note(out, "missingPrograms", program, "/", "",
                 [&] { name = root_.nameOf(root_.resolve(program, "/").get()); });
            if (exceptsOfNode) {
                attempt(out, [&] { requireListed(entry.select, program, name); });
            }
        }
        if (entry.select.kind == profile::Selector::except) {
            attempt(out, [&] { requireStrict(root_, entry, layers, abi_); });
        }
        failed = failed || !out["problems"].empty() || required;
        return out;
    }

private:
    template <typename Step>
    static void attempt(ordered_json& out, Step step)
    {
        try {
            step();
        } catch (const sys::Error& error) {
            out["problems"].push_back(error.what());
        }
    }

    // Looks `path` up, unless it is on a mount of the bundle's; false when it is missing.
    template <typename Step>
    bool note(ordered_json& out, const char* list, const std::string& path, const std::string& cwd,
              const std::string& pointer, Step look) const
    {
        const std::string full = profile::normalisedPath(path.starts_with('/') ? path : cwd + "/" + path);
        const bool mounted = std::any_of(mounts_.begin(), mounts_.end(),
                                         [&](const std::string& mount) { return profile::isBeneath(full, mount); });
        ordered_json item = {{"path", path}};
        if (!pointer.empty()) {
            item["pointer"] = pointer;
        }
        if (mounted) {
            out["onMounts"].push_back(std::move(item));
            return true;
        }
        try {
            look();
            return true;
        } catch (const sys::Error& error) {
            item["message"] = error.what();
            out[list].push_back(std::move(item));
            return false;
        }
    }

    oci::Bundle bundle_;
    container::Rootfs root_;
    std::vector<std::string> mounts_;
    unsigned abi_;
};

}  // namespace

container::Rootfs rootfsOf(const oci::Bundle& bundle)
{
    sys::Fd root(open(bundle.rootPath.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!root) {
        throw sys::errnoError("root file system " + sys::printable(bundle.rootPath));
    }
    return container::Rootfs(std::move(root));
}

ordered_json compareWithBundle(const profile::Profile& profile, const std::string& directory, unsigned abi,
                               bool& failed)
{
    const Comparison comparison(directory, abi);
    ordered_json out = ordered_json::array();
    for (const profile::Entry& entry : profile.entries) {
        out.push_back(comparison.entry(entry, failed));
    }
    return out;
}

}  // namespace cli
