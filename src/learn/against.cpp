// SPDX-License-Identifier: Apache-2.0
#include "learn/against.hpp"

#include <map>

#include "profile/path.hpp"
#include "profile/verdict.hpp"

namespace learn {

namespace {

using landlock::Kind;

// Names in the place of files.
class Places {
public:
    profile::Object at(const std::string& path) { return {0, known_.try_emplace(path, known_.size()).first->second}; }

    // The path and the directories above it.
    std::vector<profile::Object> wayTo(std::string path)
    {
        std::vector<profile::Object> way{at(path)};
        while (path != "/") {
            path = profile::parentOf(path);
            way.push_back(at(path));
        }
        return way;
    }

private:
    std::map<std::string, std::uint64_t> known_;
};

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

std::vector<Denied> deniedBy(const profile::Profile& profile, const Recording& recording, const Leads& leads)
{
    std::vector<Denied> found;
    Places places;
    for (const profile::Entry& entry : profile.entries) {
        std::vector<std::vector<profile::PlacedRule>> placed;
        for (const profile::Layer& layer : entry.layers) {
            std::vector<profile::PlacedRule>& rules = placed.emplace_back();
            for (std::size_t i = 0; i < layer.paths.size(); ++i) {
                if (const std::string path = leads(entry, layer.paths[i]); !path.empty()) {
                    rules.push_back({i, places.at(path), layer.paths[i].access});
                }
            }
        }
        const auto everywhere = [&entry](const auto& judge) {
            for (std::size_t i = 0; i < entry.layers.size(); ++i) {
                if (!judge(i).allowed()) {
                    return false;
                }
            }
            return true;
        };
        for (const auto& [path, used] : recording.paths) {
            const std::vector<profile::Object> way = places.wayTo(path);
            for (const bool beneath : {false, true}) {
                const std::uint64_t denied = deniedBits(beneath ? used.beneath : used.rights, [&](std::uint64_t right) {
                    return everywhere(
                        [&](std::size_t i) { return profile::fileVerdict(entry.layers[i], right, placed[i], way); });
                });
                if (denied != 0) {
                    found.push_back({entry.name, Kind::fs, path, beneath, 0, denied});
                }
            }
        }
        for (const auto& [port, rights] : recording.ports) {
            const std::uint64_t denied = deniedBits(rights, [&, at = port](std::uint64_t right) {
                return everywhere([&](std::size_t i) { return profile::portVerdict(entry.layers[i], right, at); });
            });
            if (denied != 0) {
                found.push_back({entry.name, Kind::net, "", false, port, denied});
            }
        }
        const std::uint64_t scopes = deniedBits(recording.scopes, [&](std::uint64_t right) {
            return everywhere([&](std::size_t i) { return profile::scopeVerdict(entry.layers[i], right); });
        });
        if (scopes != 0) {
            found.push_back({entry.name, Kind::scope, "", false, 0, scopes});
        }
    }
    return found;
}

}  // namespace learn
