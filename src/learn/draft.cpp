// SPDX-License-Identifier: Apache-2.0
#include "learn/draft.hpp"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "learn/protected.hpp"
#include "profile/model.hpp"
#include "profile/path.hpp"
#include "profile/toml.hpp"
#include "profile/variable.hpp"
#include "sys/error.hpp"
#include "sys/json.hpp"

namespace learn {

namespace {

using landlock::Kind;
using nlohmann::ordered_json;

// The groups of rights that the draft is written with.
constexpr unsigned abi = 9;

const std::uint64_t reading = landlock::maskOf(Kind::fs, "read_file") | landlock::maskOf(Kind::fs, "read_dir");
const std::uint64_t handledNet = landlock::maskOf(Kind::net, "bind_tcp") | landlock::maskOf(Kind::net, "connect_tcp");
const std::uint64_t executing = landlock::maskOf(Kind::fs, "execute") | reading;

// Which libraries a program loads changes with each update: they are allowed as a whole. To execute something there,
// as the kernel does with the loader of a program, is allowed where something was.
constexpr std::array<std::string_view, 9> libraries = {"/lib",       "/lib32",      "/lib64",
                                                       "/libx32",    "/usr/lib",    "/usr/lib32",
                                                       "/usr/lib64", "/usr/libx32", "/usr/local/lib"};

// One rule that is written elsewhere is no shorter than the rule.
constexpr std::size_t worthAUse = 2;

std::string listed(const ordered_json& names)
{
    std::string out;
    for (const ordered_json& name : names) {
        out += (out.empty() ? "" : ", ") + name.get<std::string>();
    }
    return out;
}

std::uint64_t commonIn(const Protected& directory)
{
    switch (directory.common) {
        case Protected::Common::nothing:
            return 0;
        case Protected::Common::read:
            return reading;
        case Protected::Common::execute:
            return executing;
    }
    return 0;
}

struct Rule {
    std::uint64_t rights = 0;
    std::set<std::string> why;
    std::size_t stands = 0;  // for so many paths
};

class Drafting {
public:
    Drafting(const Recording& recording, const Style& style) : recording_(recording), style_(style)
    {
        for (const auto& [path, used] : recording.paths) {
            if (used.beneath != 0) {
                add(path, used.beneath, "the run made files in it");
            }
            if (used.rights == 0) {
                continue;
            }
            const auto library = std::ranges::find_if(libraries, [&path = path](std::string_view directory) {
                return profile::isBeneath(path, directory);
            });
            if (library != libraries.end() && (used.rights & ~executing) == 0) {
                add(std::string(*library), used.rights | reading, "libraries");
            } else {
                add(path, used.rights, "used");
            }
        }
        // Some appliers restrict before the program is executed.
        for (const std::string& program : recording.programs) {
            add(program, landlock::maskOf(Kind::fs, "execute") | landlock::maskOf(Kind::fs, "read_file"),
                "the program itself");
        }
        if (style.collapse != 0) {
            collapse();
        }
        balance();
        reduce();
    }

    Draft finish()
    {
        ordered_json policy = ordered_json::object();
        if (ordered_json names = uses(); !names.empty()) {
            policy["use"] = std::move(names);
        }
        policy["abi"] = abi;
        policy["ruleset"] = ordered_json::array({ruleset()});
        if (ordered_json paths = pathRules(); !paths.empty()) {
            policy["pathBeneath"] = std::move(paths);
        }
        if (ordered_json ports = portRules(); !ports.empty()) {
            policy["netPort"] = std::move(ports);
        }
        ordered_json select = {{"entrypoint", true}};
        if (!style_.programs.empty()) {
            select = {{"program", style_.programs}};
        }
        // A rule for what is not there allows nothing: it may be there in another run.
        const ordered_json entry = {{"name", style_.name},
                                    {"select", select},
                                    {"missingPaths", "skip"},
                                    {"policy", policy}};
        const ordered_json document = {{"description", description()}, {"entries", ordered_json::array({entry})}};
        out_.profile = style_.toml ? profile::tomlOf(document) : sys::visibleJson(document.dump(2)) + "\n";
        if (out_.profile.size() > profile::maxDocumentBytes) {
            throw sys::Error("the profile would be larger than " + std::to_string(profile::maxDocumentBytes) +
                             " bytes; let fewer files stand for their directory with --collapse");
        }
        return std::move(out_);
    }

private:
    const Protected* protection(const std::string& path) const
    {
        return std::ranges::find(style_.into, path) != style_.into.end() ? nullptr : protectedAt(path);
    }

