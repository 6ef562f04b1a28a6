// SPDX-License-Identifier: Apache-2.0
#include "profile/load.hpp"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "profile/document.hpp"
#include "profile/except.hpp"
#include "profile/path.hpp"
#include "profile/policy.hpp"
#include "profile/schema.hpp"

namespace profile {

namespace {

using nlohmann::json;

bool isName(std::string_view name)
{
    return name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
           std::string_view::npos;
}

// "" or what is wrong with it.
std::string programError(std::string_view path)
{
    if (!path.starts_with('/')) {
        return inQuotes(path) + " is no absolute path; write the program's path as the container sees it";
    }
    if (path.find('\0') != std::string_view::npos) {
        return "the path contains a NUL character";
    }
    if (path.size() > maxProgramBytes) {
        return "the path is longer than " + std::to_string(maxProgramBytes) + " bytes";
    }
    if ((std::string(path) + "/").find("/../") != std::string::npos) {
        return inQuotes(path) + " contains \"..\"; write the path that it leads to";
    }
    return normalisedPath(path) == "/" ? "\"/\" is no program" : "";
}

std::string entryName(const json& entry, std::size_t index)
{
    return entry.value("name", "entry-" + std::to_string(index));
}

// What a document's policies use, each fragment where it is named first.
class Uses {
public:
    static std::vector<Use> of(const json& document)
    {
        Uses uses;
        if (!document.contains("entries")) {
            uses.add(document, "", "entry-0");
            return std::move(uses.found_);
        }
        const json& entries = document.at("entries");
        for (std::size_t i = 0; i < entries.size(); ++i) {
            const std::string at = join(join("/entries", i), "policy");
            const json& policy = entries[i].at("policy");
            for (std::size_t k = 0; k < (policy.is_array() ? policy.size() : 1); ++k) {
                uses.addLayer(policy.is_array() ? policy[k] : policy, policy.is_array() ? join(at, k) : at,
                              entryName(entries[i], i));
            }
        }
        return std::move(uses.found_);
    }

private:
    void addLayer(const json& layer, const std::string& at, const std::string& entry)
    {
        const auto parts = layer.find("compose");
        if (parts == layer.end()) {
            return add(layer, at, entry);
        }
        for (std::size_t i = 0; i < parts->size(); ++i) {
            add((*parts)[i], join(join(at, "compose"), i), entry);
        }
    }

    void add(const json& policy, const std::string& at, const std::string& entry)
    {
        const auto names = policy.find("use");
        for (std::size_t i = 0; names != policy.end() && i < names->size(); ++i) {
            const std::string& name = (*names)[i].get_ref<const std::string&>();
            if (std::ranges::none_of(found_, [&](const Use& use) { return use.fragment == name; })) {
                found_.push_back({name, entry, join(join(at, "use"), i)});
            }
        }
    }

    std::vector<Use> found_;
};

// A fragment as it is read: a policy whose pointers name it, and the names of others.
struct ReadFragment {
    Policy policy;
    std::vector<Use> uses;
};

ReadFragment readFragment(const Fragment& fragment)
{
    const json document = parseFile(fragment.text, fragment.path);
    Problems problems;
    if (document.is_object() && document.contains("entries")) {
        problems.add("/entries", "this is a profile; a fragment is a policy on its own, without entries");
    } else {
        validate(document, problems);
    }
    problems.check(fragment.path);
    ReadFragment out{readPolicy(document, fragment.name + "#", problems), Uses::of(document)};
    problems.check(fragment.path);
    for (auto& [path, rule] : out.policy.paths) {
        rule.optional = true;
    }
    return out;
}

class Loader {
public:
    Loader(Origin origin, unsigned abi, const std::vector<Fragment>& fragments, Problems& problems)
        : origin_(origin),
          abi_(abi),
          problems_(problems)
    {
        for (const Fragment& fragment : fragments) {
            fragments_.emplace(fragment.name, readFragment(fragment));
        }
    }

