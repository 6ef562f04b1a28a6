// SPDX-License-Identifier: Apache-2.0
// containerd: runtime handlers of its CRI plugin, each with annotations that it lets pass, and with a base
// specification that has the hooks or a runtime that adds them; or our plugin of its NRI, for which see nri.cpp.
#include <fnmatch.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
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

constexpr const char* mainFile = "/etc/containerd/config.toml";
constexpr const char* cri2 = "io.containerd.grpc.v1.cri";
constexpr const char* cri3 = "io.containerd.cri.v1.runtime";
constexpr const char* nriPlugin = "io.containerd.nri.v1.nri";
constexpr std::size_t maxImports = 64;
constexpr unsigned usualFileLimit = 1024;  // what `ctr oci spec` sets, and no container wants

struct Handler {
    std::string type;
    Strings podAnnotations;
    Strings containerAnnotations;
    std::string specification;
    std::string runtime;
    bool systemdCgroup = false;
    std::string file;
};

std::string textOf(const json& value)
{
    return value.is_string() ? value.get<std::string>() : "";
}

// As Go's path.Match does: a * passes no slash.
bool letsPass(const Strings& patterns, const char* annotation)
{
    return std::ranges::any_of(patterns, [&](const std::string& pattern) {
        return fnmatch(pattern.c_str(), annotation, FNM_PATHNAME) == 0;
    });
}

class Containerd {
public:
    Containerd(const Files& files, const Needs& needs) : files_(files), needs_(needs) {}

    Findings look()
    {
        readFile(mainFile, 0);
        if (unreadable_) {
            return std::move(findings_);
        }
        if (disabled_) {
            add("containerd", Severity::note,
                "containerd is here for something else: its CRI plugin is off, so that it runs no pods",
                "take \"cri\" out of disabled_plugins in /etc/containerd/config.toml where it should");
            return std::move(findings_);
        }
        bool any = false;
        for (const auto& [name, handler] : handlers_) {
            if (meansUs(name, handler)) {
                any = true;
                lookAt(name, handler);
            }
        }
        Findings plugin = nriFindings(files_, needs_, settledNri());
        if (!any && plugin.empty() && needs_.plugins) {
            add("containerd", Severity::note,
                "containerd is here, and none of its runtime handlers runs the hook: no pod gets a sandbox",
                "see \"containerd and Kubernetes\" in /usr/share/doc/oci-landlock/hooks.md");
        }
        append(findings_, std::move(plugin));
        if (any) {
            lookAtVersions();
            lookForRunc();
        }
        return std::move(findings_);
    }

private:
    void add(const char* name, Severity severity, std::string message, std::string remedy = "")
    {
        findings_.push_back({name, severity, std::move(message), std::move(remedy)});
    }

