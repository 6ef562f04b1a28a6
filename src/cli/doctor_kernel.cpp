// SPDX-License-Identifier: Apache-2.0
// `doctor`: the kernel that runs.
#include <linux/magic.h>
#include <sys/statfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "applier/launch/launch.hpp"
#include "applier/probe.hpp"
#include "cli/doctor.hpp"
#include "landlock/ruleset.hpp"
#include "node/pins.hpp"
#include "sys/error.hpp"
#include "sys/lsm.hpp"

namespace cli {

namespace {

using sys::Findings;
using sys::Severity;

constexpr const char* btf = "/sys/kernel/btf/vmlinux";
constexpr const char* cgroups = "/sys/fs/cgroup";

std::string bootLine(const std::string& modules)
{
    return "boot with lsm=" + sys::listToBootWith(modules);
}

Findings modulesFindings(const std::string& modules, const std::optional<std::string>& launch)
{
    const bool landlock = landlock::kernelAbi() > 0;
    Findings found;
    const std::string list = " (lsm=" + sys::printable(modules, 1000) + ")";
    if (!landlock) {
        found.push_back({"kernel.landlock", Severity::problem,
                         "Landlock is off" + list + ": no container with a profile starts",
                         modules.empty() ? "boot with landlock in lsm=" : bootLine(modules)});
    }
    if (modules.empty()) {
        found.push_back({"kernel.lsm", launch ? Severity::note : Severity::problem,
                         "nobody can tell which security modules are active",
                         "mount -t securityfs securityfs /sys/kernel/security"});
        return found;
    }
    // BPF LSM alone is no use to an older kernel.
    const bool helps = !launch || applier::injectObstacle().empty();
    if (!sys::lists(modules, "bpf") && helps) {
        found.push_back({"kernel.lsm", launch ? Severity::note : Severity::problem,
                         "BPF LSM is off" + list + ": programs cannot be selected, only entrypoints are restricted",
                         bootLine(modules)});
    } else if (landlock && sys::lists(modules, "bpf")) {
        found.push_back({"kernel.lsm", Severity::ok, "Landlock and BPF LSM are on" + list, ""});
    }
    return found;
}

// With BTF, which tells of the bridge.
Findings applierFindings(const std::optional<std::string>& launch)
{
    if (launch) {
        applier::launch::requireAble();
        if (const std::string obstacle = applier::tracingObstacle(); !obstacle.empty()) {
            throw sys::Error(obstacle);
        }
        return {{"kernel.applier", Severity::note, "the applier is launch: " + *launch,
                 "see /usr/share/doc/oci-landlock/appliers.md for what each applier covers"}};
    }
    const node::Capabilities found = node::probe();
    if (found.bridge) {
        return {{"kernel.applier", Severity::ok, "the kernel has the bridge, for the applier kfunc", ""}};
    }
    if (!found.injectObstacle.empty()) {
        throw sys::Error(found.injectObstacle);
    }
    return {{"kernel.applier", Severity::ok,
             "the kernel can do the applier inject; for kfunc it lacks the bridge (packaging/kernel)", ""}};
}

// The selector finds containers by their cgroups.
Findings cgroupFindings()
{
    struct statfs fs {};
    if (statfs(cgroups, &fs) != 0) {
        return {{"kernel.cgroup", Severity::problem, sys::errnoError(cgroups).what(), "mount cgroup v2 there"}};
    }
    if (fs.f_type != CGROUP2_SUPER_MAGIC) {
        return {{"kernel.cgroup", Severity::problem,
                 std::string(cgroups) + " is no cgroup v2: the selector does not find containers, which do not start",
                 "boot with systemd.unified_cgroup_hierarchy=1"}};
    }
    return {};
}

Findings otherModules(const engine::Files& files, const std::string& modules)
{
    Findings found;
    try {
        if (sys::lists(modules, "selinux")) {
            const std::string enforced = files.read("/sys/fs/selinux/enforce").value_or("");
            found.push_back(
                {"kernel.selinux", enforced == "1" ? Severity::note : Severity::ok,
                 enforced == "1"
                     ? "SELinux is enforcing: an engine that it confines starts no container with a profile "
                       "without the policy module"
                 : enforced == "0" ? "SELinux is permissive"
                                   : "SELinux has no policy loaded",
                 enforced == "1" ? "load /usr/share/oci-landlock/selinux/oci-landlock.cil with semodule -i; where "
                                   "a hook fails, look with: ausearch -m AVC -ts recent"
                                 : ""});
        }
        if (sys::lists(modules, "apparmor")) {
            const bool on = files.read("/sys/module/apparmor/parameters/enabled").value_or("").starts_with('Y');
            found.push_back({"kernel.apparmor", Severity::ok, std::string("AppArmor is ") + (on ? "on" : "off"), ""});
        }
    } catch (...) {
        found.push_back(sys::notLookedAt("kernel.modules", "SELinux and AppArmor", std::current_exception()));
    }
    return found;
}

}  // namespace

Findings kernelFindings(const std::optional<std::string>& launch)
{
    utsname name{};
    uname(&name);
    const bool hasBtf = access(btf, F_OK) == 0;
    Findings all{{"kernel", Severity::ok,
                  std::string("Linux ") + name.release + ", Landlock ABI " + std::to_string(landlock::kernelAbi()),
                  ""}};
    if (!hasBtf) {
        all.push_back({"kernel.btf", launch ? Severity::note : Severity::problem,
                       std::string("the kernel has no BTF (") + btf + "), without which no BPF program is loaded",
                       "take a kernel with CONFIG_DEBUG_INFO_BTF=y"});
    }
    try {
        const std::string modules = sys::securityModules();
        append(all, modulesFindings(modules, launch));
        append(all, otherModules(engine::Files(), modules));
    } catch (...) {
        all.push_back(sys::findingOf("kernel.lsm", std::current_exception(),
                                     "mount -t securityfs securityfs /sys/kernel/security"));
    }
    try {
        if (hasBtf || launch) {
            append(all, applierFindings(launch));
        }
    } catch (...) {
        all.push_back(
            sys::findingOf("kernel.applier", std::current_exception(), "see /usr/share/doc/oci-landlock/appliers.md"));
    }
    if (!launch) {
        append(all, cgroupFindings());
    }
    return all;
}

}  // namespace cli