    Profile load(const json& document, std::string source)
    {
        profile_.source = std::move(source);
        if (!document.contains("entries")) {
            Entry& entry = profile_.entries.emplace_back();
            entry.name = "entry-0";
            entry.origin = origin_;
            readLayers(document, "", entry);
        } else {
            const json& entries = document.at("entries");
            for (std::size_t i = 0; i < entries.size(); ++i) {
                readEntry(entries[i], i);
            }
        }
        requireBudget();
        return std::move(profile_);
    }

private:
    void readEntry(const json& item, std::size_t index)
    {
        const std::string at = join("/entries", index);
        Entry& entry = profile_.entries.emplace_back();
        entry.name = entryName(item, index);
        entry.origin = origin_;
        checkName(entry.name, at);
        readSelect(item, at, entry.select);
        entry.mode = item.value("mode", "") == "audit" ? Mode::audit : Mode::enforce;
        entry.compat = item.value("compat", "") == "require" ? Compat::require : Compat::bestEffort;
        entry.missingPaths = item.value("missingPaths", "") == "skip" ? MissingPaths::skip : MissingPaths::error;
        entry.noNewPrivileges = item.value("noNewPrivileges", true);
        if (!entry.noNewPrivileges && origin_ == Origin::inlined) {
            problems_.add(join(at, "noNewPrivileges"),
                          "false is not allowed in an inline profile; only a profile file on the node may say so");
        }
        readLog(item, at, entry);
        const std::size_t before = problems_.found().size();
        readLayers(item.at("policy"), join(at, "policy"), entry);
        if (problems_.found().size() == before) {
            if (const std::string error = exceptError(entry, abi_); !error.empty()) {
                problems_.add(join(at, "select"), error);
            }
        }
    }

    void checkName(const std::string& name, const std::string& at)
    {
        if (!isName(name)) {
            problems_.add(join(at, "name"), inQuotes(name) + " is no name; allowed: letters, digits, '.', '_' and '-'");
        }
        const auto same = std::count_if(profile_.entries.begin(), profile_.entries.end(),
                                        [&](const Entry& entry) { return entry.name == name; });
        if (same > 1) {
            problems_.add(join(at, "name"), "the name " + inQuotes(name) + " is taken by another entry");
        }
    }

    void readSelect(const json& item, const std::string& at, Selection& select)
    {
        select.sessions = item.value("sessions", true);
        const auto given = item.find("select");
        if (given == item.end() || !given->is_object()) {
            return;
        }
        const std::string& key = given->begin().key();
        const json& value = given->begin().value();
        select.kind = key == "program" ? Selector::program : key == "except" ? Selector::except : Selector::entrypoint;
        if (select.kind == Selector::entrypoint) {
            return;
        }
        const std::string listAt = join(join(at, "select"), key);
        for (std::size_t i = 0; i < value.size(); ++i) {
            const std::string& path = value[i].get_ref<const std::string&>();
            if (const std::string error = programError(path); !error.empty()) {
                problems_.add(join(listAt, i), error);
            } else if (++programs_ > maxPrograms) {
                problems_.add(join(listAt, i), "more than " + std::to_string(maxPrograms) + " programs in the profile");
                return;
            } else {
                select.programs.push_back(normalisedPath(path));
            }
        }
    }

    void readLog(const json& item, const std::string& at, Entry& entry)
    {
        const auto log = item.find("log");
        if (log == item.end()) {
            return;
        }
        const auto flag = [&](const char* name, bool off, std::uint32_t bit) {
            if (log->value(name, off) == off) {
                return;
            }
            if (abi_ < landlock::logFlagsAbi) {
                entry.dropped.push_back(
                    {std::string("log.") + name, landlock::logFlagsAbi, join(join(at, "log"), name)});
            } else {
                entry.restrictFlags |= bit;
            }
        };
        entry.logRequested = abi_ >= landlock::logFlagsAbi;
        flag("sameExec", true, landlock::logSameExecOff);
        flag("newExec", false, landlock::logNewExecOn);
        flag("subdomains", true, landlock::logSubdomainsOff);
    }

    void readLayers(const json& item, const std::string& at, Entry& entry)
    {
        const std::size_t count = item.is_array() ? item.size() : 1;
        for (std::size_t i = 0; i < count; ++i) {
            if (++layers_ > maxLayers) {
                problems_.add(item.is_array() ? join(at, i) : at,
                              "more than " + std::to_string(maxLayers) +
                                  " layers in the profile; compose policies into one");
                return;
            }
            readLayer(item.is_array() ? item[i] : item, item.is_array() ? join(at, i) : at, entry);
        }
        if (entry.compat == Compat::require) {
            for (const Dropped& dropped : entry.dropped) {
                problems_.add(dropped.pointer, missing(dropped) + "; leave it out, or use \"compat\": \"best-effort\"");
            }
        }
    }

