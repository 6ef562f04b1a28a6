// SPDX-License-Identifier: Apache-2.0
#include "cli/launch.hpp"

#include <sys/utsname.h>
#include <unistd.h>

#include <cstdio>

#include "applier/probe.hpp"
#include "node/node.hpp"
#include "sys/error.hpp"
#include "sys/lsm.hpp"
#include "sys/user.hpp"

namespace cli {

namespace {

// From 6.8 on there may be a selector, and the kernel itself says which security modules there are.
std::optional<std::string> tooOld()
{
    utsname name{};
    unsigned major = 0;
    unsigned minor = 0;
    if (uname(&name) != 0 || std::sscanf(name.release, "%u.%u", &major, &minor) != 2) {
        throw sys::Error("the kernel does not say its release");
    }
    if (major > 6 || (major == 6 && minor >= 8)) {
        return std::nullopt;
    }
    return std::string("Linux ") + name.release + " is too old for the selector; more takes 6.8";
}

}  // namespace

std::optional<std::string> reasonForLaunch(const Settings& settings)
{
    if (geteuid() != 0 || !sys::inInitialUserNamespace()) {
        return "rootless containers have no other; run the container as root for more";
    }
    // Whatever the settings say by now: a node has one applier, whose containers are its containers, until it is
    // unloaded.
    if (node::Node::loaded()) {
        return std::nullopt;
    }
    if (settings.launch) {
        return std::string(settingsFile) + " says so; take \"applier\" out there for more";
    }
    const std::string modules = sys::securityModules();
    if (modules.empty()) {
        return tooOld();  // else somebody hides them, and whoever loads the selector says so
    }
    if (!sys::lists(modules, "bpf")) {
        if (const auto old = tooOld()) {
            return old;  // bpf would not help
        }
        return "BPF LSM is off (lsm=" + modules + "); boot with lsm=" + sys::listToBootWith(modules) + " for more";
    }
    if (applier::kernelHasBridge()) {
        return std::nullopt;
    }
    const std::string obstacle = applier::injectObstacle();
    return obstacle.empty() ? std::nullopt : std::optional(obstacle);
}

void limitToLaunch(profile::Profile& profile, const std::string& reason)
{
    for (std::size_t i = 0; i < profile.entries.size(); ++i) {
        profile::Entry& entry = profile.entries[i];
        const std::string which = "entry " + sys::printable(entry.name);
        if (entry.select.kind != profile::Selector::entrypoint) {
            const bool except = entry.select.kind == profile::Selector::except;
            throw sys::Error(which + ": selects " + (except ? "all programs but some" : "programs") +
                             ", and the launch applier covers the entrypoint only (" + reason + ")");
        }
        if (entry.mode == profile::Mode::audit) {
            throw sys::Error(which +
                             ": is audited, which the launch applier cannot do; enforce it (\"mode\" and the "
                             "node's \"auditOnly\") or leave it out (" +
                             reason + ")");
        }
        if (!entry.select.sessions) {
            continue;
        }
        if (entry.compat == profile::Compat::require) {
            throw sys::Error(which +
                             ": requires that exec sessions are restricted, which the launch applier does not; "
                             "set \"sessions\": false (" +
                             reason + ")");
        }
        entry.select.sessions = false;
        entry.dropped.push_back({"sessions", 0, "/entries/" + std::to_string(i) + "/sessions", "not with launch"});
    }
}

}  // namespace cli