    void add(const std::string& path, std::uint64_t rights, const std::string& why)
    {
        const Protected* guard = protection(path);
        const std::uint64_t held = guard == nullptr ? 0 : rights & ~commonIn(*guard);
        if (held != 0) {
            withhold(path, held, std::string(guard->why));
        }
        if ((rights & ~held) != 0) {
            Rule& rule = rules_[path];
            rule.rights |= rights & ~held;
            rule.why.insert(why);
            ++rule.stands;
        }
    }

    void withhold(const std::string& path, std::uint64_t rights, const std::string& why)
    {
        const auto known =
            std::ranges::find_if(out_.withheld, [&path](const Withheld& one) { return one.path == path; });
        if (known == out_.withheld.end()) {
            out_.withheld.push_back({path, rights, why});
        } else {
            known->rights |= rights;
        }
    }

    static constexpr unsigned writtenClass = 2;

    // What is written is not executed because of a neighbour, nor the other way round.
    static unsigned classOf(std::uint64_t rights)
    {
        return ((rights & landlock::maskOf(Kind::fs, "execute")) != 0 ? 1U : 0U) |
               ((rights & ~executing) != 0 ? writtenClass : 0U);
    }

    // From the deepest directory up, so that one that stands for its files counts as one in the next.
    void collapse()
    {
        std::map<std::size_t, std::set<std::string>, std::greater<>> directories;  // by depth
        const auto toDo = [&](const std::string& directory) {
            directories[static_cast<std::size_t>(std::ranges::count(directory, '/'))].insert(directory);
        };
        for (const auto& [path, rule] : rules_) {
            toDo(profile::parentOf(path));
        }
        // What is added meanwhile is less deep.
        while (!directories.empty()) {
            const auto level = directories.extract(directories.begin());
            for (const std::string& directory : level.mapped()) {
                if (protection(directory) == nullptr && collapseOne(directory)) {
                    toDo(profile::parentOf(directory));
                }
            }
        }
    }

    // Whether it stands for any of its files now.
    bool collapseOne(const std::string& directory)
    {
        bool done = false;
        std::map<unsigned, std::vector<std::string>> children;
        const std::string begin = directory + "/";
        for (auto at = rules_.lower_bound(begin); at != rules_.end() && at->first.starts_with(begin); ++at) {
            if (at->first.find('/', begin.size()) == std::string::npos) {
                children[classOf(at->second.rights)].push_back(at->first);
            }
        }
        for (const auto& [kind, paths] : children) {
            // Each file there is a setting of its own.
            const bool settings = (kind & writtenClass) != 0 &&
                                  (profile::isBeneath(directory, "/proc") || profile::isBeneath(directory, "/sys"));
            if (paths.size() < style_.collapse || settings) {
                continue;
            }
            done = true;
            for (const std::string& path : paths) {
                const Rule child = rules_[path];
                Rule& rule = rules_[directory];
                rule.rights |= child.rights;
                rule.stands += child.stands;
                rule.why.insert("many files in it were used");
                rules_.erase(path);
            }
        }
        return done;
    }

    std::uint64_t effective(std::string path) const
    {
        for (std::uint64_t rights = 0;; path = profile::parentOf(path)) {
            const auto rule = rules_.find(path);
            rights |= rule == rules_.end() ? 0 : rule->second.rights;
            if (path == "/") {
                return rights;
            }
        }
    }

    // A file may move from one directory to another only if that gives nobody more rights on it: all directories that
    // files were moved between get the same.
    void balance()
    {
        const std::uint64_t refer = landlock::maskOf(Kind::fs, "refer");
        std::vector<std::string> moved;
        for (const auto& [path, rule] : rules_) {
            if ((rule.rights & refer) != 0) {
                moved.push_back(path);
            }
        }
        std::uint64_t all = 0;
        for (const std::string& path : moved) {
            all |= effective(path);
        }
        for (const std::string& path : moved) {
            if (moved.size() > 1 && effective(path) != all) {
                rules_[path].rights |= all;
                rules_[path].why.insert("files were moved between it and others");
            }
        }
    }