    std::string missing(const Dropped& dropped) const
    {
        std::string text = dropped.what + " is not in Landlock ABI " + std::to_string(abi_);
        if (dropped.abi != 0) {
            text += " (needs ABI " + std::to_string(dropped.abi) + ", Linux " +
                    std::string(landlock::kernelRelease(dropped.abi)) + ")";
        }
        return text;
    }

    void readLayer(const json& item, const std::string& at, Entry& entry)
    {
        Policy policy;
        if (const auto parts = item.find("compose"); parts != item.end()) {
            const std::string partsAt = join(at, "compose");
            policy = readWhole((*parts)[0], join(partsAt, 0));
            for (std::size_t i = 1; i < parts->size(); ++i) {
                compose(policy, readWhole((*parts)[i], join(partsAt, i)));
            }
        } else {
            policy = readWhole(item, at);
        }
        Problems found;
        Layer layer = resolve(std::move(policy), at, abi_, budget_, entry.dropped, found);
        for (const Problem& problem : found.found()) {
            problems_.add(problem.pointer, problem.message + usedBy(problem.pointer, entry.name));
        }
        for (Allowance* const one : {&budget_.paths, &budget_.pathBytes, &budget_.ports}) {
            if (!one->over.empty() && one->entry.empty()) {
                one->entry = entry.name;
            }
        }
        if (found.empty()) {
            entry.layers.push_back(std::move(layer));
        }
    }

    // A fragment does not say whose entry it is in.
    static std::string usedBy(const std::string& pointer, const std::string& entry)
    {
        return pointer.find('#') != std::string::npos ? "; used by entry " + sys::printable(entry) : "";
    }

    void requireBudget()
    {
        const auto require = [this](const Allowance& one, const std::string& what, bool counted) {
            if (!one.over.empty()) {
                problems_.add(one.over,
                              what + (counted && one.asked != SIZE_MAX ? "; it has " + std::to_string(one.asked) : "") +
                                  usedBy(one.over, one.entry));
            }
        };
        require(budget_.paths, "more than " + std::to_string(maxPaths) + " paths in the profile, after variables",
                true);
        require(budget_.pathBytes,
                "the paths of the profile are longer than " + std::to_string(maxExpandedBytes) +
                    " bytes together, after variables",
                false);
        require(budget_.ports, "more than " + std::to_string(maxPorts) + " ports in the profile", true);
    }

    // A policy composed with all that it uses. What has variables alone brings these, and has no say in what is
    // handled.
    Policy readWhole(const json& document, const std::string& at)
    {
        Policy policy = readPolicy(document, at, problems_);
        const auto names = document.find("use");
        if (names == document.end()) {
            return policy;
        }
        std::map<std::string, const Policy*> used;
        for (const json& name : *names) {
            addUsed(name.get_ref<const std::string&>(), used);
        }
        // What the policy says itself is denied, whatever it uses; of one that says nothing, what a fragment says.
        const bool says = policy.restricts();
        std::array<std::uint64_t, 3> wanted = policy.handled;
        for (const auto& [name, fragment] : used) {
            if (!fragment->restricts()) {
                addVariables(policy, *fragment);
            } else if (!policy.restricts()) {
                const Policy own = std::exchange(policy, *fragment);
                addVariables(policy, own);
            } else {
                Policy part = *fragment;
                if (says) {
                    part.quiet = policy.quiet;  // what of it is logged is no fragment's affair
                }
                compose(policy, part);
            }
            for (std::size_t i = 0; i < wanted.size() && !says; ++i) {
                wanted[i] |= fragment->handled[i];
            }
        }
        for (const auto& [name, fragment] : used) {
            requireHandled(name, *fragment, wanted, join(at, "use"));
        }
        return policy;
    }

    // With all that it uses. Who has gathered them has looked for circles; here they would do no harm.
    void addUsed(const std::string& name, std::map<std::string, const Policy*>& used)
    {
        const auto fragment = fragments_.find(name);
        if (fragment == fragments_.end()) {
            throw sys::Error("the fragment " + inQuotes(name) + " was not read");
        }
        if (!used.emplace(name, &fragment->second.policy).second) {
            return;
        }
        for (const Use& use : fragment->second.uses) {
            addUsed(use.fragment, used);
        }
    }

