// SPDX-License-Identifier: Apache-2.0
#include "learn/against.hpp"

#include <algorithm>

#include "profile/path.hpp"
#include "profile/verdict.hpp"

namespace learn {

namespace {

using landlock::Kind;

const std::uint64_t referRight = landlock::maskOf(Kind::fs, "refer");

std::uint64_t deniedBits(std::uint64_t rights, const std::function<bool(std::uint64_t right)>& allowed)
{
    std::uint64_t denied = 0;
    for (std::uint64_t left = rights; left != 0; left &= left - 1) {
        const std::uint64_t right = left & ~(left - 1);
        denied |= allowed(right) ? 0 : right;
    }
    return denied;
}

}  // namespace

Judge::Judge(const profile::Entry& entry, const Leads& leads) : entry_(&entry)
{
    for (const profile::Layer& layer : entry.layers) {
        std::vector<profile::PlacedRule>& rules = placed_.emplace_back();
        for (std::size_t i = 0; i < layer.paths.size(); ++i) {
            if (const std::string path = leads(entry, layer.paths[i]); !path.empty()) {
                places_.try_emplace(path, places_.size() + 1);
                rules.push_back({i, objectAt(path), layer.paths[i].access});
            }
        }
    }
}

profile::Object Judge::objectAt(const std::string& path) const
{
    return {0, places_.at(path)};
}

std::uint64_t Judge::deniedAt(std::string path, std::uint64_t rights) const
{
    // What no rule is about has no say, however deep the path is.
    std::vector<profile::Object> way;
    for (;; path = profile::parentOf(path)) {
        if (places_.contains(path)) {
            way.push_back(objectAt(path));
        }
        if (path == "/") {
            break;
        }
    }
    return deniedBits(rights, [&](std::uint64_t right) {
        for (std::size_t i = 0; i < entry_->layers.size(); ++i) {
            const profile::Layer& layer = entry_->layers[i];
            // Denied wherever files are restricted at all, unless a layer handles it and a rule allows it.
            const bool everDenied = right == referRight && layer.handledFs != 0 && (layer.handledFs & referRight) == 0;
            if (everDenied || !profile::fileVerdict(layer, right, placed_[i], way).allowed()) {
                return false;
            }
        }
        return true;
    });
}

std::uint64_t Judge::deniedPort(std::uint64_t port, std::uint64_t rights) const
{
    return deniedBits(rights, [&](std::uint64_t right) {
        return std::ranges::all_of(entry_->layers, [&](const profile::Layer& layer) {
            return profile::portVerdict(layer, right, port).allowed();
        });
    });
}

std::uint64_t Judge::deniedScopes(std::uint64_t scopes) const
{
    return deniedBits(scopes, [&](std::uint64_t right) {
        return std::ranges::all_of(entry_->layers, [&](const profile::Layer& layer) {
            return profile::scopeVerdict(layer, right).allowed();
        });
    });
}

std::vector<Denied> deniedBy(const profile::Profile& profile, const Recording& recording, const Leads& leads)
{
    std::vector<Denied> found;
    for (const profile::Entry& entry : profile.entries) {
        const Judge judge(entry, leads);
        for (const auto& [path, used] : recording.paths) {
            for (const bool beneath : {false, true}) {
                if (const std::uint64_t denied = judge.deniedAt(path, beneath ? used.beneath : used.rights)) {
                    found.push_back(
                        {.entry = entry.name, .kind = Kind::fs, .path = path, .beneath = beneath, .rights = denied});
                }
            }
        }
        for (const auto& [port, rights] : recording.ports) {
            if (const std::uint64_t denied = judge.deniedPort(port, rights)) {
                found.push_back({.entry = entry.name, .kind = Kind::net, .path = {}, .port = port, .rights = denied});
            }
        }
        if (const std::uint64_t denied = judge.deniedScopes(recording.scopes)) {
            found.push_back({.entry = entry.name, .kind = Kind::scope, .path = {}, .rights = denied});
        }
    }
    return found;
}

}  // namespace learn
