// SPDX-License-Identifier: Apache-2.0
// `oci-landlock hook`: from the state on stdin to the container's entry in the kernel.
#include <fcntl.h>
#include <syslog.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <functional>
#include <string_view>
#include <utility>

#include "applier/launch/launch.hpp"
#include "cli/commands.hpp"
#include "cli/launch.hpp"
#include "cli/outcome.hpp"
#include "cli/prepare.hpp"
#include "cli/request.hpp"
#include "cli/settings.hpp"
#include "confine/parser.hpp"
#include "container/process.hpp"
#include "landlock/ruleset.hpp"
#include "learn/background.hpp"
#include "node/node.hpp"
#include "node/pins.hpp"
#include "oci/bundle.hpp"
#include "oci/glance.hpp"
#include "oci/state.hpp"
#include "sys/digest.hpp"
#include "sys/file.hpp"
#include "sys/log.hpp"

namespace cli {

namespace {

constexpr const char* usage =
    "Usage: oci-landlock hook createRuntime|prestart|poststart|poststop\n"
    "\n"
    "Run by an OCI runtime, with the container's state on standard input.\n"
    "\n"
    "  createRuntime  gives the container the Landlock sandbox that its annotations ask for\n"
    "  prestart       the same, for runtimes that lack createRuntime\n"
    "  poststart      ends the container where the launch applier did not restrict its entrypoint\n"
    "  poststop       takes away what belongs to the container\n"
    "\n"
    "Exit status: 0 done, or nothing was asked for; 1 the container must not start; 2 wrong usage.\n";

Parse parseWith(confine::Parser& parser, unsigned abi)
{
    return {[&parser, abi](std::string text, std::string source, profile::Origin origin,
                           const std::vector<profile::Fragment>& fragments) {
                return parser.profile(std::move(text), std::move(source), origin, abi, fragments);
            },
            [&parser](const profile::Fragment& fragment, profile::Origin origin) {
                return parser.usesOf(fragment, origin);
            },
            [&parser](std::string value) { return parser.programs(std::move(value)); }};
}

profile::Profile profileOf(confine::Parser& parser, const Settings& settings,
                           const std::optional<oci::Request>& request, unsigned abi)
{
    const Parse parse = parseWith(parser, abi);
    profile::Profile baseline = baselineOf(settings, parse);
    profile::Profile all =
        stacked(std::move(baseline), request ? profileAskedFor(settings, *request, parse) : profile::Profile{});
    if (settings.auditOnly) {
        auditAll(all);
    }
    return all;
}

// What asks to be recorded does not start unrecorded. `launch`: why this node has that applier.
void requireRecorder(const oci::Request& request, const std::optional<std::string>& launch)
{
    requireLearnName(request);
    const std::string where = "annotation " + sys::printable(request.learnKey) + ": ";
    if (launch) {
        throw sys::Error(where + "with the launch applier nothing can be recorded; " + *launch);
    }
    if (!learn::watched({.name = *request.learn, .annotation = true})) {
        throw sys::Error(where + "nobody records " + *request.learn + "; run `oci-landlock learn start --annotation " +
                         *request.learn + " --output FILE` first");
    }
}

void createByLaunch(const oci::State& state, const oci::Bundle& bundle, const container::Process& init,
                    const std::string& reason, unsigned abi, const std::function<profile::Profile()>& load)
{
    namespace launch = applier::launch;
    if (launch::attached(state.id, state.pid)) {
        return;
    }
    launch::requireAble();
    profile::Profile profile = load();
    limitToLaunch(profile, reason);
    const Prepared prepared = prepare(profile, init, bundle);
    const oci::Names names = oci::namesOf(bundle);
    const std::string label = labelOf(state.id, names);
    tellPartial(label, profile, prepared);
    launch::Container container{.id = state.id,
                                .label = label,
                                .report = outcomeOf(profile, prepared),
                                .about = aboutOf(names, profile),
                                .policy = policyOf(profile, prepared, abi),
                                .pid = state.pid,
                                .rootPath = bundle.rootPath,
                                .layers = {}};
    for (const applier::Layer& layer : prepared.layers) {
        container.layers.push_back({layer.ruleset, layer.restrictFlags});
    }
    launch::attach(container, init);
}

// Whether the other hook stage has done it all already. Throws sys::Error when the process is somebody else's init, or
// has another profile.
bool inForce(const node::Node& node, const container::Cgroup& cgroup, const container::Process& init,
             const oci::State& state, const sys::Digest& digest)
{
    const auto standing = node.find(cgroup.id);
    if (!standing || !standing->intact || !standing->held || !node.marked(init.pidfd(), standing->entry.generation)) {
        return false;
    }
    const oll_record& record = standing->entry.record;
    if (state.id != record.container_id || !std::ranges::equal(digest, record.digest)) {
        throw sys::Error("process " + std::to_string(state.pid) + " is the init of container " +
                         sys::printable(record.container_id) + " already" +
                         (state.id == record.container_id ? ", with another profile" : "") +
                         "; each container needs an init of its own, and each of its hooks the same profile");
    }
    return true;
}

// Takes away a dead predecessor's entry. Throws sys::Error when anybody else is in the cgroup: an entry would restrict
// them as well.
void makeRoom(const node::Node& node, const container::Cgroup& cgroup, pid_t pid)
{
    const auto standing = node.find(cgroup.id);
    if (!cgroup.holdsOnly(pid)) {
        throw sys::Error("cgroup " + sys::printable(cgroup.path) + " is shared with " +
                         (standing ? "container " + sys::printable(standing->entry.record.container_id)
                                   : "processes that are not the container's") +
                         "; give each container a cgroup of its own");
    }
    if (standing) {
        node.forget(cgroup.id);
    }
}

// Whether that shows without a parser, which is a process of its own. Whoever cannot be read is looked at again by
// those who say so with the container's name.
bool asksNothing(std::string_view state)
{
    try {
        const auto bundle = oci::bundleAtAGlance(state);
        return bundle && !oci::mayAsk(oci::readConfig(*bundle)) && !readSettings().baseline;
    } catch (const sys::Error&) {
        return false;
    }
}

oci::Bundle bundleOf(confine::Parser& parser, const oci::State& state)
{
    oci::Bundle bundle = parser.bundle(oci::readConfig(state.bundle), state.bundle);
    oci::keepWordOfEngine(bundle, state.id);
    return bundle;
}

// What waits for the container's files, or for another process, waits without the node's lock. `label`: for messages,
// with what people call the container as soon as that is known.
void create(confine::Parser& parser, const oci::State& state, std::string& label)
{
    const Settings settings = readSettings();
    const oci::Bundle bundle = bundleOf(parser, state);
    const oci::Names names = oci::namesOf(bundle);
    label = labelOf(state.id, names);
    const std::optional<oci::Request> request = oci::requestOf(bundle);
    if (!request && !settings.baseline) {
        return;
    }
    oci::requireExec(bundle);
    const std::optional<std::string> launch = reasonForLaunch(settings);
    if (!launch) {
        node::requireAccess();
    }
    if (state.pid <= 1) {
        throw sys::Error("the state names no process of the container; use the hook as createRuntime or prestart");
    }
    if (request && request->learn) {
        requireRecorder(*request, launch);
    }
    const unsigned abi = landlock::kernelAbi();
    if (abi == 0) {
        throw sys::Error("Landlock is off on this kernel; boot with landlock in lsm=");
    }
    const container::Process init(state.pid);
    if (launch) {
        createByLaunch(state, bundle, init, *launch, abi, [&] { return profileOf(parser, settings, request, abi); });
        return;
    }
    const profile::Profile profile = profileOf(parser, settings, request, abi);
    const sys::Digest digest = confine::identityOf(profile);
    const container::Cgroup cgroup = container::ownCgroup(init);
    {
        const node::Lock lock;
        node::load(lock);
        if (inForce(node::Node(lock), cgroup, init, state, digest)) {
            return;
        }
    }
    const Prepared prepared = prepare(profile, init, bundle);
    tellPartial(label, profile, prepared);
    const sys::Fd mountNamespace = init.open("ns/mnt", O_RDONLY);
    const node::Container container{.id = state.id,
                                    .label = label,
                                    .digest = digest,
                                    .report = outcomeOf(profile, prepared),
                                    .about = aboutOf(names, profile, request ? request->learn : std::nullopt),
                                    .policy = policyOf(profile, prepared, abi),
                                    .init = init.pidfd(),
                                    .mountNamespace = mountNamespace.get(),
                                    .cgroup = cgroup.directory.get(),
                                    .cgroupId = cgroup.id,
                                    .entries = prepared.entries,
                                    .layers = prepared.layers,
                                    .programs = prepared.programs};
    const node::Reservation reservation(container);
    {
        const node::Lock lock;
        const node::Node node(lock);
        if (inForce(node, cgroup, init, state, digest)) {
            return;
        }
        makeRoom(node, cgroup, state.pid);
        node.install(container, reservation);
    }
    reservation.confirm();
}

// The selector needs nothing at this stage. Whether there is one is asked last: it can take a look at all of the
// kernel's types.
void started(confine::Parser& parser, const oci::State& state, std::string& label)
{
    const Settings settings = readSettings();
    const oci::Bundle bundle = bundleOf(parser, state);
    label = labelOf(state.id, oci::namesOf(bundle));
    if ((oci::requestOf(bundle) || settings.baseline) && reasonForLaunch(settings)) {
        applier::launch::requireApplied(state.pid, state.created);
    }
}

void remove(const oci::State& state)
{
    applier::launch::forgetEnded();
    if (!node::Node::loaded()) {
        return;
    }
    node::requireAccess();
    const node::Lock lock;
    node::Node(lock).forgetDead(state.id);
}

}  // namespace

int runHook(const Arguments& arguments)
{
    if (arguments.size() == 1 && (arguments[0] == "--help" || arguments[0] == "-h")) {
        std::fputs(usage, stdout);
        return exitOk;
    }
    const std::string stage = arguments.size() == 1 ? arguments[0] : "";
    const bool creates = stage == "createRuntime" || stage == "prestart";
    if (!creates && stage != "poststart" && stage != "poststop") {
        throw UsageError("hook: name one stage: createRuntime, prestart, poststart or poststop");
    }
    std::string label = "?";
    try {
        std::string text = sys::readAll(STDIN_FILENO, oci::maxStateBytes, "container state on stdin");
        // What was given to a container is taken away whatever its documents say by now.
        if (stage != "poststop" && asksNothing(text)) {
            return exitOk;
        }
        confine::Parser parser;
        const oci::State state = parser.state(std::move(text));
        label = state.id;
        if (creates) {
            create(parser, state, label);
        } else if (stage == "poststart") {
            started(parser, state, label);
        } else {
            remove(state);
        }
        return exitOk;
    } catch (...) {
        sys::tell(LOG_ERR, label, sys::messageOf(std::current_exception()));
        return exitFailed;
    }
}

}  // namespace cli
