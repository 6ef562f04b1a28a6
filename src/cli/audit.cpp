// SPDX-License-Identifier: Apache-2.0
#include "cli/audit.hpp"

#include <cstring>
#include <functional>
#include <nlohmann/json.hpp>

#include "landlock/access.hpp"
#include "profile/path.hpp"
#include "sys/error.hpp"

namespace cli {

namespace {

using landlock::Kind;
using nlohmann::json;

// Of files whose opening was not seen. Beyond that they count as opened: too much is told then, not too little.
constexpr std::size_t maxEarly = 64;
constexpr std::size_t maxOpened = 1024;

std::string pathIn(const oll_seen& used)
{
    std::string path(used.path, strnlen(used.path, sizeof used.path));
    if (!path.starts_with('/')) {
        throw sys::Error("the file has no path, or too long a one");
    }
    return path;
}

std::uint64_t bitOf(const json& right, Kind kind)
{
    if (!right.is_string()) {
        return right.get<std::uint64_t>();
    }
    const landlock::Right* known = landlock::findRight(kind, right.get_ref<const std::string&>());
    if (known == nullptr) {
        throw sys::Error("its recorded policy makes no sense: there is no right " +
                         sys::printable(right.get<std::string>()));
    }
    return known->mask();
}

std::uint64_t maskIn(const json& item, const char* field, Kind kind)
{
    std::uint64_t mask = 0;
    for (const json& right : item.value(field, json::array())) {
        mask |= bitOf(right, kind);
    }
    return mask;
}

void requireWhole(const json& layer)
{
    if (layer.contains("pathBeneathLeftOut") || layer.contains("netPortLeftOut")) {
        throw sys::Error("its policy is too large to be recorded whole");
    }
}

profile::Layer layerIn(const json& item)
{
    requireWhole(item);
    profile::Layer layer;
    layer.handledFs = maskIn(item, "handledAccessFs", Kind::fs);
    layer.handledNet = maskIn(item, "handledAccessNet", Kind::net);
    layer.scoped = maskIn(item, "scoped", Kind::scope);
    for (const json& rule : item.value("pathBeneath", json::array())) {
        profile::PathRule& path = layer.paths.emplace_back();
        path.path = rule.at("leads").get<std::string>();
        path.access = maskIn(rule, "allowedAccess", Kind::fs);
    }
    for (const json& rule : item.value("netPort", json::array())) {
        profile::PortRule& port = layer.ports.emplace_back();
        port.port = rule.at("port").get<std::uint64_t>();
        port.access = maskIn(rule, "allowedAccess", Kind::net);
    }
    return layer;
}

}  // namespace

Audit::Audit(const std::string& policy)
{
    const json document = json::parse(policy, nullptr, false);
    if (!document.is_object() || !document.contains("entries")) {
        throw sys::Error("its policy is too large to be recorded");
    }
    try {
        const json& all = document["entries"];
        for (std::size_t i = 0; i < all.size() && i < OLL_MAX_ENTRIES; ++i) {
            if (all[i].at("mode") != "audit") {
                continue;
            }
            Entry& entry = entries_.emplace_back();
            entry.bit = 1U << i;
            for (const json& layer : all[i].at("layers")) {
                entry.entry.layers.push_back(layerIn(layer));
            }
            entry.judge.emplace(entry.entry,
                                [](const profile::Entry&, const profile::PathRule& rule) { return rule.path; });
        }
    } catch (const json::exception& error) {
        throw sys::Error(std::string("its recorded policy makes no sense: ") + error.what());
    }
}

bool Audit::isOpened(const oll_seen& used, const std::string& path)
{
    if (opened_.contains(std::hash<std::string>()(path)) || opened_.size() >= maxOpened || early_.size() >= maxEarly) {
        return true;
    }
    early_.insert_or_assign(path, used);
    return false;
}

std::vector<oll_seen> Audit::judge(const oll_seen& used)
{
    static const std::uint64_t opening =
        landlock::maskOf(Kind::fs, "read_file") | landlock::maskOf(Kind::fs, "write_file");
    std::vector<oll_seen> found;
    if (used.about == OLL_ABOUT_OPENED && !isOpened(used, pathIn(used))) {
        return found;
    }
    judgeNow(used, found);
    if (used.about == OLL_ABOUT_FS && (used.rights & opening) != 0) {
        const std::string path = pathIn(used);
        if (const auto early = early_.find(path); early != early_.end()) {
            judgeNow(early->second, found);
            early_.erase(early);
        }
        if (opened_.size() < maxOpened) {
            opened_.insert(std::hash<std::string>()(path));
        }
    }
    return found;
}

void Audit::judgeNow(const oll_seen& used, std::vector<oll_seen>& found) const
{
    oll_seen out = used;
    out.kind = OLL_SEEN_WOULD_DENY;
    out.domain = 0;
    out.error = 0;
    std::string path;
    switch (used.about) {
        case OLL_ABOUT_NET:
            out.exact = 1;
            break;
        case OLL_ABOUT_SCOPE:
            // Whom it reaches is not looked at closely; that somebody was there before is not looked at, at all.
            if (used.domain == 0) {
                throw sys::Error("the process began before this, so that it is not known what is its own");
            }
            break;
        default:
            path = pathIn(used);
            // As Landlock's own trace events have it: the directory.
            path = used.about == OLL_ABOUT_MADE ? profile::parentOf(path) : path;
            out.about = OLL_ABOUT_FS;
            out.exact = 1;
            std::memset(out.path, 0, sizeof out.path);
            path.copy(out.path, sizeof out.path - 1);
    }
    for (const Entry& entry : entries_) {
        if ((used.entries & entry.bit) == 0) {
            continue;
        }
        out.entries = entry.bit;
        out.rights = used.about == OLL_ABOUT_NET     ? entry.judge->deniedPort(used.port, used.rights)
                     : used.about == OLL_ABOUT_SCOPE ? entry.judge->deniedScopes(used.rights)
                                                     : entry.judge->deniedAt(path, used.rights);
        if (out.rights != 0) {
            found.push_back(out);
        }
    }
}

}  // namespace cli