    void reduce()
    {
        for (auto at = rules_.begin(); at != rules_.end();) {
            if (at->first != "/") {
                at->second.rights &= ~effective(profile::parentOf(at->first));
            }
            at = at->second.rights == 0 ? rules_.erase(at) : std::next(at);
        }
    }

    // Fragments in place of rules, those first that stand for most. A rule on the very path of a fragment's is one that
    // both mean; what is merely somewhere beneath one would give the program all of it.
    ordered_json uses()
    {
        std::vector<const Offer*> offers;
        for (const Offer& offer : style_.fragments) {
            if (harmless(offer)) {
                offers.push_back(&offer);
            }
        }
        std::set<std::string> names;
        while (!offers.empty()) {
            std::ranges::stable_sort(offers, [this](const Offer* one, const Offer* other) {
                const std::size_t more = meant(*one);
                const std::size_t less = meant(*other);
                return more != less ? more > less : one->layer.paths.size() < other->layer.paths.size();
            });
            const Offer& best = *offers.front();
            if (meant(best) < worthAUse) {
                break;
            }
            offers.erase(offers.begin());
            names.insert(best.name);
            std::string stands;
            for (auto at = rules_.begin(); at != rules_.end();) {
                const bool covered = (at->second.rights & ~grantedBy(best.layer, at->first)) == 0;
                stands += covered ? (stands.empty() ? "" : ", ") + sys::printable(at->first, maxPathBytes) : "";
                at = covered ? rules_.erase(at) : std::next(at);
            }
            out_.reasons.push_back("use " + best.name + ": stands for " + stands + "; it has " +
                                   std::to_string(best.layer.paths.size()) + " paths");
        }
        return names;
    }

    static std::uint64_t grantedBy(const profile::Layer& layer, const std::string& path)
    {
        std::uint64_t granted = 0;
        for (const profile::PathRule& rule : layer.paths) {
            granted |= profile::isBeneath(path, rule.path) ? rule.access : 0;
        }
        return granted;
    }

    // So many of its rules are ones of the draft, too.
    std::size_t meant(const Offer& offer) const
    {
        return static_cast<std::size_t>(std::ranges::count_if(offer.layer.paths, [this](const profile::PathRule& rule) {
            const auto own = rules_.find(rule.path);
            return own != rules_.end() && (own->second.rights & ~rule.access) == 0;
        }));
    }

    // It denies all that the profile does, opens no port that was not used and no protected directory that the profile
    // does not open, and leaves alone where files are moved, which would want the same rights on both sides.
    bool harmless(const Offer& offer) const
    {
        const profile::Layer& layer = offer.layer;
        const std::uint64_t files = landlock::groupRights(landlock::Group::all, Kind::fs, abi);
        const std::uint64_t scopes = landlock::groupRights(landlock::Group::all, Kind::scope, abi);
        const bool denies = (files & ~layer.handledFs) == 0 && (handledNet & ~layer.handledNet) == 0 &&
                            (scopes & ~recording_.scopes & ~layer.scoped) == 0;
        return denies &&
               std::ranges::all_of(layer.ports,
                                   [this](const profile::PortRule& rule) {
                                       const auto used = recording_.ports.find(rule.port);
                                       const std::uint64_t rights = used == recording_.ports.end() ? 0 : used->second;
                                       return (rule.access & handledNet & ~rights) == 0;
                                   }) &&
               std::ranges::all_of(allProtected(),
                                   [&](const Protected& one) { return opensNoMore(layer, std::string(one.path)); }) &&
               std::ranges::all_of(layer.paths,
                                   [&](const profile::PathRule& rule) { return opensNoMore(layer, rule.path); }) &&
               std::ranges::none_of(rules_, [&layer](const auto& item) {
                   const bool moves = (item.second.rights & landlock::maskOf(Kind::fs, "refer")) != 0;
                   return moves && grantedBy(layer, item.first) != 0;
               });
    }

