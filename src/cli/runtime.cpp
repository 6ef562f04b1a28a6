// SPDX-License-Identifier: Apache-2.0
#include "cli/runtime.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <vector>

#include "cli/settings.hpp"
#include "oci/amend.hpp"
#include "oci/bundle.hpp"
#include "sys/error.hpp"
#include "sys/fd.hpp"
#include "sys/file.hpp"
#include "sys/log.hpp"

namespace cli {

namespace {

constexpr const char* runtimeUsage =
    "Usage: oci-landlock-runtime [OPTION]... SUBCOMMAND [ARGUMENT]...\n"
    "\n"
    "An OCI runtime for engines without hooks of their own, such as Docker: adds the hooks of oci-landlock\n"
    "to the config.json of a container that asks for a sandbox, and becomes the real runtime, with the same\n"
    "arguments. See oci-landlock-runtime(1).\n";

// Tells the wrapper that it was executed by itself, in whatever way that came about.
constexpr const char* guardVariable = "OCI_LANDLOCK_RUNTIME";
constexpr std::array programDirectories = {"/usr/local/sbin", "/usr/local/bin", "/usr/sbin",
                                           "/usr/bin",        "/sbin",          "/bin"};

// Of runc and crun, with what follows them.
constexpr std::array globalsWithValue = {"root",           "log",      "log-format", "criu", "rootless",
                                         "cgroup-manager", "log-level"};
constexpr std::array globalsWithout = {"debug", "systemd-cgroup", "help", "version", "h", "v", "V", "?", "usage"};
constexpr std::array creatingSubcommands = {"create", "run", "restore"};
constexpr std::array optionsWithValue = {"bundle",           "config",      "console-socket",      "pidfd-socket",
                                         "pid-file",         "image-path",  "preserve-fds",        "work-path",
                                         "empty-ns",         "parent-path", "manage-cgroups-mode", "lsm-profile",
                                         "lsm-mount-context"};

bool contains(const auto& all, std::string_view word)
{
    return std::ranges::find(all, word) != all.end();
}

// "--name=value", or with one dash, as Go reads it.
struct Option {
    std::string name;
    std::optional<std::string> value;
};

std::optional<Option> optionIn(const std::string& word)
{
    if (word.size() < 2 || word[0] != '-' || word == "--") {
        return std::nullopt;
    }
    const std::string text = word.substr(word[1] == '-' ? 2 : 1);
    const std::size_t equals = text.find('=');
    return equals == std::string::npos ? Option{text, std::nullopt}
                                       : Option{text.substr(0, equals), text.substr(equals + 1)};
}

// crun takes long options by their first letters, and the letters of short ones together. What is neither's is left to
// the runtime: no engine means another bundle by it.
void readCreating(const Arguments& words, std::size_t at, RuntimeCall& call)
{
    const auto valueAt = [&](std::size_t i) { return i < words.size() ? words[i] : std::string(); };
    for (; at < words.size() && words[at] != "--"; ++at) {
        const std::string& word = words[at];
        std::optional<Option> option = optionIn(word);
        if (!option) {
            continue;
        }
        if (word[1] != '-' && !contains(optionsWithValue, option->name)) {
            const std::size_t letter = word.find_first_of("bf=");
            if (letter == std::string::npos || word[letter] == '=') {
                continue;
            }
            const std::string rest = word.substr(letter + 1);
            option = Option{word[letter] == 'b' ? "bundle" : "config", std::nullopt};
            if (!rest.empty()) {
                option->value = rest.substr(rest[0] == '=' ? 1 : 0);
            }
        }
        const bool shortened = !option->name.empty() && !contains(optionsWithValue, option->name);
        if (shortened && std::string_view("bundle").starts_with(option->name)) {
            option->name = "bundle";
        } else if (shortened && std::string_view("config").starts_with(option->name)) {
            option->name = "config";
        }
        if (!contains(optionsWithValue, option->name)) {
            continue;
        }
        const std::string value = option->value ? *option->value : valueAt(++at);
        if (option->name == "bundle") {
            call.bundle = value.empty() ? "." : value;
        }
        call.otherConfig = call.otherConfig || option->name == "config";
    }
}

// Never found by the caller's PATH: that is an engine's, and may be anybody's.
std::string realRuntime()
{
    const std::string remedy =
        std::string("; name the real runtime in ") + settingsFile + R"(, as in "runtime": "/usr/bin/crun")";
    if (std::getenv(guardVariable) != nullptr) {
        throw sys::Error("the real runtime leads back to oci-landlock-runtime" + remedy);
    }
    std::optional<std::string> path = runtimeSetting();
    if (path && !sys::isProgram(*path)) {
        throw sys::Error("the runtime " + sys::printable(*path) + " is not there, or not executable" + remedy);
    }
    for (const char* directory : programDirectories) {
        const std::string usual = std::string(directory) + "/runc";
        if (!path && sys::isProgram(usual)) {
            path = usual;
        }
    }
    if (!path) {
        throw sys::Error("there is no runc in the usual directories of programs" + remedy);
    }
    struct stat found {};
    struct stat own {};
    if (stat(path->c_str(), &found) != 0 || stat("/proc/self/exe", &own) != 0) {
        throw sys::errnoError(sys::printable(*path));
    }
    if (found.st_dev == own.st_dev && found.st_ino == own.st_ino) {
        throw sys::Error("the runtime " + sys::printable(*path) + " is oci-landlock-runtime itself" + remedy);
    }
    return *path;
}

// Before a runtime reads the bundle. Its directory and config.json are the engine's; hostile are the values in it.
void amendBundle(const RuntimeCall& call)
{
    if (call.otherConfig) {
        throw sys::Error(
            "the option --config is not supported: the hook reads config.json; put the configuration there");
    }
    const Settings settings = readSettings();
    const std::string what = sys::printable(call.bundle) + "/config.json";
    const std::string own = sys::ownProgram();
    const std::string program = own.substr(0, own.rfind('/')) + "/oci-landlock";
    const std::string config = oci::readConfig(call.bundle);
    const oci::Amended amended = oci::amend(config, what, program, settings.baseline.has_value());
    if (amended.covered && call.subcommand == "restore") {
        throw sys::Error(what +
                         ": a checkpoint holds no sandbox, so that the container cannot get the one that it is to "
                         "have; start it anew");
    }
    if (amended.config == config) {
        return;
    }
    if (!sys::isProgram(program)) {
        throw sys::Error(program +
                         ", which the hooks of the container call, is not there, or not executable; install it");
    }
    oci::writeConfig(call.bundle, amended.config);
}

std::string now()
{
    std::array<char, 32> text{};
    const std::time_t time = std::time(nullptr);
    std::tm parts{};
    gmtime_r(&time, &parts);
    std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
    return text.data();
}

// As runc does: engines show what they find there. That it cannot be written is said by whoever reads it.
void writeLog(const RuntimeCall& call, const std::string& message)
{
    if (call.log.empty()) {
        return;
    }
    const sys::Fd file(
        open(call.log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0644));
    const std::string quoted = nlohmann::json(message).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    const std::string time = now();
    const std::string line = call.jsonLog ? R"({"level":"error","msg":)" + quoted + R"(,"time":")" + time + "\"}\n"
                                          : "time=\"" + time + "\" level=error msg=" + quoted + "\n";
    static_cast<void>(file && sys::writeAll(file.get(), line));
}

[[noreturn]] void become(const std::string& runtime, const Arguments& words)
{
    std::vector<char*> arguments{const_cast<char*>(runtime.c_str())};
    for (const std::string& word : words) {
        arguments.push_back(const_cast<char*>(word.c_str()));
    }
    arguments.push_back(nullptr);
    if (setenv(guardVariable, "1", 1) == 0) {
        execv(runtime.c_str(), arguments.data());
    }
    throw sys::errnoError("execute " + sys::printable(runtime));
}

}  // namespace

