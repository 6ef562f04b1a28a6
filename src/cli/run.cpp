// SPDX-License-Identifier: Apache-2.0
// `oci-landlock run`: a profile on a command of this machine. The process that it is becomes the command.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <optional>

#include "cli/commands.hpp"
#include "cli/lookup.hpp"
#include "cli/options.hpp"
#include "cli/outcome.hpp"
#include "cli/prepare.hpp"
#include "cli/request.hpp"
#include "cli/settings.hpp"
#include "container/rootfs.hpp"
#include "landlock/ruleset.hpp"
#include "profile/load.hpp"

namespace cli {

namespace {

namespace po = boost::program_options;
using profile::Origin;

// As env(1) has them: what the command itself says lies below.
enum RunStatus { exitNotRun = 125, exitNotExecutable = 126, exitNoCommand = 127 };

class CommandError : public sys::Error {
public:
    CommandError(const std::string& message, RunStatus status) : sys::Error(message), status_(status) {}
    RunStatus status() const { return status_; }

private:
    RunStatus status_;
};

CommandError commandError(const std::string& name, int code, const std::string& advice = "")
{
    return {sys::errnoError(name.empty() ? "\"\"" : sys::printable(name), code).what() + advice,
            code == ENOENT ? exitNoCommand : exitNotExecutable};
}

// 0, or why this file cannot be executed.
int obstacle(const std::string& path, struct stat& file)
{
    if (stat(path.c_str(), &file) != 0) {
        return errno;
    }
    if (!S_ISREG(file.st_mode)) {
        return EACCES;
    }
    return faccessat(AT_FDCWD, path.c_str(), X_OK, AT_EACCESS) == 0 ? 0 : errno;
}

struct Executable {
    std::string path;
    struct stat file {};
};

// What execvp(3) would take. Throws CommandError.
Executable findCommand(const std::string& name)
{
    Executable found;
    if (name.empty() || name.find('/') != std::string::npos) {
        found.path = name;
        if (const int code = obstacle(name, found.file)) {
            throw commandError(name, code);
        }
        return found;
    }
    const char* const given = std::getenv("PATH");
    const std::string directories = given != nullptr ? given : "/bin:/usr/bin";
    int code = ENOENT;
    for (std::size_t start = 0; start <= directories.size();) {
        const std::size_t end = std::min(directories.find(':', start), directories.size());
        const std::string directory = directories.substr(start, end - start);
        found.path = (directory.empty() ? "." : directory) + "/" + name;
        const int reason = obstacle(found.path, found.file);
        if (reason == 0) {
            return found;
        }
        code = reason == EACCES ? reason : code;
        start = end + 1;
    }
    throw commandError(name, code);
}

// The command's own, and those of its interpreters, where it is a script.
std::vector<sys::Fd> filesOf(const Executable& command)
{
    std::vector<sys::Fd> files;
    for (std::string path = command.path; !path.empty() && files.size() <= maxScripts;) {
        sys::Fd file(open(path.c_str(), O_PATH | O_CLOEXEC));
        if (!file) {
            break;  // it cannot be executed, and is not
        }
        try {
            path = interpreterOf(file.get());
        } catch (const sys::Error&) {
            path = "";  // no interpreter can read it, so it is none's
        }
        files.push_back(std::move(file));
    }
    return files;
}

bool areSame(int left, int right)
{
    struct stat one {};
    struct stat other {};
    return fstat(left, &one) == 0 && fstat(right, &other) == 0 && one.st_dev == other.st_dev &&
           one.st_ino == other.st_ino;
}

// Whether the entry would restrict the command as the first program of a container.
bool selects(const profile::Selection& select, const container::Rootfs& rootfs, const Executable& command)
{
    if (select.kind == profile::Selector::entrypoint) {
        return true;
    }
    const bool program = select.kind == profile::Selector::program;
    const auto lists = [&](const sys::Fd& file) {
        return std::ranges::any_of(select.programs, [&](const std::string& name) {
            const std::optional<sys::Fd> listed = rootfs.find(name, "/");
            return listed && areSame(listed->get(), file.get()) &&
                   (program || rootfs.nameOf(listed->get()) == rootfs.nameOf(file.get()));
        });
    };
    const std::vector<sys::Fd> files = filesOf(command);
    return program ? std::ranges::any_of(files, lists) : !std::ranges::all_of(files, lists);
}

std::string namesOf(const profile::Profile& profile)
{
    std::string names;
    for (const profile::Entry& entry : profile.entries) {
        names += (names.empty() ? "" : ", ") + sys::printable(entry.name);
    }
    return names;
}

// Leaves the entry of that name; without a name the only one, or those that select the command. Throws sys::Error when
// none is left.
void choose(profile::Profile& profile, const std::optional<std::string>& name, const container::Rootfs& rootfs,
            const Executable& command)
{
    const std::string names = namesOf(profile);
    if (name) {
        std::erase_if(profile.entries, [&](const profile::Entry& entry) { return entry.name != *name; });
        if (profile.entries.empty()) {
            throw sys::Error(sys::printable(profile.source) + ": has no entry " + sys::printable(*name) +
                             "; it has: " + names);
        }
    } else if (profile.entries.size() > 1) {
        std::erase_if(profile.entries,
                      [&](const profile::Entry& entry) { return !selects(entry.select, rootfs, command); });
        if (profile.entries.empty()) {
            throw sys::Error(sys::printable(profile.source) + ": no entry selects " + sys::printable(command.path) +
                             "; choose one with --entry: " + names);
        }
    }
}

profile::Profile ownProfile(const Settings& settings, const std::string& given, const Parse& parse)
{
    const bool isFile = given.find('/') != std::string::npos || given.ends_with(".json") || given.ends_with(".toml");
    const ProfileFile file = isFile ? readProfileFile(given) : findProfile(settings, given);
    return readProfile(settings, file, Origin::nodeFile, parse);
}

// As the hook stacks it for a container, as far as it concerns the command.
profile::Profile profileFor(const Executable& command, const std::optional<std::string>& given,
                            const std::optional<std::string>& entry)
{
    const unsigned abi = landlock::kernelAbi();
    if (abi == 0) {
        throw sys::Error("Landlock is off on this kernel; boot with landlock in lsm=");
    }
    const Settings settings = readSettings();
    if (!given && !settings.baseline) {
        throw UsageError("run: name a profile with --profile; this machine has no baseline");
    }
    const Parse parse = parseHere(abi);
    const container::Rootfs rootfs = container::Rootfs::here();
    profile::Profile baseline = baselineOf(settings, parse);
    std::erase_if(baseline.entries, [&](const profile::Entry& one) {
        return one.mode == profile::Mode::audit || !selects(one.select, rootfs, command);
    });
    profile::Profile own;
    if (given) {
        own = ownProfile(settings, *given, parse);
        choose(own, entry, rootfs, command);
        for (const profile::Entry& one : own.entries) {
            if (one.mode == profile::Mode::audit) {
                throw sys::Error(sys::printable(own.source) + ": entry " + sys::printable(one.name) +
                                 " is audited, which is for containers: `run` restricts, or does not run; take "
                                 "\"mode\" out, or choose another entry");
            }
        }
    } else if (baseline.entries.empty()) {
        throw sys::Error(sys::printable(baseline.source) + ": no entry selects " + sys::printable(command.path) +
                         "; name a profile with --profile");
    }
    return stacked(std::move(baseline), std::move(own));
}

[[noreturn]] void execute(const Executable& command, const Arguments& words)
{
    std::vector<char*> arguments;
    for (const std::string& word : words) {
        arguments.push_back(const_cast<char*>(word.c_str()));
    }
    arguments.push_back(nullptr);
    execv(command.path.c_str(), arguments.data());
    const int code = errno;
    // Without the profile it could be executed.
    throw commandError(command.path, code,
                       code == EACCES
                           ? "; the profile must allow execute and read_file on the command, its interpreter and loader"
                       : code == ENOENT ? "; its interpreter or loader is missing"
                                        : "");
}

int runCommand(const Arguments& arguments)
{
    // The command's own options are not ours.
    std::size_t end = 0;
    while (end < arguments.size() && arguments[end].starts_with('-') && arguments[end] != "--") {
        end += arguments[end] == "--profile" || arguments[end] == "--entry" ? 2 : 1;
    }
    end = std::min(end, arguments.size());
    const auto begin = arguments.begin() + static_cast<std::ptrdiff_t>(end);
    Arguments words(begin, arguments.end());
    if (!words.empty() && words[0] == "--") {
        words.erase(words.begin());
    }

    po::options_description options;
    auto add = options.add_options();
    add("profile", po::value<std::string>()->value_name("NAME|FILE"),
        "the profile: a name as in annotations, or a file, with a \"/\" or an ending in it");
    add("entry", po::value<std::string>()->value_name("NAME"), "this entry of the profile, whatever it selects");
    const auto given = parseOptions(
        "run",
        "Executes the command with a profile, on this machine, without a container. Without --entry those\n"
        "entries count that would restrict the command as a container's first program, or the only one.\n"
        "Exit status: 125 not restricted, and not run; 126 it cannot be executed; 127 there is no such\n"
        "command; else the command's own.",
        options, {arguments.begin(), begin}, "COMMAND [ARG]");
    if (!given) {
        return exitOk;
    }
    const auto wordOf = [&](const char* option) {
        return given->contains(option) ? std::optional((*given)[option].as<std::string>()) : std::nullopt;
    };
    const std::optional<std::string> profileName = wordOf("profile");
    const std::optional<std::string> entryName = wordOf("entry");
    if (words.empty()) {
        throw UsageError("run: name a command");
    }
    if (!profileName && entryName) {
        throw UsageError("run: --entry wants a --profile that has it");
    }
    const Executable command = findCommand(words[0]);
    const profile::Profile profile = profileFor(command, profileName, entryName);
    const Prepared prepared = prepareHere(profile);
    for (std::size_t i = 0; i < profile.entries.size(); ++i) {
        const std::string partial = partialLine(profile.entries[i], prepared.skipped[i]);
        if (!partial.empty()) {
            std::fprintf(stderr, "oci-landlock: %s\n", partial.c_str());
        }
    }
    restrictSelf(prepared.layers);
    execute(command, words);
}

}  // namespace

// Errors are caught here: their statuses are this command's own.
int runRun(const Arguments& arguments)
{
    int status = exitNotRun;
    std::exception_ptr thrown;
    try {
        return runCommand(arguments);
    } catch (const CommandError& error) {
        status = error.status();
        thrown = std::current_exception();
    } catch (...) {
        thrown = std::current_exception();
    }
    std::fprintf(stderr, "oci-landlock: %s\n", sys::messageOf(thrown).c_str());
    return status;
}

}  // namespace cli