    bool opensNoMore(const profile::Layer& layer, const std::string& path) const
    {
        const Protected* guard = protection(path);
        return guard == nullptr || (grantedBy(layer, path) & ~effective(path) & ~commonIn(*guard)) == 0;
    }

    ordered_json ruleset()
    {
        ordered_json set = {{"handledAccessFs", {"abi.all"}}, {"handledAccessNet", {"bind_tcp", "connect_tcp"}}};
        const std::uint64_t scopes = landlock::groupRights(landlock::Group::all, Kind::scope, abi) & ~recording_.scopes;
        if (scopes != 0) {
            set["scoped"] = rightNames(Kind::scope, scopes);
            out_.reasons.push_back("scoped " + listed(set["scoped"]) + ": nothing reached outside");
        }
        return set;
    }

    ordered_json pathRules()
    {
        if (rules_.size() > profile::maxPaths) {
            throw sys::Error("the profile would have " + std::to_string(rules_.size()) + " paths, and may have " +
                             std::to_string(profile::maxPaths) +
                             "; let fewer files stand for their directory with "
                             "--collapse");
        }
        std::map<std::uint64_t, ordered_json> parents;
        for (const auto& [path, rule] : rules_) {
            parents.try_emplace(rule.rights, ordered_json::array()).first->second.push_back(profile::literal(path));
            std::string why;
            for (const std::string& one : rule.why) {
                why += (why.empty() ? "" : "; ") + one;
            }
            out_.reasons.push_back(sys::printable(path, maxPathBytes) + " " +
                                   listed(rightNames(Kind::fs, rule.rights)) + ": " + why +
                                   (rule.stands > 1 ? " (" + std::to_string(rule.stands) + " records)" : ""));
        }
        ordered_json out = ordered_json::array();
        for (const auto& [rights, paths] : parents) {
            out.push_back({{"allowedAccess", rightNames(Kind::fs, rights)}, {"parent", paths}});
        }
        return out;
    }

    ordered_json portRules()
    {
        std::map<std::uint64_t, ordered_json> ports;
        std::size_t count = 0;
        for (const auto& [port, rights] : recording_.ports) {
            if ((rights & handledNet) != 0) {
                ports.try_emplace(rights & handledNet, ordered_json::array()).first->second.push_back(port);
                out_.reasons.push_back("port " + std::to_string(port) + " " +
                                       listed(rightNames(Kind::net, rights & handledNet)) + ": used");
                ++count;
            }
        }
        if (count > profile::maxPorts) {
            throw sys::Error("the recording has " + std::to_string(count) + " TCP ports, and a profile may have " +
                             std::to_string(profile::maxPorts) +
                             "; a program that uses so many is better written a "
                             "profile for by hand, without the right in handledAccessNet");
        }
        ordered_json out = ordered_json::array();
        for (const auto& [rights, list] : ports) {
            out.push_back({{"allowedAccess", rightNames(Kind::net, rights)}, {"port", list}});
        }
        return out;
    }

    std::string description() const
    {
        std::string programs;
        for (const std::string& program : recording_.programs) {
            programs += (programs.empty() ? "" : ", ") + sys::printable(program);
        }
        return "Learnt from " + std::to_string(recording_.runs.size()) + " run" +
               (recording_.runs.size() == 1 ? "" : "s") + (programs.empty() ? "" : " of " + sys::printable(programs)) +
               ".";
    }

    const Recording& recording_;
    const Style& style_;
    std::map<std::string, Rule> rules_;
    Draft out_;
};

}  // namespace

std::string optionFor(const Withheld& withheld)
{
    std::string word;
    for (const char c : withheld.path) {
        word += c == '\'' ? "'\\''" : std::string(1, c);
    }
    const bool plain = std::ranges::all_of(withheld.path, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               std::string_view("/._-").contains(c);
    });
    return "--into " + sys::printable(plain ? word : "'" + word + "'", 4 * maxPathBytes);
}

Draft draft(const Recording& recording, const Style& style)
{
    return Drafting(recording, style).finish();
}

}  // namespace learn
