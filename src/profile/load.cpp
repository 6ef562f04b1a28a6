// SPDX-License-Identifier: Apache-2.0
#include "profile/load.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

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

class Loader {
public:
    Loader(Origin origin, unsigned abi, Problems& problems) : origin_(origin), abi_(abi), problems_(problems) {}

    Profile load(const json& document, std::string source)
    {
        profile_.source = std::move(source);
        if (!document.contains("entries")) {
            Entry& entry = profile_.entries.emplace_back();
            entry.name = "entry-0";
            entry.origin = origin_;
            readLayers(document, "", entry);
            return std::move(profile_);
        }
        const json& entries = document.at("entries");
        for (std::size_t i = 0; i < entries.size(); ++i) {
            readEntry(entries[i], i);
        }
        return std::move(profile_);
    }

private:
    void readEntry(const json& item, std::size_t index)
    {
        const std::string at = join("/entries", index);
        Entry& entry = profile_.entries.emplace_back();
        entry.name = item.value("name", "entry-" + std::to_string(index));
        entry.origin = origin_;
        checkName(entry.name, at);
        readSelect(item, at, entry.select);
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
            policy = readPolicy((*parts)[0], join(partsAt, 0), problems_);
            for (std::size_t i = 1; i < parts->size(); ++i) {
                compose(policy, readPolicy((*parts)[i], join(partsAt, i), problems_));
            }
        } else {
            policy = readPolicy(item, at, problems_);
        }
        const std::size_t before = problems_.found().size();
        Layer layer = resolve(policy, at, abi_, budget_, entry.dropped, problems_);
        if (problems_.found().size() == before) {
            entry.layers.push_back(std::move(layer));
        }
    }

    Origin origin_;
    unsigned abi_;
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

Profile load(std::string_view text, std::string source, Origin origin, unsigned abi)
{
    const json document = parseJson(text, source);
    return loadDocument(document, std::move(source), origin, abi);
}

Profile loadFile(std::string_view text, std::string path, Origin origin, unsigned abi)
{
    const json document = parseFile(text, path);
    return loadDocument(document, std::move(path), origin, abi);
}

std::string_view enforcementOf(const Entry& entry)
{
    return entry.dropped.empty() ? "full" : "partial";
}

Profile loadDocument(const json& document, std::string source, Origin origin, unsigned abi)
{
    Problems problems;
    validate(document, problems);
    problems.check(source);
    Profile profile = Loader(origin, abi, problems).load(document, source);
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
