// SPDX-License-Identifier: Apache-2.0
// Our plugin of containerd's NRI: whether it gets what it wants, and if not, why.
#include <algorithm>
#include <sstream>

#include "engine/engines.hpp"
#include "sys/error.hpp"

namespace engine {

namespace {

using sys::Findings;
using sys::Severity;

constexpr const char* unitName = "oci-landlock-nri.service";
constexpr const char* table = "[plugins.\"io.containerd.nri.v1.nri\"]";
constexpr const char* anew = "systemctl restart containerd";
constexpr const char* consequence = ": pods without a handler of ours start without the sandbox that they ask for";

// One is a link to the other.
std::string settled(const std::string& path)
{
    return path.starts_with("/var/run/") ? path.substr(std::string_view("/var").size()) : path;
}

// Connecting would be told to the engine.
bool listensAt(const Files& files, const std::string& path)
{
    constexpr const char* sockets = "/proc/net/unix";
    const auto text = files.read(sockets);
    if (!text) {
        throw sys::Error(std::string(sockets) + " is not there");
    }
    std::istringstream lines(*text);
    for (std::string line; std::getline(lines, line);) {
        std::istringstream words(line);
        std::string word;
        std::string flags;
        words >> word >> word >> word >> flags >> word >> word >> word;
        std::string bound;
        std::getline(words >> std::ws, bound);
        if (flags == "00010000" && settled(bound) == settled(path)) {
            return true;
        }
    }
    return false;
}

class Plugin {
public:
    Plugin(const Files& files, const Needs& needs, const NriSettings& settings)
        : files_(files),
          needs_(needs),
          settings_(settings),
          directory_(settings.plugins)
    {
        while (directory_.size() > 1 && directory_.ends_with('/')) {
            directory_.pop_back();
        }
    }

    Findings look()
    {
        for (const std::string& name : files_.list(directory_).value_or(std::vector<std::string>())) {
            if (name.ends_with("-oci-landlock")) {
                link_ = directory_ + "/" + name;
            }
        }
        enabled_ = !files_.matching(std::string("/etc/systemd/system/*/") + unitName).empty();
        if (link_.empty() && !enabled_ && needs_.plugins->empty()) {
            return {};
        }
        lookAtPrograms();
        if (findings_.empty()) {
            lookAtSettings();
        }
        if (findings_.empty()) {
            lookAtConnection();
        }
        return std::move(findings_);
    }

private:
    void problem(std::string message, std::string remedy)
    {
        findings_.push_back({"containerd.nri", Severity::problem, std::move(message), std::move(remedy)});
    }

    void note(std::string message, std::string remedy)
    {
        findings_.push_back({"containerd.nri", Severity::note, std::move(message), std::move(remedy)});
    }

    std::string inSettings(const std::string& line) const
    {
        return line + " beneath " + table + " in " + sys::printable(settings_.file) + ", then: " + anew;
    }

    void lookAtPrograms()
    {
        if (!link_.empty() && !files_.executable(link_).value_or(false)) {
            problem(sys::printable(link_) +
                        " leads to nothing that can be executed, so that containerd starts no plugin" + consequence,
                    "ln -sfn /usr/bin/oci-landlock " + sys::printable(link_) + " && " + anew);
        }
        for (const nri::Running& plugin : *needs_.plugins) {
            if (!files_.executable(plugin.program).value_or(false)) {
                const std::string program = sys::printable(plugin.program);
                problem(program +
                            ", which the hooks of the plugin that runs call, is not there or not executable: no "
                            "container is created",
                        "install " + program);
            }
        }
    }

    void lookAtSettings()
    {
        if (settings_.on == false) {
            problem("the plugin is set up, and containerd's NRI is off by " + sys::printable(settings_.file) +
                        consequence,
                    inSettings("disable = false"));
        }
    }

    void lookAtConnection()
    {
        const auto connected = std::ranges::find(*needs_.plugins, true, &nri::Running::connected);
        if (connected == needs_.plugins->end()) {
            lookForReason();
            return;
        }
        findings_.push_back({"containerd.nri", Severity::ok,
                             std::string("the plugin ") +
                                 (connected->socket.empty() ? "that containerd has started"
                                                            : "at " + sys::printable(connected->socket)) +
                                 " is connected, and gives pods their hooks, whatever their handler",
                             ""});
        for (const nri::Running& plugin : *needs_.plugins) {
            if (plugin.version != needs_.version) {
                note("the plugin that runs is of version " + sys::printable(plugin.version) + ", this is " +
                         needs_.version + ": its hooks call what is installed now",
                     plugin.socket.empty() ? std::string(anew)
                                           : std::string("while no pods are created: systemctl restart ") + unitName);
            }
        }
        if (link_.empty() && !enabled_) {
            note("the plugin runs, and nothing starts it after the next boot",
                 std::string("systemctl enable ") + unitName);
        }
    }

    // No plugin is connected.
    void lookForReason()
    {
        if (!listensAt(files_, settings_.engineSocket)) {
            note("containerd does not run, so that it is not seen whether it takes the plugin", "");
            return;
        }
        const auto waiting =
            std::ranges::find_if(*needs_.plugins, [](const nri::Running& plugin) { return !plugin.socket.empty(); });
        // Then it listens for none.
        if (!settings_.startedElsewhere) {
            if (enabled_ || waiting != needs_.plugins->end()) {
                problem("containerd takes no plugin that it has not started itself" + std::string(consequence),
                        inSettings("disable_connections = false"));
                return;
            }
        } else if (!listensAt(files_, settings_.socket)) {
            problem("containerd runs, and listens for no plugin at " + sys::printable(settings_.socket) +
                        (settings_.on ? "" : ": before version 2 its NRI is off unless it is told otherwise") +
                        consequence,
                    settings_.on ? anew : inSettings("disable = false"));
            return;
        }
        if (waiting == needs_.plugins->end()) {
            if (enabled_) {
                problem(std::string(unitName) + " is enabled, and no plugin runs" + consequence,
                        std::string("systemctl start ") + unitName);
            } else {
                problem("containerd does not run the plugin " + sys::printable(link_) +
                            ": it looks there when it starts, and starts none again that has ended" + consequence,
                        anew);
            }
        } else if (settled(waiting->socket) != settled(settings_.socket)) {
            problem("containerd listens for plugins at " + sys::printable(settings_.socket) +
                        ", and the plugin that runs looks at " + sys::printable(waiting->socket) + consequence,
                    inSettings("socket_path = \"" + sys::printable(waiting->socket) + "\""));
        } else {
            problem(std::string("containerd does not take the plugin that runs") + consequence,
                    std::string("see why, with: journalctl -u ") + unitName);
        }
    }

    const Files& files_;
    const Needs& needs_;
    const NriSettings& settings_;
    std::string directory_;
    std::string link_;      // "": none
    bool enabled_ = false;  // the service
    Findings findings_;
};

}  // namespace

Findings nriFindings(const Files& files, const Needs& needs, const NriSettings& settings)
{
    if (!needs.plugins) {
        return {};
    }
    try {
        return Plugin(files, needs, settings).look();
    } catch (...) {
        return {sys::notLookedAt("containerd.nri", "the plugin of containerd's NRI", std::current_exception())};
    }
}

}  // namespace engine
