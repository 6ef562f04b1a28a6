// SPDX-License-Identifier: Apache-2.0
// `oci-landlock check --against`: a recording, judged by the rules of a profile.
#include "cli/check_against.hpp"

#include "cli/lookup.hpp"
#include "learn/against.hpp"
#include "profile/path.hpp"

namespace cli {

namespace {

using landlock::Kind;
using nlohmann::ordered_json;

std::string whereTo(const profile::Entry& entry, const profile::PathRule& rule, const container::Rootfs* rootfs)
{
    const std::string cwd = profile::cwdOf(entry, "/");
    if (rootfs != nullptr) {
        sys::Fd file;
        if (std::optional<Found> found = lookUpIfThere(*rootfs, rule, cwd, file)) {
            return std::move(found->name);
        }
    }
    // What the container has on mounts is not in there.
    return profile::lexicalPath(rule.path.starts_with('/') ? rule.path : cwd + "/" + rule.path);
}

ordered_json itemOf(const learn::Denied& denied)
{
    ordered_json item = {{"entry", denied.entry}, {"rights", learn::rightNames(denied.kind, denied.rights)}};
    if (denied.kind == Kind::fs) {
        item[denied.beneath ? "beneath" : "path"] = denied.path;
    } else if (denied.kind == Kind::net) {
        item["port"] = denied.port;
    }
    return item;
}

}  // namespace

ordered_json comparisonOf(const profile::Profile& profile, const learn::Recording& recording,
                          const container::Rootfs* rootfs)
{
    ordered_json out = {{"runs", recording.runs.size()},
                        {"facts", learn::factsOf(recording)},
                        {"gaps", learn::gapsOf(recording)},
                        {"denied", ordered_json::array()}};
    const auto leads = [rootfs](const profile::Entry& entry, const profile::PathRule& rule) {
        return whereTo(entry, rule, rootfs);
    };
    for (const learn::Denied& denied : learn::deniedBy(profile, recording, leads)) {
        out["denied"].push_back(itemOf(denied));
    }
    return out;
}

std::string comparisonText(const ordered_json& comparison, const std::string& source)
{
    const std::size_t denied = comparison["denied"].size();
    std::string out = source + ": would deny " +
                      (denied == 0 ? "nothing" : std::to_string(denied) + (denied == 1 ? " thing" : " things")) +
                      " of a recording of " + comparison["facts"].dump() + " facts\n";
    for (const ordered_json& gap : comparison["gaps"]) {
        out += "  the recording is not whole: " + gap.get<std::string>() + "\n";
    }
    for (const ordered_json& item : comparison["denied"]) {
        out += "  entry " + sys::printable(item["entry"].get<std::string>()) + ": ";
        for (const ordered_json& right : item["rights"]) {
            out += right.get<std::string>() + " ";
        }
        if (item.contains("path")) {
            out += sys::printable(item["path"].get<std::string>(), learn::maxPathBytes * 4);
        } else if (item.contains("beneath")) {
            out += "on what it makes in " + sys::printable(item["beneath"].get<std::string>(), learn::maxPathBytes * 4);
        } else if (item.contains("port")) {
            out += "port " + item["port"].dump();
        } else {
            out += "outside";
        }
        out += "\n";
    }
    return out;
}

}  // namespace cli
