// SPDX-License-Identifier: Apache-2.0
#include "learn/recording.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <bit>

#include "profile/path.hpp"
#include "sys/error.hpp"
#include "sys/fd.hpp"
#include "sys/file.hpp"
#include "sys/json.hpp"

namespace learn {

namespace {

using landlock::Kind;
using nlohmann::json;
using nlohmann::ordered_json;

constexpr unsigned version = 1;
constexpr std::size_t maxText = 256;  // of a time, a container's id, what is unseen

std::uint64_t countOf(std::uint64_t bits)
{
    return static_cast<std::uint64_t>(std::popcount(bits));
}

// Of one document: every member must be known, and of its kind.
class Reader {
public:
    explicit Reader(std::string_view source) : source_(source) {}

    Recording recording(const json& document) const
    {
        const std::string top;
        only(document, top, {"$schema", "version", "runs", "programs", "paths", "ports", "scopes"});
        if (number(document, top, "version", UINT32_MAX) != version) {
            fail("version", "this version of oci-landlock reads version " + std::to_string(version));
        }
        Recording out;
        each(document, top, "runs", maxRuns,
             [&](const json& item, const std::string& at) { out.runs.push_back(run(item, at)); });
        each(document, top, "programs", maxPrograms,
             [&](const json& item, const std::string& at) { out.programs.insert(path(item, at)); });
        each(document, top, "paths", maxPaths, [&](const json& item, const std::string& at) {
            only(item, at, {"path", "rights", "beneath"});
            if (!item.contains("path")) {
                fail(at, "has no path");
            }
            const Used used{rights(item, at, "rights", Kind::fs), rights(item, at, "beneath", Kind::fs)};
            if (!out.paths.emplace(path(item["path"], at + "/path"), used).second) {
                fail(at, "this path is there twice");
            }
        });
        each(document, top, "ports", maxPorts, [&](const json& item, const std::string& at) {
            only(item, at, {"port", "rights"});
            if (!out.ports.emplace(number(item, at, "port", 65535), rights(item, at, "rights", Kind::net)).second) {
                fail(at, "this port is there twice");
            }
        });
        out.scopes = rights(document, top, "scopes", Kind::scope);
        return out;
    }

private:
    [[noreturn]] void fail(const std::string& at, const std::string& why) const
    {
        throw sys::Error(std::string(source_) + ": " + (at.empty() ? "" : sys::printable(at) + ": ") + why);
    }

    void only(const json& object, const std::string& at, const std::vector<std::string_view>& members) const
    {
        if (!object.is_object()) {
            fail(at, "must be an object");
        }
        for (const auto& [name, value] : object.items()) {
            if (std::ranges::find(members, name) == members.end()) {
                fail(at, "there is no member " + sys::printable(name) + " in a recording");
            }
        }
    }

    template <typename Take>
    void each(const json& object, const std::string& at, const char* member, std::size_t most, Take take) const
    {
        if (!object.contains(member)) {
            return;
        }
        const json& list = object[member];
        const std::string place = at + "/" + member;
        if (!list.is_array() || list.size() > most) {
            fail(place, "must be a list of " + std::to_string(most) + " at most");
        }
        for (std::size_t i = 0; i < list.size(); ++i) {
            take(list[i], place + "/" + std::to_string(i));
        }
    }

    std::uint64_t number(const json& object, const std::string& at, const char* member, std::uint64_t most) const
    {
        if (!object.contains(member) || !object[member].is_number_unsigned() ||
            object[member].get<std::uint64_t>() > most) {
            fail(at + "/" + member, "must be a number from 0 to " + std::to_string(most));
        }
        return object[member].get<std::uint64_t>();
    }

    std::uint64_t count(const json& object, const std::string& at, const char* member) const
    {
        return object.contains(member) ? number(object, at, member, INT64_MAX) : 0;
    }

    std::string text(const json& value, const std::string& at, std::size_t most) const
    {
        if (!value.is_string() || value.get_ref<const std::string&>().size() > most) {
            fail(at, "must be a string of " + std::to_string(most) + " bytes at most");
        }
        return value.get<std::string>();
    }

    std::string path(const json& value, const std::string& at) const
    {
        std::string path = text(value, at, maxPathBytes);
        if (profile::lexicalPath(path) != path) {
            fail(at, "must be an absolute path without \"..\", \".\" and \"//\"");
        }
        return path;
    }

