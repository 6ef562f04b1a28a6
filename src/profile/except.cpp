// SPDX-License-Identifier: Apache-2.0
#include "profile/except.hpp"

#include "landlock/access.hpp"
#include "profile/path.hpp"
#include "sys/error.hpp"

namespace profile {

namespace {

using landlock::Kind;

// All that changes a file or what a name leads to. Without `refer`: a file arrives by make_reg, and leaves by
// remove_file.
std::uint64_t changingRights(unsigned abi)
{
    std::uint64_t mask = 0;
    for (const landlock::Right& right : landlock::rights) {
        const bool changes = right.name == "write_file" || right.name == "truncate" ||
                             right.name.starts_with("remove_") || right.name.starts_with("make_");
        mask |= right.kind == Kind::fs && changes && right.abi <= abi ? right.mask() : 0;
    }
    return mask;
}

// Whether a rule on `path` concerns it: a rule counts for all that is beneath it.
bool concerns(const std::string& path, const Guarded& guarded)
{
    return isBeneath(guarded.path, path) || (guarded.tree && isBeneath(path, guarded.path));
}

std::string names(std::uint64_t mask)
{
    std::string out;
    for (; mask != 0; mask &= mask - 1) {
        const landlock::Right* right = landlock::findRight(Kind::fs, mask & -mask);
        out += (out.empty() ? "" : ", ") + std::string(right->name);
    }
    return out;
}

}  // namespace

std::string exceptError(const std::vector<FileLayer>& layers, const std::vector<Guarded>& all, unsigned abi)
{
    const std::uint64_t changing = changingRights(abi);
    for (const Guarded& guarded : all) {
        std::uint64_t denied = 0;
        const FileLayer::Rule* opening = nullptr;
        for (const FileLayer& layer : layers) {
            std::uint64_t left = layer.handled & changing;
            for (const FileLayer::Rule& rule : layer.rules) {
                if ((rule.access & left) != 0 && concerns(rule.path, guarded)) {
                    left &= ~rule.access;
                    opening = &rule;
                }
            }
            denied |= left;
        }
        const std::uint64_t open = changing & ~denied;
        if (open == 0) {
            continue;
        }
        const std::string what = "excepted programs are worth nothing if the restricted ones can change them: " +
                                 sys::printable(guarded.path) + " ";
        if (opening != nullptr && (opening->access & open) != 0) {
            return what + "is open to them, because " + opening->pointer + " allows " + names(opening->access & open) +
                   " on " + sys::printable(opening->path) + "; allow that in narrower places";
        }
        return what + "is open to them, because no layer denies " + names(open) +
               "; add \"handledAccessFs\": [\"abi.all\"] to the ruleset, and rules for what may be written";
    }
    return "";
}

std::string exceptError(const Entry& entry, unsigned abi)
{
    if (entry.select.kind != Selector::except) {
        return "";
    }
    std::vector<FileLayer> layers;
    for (const Layer& layer : entry.layers) {
        FileLayer& files = layers.emplace_back();
        files.handled = layer.handledFs;
        for (const PathRule& rule : layer.paths) {
            files.rules.push_back(
                {lexicalPath(rule.path.starts_with('/') ? rule.path : "/" + rule.path), rule.access, rule.pointer});
        }
    }
    std::vector<Guarded> all;
    for (const std::string& program : entry.select.programs) {
        all.push_back({program});
    }
    all.push_back({preloadFile});
    return exceptError(layers, all, abi);
}

}  // namespace profile
