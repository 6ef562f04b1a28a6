// SPDX-License-Identifier: Apache-2.0
// podman: directories of hook files (oci-hooks(5)), which containers.conf(5) may name.
#include <algorithm>
#include <array>
#include <map>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>

#include "engine/engines.hpp"
#include "sys/error.hpp"
#include "sys/toml.hpp"

namespace engine {

namespace {

using nlohmann::json;
using sys::Findings;
using sys::Severity;
using Strings = std::vector<std::string>;

constexpr const char* usualDirectory = "/usr/share/containers/oci/hooks.d";
constexpr std::size_t maxPattern = 256;

// A file that podman can use.
struct HookFile {
    std::string path;
    bool ours = false;
    bool there = false;  // its program
    Strings stages;
    std::string calledFor;  // stage in its arguments
    std::string missed;     // which container it passes over; "": none
    std::string unclear;    // why that cannot be told

    bool runsAt(const std::string& stage) const { return std::ranges::find(stages, stage) != stages.end(); }
};

std::string quoted(const Strings& words)
{
    std::string out;
    for (const std::string& word : words) {
        out += (out.empty() ? "\"" : ", \"") + sys::printable(word) + "\"";
    }
    return out;
}

std::string listed(const Strings& words)
{
    std::string out;
    for (const std::string& word : words) {
        out += (out.empty() ? "" : ", ") + sys::printable(word);
    }
    return out;
}

bool allStrings(const json& value)
{
    return value.is_array() && std::ranges::all_of(value, [](const json& item) { return item.is_string(); });
}

bool absentOr(const json& value, bool good)
{
    return value.is_null() || good;
}

// Why podman cannot use it; "": it can. The program may be missing.
std::string faultOf(const json& document)
{
    constexpr std::array stages{"precreate",      "prestart",  "createRuntime", "createContainer",
                                "startContainer", "poststart", "poststop"};
    if (!document.is_object()) {
        return "is not a JSON object";
    }
    if (at(document, "version") != "1.0.0") {
        return "has no \"version\": \"1.0.0\"";
    }
    const json& hook = at(document, "hook");
    const json& path = at(hook, "path");
    if (!path.is_string() || path == "") {
        return "names no program (hook.path)";
    }
    if (!absentOr(at(hook, "args"), allStrings(at(hook, "args"))) ||
        !absentOr(at(hook, "env"), allStrings(at(hook, "env"))) ||
        !absentOr(at(hook, "timeout"), at(hook, "timeout").is_number_integer())) {
        return "has arguments, an environment or a timeout of the wrong type";
    }
    if (!allStrings(at(document, "stages"))) {
        return "has no list of stages";
    }
    for (const std::string& stage : stringsOf(document["stages"])) {
        if (std::ranges::find(stages, stage) == stages.end()) {
            return "names a stage that there is not, " + sys::printable(stage);
        }
    }
    const json& when = at(document, "when");
    const json& annotations = at(when, "annotations");
    if (!absentOr(when, when.is_object()) || !absentOr(at(when, "always"), at(when, "always").is_boolean()) ||
        !absentOr(at(when, "hasBindMounts"), at(when, "hasBindMounts").is_boolean()) ||
        !absentOr(at(when, "commands"), allStrings(at(when, "commands"))) ||
        !absentOr(annotations, annotations.is_object() && std::ranges::all_of(annotations, [](const json& value) {
                                   return value.is_string();
                               }))) {
        return "has a condition (when) of the wrong type";
    }
    return "";
}

// The patterns are Go's, which read most others as ECMAScript does. Throws sys::Error for those that may not.
bool matches(const std::string& pattern, const std::string& text)
{
    const auto unknown = [&] { return sys::Error("the pattern " + sys::printable(pattern) + " is not understood"); };
    for (std::size_t i = 0; i < pattern.size(); ++i) {
        const bool group = pattern[i] == '(' && i + 1 < pattern.size() && pattern[i + 1] == '?';
        const bool letter = pattern[i] == '\\' && i + 1 < pattern.size() &&
                            std::isalnum(static_cast<unsigned char>(pattern[i + 1])) != 0;
        if (pattern.size() > maxPattern || group || letter) {
            throw unknown();
        }
        i += pattern[i] == '\\' ? 1 : 0;
    }
    try {
        // No pattern takes more than polynomial time.
        const std::regex regex(pattern, std::regex::ECMAScript | std::regex_constants::__polynomial);
        return std::regex_search(text, regex);
    } catch (const std::regex_error&) {
        throw unknown();
    }
}

// Which container would go without the hook that should have it; "": none. Throws sys::Error when it cannot tell.
std::string missedBy(const json& when, const Needs& needs)
{
    if (at(when, "always") == false) {
        return "any container";
    }
    if (!at(when, "hasBindMounts").is_null()) {
        return "a container without volumes";
    }
    if (!stringsOf(at(when, "commands")).empty()) {
        return "a container with another command";
    }
    const json& annotations = at(when, "annotations");
    if (annotations.empty()) {
        return at(when, "always") == true ? "" : "any container";
    }
    if (needs.baseline) {
        return "a container without annotations, which the node's baseline is for";
    }
    for (const auto& [key, value] : annotations.items()) {
        for (const char* ours :
             {"io.landlock.profile", "io.landlock.profile/web", "io.landlock.program", "io.landlock.learn"}) {
            // A profile can have several lines, which "." does not go past.
            for (const char* text : {"", "nginx", "{\"entries\":[]}", "{\n}"}) {
                if (!matches(key, ours) || !matches(value.get<std::string>(), text)) {
                    return std::string("a container with the annotation ") + ours + "=" + sys::printable(text);
                }
            }
        }
    }
    return "";
}

class Podman {
public:
    Podman(const Files& files, const Needs& needs) : files_(files), needs_(needs) {}