    // To compose is to deny what all deny: a fragment that forgot a right would allow it everywhere.
    void requireHandled(const std::string& name, const Policy& fragment, const std::array<std::uint64_t, 3>& wanted,
                        const std::string& at)
    {
        std::string lacking;
        for (const Kind kind : {Kind::fs, Kind::net, Kind::scope}) {
            const auto index = static_cast<std::size_t>(kind);
            for (std::uint64_t left = wanted[index] & ~fragment.handled[index]; left != 0; left &= left - 1) {
                lacking += (lacking.empty() ? "" : ", ") + landlock::describe(kind, left & -left);
            }
        }
        if (fragment.restricts() && !lacking.empty()) {
            problems_.add(at, "the fragment " + inQuotes(name) + " does not handle " + lacking +
                                  ", and would take the denial of that away; add it to the ruleset of the fragment");
        }
    }

    Origin origin_;
    unsigned abi_;
    std::map<std::string, ReadFragment> fragments_;
    Problems& problems_;
    Profile profile_;
    Budget budget_;
    std::size_t layers_ = 0;
    std::size_t programs_ = 0;
};

json programList(std::string_view value)
{
    const std::size_t start = value.find_first_not_of(" \t\r\n");
    if (start == std::string_view::npos || value[start] != '[') {
        return json::array({std::string(value)});
    }
    json list = parseJson(value, "io.landlock.program");
    if (list.empty() || !std::all_of(list.begin(), list.end(), [](const json& item) { return item.is_string(); })) {
        throw sys::Error("io.landlock.program: expected one absolute path, or a JSON array of them");
    }
    return list;
}

}  // namespace

std::string moreFragments()
{
    return "more than " + std::to_string(maxFragments) + " fragments in the profile";
}

std::vector<Use> usesOf(const Fragment& fragment)
{
    return readFragment(fragment).uses;
}

Profile load(std::string_view text, std::string source, Origin origin, unsigned abi,
             const std::vector<Fragment>& fragments)
{
    const json document = parseJson(text, source);
    return loadDocument(document, std::move(source), origin, abi, fragments);
}

Profile loadFile(std::string_view text, std::string path, Origin origin, unsigned abi,
                 const std::vector<Fragment>& fragments)
{
    const json document = parseFile(text, path);
    return loadDocument(document, std::move(path), origin, abi, fragments);
}

std::string_view enforcementOf(const Entry& entry)
{
    return entry.mode == Mode::audit ? "none" : entry.dropped.empty() ? "full" : "partial";
}

Profile loadDocument(const json& document, std::string source, Origin origin, unsigned abi,
                     const std::vector<Fragment>& fragments)
{
    Problems problems;
    validate(document, problems);
    problems.check(source);
    if (std::vector<Use> uses = Uses::of(document); fragments.empty() && !uses.empty()) {
        if (uses.size() > maxFragments) {
            problems.add(uses[maxFragments].pointer, moreFragments());
            problems.check(source);
        }
        return {.source = std::move(source), .uses = std::move(uses), .entries = {}};
    }
    Profile profile = Loader(origin, abi, fragments, problems).load(document, source);
    problems.check(source);
    return profile;
}

std::vector<std::string> programsOf(std::string_view value)
{
    std::vector<std::string> programs;
    for (const json& item : programList(value)) {
        const std::string& path = item.get_ref<const std::string&>();
        if (const std::string error = programError(path); !error.empty()) {
            throw sys::Error("io.landlock.program: " + error);
        }
        programs.push_back(normalisedPath(path));
    }
    if (programs.size() > maxPrograms) {
        throw sys::Error("io.landlock.program: more than " + std::to_string(maxPrograms) + " programs");
    }
    return programs;
}

void selectPrograms(Profile& profile, std::vector<std::string> programs)
{
    if (profile.entries.size() != 1) {
        throw sys::Error("io.landlock.program: the profile " + sys::printable(profile.source) + " has " +
                         std::to_string(profile.entries.size()) +
                         " entries; it can replace the selection of a single one only");
    }
    Selection& select = profile.entries.front().select;
    select.kind = Selector::program;
    select.programs = std::move(programs);
}

}  // namespace profile