    std::uint64_t rights(const json& object, const std::string& at, const char* member, Kind kind) const
    {
        std::uint64_t mask = 0;
        each(object, at, member, std::size(landlock::rights), [&](const json& item, const std::string& place) {
            const landlock::Right* right = landlock::findRight(kind, std::string_view(text(item, place, maxText)));
            if (right == nullptr) {
                fail(place, "there is no such right of this kind");
            }
            mask |= right->mask();
        });
        return mask;
    }

    Run run(const json& item, const std::string& at) const
    {
        only(item, at,
             {"began", "ended", "container", "added", "refused", "lost", "leftOut", "unnamed", "late", "unseen"});
        Run out{.added = count(item, at, "added"),
                .refused = count(item, at, "refused"),
                .lost = count(item, at, "lost"),
                .leftOut = count(item, at, "leftOut"),
                .unnamed = count(item, at, "unnamed")};
        for (const auto& [member, field] :
             {std::pair{"began", &out.began}, std::pair{"ended", &out.ended}, std::pair{"container", &out.container}}) {
            *field = item.contains(member) ? text(item[member], at + "/" + member, maxText) : "";
        }
        if (item.contains("late")) {
            if (!item["late"].is_boolean()) {
                fail(at + "/late", "must be true or false");
            }
            out.late = item["late"].get<bool>();
        }
        each(item, at, "unseen", 64,
             [&](const json& one, const std::string& place) { out.unseen.push_back(text(one, place, maxText)); });
        return out;
    }