    // What a file says of a handler takes the place of what was said before.
    void readFile(const std::string& path, unsigned depth)
    {
        const std::string shown = sys::printable(path);
        if (!seen_.insert(path).second) {
            return;
        }
        if (seen_.size() > maxImports) {
            throw sys::Error(std::string(mainFile) + ": imports more than " + std::to_string(maxImports) + " files");
        }
        try {
            const auto text = files_.read(path);
            const json settings = text ? sys::readTomlTable(*text, shown) : json();
            const json& version = at(settings, "version");
            if (depth == 0) {
                version_ = version.is_number_unsigned() ? version.get<unsigned>() : 1;
            }
            if (depth > 0 && version.is_number_unsigned() && version != version_ && !mixed_) {
                mixed_ = {path, version.get<unsigned>()};
            }
            if (text && version_ == 1) {
                throw sys::Error(shown + ": has no version = 2 or 3, and older ones are not looked at");
            }
            const Strings off = stringsOf(at(settings, "disabled_plugins"));
            disabled_ = disabled_ || std::ranges::any_of(off, [](const std::string& name) {
                            return name == "cri" || name == cri2 || name == cri3;
                        });
            const json& plugins = at(settings, "plugins");
            readNri(at(plugins, nriPlugin), path);
            if (std::ranges::find(off, nriPlugin) != off.end()) {
                withoutNri_ = path;
            }
            if (const std::string socket = textOf(at(at(settings, "grpc"), "address")); !socket.empty()) {
                nri_.engineSocket = socket;
            }
            for (const char* plugin : {cri2, cri3}) {
                const json& engine = at(at(plugins, plugin), "containerd");
                if (!textOf(at(engine, "default_runtime_name")).empty()) {
                    usual_ = textOf(at(engine, "default_runtime_name"));
                }
                const json& runtimes = at(engine, "runtimes");
                for (const auto& [name, table] : objectIn(runtimes).items()) {
                    const json& options = at(table, "options");
                    handlers_[name] = {.type = textOf(at(table, "runtime_type")),
                                       .podAnnotations = stringsOf(at(table, "pod_annotations")),
                                       .containerAnnotations = stringsOf(at(table, "container_annotations")),
                                       .specification = textOf(at(table, "base_runtime_spec")),
                                       .runtime = textOf(at(options, "BinaryName")),
                                       .systemdCgroup = at(options, "SystemdCgroup") == true,
                                       .file = path};
                }
            }
            for (std::string pattern : stringsOf(at(settings, "imports"))) {
                if (!pattern.starts_with('/')) {
                    pattern = path.substr(0, path.rfind('/') + 1) + pattern;
                }
                for (const std::string& import : files_.matching(pattern)) {
                    readFile(import, depth + 1);
                }
            }
        } catch (const sys::Error& error) {
            if (depth > 0) {
                throw;
            }
            unreadable_ = true;
            add("containerd", Severity::problem,
                std::string("containerd's configuration cannot be read: ") + error.what(), "mend it, and ask again");
        }
    }

    void readNri(const json& table, const std::string& path)
    {
        if (!table.is_object()) {
            return;
        }
        nri_.file = path;
        if (const json& disable = at(table, "disable"); disable.is_boolean()) {
            nri_.on = disable == false;
        }
        if (const json& disable = at(table, "disable_connections"); disable.is_boolean()) {
            nri_.startedElsewhere = disable == false;
        }
        if (const std::string socket = textOf(at(table, "socket_path")); !socket.empty()) {
            nri_.socket = socket;
        }
        if (const std::string directory = textOf(at(table, "plugin_path")); !directory.empty()) {
            nri_.plugins = directory;
        }
    }

    NriSettings settledNri() const
    {
        NriSettings settled = nri_;
        if (!withoutNri_.empty()) {
            settled.on = false;
            settled.file = withoutNri_;
        }
        if (!settled.on && isTwo()) {
            settled.on = true;
        }
        if (settled.file.empty()) {
            settled.file = mainFile;
        }
        return settled;
    }

    // Whoever made it wanted the hook.
    bool meansUs(const std::string& name, const Handler& handler)
    {
        if (name.find("landlock") != std::string::npos || addsHooks(handler.runtime) ||
            letsPass(handler.podAnnotations, "io.landlock.profile") ||
            letsPass(handler.containerAnnotations, "io.landlock.profile")) {
            return true;
        }
        try {
            const json specification =
                json::parse(handler.specification.empty() ? "" : files_.read(handler.specification).value_or(""),
                            nullptr, false);
            const json& hooks = at(specification, "hooks");
            return hooks.is_object() && std::ranges::any_of(hooks, [](const json& stage) {
                       return stage.is_array() && std::ranges::any_of(stage, isOurs);
                   });
        } catch (...) {
            findings_.push_back(sys::notLookedAt("containerd.specification",
                                                 "the base specification of the handler " + sys::printable(name),
                                                 std::current_exception()));
            return false;
        }
    }