RuntimeCall runtimeCallOf(const Arguments& words)
{
    RuntimeCall call;
    std::size_t at = 0;
    for (; at < words.size() && words[at].starts_with('-'); ++at) {
        const std::optional<Option> option = optionIn(words[at]);
        if (option && contains(globalsWithValue, option->name)) {
            const std::string value = option->value ? *option->value : at + 1 < words.size() ? words[++at] : "";
            // crun has words for other places than files.
            if (option->name == "log" && value.starts_with('/')) {
                call.log = value;
            }
            call.jsonLog = option->name == "log-format" ? value == "json" : call.jsonLog;
        } else if (!option || (!option->value && !contains(globalsWithout, option->name))) {
            call.unknownOption = words[at];
        }
    }
    call.subcommand = at < words.size() ? words[at] : "";
    if (contains(creatingSubcommands, call.subcommand)) {
        readCreating(words, at + 1, call);
    }
    return call;
}

int runRuntime(const Arguments& words)
{
    const RuntimeCall call = runtimeCallOf(words);
    try {
        if (words.size() == 1 && words[0] == "--help") {
            std::fputs(runtimeUsage, stdout);
            sys::flushOutput();
            return exitOk;
        }
        const std::string runtime = realRuntime();
        const auto creates = [](const std::string& word) { return contains(creatingSubcommands, word); };
        if (!call.unknownOption.empty() && std::ranges::any_of(words, creates)) {
            throw sys::Error("the option " + sys::printable(call.unknownOption) +
                             " before the subcommand is not known here, so that nobody can tell where its value ends; "
                             "write it as --option=value");
        }
        if (creates(call.subcommand)) {
            amendBundle(call);
        }
        become(runtime, words);
    } catch (...) {
        const std::string message = sys::messageOf(std::current_exception());
        writeLog(call, "oci-landlock: " + message);
        sys::tell(LOG_ERR, message);
        return exitFailed;
    }
}

}  // namespace cli