    Findings look()
    {
        const Strings directories = directoriesOfHooks();
        for (const std::string& directory : directories) {
            readDirectory(directory, directories.size() == 1);
        }
        if (!broken_) {
            add("podman", Severity::ok, "podman is here, and takes hooks from " + listed(directories));
        }
        look({"createRuntime", "prestart"}, directories, "containers with a profile start without a sandbox",
             Severity::problem);
        look({"poststart"}, directories, "a container whose runtime executes no entrypoint goes unnoticed",
             needs_.launch ? Severity::problem : Severity::ok);
        look({"poststop"}, directories, "what belonged to a container stays until its cgroup is removed",
             Severity::note);
        return std::move(findings_);
    }

private:
    void add(const char* name, Severity severity, std::string message, std::string remedy = "")
    {
        findings_.push_back({name, severity, std::move(message), std::move(remedy)});
    }

    // The last file that says so wins. An array may ask to be added to what was said before.
    Strings directoriesOfHooks()
    {
        Strings files{"/usr/share/containers/containers.conf", "/etc/containers/containers.conf"};
        Strings directories{usualDirectory};
        try {
            const Strings more = files_.matching("/etc/containers/containers.conf.d/*.conf");
            files.insert(files.end(), more.begin(), more.end());
        } catch (const sys::Error& error) {
            add("podman.settings", Severity::problem, error.what(), "make it readable, and ask again");
        }
        for (const std::string& file : files) {
            try {
                const auto text = files_.read(file);
                const json settings = text ? sys::readTomlTable(*text, file) : json();
                const json& said = at(at(settings, "engine"), "hooks_dir");
                const Strings named = stringsOf(said);
                const bool append = said.is_array() && std::ranges::any_of(said, [](const json& item) {
                                        return at(item, "append") == true;
                                    });
                if (said.is_array() && !append) {
                    directories.clear();
                }
                directories.insert(directories.end(), named.begin(), named.end());
            } catch (const sys::Error& error) {
                add("podman.settings", Severity::problem,
                    std::string("podman does not start with what it cannot read: ") + error.what(), "mend " + file);
            }
        }
        return directories;
    }

    // podman passes over one that is not there.
    void readDirectory(const std::string& directory, bool only)
    {
        try {
            const auto names = files_.list(directory);
            if (!names && !only) {
                add("podman.directories", Severity::note,
                    "the directory of hooks " + sys::printable(directory) + " does not exist",
                    "mkdir -p " + sys::printable(directory) + ", or take it out of hooks_dir");
            }
            for (const std::string& name : names.value_or(Strings())) {
                if (name.ends_with(".json")) {
                    readFile(name, directory + "/" + name);
                }
            }
        } catch (const sys::Error& error) {
            broken_ = true;
            add("podman.directories", Severity::problem, error.what(), "make it readable, and ask again");
        }
    }

    // A file hides one of the same name in an earlier directory.
    void readFile(const std::string& name, const std::string& path)
    {
        const std::string shown = sys::printable(path);
        std::string fault;
        json document;
        try {
            const auto text = files_.read(path);
            if (!text) {
                return;  // a link that leads nowhere; podman passes it over
            }
            document = json::parse(*text, nullptr, false);
            fault = document.is_discarded() ? "is not valid JSON" : faultOf(document);
        } catch (const sys::Error& error) {
            fault = std::string("cannot be read (") + error.what() + ")";
        }
        if (!fault.empty()) {
            broken_ = true;
            add("podman.files", Severity::problem, shown + " " + fault + ": no container of podman starts",
                "mend it, or remove it: rm " + shown);
            return;
        }
        const json& hook = document["hook"];
        const std::string program = hook["path"].get<std::string>();
        HookFile file{.path = path,
                      .ours = isOurs(hook),
                      .there = files_.exists(program),
                      .stages = stringsOf(document["stages"]),
                      .calledFor = stageOf(hook),
                      .missed = {},
                      .unclear = {}};
        if (file.ours) {
            try {
                file.missed = missedBy(at(document, "when"), needs_);
            } catch (const sys::Error& error) {
                file.unclear = error.what();
            }
        }
        lookAtProgram(file, program);
        hooks_[name] = std::move(file);
    }