    void lookAt(const std::string& name, const Handler& handler)
    {
        const std::string shown = "the handler " + sys::printable(name);
        const std::string where = " in " + sys::printable(handler.file);
        const std::size_t before = findings_.size();
        if (handler.type != "io.containerd.runc.v2") {
            add("containerd.handler", Severity::problem,
                shown + " has the type \"" + sys::printable(handler.type) +
                    "\", whose containers the hook does not reach",
                "runtime_type = \"io.containerd.runc.v2\"" + where);
        }
        lookAtAnnotations(shown, where, handler);
        if (addsHooks(handler.runtime)) {
            for (const std::string& missing : missingOf(files_, handler.runtime)) {
                add("containerd.program", Severity::problem,
                    sys::printable(missing) + ", which " + shown +
                        " needs, is not there or not executable: its containers with a profile do not start",
                    "install " + sys::printable(missing));
            }
        } else if (handler.specification.empty()) {
            add("containerd.specification", Severity::problem,
                shown + " has no base specification, so that no hook runs: its pods start without a sandbox",
                "base_runtime_spec = \"/etc/containerd/oci-landlock.json\"" + where +
                    ", made as /usr/share/doc/oci-landlock/hooks.md says");
        } else {
            lookAtSpecification(shown, handler.specification);
        }
        lookAtCgroups(shown, where, handler);
        if (!isTwo() && handler.file != mainFile) {
            add("containerd.handler", Severity::note,
                shown + " is in an imported file, which with containerd 1 takes the place of all that " + mainFile +
                    " says about pods",
                std::string("with containerd 1, put it into ") + mainFile + " itself");
        }
        if (std::ranges::none_of(findings_.begin() + static_cast<std::ptrdiff_t>(before), findings_.end(),
                                 [](const sys::Finding& one) { return one.severity == Severity::problem; })) {
            add("containerd.handler", Severity::ok, shown + where + " runs the hook for its pods");
        }
    }

    void lookAtAnnotations(const std::string& shown, const std::string& where, const Handler& handler)
    {
        for (const auto& [annotation, consequence] :
             {std::pair{"io.landlock.profile", "its pods start without the sandbox that they ask for"},
              std::pair{"io.landlock.profile/web", "containers that are named one by one start without a sandbox"}}) {
            if (!letsPass(handler.podAnnotations, annotation)) {
                add("containerd.annotations", Severity::problem,
                    shown + " does not let the annotation " + annotation + " pass: " + consequence,
                    "pod_annotations = [\"io.landlock.*\", \"io.landlock.*/*\"]" + where);
                return;
            }
        }
    }

    void lookAtSpecification(const std::string& shown, const std::string& path)
    {
        const std::string file = sys::printable(path);
        const auto bad = [&](const std::string& what, const std::string& remedy) {
            add("containerd.specification", Severity::problem, file + ", the base of " + shown + ", " + what, remedy);
        };
        const std::string make = "make it as /usr/share/doc/oci-landlock/hooks.md says";
        json document;
        try {
            const auto text = files_.read(path);
            if (!text) {
                return bad("does not exist: none of its pods starts", make);
            }
            document = json::parse(*text, nullptr, false);
        } catch (const sys::Error& error) {
            return bad(std::string("cannot be read (") + error.what() + ")", "make it readable, and ask again");
        }
        if (!document.is_object()) {
            return bad("is not valid JSON: none of its pods starts", make);
        }
        const json& hooks = at(document, "hooks");
        const auto calls = [&](const char* stage) {
            const json& all = at(hooks, stage);
            return all.is_array() &&
                   std::ranges::any_of(all, [&](const json& hook) { return isOurs(hook) && stageOf(hook) == stage; });
        };
        if (!calls("createRuntime") && !calls("prestart")) {
            bad("has no createRuntime hook of ours: its pods start without a sandbox", make);
        }
        if (needs_.launch && !calls("poststart")) {
            bad("has no poststart hook of ours: a container whose runtime executes no entrypoint goes unnoticed", make);
        }
        for (const auto& [stage, all] : objectIn(hooks).items()) {
            for (const json& hook : all.is_array() ? all : json::array()) {
                if (isOurs(hook) && !files_.executable(hook["path"].get<std::string>()).value_or(false)) {
                    const std::string program = sys::printable(hook["path"].get<std::string>());
                    bad("names " + program + ", which is not there or not executable: none of its pods starts",
                        "install " + program);
                    return;
                }
            }
        }
        const json& limits = at(at(document, "process"), "rlimits");
        if (limits.is_array() && std::ranges::any_of(limits, [](const json& limit) {
                return at(limit, "type") == "RLIMIT_NOFILE" && at(limit, "soft") == usualFileLimit;
            })) {
            add("containerd.specification", Severity::note,
                file + ", the base of " + shown + ", limits its containers to " + std::to_string(usualFileLimit) +
                    " open files",
                "take process.rlimits out of it");
        }
    }

