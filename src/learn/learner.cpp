// SPDX-License-Identifier: Apache-2.0
#include "learn/learner.hpp"

#include <algorithm>
#include <cstring>

#include "profile/path.hpp"

namespace learn {

namespace {

using landlock::Kind;

// Beyond so many in one directory, every file that is directly in it counts as made by the run: it may make anything
// there anyway. Directories are kept by their names, for what is in those that were there before is not the run's.
constexpr std::size_t maxMadeNames = 64;
constexpr std::size_t maxMade = 65536;  // all together

const std::uint64_t opening = landlock::maskOf(Kind::fs, "read_file") | landlock::maskOf(Kind::fs, "write_file");

bool isNumber(std::string_view text)
{
    return !text.empty() && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

template <std::size_t size>
std::string textIn(const char (&field)[size])
{
    return {field, strnlen(field, size)};
}

// A document can hold it.
bool isNameable(const std::string& path)
{
    try {
        return path.size() <= maxPathBytes && profile::lexicalPath(path) == path &&
               !nlohmann::json(path).dump().empty();
    } catch (const nlohmann::json::type_error&) {
        return false;
    }
}

}  // namespace

void Learner::count(std::optional<std::uint64_t> added)
{
    if (!added) {
        ++run_.leftOut;
        return;
    }
    facts_ += *added;
    run_.added += *added;
}

void Learner::note(const std::string& path, const Used& used)
{
    count(addPath(all_, path, used));
}

std::string Learner::homeOf(const std::string& path) const
{
    // From the root down: what is in a directory that the run has made is in it for any rule.
    std::string directory = "/";
    for (std::size_t begin = 1; begin < path.size();) {
        const std::size_t end = std::min(path.find('/', begin), path.size());
        const std::string name = path.substr(begin, end - begin);
        // Processes and terminals have numbers for names.
        if ((directory == "/proc" || directory == "/dev/pts") && isNumber(name)) {
            return directory;
        }
        if (const auto made = made_.find(directory); made != made_.end()) {
            if (made->second.contains(name) || (made->second.size() > maxMadeNames && end == path.size())) {
                return directory;
            }
        }
        directory = path.substr(0, end);
        begin = end + 1;
    }
    return "";
}

void Learner::noteFile(const std::string& path, std::uint64_t rights)
{
    const std::string home = homeOf(path);
    home.empty() ? note(path, {.rights = rights}) : note(home, {.beneath = rights});
}

void Learner::noteMade(const std::string& path, bool directory)
{
    const std::string parent = profile::parentOf(path);
    const std::string name = path.substr(path.rfind('/') + 1);
    const auto siblings = made_.find(parent);
    const bool many = siblings != made_.end() && siblings->second.size() > maxMadeNames;
    if (many ? !directory || siblings->second.contains(name) : !homeOf(path).empty()) {
        return;
    }
    if (names_ >= maxMade) {
        ++run_.leftOut;
        return;
    }
    made_[parent].insert(name);
    ++names_;
}

void Learner::takePath(const oll_seen& event)
{
    const std::string path = textIn(event.path);
    if (!isNameable(path)) {
        // That it was opened has been counted, if it was.
        run_.unnamed += event.about == OLL_ABOUT_OPENED ? 0 : 1;
        return;
    }
    switch (event.about) {
        case OLL_ABOUT_MADE:
            if (event.rights != 0) {
                noteFile(profile::parentOf(path), event.rights);
            }
            noteMade(path, (event.rights & landlock::maskOf(Kind::fs, "make_dir")) != 0);
            break;
        case OLL_ABOUT_OPENED:
            takeOpened(path, event.rights);
            break;
        default:
            if (event.rights != 0) {
                noteFile(path, event.rights);
            }
            if (const auto early = inherited_.find(path); early != inherited_.end() && (event.rights & opening) != 0) {
                noteFile(path, early->second);
                inherited_.erase(early);
            }
    }
}

// Nobody asks for it where the file was open before the restriction; it may be opened later, and then somebody does.
void Learner::takeOpened(const std::string& path, std::uint64_t rights)
{
    const std::string home = homeOf(path);
    const auto known = all_.paths.find(home.empty() ? path : home);
    if (known != all_.paths.end() && ((home.empty() ? known->second.rights : known->second.beneath) & opening) != 0) {
        noteFile(path, rights);
    } else if (inherited_.size() >= maxPaths) {
        ++run_.leftOut;
    } else {
        inherited_[path] |= rights;
    }
}

void Learner::take(const oll_seen& event)
{
    if (event.kind == OLL_SEEN_APPLIED) {
        const std::string program = textIn(event.program);
        if (!isNameable(program)) {
            ++run_.unnamed;
        } else if (!all_.programs.contains(program) && all_.programs.size() >= maxPrograms) {
            ++run_.leftOut;
        } else {
            all_.programs.insert(program);
        }
        return;
    }
    if (event.kind != OLL_SEEN_USED) {
        return;
    }
    run_.refused += event.error != 0 ? 1 : 0;
    run_.late = run_.late || event.domain == 0;
    switch (event.about) {
        case OLL_ABOUT_NET:
            count(addPort(all_, event.port, event.rights));
            break;
        case OLL_ABOUT_SCOPE:
            count(addScopes(all_, event.rights));
            break;
        default:
            takePath(event);
    }
}

Recording Learner::finish()
{
    all_.runs.push_back(run_);
    return std::move(all_);
}

}  // namespace learn