    void lookAtProgram(const HookFile& file, const std::string& program)
    {
        const std::string shown = sys::printable(program);
        const std::string which = shown + ", which " + sys::printable(file.path) + " names, ";
        if (!programs_.insert(program).second) {
            return;  // said already
        }
        if (!file.there) {
            add("podman.program", file.ours ? Severity::problem : Severity::note,
                which + "does not exist: podman passes over the hook without a word" +
                    (file.ours ? ", and containers with a profile start without a sandbox" : ""),
                "install " + shown + ", or rm " + sys::printable(file.path));
        } else if (!files_.executable(program).value_or(false)) {
            add("podman.program", Severity::problem,
                which + "is not executable: containers that want the hook do not start", "chmod a+x " + shown);
        }
    }

    void look(const Strings& stages, const Strings& directories, const std::string& consequence, Severity severity)
    {
        const std::string name = "podman." + stages.front();
        const std::string when = needs_.baseline ? R"("when": {"always": true} in )"
                                                 : R"("when": {"annotations": {"^io\\.landlock\\.": ".*"}} in )";
        Strings good;
        Findings bad;
        bool known = false;
        for (const auto& [fileName, file] : hooks_) {
            for (const std::string& stage : stages) {
                if (!file.ours || !file.runsAt(stage)) {
                    continue;
                }
                known = true;
                const std::string shown = sys::printable(file.path);
                if (!file.there) {
                    continue;  // said with its program
                }
                if (std::ranges::find(stages, file.calledFor) == stages.end()) {
                    bad.push_back({name, Severity::problem,
                                   shown + " runs at " + stage + " and calls the hook for " +
                                       (file.calledFor.empty() ? "no stage" : sys::printable(file.calledFor)) + ": " +
                                       consequence,
                                   R"("args": ["oci-landlock", "hook", ")" + stages.front() + "\"] in " + shown});
                } else if (!file.unclear.empty()) {
                    bad.push_back({name, Severity::note,
                                   shown + ": " + file.unclear + ", so that nobody can tell which containers it is for",
                                   when + shown});
                } else if (!file.missed.empty()) {
                    bad.push_back({name, Severity::problem, shown + " passes over " + file.missed + ": " + consequence,
                                   when + shown});
                } else {
                    good.push_back(file.path);
                }
            }
        }
        if (good.empty() && !known && severity != Severity::ok) {
            bad.push_back(
                {name, severity,
                 "no file in " + listed(directories) + " runs the hook at " + stages.front() + ": " + consequence,
                 remedyFor(stages.front(), directories)});
        }
        if (good.empty()) {
            findings_.insert(findings_.end(), bad.begin(), bad.end());
        } else if (good.size() > 1) {
            add(name.c_str(), Severity::note,
                "the hook runs " + std::to_string(good.size()) + " times at " + stages.front() +
                    ", which is slower and gives nothing",
                "keep one of " + listed(good));
        } else if (!broken_) {
            add(name.c_str(), Severity::ok, "podman runs the hook, by " + sys::printable(good.front()));
        }
    }

    std::string remedyFor(const std::string& stage, const Strings& directories) const
    {
        const std::string file = std::string("oci-landlock") + (stage == "createRuntime" ? "" : "-" + stage) + ".json";
        const std::string installed = std::string(usualDirectory) + "/" + file;
        if (std::ranges::find(directories, usualDirectory) == directories.end() && files_.exists(installed)) {
            Strings all = directories;
            all.insert(all.begin(), usualDirectory);
            return "hooks_dir = [" + quoted(all) + "] under [engine] in /etc/containers/containers.conf";
        }
        return "install " + file + " in " + sys::printable(directories.empty() ? usualDirectory : directories.back());
    }

    const Files& files_;
    const Needs& needs_;
    Findings findings_;
    std::map<std::string, HookFile> hooks_;
    std::set<std::string> programs_;
    bool broken_ = false;
};

}  // namespace

Findings podmanFindings(const Files& files, const Needs& needs)
{
    return files.program("podman") ? Podman(files, needs).look() : Findings();
}

}  // namespace engine
