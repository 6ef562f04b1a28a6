// SPDX-License-Identifier: Apache-2.0
// `oci-landlock check --can`: one access, judged by the rules of a profile.
#include "cli/check_can.hpp"

#include <sys/stat.h>

#include "cli/commands.hpp"
#include "cli/lookup.hpp"
#include "profile/path.hpp"
#include "profile/verdict.hpp"

namespace cli {

namespace {

using landlock::Kind;
using nlohmann::ordered_json;

profile::Object objectAt(int file)
{
    struct stat st {};
    if (fstat(file, &st) != 0) {
        throw sys::errnoError("stat");
    }
    return {st.st_dev, st.st_ino};
}

// These are rights of the directory in which something is made or removed.
bool concernsDirectory(const landlock::Right& right)
{
    return right.name.starts_with("make_") || right.name.starts_with("remove_");
}

// What the path leads to, or the directory that it is in, and all directories above.
std::vector<profile::Object> wayTo(const Access& access, const container::Rootfs& rootfs)
{
    std::string path = profile::normalisedPath(access.path);
    if (concernsDirectory(*access.right)) {
        path.resize(path.rfind('/') + 1);
    }
    const sys::Fd file = rootfs.resolve(path, "/");
    std::vector<profile::Object> way{objectAt(file.get())};
    for (std::string name = rootfs.nameOf(file.get()); name != "/";) {
        name.resize(name.rfind('/'));
        name = name.empty() ? "/" : name;
        way.push_back(objectAt(rootfs.resolve(name, "/").get()));
    }
    return way;
}

class Judge {
public:
    Judge(const Access& access, const container::Rootfs& rootfs) : access_(access), rootfs_(rootfs)
    {
        if (access.right->kind == Kind::fs) {
            way_ = wayTo(access, rootfs);
        }
    }

    ordered_json entry(const profile::Entry& entry) const
    {
        ordered_json out = {{"name", entry.name}, {"allowed", true}, {"layers", ordered_json::array()}};
        if (entry.mode == profile::Mode::audit) {
            out["audited"] = true;
        }
        for (const profile::Layer& layer : entry.layers) {
            const profile::Verdict verdict = verdictOf(entry, layer);
            ordered_json item = {{"handled", verdict.handled}, {"allowed", verdict.allowed()}};
            if (verdict.rule) {
                item["pointer"] = access_.right->kind == Kind::fs ? layer.paths[*verdict.rule].pointer
                                                                  : layer.ports[*verdict.rule].pointer;
            }
            out["allowed"] = out["allowed"].get<bool>() && verdict.allowed();
            out["layers"].push_back(std::move(item));
        }
        return out;
    }

private:
    profile::Verdict verdictOf(const profile::Entry& entry, const profile::Layer& layer) const
    {
        const std::uint64_t right = access_.right->mask();
        switch (access_.right->kind) {
            case Kind::fs:
                return profile::fileVerdict(layer, right, placed(entry, layer), way_);
            case Kind::net:
                return profile::portVerdict(layer, right, access_.port);
            case Kind::scope:
                return profile::scopeVerdict(layer, right);
        }
        throw sys::Error("unknown kind of right");
    }

    std::vector<profile::PlacedRule> placed(const profile::Entry& entry, const profile::Layer& layer) const
    {
        const std::string cwd = profile::cwdOf(entry, "/");
        std::vector<profile::PlacedRule> rules;
        std::vector<Found> all;
        for (std::size_t i = 0; i < layer.paths.size(); ++i) {
            const profile::PathRule& rule = layer.paths[i];
            sys::Fd file;
            if (std::optional<Found> found = lookUpIfThere(rootfs_, rule, cwd, file)) {
                rules.push_back({i, objectAt(file.get()), found->granted});
                all.push_back(std::move(*found));
            } else if (!profile::mayBeMissing(entry, rule)) {
                throw sys::Error(rule.pointer + ": " + rootfs_.notFound(rule.path, cwd).what());
            }
        }
        if (entry.origin == profile::Origin::nodeFile) {
            requireListed(all);
        }
        return rules;
    }

    const Access& access_;
    const container::Rootfs& rootfs_;
    std::vector<profile::Object> way_;
};

}  // namespace

Access accessOf(const std::string& right, const std::optional<std::string>& path, const std::optional<unsigned>& port)
{
    Access access;
    for (const landlock::Right& one : landlock::rights) {
        if (one.name == right) {
            access.right = &one;
        }
    }
    if (access.right == nullptr) {
        throw UsageError("check: there is no right " + sys::printable(right) +
                         "; /usr/share/doc/oci-landlock/profiles.md lists them");
    }
    if (right == "refer") {
        throw UsageError("check: refer is a matter of two directories, and what each of them allows; it is not judged");
    }
    const Kind kind = access.right->kind;
    if (path.has_value() != (kind == Kind::fs) || port.has_value() != (kind == Kind::net)) {
        throw UsageError("check: --can " + right + " wants " +
                         (kind == Kind::fs    ? "--path, and no --port"
                          : kind == Kind::net ? "--port, and no --path"
                                              : "neither --path nor --port"));
    }
    if (path && !path->starts_with('/')) {
        throw UsageError("check: --path wants an absolute path");
    }
    if (port && *port > 65535) {
        throw UsageError("check: --port wants a number up to 65535");
    }
    access.path = path.value_or("");
    access.port = port.value_or(0);
    return access;
}

ordered_json answerOf(const profile::Profile& profile, const Access& access, const container::Rootfs& rootfs)
{
    ordered_json answer = {{"right", access.right->name}};
    if (access.right->kind == Kind::fs) {
        answer["path"] = access.path;
    } else if (access.right->kind == Kind::net) {
        answer["port"] = access.port;
    }
    answer["allowed"] = true;
    answer["entries"] = ordered_json::array();
    const Judge judge(access, rootfs);
    for (const profile::Entry& entry : profile.entries) {
        answer["entries"].push_back(judge.entry(entry));
        answer["allowed"] = answer["allowed"].get<bool>() && answer["entries"].back()["allowed"].get<bool>();
    }
    return answer;
}

std::string answerText(const ordered_json& answer)
{
    const auto verdict = [](const ordered_json& item) { return item["allowed"].get<bool>() ? "allowed" : "denied"; };
    std::string out = answer["right"].get<std::string>();
    if (answer.contains("path")) {
        out += " " + sys::printable(answer["path"].get<std::string>(), 8192);
    } else if (answer.contains("port")) {
        out += " " + answer["port"].dump();
    }
    out += std::string(": ") + verdict(answer) + "\n";
    for (const ordered_json& entry : answer["entries"]) {
        out += "  entry " + sys::printable(entry["name"].get<std::string>()) + ": " + verdict(entry) +
               (entry.contains("audited") ? " once it is enforced; it is AUDIT, and denies nothing" : "") + "\n";
        for (std::size_t i = 0; i < entry["layers"].size(); ++i) {
            const ordered_json& layer = entry["layers"][i];
            out += "    layer " + std::to_string(i) + ": " + verdict(layer) +
                   (layer.contains("pointer") ? " by " + layer["pointer"].get<std::string>()
                    : layer["handled"]        ? ", no rule allows it"
                                              : ", it is not handled") +
                   "\n";
        }
    }
    return out;
}

}  // namespace cli