    // Kubernetes counts on the same for all handlers.
    void lookAtCgroups(const std::string& shown, const std::string& where, const Handler& handler)
    {
        const auto runc = handlers_.find("runc");
        if (runc == handlers_.end()) {
            return;
        }
        if (handler.systemdCgroup != runc->second.systemdCgroup) {
            add("containerd.cgroups", Severity::problem,
                shown +
                    " makes cgroups in another way than the handler runc, so that its containers are outside of the "
                    "limits of their pods",
                std::string("options.SystemdCgroup = ") + (runc->second.systemdCgroup ? "true" : "false") + where);
        }
    }

    // containerd 2.1 reads files of which one is of version 3 as if all were. Later ones do not take what is newer than
    // the main file, and turn what is older into what it should be.
    void lookAtVersions()
    {
        if (!mixed_) {
            return;
        }
        const auto& [path, version] = *mixed_;
        const std::string file = sys::printable(path);
        const std::string other = std::to_string(version_);
        add("containerd.imports", Severity::problem,
            file + " is of version " + std::to_string(version) + ", and " + mainFile +
                ", which imports it, of version " + other + ": containerd 2.1 passes over what " +
                (version > version_ ? mainFile : file.c_str()) + " says of pods" +
                (version > version_ ? ", and later ones do not start" : ""),
            "write " + file + " for version " + other + ", as /usr/share/oci-landlock/hooks/containerd/version-" +
                (version_ == 2 ? "2" : "3") + ".toml is");
    }

    // Only containerd 2 reads files of version 3.
    bool isTwo() const { return version_ >= 3 || needs_.containerd.value_or(1) >= 2; }

    // The built-in handler goes when there are others, before containerd 2, and its CRI plugin does not load without.
    void lookForRunc()
    {
        if (!isTwo() && usual_ == "runc" && !handlers_.contains("runc")) {
            add("containerd.runc", Severity::problem,
                "no handler runc is named beside the others: containerd 1 then has none, and runs no pods at all",
                std::string("[plugins.\"") + cri2 +
                    "\".containerd.runtimes.runc] with runtime_type = " + "\"io.containerd.runc.v2\" in " + mainFile);
        }
    }

    const Files& files_;
    const Needs& needs_;
    Findings findings_;
    std::map<std::string, Handler> handlers_;
    NriSettings nri_;
    std::string withoutNri_;  // the file that has it in disabled_plugins
    std::string usual_ = "runc";
    unsigned version_ = 1;
    std::optional<std::pair<std::string, unsigned>> mixed_;  // the first file that is of another, and which
    std::set<std::string> seen_;
    bool disabled_ = false;
    bool unreadable_ = false;
};

}  // namespace

Findings containerdFindings(const Files& files, const Needs& needs)
{
    return files.program("containerd") ? Containerd(files, needs).look() : Findings();
}

}  // namespace engine
