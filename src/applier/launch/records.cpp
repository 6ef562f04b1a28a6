// SPDX-License-Identifier: Apache-2.0
// A record is a line of JSON, and when its tracer is done a second one: "applied", or "failed" with the reason.
#include "applier/launch/records.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>
#include <sstream>

#include "sys/directory.hpp"
#include "sys/error.hpp"
#include "sys/file.hpp"
#include "sys/json.hpp"
#include "sys/places.hpp"
#include "sys/user.hpp"

namespace applier::launch {

namespace {

using nlohmann::json;

constexpr std::size_t maxRecordBytes = 256UL * 1024;
constexpr std::string_view appliedLine = "applied\n";
constexpr std::string_view failedWord = "failed ";

std::string nameOf(const Identity& init)
{
    return std::to_string(init.pid) + "-" + std::to_string(init.startTime);
}

struct Stat {
    std::string state;
    std::uint64_t startTime = 0;
};

// std::nullopt: there is no such process.
std::optional<Stat> statOf(pid_t pid)
{
    const std::string path = "/proc/" + std::to_string(pid) + "/stat";
    const sys::Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file) {
        if (errno == ENOENT) {
            return std::nullopt;
        }
        throw sys::errnoError(path);
    }
    char text[4096] = {};
    const ssize_t length = ::read(file.get(), text, sizeof text - 1);
    if (length < 0 && errno == ESRCH) {
        return std::nullopt;
    }
    // The name of the program is in brackets and may have anything in it; the start is the 20th field after it.
    const char* const name = std::strrchr(text, ')');
    std::istringstream fields(name == nullptr ? "" : name + 1);
    Stat stat;
    fields >> stat.state;
    std::string field;
    for (int i = 1; i < 20; ++i) {
        fields >> field;
    }
    if (!fields || std::from_chars(field.data(), field.data() + field.size(), stat.startTime).ec != std::errc()) {
        throw sys::Error(path + ": cannot be understood");
    }
    return stat;
}

bool mayHoldState(const std::string& directory)
{
    struct stat st {};
    return stat(directory.c_str(), &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid() &&
           (st.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

}  // namespace

std::optional<Identity> Identity::of(pid_t pid)
{
    const auto found = statOf(pid);
    return found ? std::optional<Identity>({pid, found->startTime}) : std::nullopt;
}

bool Identity::alive() const
{
    const auto found = statOf(pid);
    return found && found->startTime == startTime && found->state != "Z" && found->state != "X";
}

// Engines give their hooks the environment or none, and a user's directory is where it is by convention then.
std::string recordDirectory()
{
    if (geteuid() == 0 && sys::inInitialUserNamespace()) {
        return sys::inRunDirectory("launch");
    }
    const std::string given = sys::pathInEnvironment("XDG_RUNTIME_DIR");
    const std::string usual = "/run/user/" + std::to_string(sys::outerUser());
    for (const std::string& directory : {given, usual, std::string("/run")}) {
        if (!directory.empty() && mayHoldState(directory)) {
            return directory + "/oci-landlock/launch";
        }
    }
    throw sys::Error("no directory for the state of this session: " + (given.empty() ? usual : given) +
                     " is missing or belongs to somebody else; set XDG_RUNTIME_DIR");
}

Records::Records()
{
    const std::string path = recordDirectory();
    const std::string parent = path.substr(0, path.rfind('/'));
    for (const std::string& directory : {parent, path}) {
        if (mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) {
            throw sys::errnoError("make " + directory);
        }
    }
    directory_ = sys::Fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
    struct stat st {};
    if (!directory_ || fstat(directory_.get(), &st) != 0) {
        throw sys::errnoError(path);
    }
    if (st.st_uid != geteuid() || (st.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        throw sys::Error(path + ": others may write to it; remove it");
    }
}

std::optional<Identity> initOfRecord(std::string_view name)
{
    const char* const end = name.data() + name.size();
    Identity init;
    const auto pid = std::from_chars(name.data(), end, init.pid);
    const bool good = pid.ec == std::errc() && pid.ptr != end && *pid.ptr == '-' &&
                      std::from_chars(pid.ptr + 1, end, init.startTime).ptr == end;
    return good ? std::optional(init) : std::nullopt;
}

std::vector<Record> livingRecords()
{
    struct stat st {};
    if (lstat(recordDirectory().c_str(), &st) != 0 && errno == ENOENT) {
        return {};
    }
    return Records().all();
}

// Renamed when it is locked and complete: whoever sees it unlocked may take it for one whose tracer has ended.
sys::Fd Records::create(const Record& record) const
{
    const std::string name = nameOf(record.init);
    const std::string draft = "." + name;
    unlinkat(directory_.get(), draft.c_str(), 0);
    sys::Fd file(openat(directory_.get(), draft.c_str(), O_RDWR | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600));
    json content = {{"id", record.id}, {"created", record.created}};
    content["report"] = json::parse(record.report, nullptr, false);
    content["about"] = json::parse(record.about, nullptr, false);
    content["policy"] = record.policy;  // as text: in the order that it has
    const std::string text = sys::oneLineOf(content) + "\n";
    if (!file || flock(file.get(), LOCK_EX | LOCK_NB) != 0 || !sys::writeAll(file.get(), text) ||
        renameat(directory_.get(), draft.c_str(), directory_.get(), name.c_str()) != 0) {
        const sys::Error error = sys::errnoError("write the container's record in " + recordDirectory());
        unlinkat(directory_.get(), draft.c_str(), 0);
        throw error;
    }
    return file;
}

bool conclude(int record, const std::string& failure)
{
    if (failure.empty()) {
        return sys::writeAll(record, appliedLine);
    }
    return sys::writeAll(record, std::string(failedWord) + failure + "\n");
}

std::optional<Record> Records::find(const Identity& init) const
{
    Record record;
    record.init = init;
    const std::string name = nameOf(init);
    const sys::Fd file(openat(directory_.get(), name.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!file) {
        if (errno == ENOENT) {
            return std::nullopt;
        }
        throw sys::errnoError("the container's record " + name);
    }
    // Before it is read: what a tracer writes, it writes before it ends.
    record.traced = flock(file.get(), LOCK_SH | LOCK_NB) != 0;
    const std::string text = sys::readAll(file.get(), maxRecordBytes, "the container's record " + name);
    const std::size_t line = text.find('\n');
    const json content = json::parse(text.substr(0, line), nullptr, false);
    if (line == std::string::npos || !content.is_object() || !content.value("id", json()).is_string() ||
        !content.value("created", json()).is_number_unsigned()) {
        throw sys::Error("the container's record " + name + " cannot be understood; remove it from " +
                         recordDirectory());
    }
    record.id = content["id"].get<std::string>();
    record.created = content["created"].get<std::uint64_t>();
    record.report = sys::oneLineOf(content.value("report", json::object()));
    record.about = sys::oneLineOf(content.value("about", json::object()));
    record.policy = content.value("policy", "");
    const std::string_view end = std::string_view(text).substr(line + 1);
    record.applied = end == appliedLine;
    if (end.starts_with(failedWord)) {
        record.failure = end.substr(failedWord.size(), end.size() - failedWord.size() - 1);
    }
    return record;
}

// With the drafts of hooks that were killed.
std::map<std::string, Identity> Records::names() const
{
    sys::Directory files(sys::openAgain(directory_.get()), "list " + recordDirectory());
    std::map<std::string, Identity> found;
    while (const dirent* entry = files.next()) {
        const std::string name = entry->d_name;
        if (const auto init = initOfRecord(std::string_view(name).substr(name.starts_with('.') ? 1 : 0))) {
            found.emplace(name, *init);
        }
    }
    return found;
}

std::vector<Record> Records::all() const
{
    std::vector<Record> found;
    for (const auto& [name, init] : names()) {
        std::optional<Record> record = name.starts_with('.') ? std::nullopt : find(init);
        if (record && init.alive()) {
            found.push_back(std::move(*record));
        }
    }
    return found;
}

void Records::collectGarbage() const
{
    for (const auto& [name, init] : names()) {
        if (!init.alive()) {
            unlinkat(directory_.get(), name.c_str(), 0);
        }
    }
}

}  // namespace applier::launch