    std::string_view source_;
};

ordered_json toJson(const Run& run)
{
    ordered_json out = {{"began", run.began}, {"ended", run.ended}, {"container", run.container}, {"added", run.added}};
    for (const auto& [member, value] : {std::pair{"refused", run.refused}, std::pair{"lost", run.lost},
                                        std::pair{"leftOut", run.leftOut}, std::pair{"unnamed", run.unnamed}}) {
        if (value != 0) {
            out[member] = value;
        }
    }
    if (run.late) {
        out["late"] = true;
    }
    if (!run.unseen.empty()) {
        out["unseen"] = run.unseen;
    }
    return out;
}

}  // namespace

std::optional<std::uint64_t> addPath(Recording& to, const std::string& path, const Used& used)
{
    auto known = to.paths.find(path);
    if (known == to.paths.end()) {
        if (to.paths.size() >= maxPaths) {
            return std::nullopt;
        }
        known = to.paths.emplace(path, Used{}).first;
    }
    Used& all = known->second;
    const std::uint64_t added = countOf(used.rights & ~all.rights) + countOf(used.beneath & ~all.beneath);
    all.rights |= used.rights;
    all.beneath |= used.beneath;
    return added;
}

std::optional<std::uint64_t> addPort(Recording& to, std::uint64_t port, std::uint64_t rights)
{
    if (!to.ports.contains(port) && to.ports.size() >= maxPorts) {
        return std::nullopt;
    }
    std::uint64_t& all = to.ports[port];
    const std::uint64_t added = countOf(rights & ~all);
    all |= rights;
    return added;
}

std::uint64_t addScopes(Recording& to, std::uint64_t scopes)
{
    const std::uint64_t added = countOf(scopes & ~to.scopes);
    to.scopes |= scopes;
    return added;
}

std::uint64_t merge(Recording& to, const Recording& from)
{
    const auto within = [](std::optional<std::uint64_t> added, const char* what, std::size_t most) {
        if (!added) {
            throw sys::Error("together the recordings have more than " + std::to_string(most) + " " + what +
                             "; merge fewer");
        }
        return *added;
    };
    std::uint64_t added = addScopes(to, from.scopes);
    for (const auto& [path, used] : from.paths) {
        added += within(addPath(to, path, used), "paths", maxPaths);
    }
    for (const auto& [port, rights] : from.ports) {
        added += within(addPort(to, port, rights), "ports", maxPorts);
    }
    to.programs.insert(from.programs.begin(), from.programs.end());
    to.runs.insert(to.runs.end(), from.runs.begin(), from.runs.end());
    if (to.programs.size() > maxPrograms || to.runs.size() > maxRuns) {
        throw sys::Error("together the recordings have more than " + std::to_string(maxRuns) + " runs or " +
                         std::to_string(maxPrograms) + " programs; merge fewer");
    }
    return added;
}

std::vector<std::string> gapsOf(const Recording& recording)
{
    std::vector<std::string> gaps;
    if (recording.runs.empty()) {
        gaps.emplace_back("it has no run");
    }
    for (std::size_t i = 0; i < recording.runs.size(); ++i) {
        const Run& run = recording.runs[i];
        const auto add = [&gaps, i](const std::string& what) {
            gaps.push_back("run " + std::to_string(i) + ": " + what);
        };
        if (run.late) {
            add("the program ran already when it began");
        }
        if (run.lost != 0) {
            add(std::to_string(run.lost) + " accesses were lost: they came faster than they were read");
        }
        if (run.leftOut != 0) {
            add(std::to_string(run.leftOut) +
                " accesses were left out: there were more paths, ports or programs than "
                "a recording holds");
        }
        if (run.unnamed != 0) {
            add(std::to_string(run.unnamed) + " accesses were to files without a path that a profile can name");
        }
        for (const std::string& what : run.unseen) {
            add("the kernel shows nothing of " + sys::printable(what));
        }
    }
    return gaps;
}

std::size_t factsOf(const Recording& recording)
{
    Recording all;
    return merge(all, recording);
}

Recording read(std::string_view text, std::string_view source)
{
    const auto fail = [&](const std::string& why) -> void { throw sys::Error(std::string(source) + ": " + why); };
    const sys::JsonReading how{.maxDepth = 8,
                               .maxValues = 1'000'000,
                               .wanted = {},
                               .report = [&](const sys::JsonProblem& problem) {
                                   switch (problem.kind) {
                                       case sys::JsonProblem::Kind::syntax:
                                           fail("not valid JSON at byte " + std::to_string(problem.byte));
                                           break;
                                       case sys::JsonProblem::Kind::twice:
                                           fail("the member " + sys::printable(problem.text) + " is there twice");
                                           break;
                                       default:
                                           fail("nested too deep, too long, or with a NUL in a string");
                                   }
                               }};
    return Reader(source).recording(sys::readJson(text, how));
}

Recording readFile(const std::string& path)
{
    const sys::Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    struct stat st {};
    if (!file || fstat(file.get(), &st) != 0) {
        throw sys::errnoError(sys::printable(path));
    }
    // Nobody may write to a pipe, and a device may have no end.
    if (!S_ISREG(st.st_mode)) {
        throw sys::Error(sys::printable(path) + ": not a regular file");
    }
    return read(sys::readAll(file.get(), maxRecordingBytes, sys::printable(path)), sys::printable(path));
}

ordered_json rightNames(Kind kind, std::uint64_t rights)
{
    ordered_json names = ordered_json::array();
    for (const landlock::Right& right : landlock::rights) {
        if (right.kind == kind && (rights & right.mask()) != 0) {
            names.push_back(right.name);
        }
    }
    return names;
}

ordered_json toJson(const Recording& recording)
{
    ordered_json out = {{"version", version},
                        {"runs", ordered_json::array()},
                        {"programs", recording.programs},
                        {"paths", ordered_json::array()},
                        {"ports", ordered_json::array()},
                        {"scopes", rightNames(Kind::scope, recording.scopes)}};
    for (const Run& run : recording.runs) {
        out["runs"].push_back(toJson(run));
    }
    for (const auto& [path, used] : recording.paths) {
        ordered_json item = {{"path", path}};
        if (used.rights != 0) {
            item["rights"] = rightNames(Kind::fs, used.rights);
        }
        if (used.beneath != 0) {
            item["beneath"] = rightNames(Kind::fs, used.beneath);
        }
        out["paths"].push_back(std::move(item));
    }
    for (const auto& [port, rights] : recording.ports) {
        out["ports"].push_back({{"port", port}, {"rights", rightNames(Kind::net, rights)}});
    }
    return out;
}

std::string textOf(const Recording& recording)
{
    std::string text = sys::visibleJson(toJson(recording).dump(1)) + "\n";
    if (text.size() > maxRecordingBytes) {
        throw sys::Error("the recording would be larger than " + std::to_string(maxRecordingBytes) +
                         " bytes; record into another file");
    }
    return text;
}

}  // namespace learn
