// SPDX-License-Identifier: Apache-2.0
#include "install/node.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <climits>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <vector>

#include "engine/files.hpp"
#include "install/handler.hpp"
#include "profile/model.hpp"
#include "sys/error.hpp"
#include "sys/fd.hpp"
#include "sys/file.hpp"
#include "sys/run.hpp"
#include "sys/toml.hpp"

namespace install {

namespace {

namespace fs = std::filesystem;
using Contents = std::map<std::string, std::string>;  // by the name of the file

constexpr std::size_t maxProgramBytes = 64 << 20;
constexpr std::size_t maxTextBytes = 1 << 20;
constexpr std::size_t maxProfiles = 1024;
// A supervisor that ends may take 10 s, and a node may have much to do.
constexpr std::chrono::seconds patience{300};

constexpr std::array programs = {"oci-landlock", "oci-landlock-runtime"};
constexpr const char* loader = "oci-landlock.service";
constexpr const char* supervisor = "oci-landlock-supervisor.service";
constexpr std::array units = {loader, supervisor};
constexpr const char* unitDirectory = "/etc/systemd/system/";
constexpr std::array foreignUnits = {"/usr/lib/systemd/system/oci-landlock.service",
                                     "/lib/systemd/system/oci-landlock.service"};
constexpr const char* profileDirectory = "/etc/oci-landlock/profiles";
constexpr const char* task = "oci-landlock-node.service";
constexpr const char* taskFile = "/run/systemd/system/oci-landlock-node.service";
constexpr const char* taskSays = "/run/oci-landlock-node.said";
constexpr const char* programPath = "/usr/bin/";  // in the units, as they come

// std::nullopt: there is none.
std::optional<std::string> contentOf(const std::string& path, std::size_t limit)
{
    const std::string shown = sys::printable(path);
    const sys::Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    if (!file) {
        if (errno == ENOENT || errno == ENOTDIR) {
            return std::nullopt;
        }
        throw sys::errnoError(shown);
    }
    return sys::readAll(file.get(), limit, shown);
}

std::string requireContent(const std::string& path, std::size_t limit)
{
    auto content = contentOf(path, limit);
    if (!content) {
        throw sys::errnoError(sys::printable(path), ENOENT);
    }
    return std::move(*content);
}

// False: it was so already.
bool put(const std::string& path, const std::string& content, mode_t mode)
{
    struct stat st {};
    if (lstat(path.c_str(), &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == 0 && st.st_gid == 0 &&
        (st.st_mode & 07777) == mode && contentOf(path, maxProgramBytes) == content) {
        return false;
    }
    sys::replaceFile(path, content, {.mode = mode, .user = 0, .group = 0});
    return true;
}

void take(const std::string& path)
{
    if (unlink(path.c_str()) != 0 && errno != ENOENT) {
        throw sys::errnoError("cannot remove " + sys::printable(path));
    }
}

void makeDirectory(const std::string& path)
{
    std::error_code error;
    fs::create_directories(path, error);
    const sys::Fd directory(open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!directory) {
        throw sys::errnoError("cannot make " + sys::printable(path), error ? error.value() : errno);
    }
    sys::requireTrustedDirectory(directory.get(), sys::printable(path));
}

Contents readProfiles(const std::string& directory)
{
    Contents all;
    const auto names = engine::Files().list(directory);
    if (!names) {
        throw sys::errnoError(sys::printable(directory), ENOENT);
    }
    for (const std::string& name : *names) {
        // A volume of Kubernetes has files of its own there.
        if (name.starts_with('.')) {
            continue;
        }
        if (!name.ends_with(".json") && !name.ends_with(".toml")) {
            throw sys::Error(sys::printable(directory + "/" + name) + ": a profile is called NAME.json or NAME.toml");
        }
        all[name] = requireContent(directory + "/" + name, profile::maxDocumentBytes);
    }
    if (all.size() > maxProfiles) {
        throw sys::Error(sys::printable(directory) + ": more than " + std::to_string(maxProfiles) + " profiles");
    }
    return all;
}

// Where systemd and containerd read it, it needs no quotes.
void requirePlain(const std::string& path, const char* option)
{
    const bool plain = path.starts_with('/') && std::ranges::all_of(path, [](unsigned char c) {
                           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                                  c == '/' || c == '.' || c == '-' || c == '_';
                       });
    if (!plain || fs::path(path).lexically_normal() != path || path.ends_with('/')) {
        throw sys::Error(std::string(option) + " wants a plain absolute path, of letters, digits and /.-_ alone");
    }
}

// Whoever calls it by hand has to hear what it is for.
void requireRoot(const Place& place)
{
    std::error_code error;
    if (!fs::is_directory(place.root, error)) {
        throw sys::Error("no root of a node at " + sys::printable(place.root) +
                         ", where the pods of the DaemonSet and of the Helm chart have it; on the node itself install "
                         "the package, or say where the root is with --root");
    }
}

// From here on all paths are the node's.
void enter(const Place& place)
{
    requirePlain(place.directory, "--directory");
    requirePlain(place.containerd, "--containerd");
    requireRoot(place);
    if (chroot(place.root.c_str()) != 0 || chdir("/") != 0) {
        throw sys::errnoError("go into " + sys::printable(place.root));
    }
    umask(022);
    if (!engine::Files().exists("/run/systemd/system")) {
        throw sys::Error("this node does not run systemd, which runs what is installed");
    }
    for (const char* unit : foreignUnits) {
        if (engine::Files().exists(unit)) {
            throw sys::Error(std::string(unit) +
                             ": a package of oci-landlock is installed here; remove one of the two");
        }
    }
}

std::string programOfNode(const std::string& name)
{
    if (const auto found = engine::Files().program(name)) {
        return *found;
    }
    throw sys::Error("this node has no " + name + " in the usual directories of programs");
}

sys::Answer systemctlAnswer(std::vector<std::string> words)
{
    words.insert(words.begin(), programOfNode("systemctl"));
    return sys::run(words, maxTextBytes, patience, true);
}

void systemctl(const std::vector<std::string>& words)
{
    const sys::Answer answer = systemctlAnswer(words);
    if (answer.status != 0) {
        throw sys::Error(
            "`systemctl " + words[0] + (words.size() > 1 ? " " + words.back() : "") +
            "` has failed on the node: " + sys::printable(answer.output.substr(0, answer.output.find('\n')), 1000));
    }
}

// Not as a process of the pod, which has neither the rights nor the namespaces. Throws what it has complained about.
void runOnNode(const std::string& command, const std::string& alsoGood)
{
    take(taskSays);
    sys::replaceFile(taskFile,
                     "[Service]\nType=oneshot\nExecStart=" + command + "\nSuccessExitStatus=" + alsoGood +
                         "\nStandardError=file:" + taskSays + "\n",
                     {});
    systemctl({"daemon-reload"});
    const bool good = systemctlAnswer({"start", task}).status == 0;
    std::string said = contentOf(taskSays, maxTextBytes).value_or("");
    take(taskFile);
    take(taskSays);
    systemctlAnswer({"reset-failed", task});
    systemctl({"daemon-reload"});
    if (!good) {
        while (said.ends_with('\n')) {
            said.pop_back();
        }
        throw sys::Error("`" + command + "` has failed on the node" +
                         (said.empty() ? std::string("; its journal says why") : ": " + sys::printable(said, 1000)));
    }
}

// containerd, by settings in a file beside its own: the same way to what they import.
class Containerd {
public:
    explicit Containerd(const Place& place)
        : file_(place.containerd),
          due_(place.directory + "/restart-containerd"),
          program_(programOfNode("containerd"))
    {
    }

    std::string dump(const std::string& settings) const
    {
        const std::string draft = file_ + ".oci-landlock";
        sys::replaceFile(draft, settings, {.mode = 0600});
        sys::Answer answer;
        try {
            answer = sys::run({program_, "--config", draft, "config", "dump"}, maxTextBytes, patience);
        } catch (...) {
            unlink(draft.c_str());
            throw;
        }
        take(draft);
        if (answer.status != 0) {
            throw sys::Error("containerd does not take its settings as they would be; `containerd --config " + file_ +
                             " config dump` may say why");
        }
        return answer.output;
    }

    std::optional<std::string> settings() const { return contentOf(file_, maxTextBytes); }

    // A note says that it is to be restarted, for whoever comes when we are stopped before it was.
    void use(const std::string& settings) const
    {
        if (settings != this->settings().value_or("")) {
            makeDirectory(fs::path(file_).parent_path());
            put(due_, "", 0644);
            struct stat st {};
            const mode_t mode = stat(file_.c_str(), &st) == 0 ? st.st_mode & 07777 : 0644;
            sys::replaceFile(file_, settings, {.mode = mode, .user = 0, .group = 0});
        }
        if (engine::Files().exists(due_)) {
            systemctl({"restart", "containerd.service"});
            take(due_);
        }
    }

    // Of containers that `runtime` has made.
    std::size_t madeBy(const std::string& runtime) const
    {
        const nlohmann::json known = sys::readTomlTable(dump(settings().value_or("")), "containerd's settings");
        const nlohmann::json& state = engine::at(known, "state");
        if (!state.is_string()) {
            throw sys::Error("containerd does not say where its state is");
        }
        const std::string tasks = state.get<std::string>() + "/io.containerd.runtime.v2.task";
        std::size_t count = 0;
        for (const std::string& area : engine::Files().list(tasks).value_or(std::vector<std::string>())) {
            for (const std::string& id :
                 engine::Files().list(tasks + "/" + area).value_or(std::vector<std::string>())) {
                count += contentOf(tasks + "/" + area + "/" + id + "/runtime", PATH_MAX) == runtime ? 1 : 0;
            }
        }
        return count;
    }

private:
    std::string file_;
    std::string due_;
    std::string program_;
};

// The names of the profiles that are there by us, one a line.
std::set<std::string> namesIn(const std::string& list)
{
    std::set<std::string> names;
    const std::string text = contentOf(list, maxTextBytes).value_or("");
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = std::min(text.find('\n', at), text.size());
        const std::string name = text.substr(at, end - at);
        if (name.empty() || name.find('/') != std::string::npos) {
            throw sys::Error(list + ": holds what is no name of a file");
        }
        names.insert(name);
        at = end + 1;
    }
    return names;
}

std::string listOf(const std::set<std::string>& names)
{
    std::string text;
    for (const std::string& name : names) {
        text += name + "\n";
    }
    return text;
}

void putProfiles(const std::string& list, const Contents& profiles)
{
    const std::set<std::string> before = namesIn(list);
    std::set<std::string> now;
    std::set<std::string> all = before;
    for (const auto& [name, content] : profiles) {
        const std::string path = std::string(profileDirectory) + "/" + name;
        if (!before.contains(name) && engine::Files().exists(path)) {
            throw sys::Error(path + ": is there already, and not from here; rename one of the two");
        }
        now.insert(name);
        all.insert(name);
    }
    makeDirectory(profileDirectory);
    // First who they are: whoever comes when we were stopped in between knows them all.
    put(list, listOf(all), 0644);
    for (const auto& [name, content] : profiles) {
        put(std::string(profileDirectory) + "/" + name, content, 0644);
    }
    for (const std::string& name : before) {
        if (!now.contains(name)) {
            take(std::string(profileDirectory) + "/" + name);
        }
    }
    put(list, listOf(now), 0644);
}

}  // namespace

void install(const Place& place, const std::string& profiles)
{
    requireRoot(place);
    const fs::path own = fs::read_symlink("/proc/self/exe").parent_path();
    Contents files;
    for (const char* program : programs) {
        files[program] = requireContent(own / program, maxProgramBytes);
    }
    for (const char* unit : units) {
        std::string text = requireContent(own.parent_path() / "lib/systemd/system" / unit, maxTextBytes);
        const std::string ours = std::string(programPath) + programs[0];
        for (std::size_t at = text.find(ours); at != std::string::npos; at = text.find(ours, at + 1)) {
            text.replace(at, std::string_view(programPath).size(), place.directory + "/");
        }
        files[unit] = std::move(text);
    }
    const Contents wanted = profiles.empty() ? Contents() : readProfiles(profiles);

    enter(place);
    const Containerd containerd(place);
    const std::string directory = place.directory + "/";
    makeDirectory(place.directory);
    // Before anything is replaced: can the new supervisor go on with what the one before has loaded?
    const std::string draft = directory + programs[0] + ".new";
    put(draft, files[programs[0]], 0755);
    try {
        runOnNode(draft + " supervise --check", "3");
    } catch (...) {
        unlink(draft.c_str());
        throw;
    }
    take(draft);
    for (const char* program : programs) {
        put(directory + program, files[program], 0755);
    }
    for (const char* unit : units) {
        put(unitDirectory + std::string(unit), files[unit], 0644);
    }
    putProfiles(directory + "profiles.list", wanted);
    sync();
    systemctl({"daemon-reload"});
    systemctl({"enable", loader, supervisor});
    systemctl({"start", loader});
    // What it holds for containers, the next one has from systemd.
    systemctl({"restart", supervisor});
    containerd.use(withHandler(containerd.settings().value_or(""), directory + programs[1],
                               [&](const std::string& settings) { return containerd.dump(settings); }));
}

void remove(const Place& place)
{
    enter(place);
    const std::string directory = place.directory + "/";
    const std::string list = directory + "profiles.list";
    const Containerd containerd(place);
    if (const auto settings = containerd.settings()) {
        const std::string without = withoutHandler(*settings);
        static_cast<void>(containerd.dump(without));
        containerd.use(without);
    }
    if (const std::size_t left = containerd.madeBy(directory + programs[1])) {
        throw sys::Error("containerd has " + std::to_string(left) +
                         " containers of the handler landlock, of pods that are to be deleted before; new ones do not "
                         "start any more");
    }
    if (engine::Files().exists(directory + programs[0])) {
        runOnNode(directory + programs[0] + " unload", "0");
    }
    for (const char* unit : {supervisor, loader}) {
        if (engine::Files().exists(unitDirectory + std::string(unit))) {
            systemctl({"disable", "--now", unit});
            take(unitDirectory + std::string(unit));
        }
    }
    systemctl({"daemon-reload"});
    for (const std::string& name : namesIn(list)) {
        take(std::string(profileDirectory) + "/" + name);
    }
    std::error_code none;
    fs::remove(profileDirectory, none);  // unless others have files there
    fs::remove(fs::path(profileDirectory).parent_path(), none);
    fs::remove_all("/run/oci-landlock", none);
    for (const char* program : programs) {
        take(directory + program);
    }
    take(list);
    fs::remove(place.directory, none);  // likewise
}

}  // namespace install
