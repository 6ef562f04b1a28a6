// SPDX-License-Identifier: Apache-2.0
#include "node/pins.hpp"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <utility>
#include <vector>

#include "applier/kfunc/stacking.hpp"
#include "applier/probe.hpp"
#include "applier/programs.hpp"
#include "container/process.hpp"
#include "landlock/ruleset.hpp"
#include "node/node.hpp"
#include "node/policies.hpp"
#include "sys/directory.hpp"
#include "sys/error.hpp"
#include "sys/fd.hpp"
#include "sys/file.hpp"
#include "sys/lsm.hpp"
#include "sys/places.hpp"
#include "sys/user.hpp"
#include "version.hpp"

namespace node {

namespace {

constexpr const char* selectorProgram = "select_exec";

// Where it is made ready, to be renamed when complete, and where it goes to be removed. Only the holder of the lock
// touches it.
std::string stagingDirectory()
{
    return std::string(sys::pinDirectory) + "-new";  // bpffs takes no dots
}

// Removes a directory of pins and what is in it; the programs that select go first.
void removePins(const std::string& directory)
{
    sys::Fd opened = sys::openDirectory(directory);
    if (!opened && errno == ENOENT) {
        return;
    }
    sys::Directory pins(std::move(opened), directory);
    std::vector<std::string> names;
    while (const dirent* entry = pins.next()) {
        const std::string name = entry->d_name;
        names.insert(name.starts_with("link_select") ? names.begin() : names.end(), name);
    }
    for (const std::string& name : names) {
        if (unlink((directory + "/" + name).c_str()) != 0) {
            throw sys::errnoError("remove " + directory + "/" + name);
        }
    }
    if (rmdir(directory.c_str()) != 0) {
        throw sys::errnoError("remove " + directory);
    }
}

void writeNode(const std::string& directory, oll_applier applier, bool stacks)
{
    const sys::Fd map(bpf_obj_get((directory + "/node").c_str()));
    oll_node value{};
    value.abi_version = OLL_ABI_VERSION;
    value.applier = applier;
    value.stacks = stacks;
    std::strncpy(value.version, versionString, sizeof value.version - 1);
    const std::uint32_t key = 0;
    if (!map || bpf_map_update_elem(map.get(), &key, &value, BPF_ANY) != 0) {
        throw sys::errnoError("write " + directory + "/node");
    }
}

// For as long as it lives this process is in the root cgroup; or stays where it is, if it may not leave that. Whoever
// makes a map is charged for all that is ever put into it, by the cgroup that it is in: were that a container's or an
// engine's, no program of any container could be executed any more when its limit is reached. Where cgroup v1 has the
// memory, it is charged as before.
class InRootCgroup {
public:
    InRootCgroup() noexcept
    {
        try {
            const sys::Fd root = container::openCgroup(rootId);
            const container::Cgroup own = container::Cgroup::of(container::Process(getpid()));
            const sys::Fd there(openat(root.get(), members, O_WRONLY | O_CLOEXEC));
            sys::Fd back(openat(own.directory.get(), members, O_WRONLY | O_CLOEXEC));
            if (there && back && sys::writeAll(there.get(), "0")) {
                back_ = std::move(back);
            }
        } catch (const std::exception&) {
            // There is no cgroup v2.
        }
    }
    InRootCgroup(const InRootCgroup&) = delete;
    InRootCgroup& operator=(const InRootCgroup&) = delete;
    ~InRootCgroup()
    {
        if (back_) {
            static_cast<void>(sys::writeAll(back_.get(), "0"));  // if it is still there
        }
    }

private:
    static constexpr std::uint64_t rootId = 1;
    static constexpr const char* members = "cgroup.procs";
    sys::Fd back_;
};

bool listed(const std::string& list, const std::string& name)
{
    return ("," + list + ",").find("," + name + ",") != std::string::npos;
}

void requireCapable(const Capabilities& found)
{
    if (found.lsm.empty()) {
        throw Unfit(
            "cannot read /sys/kernel/security/lsm, so nobody can tell whether BPF LSM is on; mount "
            "securityfs there");
    }
    if (!found.bpfLsm) {
        throw Unfit("BPF LSM is off (lsm=" + found.lsm + "); boot with lsm=" + sys::listToBootWith(found.lsm));
    }
    if (found.landlockAbi == 0 || !listed(found.lsm, "landlock")) {
        throw Unfit("Landlock is off (lsm=" + found.lsm + "); boot with lsm=" + sys::listToBootWith(found.lsm));
    }
}

void requireKfunc(const Capabilities& found)
{
    if (!found.bridge) {
        throw Unfit(
            "this kernel lacks the kfunc bpf_lsm_policy_apply_bprm, which the kfunc applier needs; "
            "install one with the bridge (packaging/kernel in the source), or use the inject applier");
    }
}

void requireInject(const Capabilities& found)
{
    if (!found.injectObstacle.empty()) {
        throw Unfit(found.injectObstacle);
    }
}

}  // namespace

void requireRoot()
{
    if (geteuid() != 0 || !sys::inInitialUserNamespace()) {
        throw sys::Error("needs root in the initial user namespace; rootless containers cannot be restricted this way");
    }
}

bool hasBpffs()
{
    struct statfs fs {};
    if (statfs(sys::bpffs, &fs) != 0 && errno != ENOENT) {
        throw sys::errnoError(std::string("look at ") + sys::bpffs);
    }
    return fs.f_type == BPF_FS_MAGIC;
}

void requireAccess()
{
    requireRoot();
    if (!hasBpffs()) {
        throw sys::Error("no bpffs at /sys/fs/bpf; run `mount -t bpf bpf /sys/fs/bpf`");
    }
}

void requireNoSelector()
{
    std::uint32_t id = 0;
    while (bpf_prog_get_next_id(id, &id) == 0) {
        const sys::Fd program(bpf_prog_get_fd_by_id(id));
        if (!program && errno == ENOENT) {
            continue;  // gone meanwhile
        }
        bpf_prog_info info{};
        std::uint32_t size = sizeof info;
        if (!program || bpf_obj_get_info_by_fd(program.get(), &info, &size) != 0) {
            throw sys::errnoError("look at the kernel's BPF programs");
        }
        if (std::string_view(info.name, strnlen(info.name, sizeof info.name)) == selectorProgram) {
            throw sys::Error(std::string("no bpffs at /sys/fs/bpf, but the kernel runs a program ") + selectorProgram +
                             "; run this where the bpffs is mounted in which it is pinned, or boot again");
        }
    }
    // A kernel without bpf(2) has no program.
    if (errno != ENOENT && errno != ENOSYS) {
        throw sys::errnoError("list the kernel's BPF programs");
    }
}

Capabilities probe()
{
    Capabilities found;
    found.lsm = sys::securityModules();
    found.bpfLsm = listed(found.lsm, "bpf");
    found.landlockAbi = landlock::kernelAbi();
    found.bridge = applier::kernelHasBridge();
    found.injectObstacle = applier::injectObstacle();
    return found;
}

oll_applier choose(const Lock& lock, Choice choice)
{
    if (Node::loaded()) {
        const Node compatible(lock);
        if (choice != Choice::automatic && (compatible.applier() == OLL_APPLIER_INJECT) != (choice == Choice::inject)) {
            throw Unfit(std::string("this node was loaded with the ") + applier::nameOf(compatible.applier()) +
                        " applier, and the two are never mixed; stop the containers that depend on it, then run "
                        "`oci-landlock unload` first");
        }
        return compatible.applier();
    }
    const Capabilities found = probe();
    requireCapable(found);
    if (choice == Choice::kfunc || (choice == Choice::automatic && found.bridge)) {
        requireKfunc(found);
        return OLL_APPLIER_KFUNC;
    }
    requireInject(found);
    return OLL_APPLIER_INJECT;
}

void load(const Lock& lock, Choice choice)
{
    const oll_applier applier = choose(lock, choice);
    if (Node::loaded()) {
        return;
    }
    const bool stacks = applier == OLL_APPLIER_KFUNC && applier::kernelStacks();
    const std::string staging = stagingDirectory();
    removePins(staging);
    if (mkdir(staging.c_str(), 0700) != 0) {
        throw sys::errnoError("make " + staging);
    }
    try {
        const InRootCgroup charged;
        applier::load(applier, staging);
        writeNode(staging, applier, stacks);
        if (rename(staging.c_str(), sys::pinDirectory) != 0) {
            throw sys::Error(sys::errnoError(std::string("rename to ") + sys::pinDirectory).what() +
                             std::string("; run `oci-landlock unload`"));
        }
    } catch (...) {
        removePins(staging);
        throw;
    }
}

bool unload(const Lock& lock, bool force)
{
    const std::string staging = stagingDirectory();
    removePins(staging);
    if (!Node::loaded()) {
        removePins(sys::pinDirectory);
        return false;
    }
    if (!force) {
        const Node node(lock);
        node.collectGarbage();
        const std::size_t running = node.containers().size();
        if (running > 0) {
            throw sys::Error(std::to_string(running) +
                             " containers depend on it; stop them (`oci-landlock status` "
                             "lists them), or use --force to leave their programs unrestricted from now on");
        }
    }
    // At once: were it done pin by pin, a kill half way would leave a node that looks loaded and selects nothing.
    if (rename(sys::pinDirectory, staging.c_str()) != 0) {
        throw sys::errnoError(std::string("rename ") + sys::pinDirectory);
    }
    removePins(staging);
    policies::removeAllBut({});
    return true;
}

}  // namespace node
