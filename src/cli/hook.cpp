// SPDX-License-Identifier: Apache-2.0
// `oci-landlock hook`: from the state on stdin to the container's entry in the kernel.
#include <fcntl.h>
#include <syslog.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/commands.hpp"
#include "cli/settings.hpp"
#include "confine/parser.hpp"
#include "container/mounts.hpp"
#include "container/process.hpp"
#include "container/rootfs.hpp"
#include "landlock/ruleset.hpp"
#include "node/node.hpp"
#include "oci/bundle.hpp"
#include "oci/state.hpp"
#include "profile/load.hpp"
#include "sys/file.hpp"
#include "sys/log.hpp"

namespace cli {

namespace {

using nlohmann::json;

constexpr const char* usage =
    "Usage: oci-landlock hook createRuntime|prestart|poststop\n"
    "\n"
    "Run by an OCI runtime, with the container's state on standard input.\n"
    "\n"
    "  createRuntime  gives the container the Landlock sandbox that its annotations ask for\n"
    "  prestart       the same, for runtimes that lack createRuntime\n"
    "  poststop       takes away what belongs to the container\n"
    "\n"
    "Exit status: 0 done, or nothing was asked for; 1 the container must not start; 2 wrong usage.\n";

// The node's baseline first, then the container's own.
profile::Profile effectiveProfile(confine::Parser& parser, const Settings& settings,
                                  const std::optional<oci::Request>& request, unsigned abi)
{
    profile::Profile all;
    if (settings.baseline) {
        const ProfileFile file = findProfile(settings, *settings.baseline);
        all = parser.profile(file.text, file.path, profile::Origin::nodeFile, abi, std::nullopt);
    }
    if (!request) {
        return all;
    }
    if (!request->profile) {
        throw sys::Error("annotation io.landlock.program: needs io.landlock.profile, whose selection it replaces");
    }
    const std::string& value = *request->profile;
    const bool inlined = value.find_first_not_of(" \t\r\n") != std::string::npos &&
                         value[value.find_first_not_of(" \t\r\n")] == '{';
    profile::Profile own;
    if (inlined) {
        if (!settings.allowInline) {
            throw sys::Error("annotation " + request->profileKey + ": inline profiles are switched off on this node; "
                             "name a profile from its profile directories");
        }
        own = parser.profile(value, "annotation " + request->profileKey, profile::Origin::inlined, abi,
                             request->program);
    } else {
        const ProfileFile file = findProfile(settings, value);
        own = parser.profile(file.text, file.path, profile::Origin::nodeFile, abi, request->program);
    }
    all.source += (all.source.empty() ? "" : " + ") + own.source;
    std::ranges::move(own.entries, std::back_inserter(all.entries));
    return all;
}

// Everything that the node gets, and the descriptors it borrows.
struct Prepared {
    std::vector<landlock::Ruleset> rulesets;
    std::vector<sys::Fd> files;
    std::vector<node::Entry> entries;
    std::vector<applier::Layer> layers;
    std::vector<node::Program> programs;
    std::vector<std::vector<std::string>> skipped;  // paths that do not exist, by entry
};

landlock::Ruleset buildRuleset(const profile::Layer& layer, const profile::Entry& entry,
                               const container::Rootfs& rootfs, const std::string& cwd,
                               std::vector<std::string>& skipped)
{
    landlock::Ruleset ruleset({layer.handledFs, layer.handledNet, layer.scoped, layer.quietFs, layer.quietNet,
                               layer.quietScoped});
    for (const profile::PathRule& rule : layer.paths) {
        try {
            const sys::Fd path = rootfs.resolve(rule.path, cwd);
            ruleset.allowPath(path.get(), rule.access, rule.quiet);
        } catch (const container::NotFound& error) {
            if (entry.missingPaths == profile::MissingPaths::error) {
                throw sys::Error(rule.pointer + ": " + error.what() + "; mend the path, or set \"missingPaths\": "
                                 "\"skip\"");
            }
            skipped.push_back(rule.path);
        } catch (const sys::Error& error) {
            throw sys::Error(rule.pointer + ": " + sys::printable(rule.path) + ": " + error.what());
        }
    }
    for (const profile::PortRule& rule : layer.ports) {
        try {
            ruleset.allowPort(rule.port, rule.access, rule.quiet);
        } catch (const sys::Error& error) {
            throw sys::Error(rule.pointer + ": " + error.what());
        }
    }
    return ruleset;
}

void addProgram(Prepared& prepared, const std::string& path, int file, std::uint32_t entries)
{
    for (node::Program& known : prepared.programs) {
        if (known.path == path) {
            known.entries |= entries;
            return;
        }
    }
    prepared.programs.push_back({path, file, entries});
}

// A program counts by the name that the profile gives it and by the one that this leads to.
void resolveProgram(Prepared& prepared, const container::Rootfs& rootfs, const std::string& path, std::uint32_t entries)
{
    try {
        sys::Fd file = rootfs.resolve(path, "/");
        const std::string resolved = rootfs.nameOf(file.get());
        prepared.files.push_back(std::move(file));
        addProgram(prepared, path, prepared.files.back().get(), entries);
        addProgram(prepared, resolved, prepared.files.back().get(), entries);
    } catch (const container::NotFound&) {
        addProgram(prepared, path, -1, entries);  // it may appear later
    }
}

oll_selector selectorOf(profile::Selector kind)
{
    switch (kind) {
        case profile::Selector::entrypoint:
            return OLL_SELECT_ENTRYPOINT;
        case profile::Selector::program:
            return OLL_SELECT_PROGRAM;
        case profile::Selector::except:
            return OLL_SELECT_EXCEPT;
    }
    throw sys::Error("unknown selection");
}

Prepared prepare(const profile::Profile& profile, const container::Rootfs& rootfs, const std::string& cwd)
{
    Prepared prepared;
    for (const profile::Entry& entry : profile.entries) {
        const auto index = static_cast<std::uint32_t>(prepared.entries.size());
        prepared.skipped.emplace_back();
        prepared.entries.push_back({selectorOf(entry.select.kind), entry.select.sessions});
        for (const profile::Layer& layer : entry.layers) {
            prepared.rulesets.push_back(buildRuleset(layer, entry, rootfs, cwd, prepared.skipped.back()));
            prepared.layers.push_back({prepared.rulesets.back().fd(), index,
                                       entry.restrictFlags | (entry.noNewPrivileges ? OLL_RESTRICT_NO_NEW_PRIVS : 0)});
        }
        for (const std::string& program : entry.select.programs) {
            resolveProgram(prepared, rootfs, program, 1U << index);
        }
    }
    return prepared;
}

// What `status` shows; the long lists are left out when they do not fit.
std::string reportOf(const profile::Profile& profile, const Prepared& prepared)
{
    for (const bool withLists : {true, false}) {
        json entries = json::array();
        for (std::size_t i = 0; i < profile.entries.size(); ++i) {
            const profile::Entry& entry = profile.entries[i];
            json item = {{"name", entry.name},
                         {"layers", entry.layers.size()},
                         {"enforcement", entry.dropped.empty() && prepared.skipped[i].empty() ? "full" : "partial"}};
            if (withLists) {
                for (const profile::Dropped& dropped : entry.dropped) {
                    item["dropped"].push_back(dropped.what);
                }
                if (!prepared.skipped[i].empty()) {
                    item["missingPaths"] = prepared.skipped[i];
                }
            }
            entries.push_back(std::move(item));
        }
        const json report = {{"profile", profile.source.substr(0, 200)}, {"entries", entries}};
        std::string text = report.dump(-1, ' ', true, json::error_handler_t::replace);
        if (text.size() < OLL_REPORT_SIZE) {
            return text;
        }
    }
    return "{}";
}

// What best effort or missingPaths: skip left out must not go unnoticed.
void tellPartial(const std::string& id, const profile::Profile& profile, const Prepared& prepared)
{
    for (std::size_t i = 0; i < profile.entries.size(); ++i) {
        std::string what;
        for (const profile::Dropped& dropped : profile.entries[i].dropped) {
            what += (what.empty() ? "" : ", ") + dropped.what;
            what += dropped.abi == 0 ? " (unknown)" : " (needs Landlock ABI " + std::to_string(dropped.abi) + ")";
        }
        for (const std::string& path : prepared.skipped[i]) {
            what += (what.empty() ? "" : ", ") + sys::printable(path) + " (missing)";
        }
        if (!what.empty()) {
            sys::tell(LOG_NOTICE, id,
                 "entry " + sys::printable(profile.entries[i].name) + " is enforced partially, without " + what);
        }
    }
}

container::Cgroup ownCgroup(const container::Process& init)
{
    container::Cgroup cgroup = container::Cgroup::of(init);
    const container::Cgroup hooks = container::Cgroup::of(container::Process(getpid()));
    if (cgroup.level == 0 || cgroup.contains(hooks)) {
        throw sys::Error("the container has no cgroup of its own (it shares " + sys::printable(cgroup.path) +
                         " with its runtime); start it with cgroups enabled");
    }
    return cgroup;
}

// An entry that is there already: ours from the other hook stage, a dead predecessor's, or somebody else's. Throws
// sys::Error when anybody else is in the cgroup: the entry would restrict them as well.
bool alreadyDone(const node::Node& node, const container::Cgroup& cgroup, const container::Process& init,
                 const oci::State& state, const sys::Digest& digest)
{
    const auto standing = node.find(cgroup.id);
    if (standing && standing->intact && node.marked(init.pidfd(), standing->entry.generation)) {
        const oll_record& record = standing->entry.record;
        if (state.id != record.container_id || !std::ranges::equal(digest, record.digest)) {
            throw sys::Error("process " + std::to_string(state.pid) + " is the init of container " +
                             sys::printable(record.container_id) + " already" +
                             (state.id == record.container_id ? ", with another profile" : "") +
                             "; each container needs an init of its own, and each of its hooks the same profile");
        }
        return true;
    }
    if (!cgroup.holdsOnly(state.pid)) {
        throw sys::Error("cgroup " + sys::printable(cgroup.path) + " is shared with " +
                         (standing ? "container " + sys::printable(standing->entry.record.container_id)
                                   : "processes that are not the container's") +
                         "; give each container a cgroup of its own");
    }
    if (standing) {
        node.forget(cgroup.id);
    }
    return false;
}

void create(confine::Parser& parser, const oci::State& state)
{
    const Settings settings = readSettings();
    const oci::Bundle bundle = parser.bundle(oci::readConfig(state.bundle), state.bundle);
    const std::optional<oci::Request> request = oci::requestOf(bundle);
    if (!request && !settings.baseline) {
        return;
    }
    node::requireAccess();
    if (state.pid <= 1) {
        throw sys::Error("the state names no process of the container; use the hook as createRuntime or prestart");
    }
    const unsigned abi = landlock::kernelAbi();
    if (abi == 0) {
        throw sys::Error("Landlock is off on this kernel; boot with landlock in lsm=");
    }
    const profile::Profile profile = effectiveProfile(parser, settings, request, abi);
    const container::Process init(state.pid);
    const container::Cgroup cgroup = ownCgroup(init);
    const container::Rootfs rootfs = container::Rootfs::of(init, bundle.rootPath);
    const Prepared prepared = prepare(profile, rootfs, bundle.cwd);
    tellPartial(state.id, profile, prepared);

    const node::Lock lock;
    node::load(lock);
    const node::Node node(lock);
    const sys::Digest digest = sys::digest(confine::bytesOf(profile));
    if (alreadyDone(node, cgroup, init, state, digest)) {
        return;
    }
    std::vector<container::Mount> mounts;
    std::vector<applier::Mount> offered;
    if (node.applier() == OLL_APPLIER_INJECT) {
        mounts = container::mountsOf(init, rootfs, bundle.rootPath);
        for (const container::Mount& mount : mounts) {
            offered.push_back({mount.root.get(), mount.ownFileSystem});
        }
    }
    const sys::Fd mountNamespace = init.open("ns/mnt", O_RDONLY);
    node.install({.id = state.id,
                  .digest = digest,
                  .report = reportOf(profile, prepared),
                  .init = init.pidfd(),
                  .mountNamespace = mountNamespace.get(),
                  .cgroup = cgroup.directory.get(),
                  .cgroupId = cgroup.id,
                  .entries = prepared.entries,
                  .layers = prepared.layers,
                  .programs = prepared.programs,
                  .mounts = offered});
}

void remove(const oci::State& state)
{
    if (!node::Node::loaded()) {
        return;
    }
    node::requireAccess();
    const node::Lock lock;
    const node::Node node(lock);
    node.forgetDead(state.id);
}

}  // namespace

int runHook(const Arguments& arguments)
{
    if (arguments.size() == 1 && (arguments[0] == "--help" || arguments[0] == "-h")) {
        std::fputs(usage, stdout);
        return exitOk;
    }
    const bool creates = arguments.size() == 1 && (arguments[0] == "createRuntime" || arguments[0] == "prestart");
    if (!creates && (arguments.size() != 1 || arguments[0] != "poststop")) {
        throw UsageError("hook: name one stage: createRuntime, prestart or poststop");
    }
    oci::State state;
    try {
        confine::Parser parser;
        state = parser.state(sys::readAll(STDIN_FILENO, oci::maxStateBytes, "container state on stdin"));
        creates ? create(parser, state) : remove(state);
        return exitOk;
    } catch (const sys::Error& error) {
        sys::tell(LOG_ERR, state.id.empty() ? "?" : state.id, error.what());
        return exitFailed;
    } catch (const std::bad_alloc&) {
        sys::tell(LOG_ERR, state.id.empty() ? "?" : state.id, "out of memory");
        return exitFailed;
    }
}

}  // namespace cli
