// SPDX-License-Identifier: Apache-2.0
#include "nri/plugin.hpp"

#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

#include "oci/amend.hpp"
#include "sys/error.hpp"

namespace nri {

namespace {

constexpr std::string_view runtimeService = "nri.pkg.api.v1alpha1.Runtime";

// Newer engines have a call for each.
constexpr std::array calls = {
    std::pair{std::string_view("CreateContainer"), Event::createContainer},
    std::pair{std::string_view("PostCreateContainer"), Event::postCreateContainer},
    std::pair{std::string_view("RemoveContainer"), Event::removeContainer},
    std::pair{std::string_view("RunPodSandbox"), Event::runPod},
    std::pair{std::string_view("StopPodSandbox"), Event::stopPod},
    std::pair{std::string_view("RemovePodSandbox"), Event::removePod},
};

// What hooks call themselves: a plugin's, and a handler's own ones.
constexpr const char* ofPlugin = "oci-landlock-nri";
constexpr const char* ofHandler = "oci-landlock";

Hook hookOf(const std::string& program, const char* stage, const char* whose)
{
    return {program, {whose, "hook", stage}};
}

bool asks(const Happening& creation)
{
    return !creation.pod.annotations.empty() || !creation.container.annotations.empty();
}

bool hooked(const Container& container, const std::string& program, const char* whose)
{
    return std::ranges::find(container.createRuntime, hookOf(program, "createRuntime", whose)) !=
           container.createRuntime.end();
}

bool hooked(const Container& container, const std::string& program)
{
    return hooked(container, program, ofPlugin) || hooked(container, program, ofHandler);
}

std::string nameOf(const Pod& pod)
{
    return "pod " + sys::printable(pod.nameSpace) + "/" + sys::printable(pod.name);
}

std::string nameOf(const std::string& pod, const Container& container)
{
    return pod + ", container " + sys::printable(container.name);
}

}  // namespace

std::optional<Adjustment> adjustmentFor(const Happening& creation, const std::string& program, bool everyone)
{
    // Another plugin of ours has done it all. What two of them write makes the engine refuse the container.
    if ((!asks(creation) && !everyone) || hooked(creation.container, program, ofPlugin)) {
        return std::nullopt;
    }
    // Its own too: containerd shows also what a client of CRI gives a container, and its handler does not let pass.
    Adjustment adjustment{.annotations = creation.container.annotations};
    adjustment.annotations.insert(creation.pod.annotations.begin(), creation.pod.annotations.end());
    if (!hooked(creation.container, program, ofHandler)) {
        for (const char* stage : oci::hookStages) {
            adjustment.hooks.emplace(stage, hookOf(program, stage, ofPlugin));
        }
        adjustment.hookTimeout = oci::hookTimeout;
    }
    return adjustment;
}

void Plugin::serve(sys::Fd socket)
{
    containersOf_.clear();
    creating_.clear();
    before_.clear();
    Connection connection(std::move(socket));
    connection.call(runtimeService, "RegisterPlugin", registration(options_.name, options_.index));
    while (const std::optional<Received> received = connection.receive()) {
        if (received->answer && received->answer->code != 0) {
            throw sys::Error("the engine does not take the plugin: " + sys::printable(received->answer->message));
        }
        if (received->call) {
            handle(connection, *received->call);
        }
    }
}

void Plugin::handle(Connection& connection, const Call& call)
{
    std::string answer;
    bool synchronizedNow = false;
    try {
        const auto known = std::ranges::find(calls, call.method, &decltype(calls)::value_type::first);
        if (call.method == "Configure") {
            answer = subscription({Event::runPod, Event::stopPod, Event::removePod, Event::createContainer,
                                   Event::postCreateContainer, Event::removeContainer});
        } else if (call.method == "Synchronize") {
            const Known all = knownIn(call.payload);
            synchronize(all);
            answer = synchronized(all.more);
            synchronizedNow = !all.more;
        } else if (call.method == "StateChange") {
            see(stateChangeIn(call.payload));
        } else if (known != calls.end()) {
            const Happening happening = happeningIn(known->second, call.payload);
            if (known->second == Event::createContainer) {
                answer = create(happening);
            } else {
                see(happening);
            }
        } else if (call.method != "Shutdown") {
            throw sys::Error("no such call: " + sys::printable(call.method));
        }
    } catch (const sys::Error& error) {
        // The engine passes it on to whoever asked for the container.
        connection.refuse(call.stream, std::string("oci-landlock: ") + error.what());
        return;
    }
    connection.answer(call.stream, answer);
    if (call.method == "Configure") {
        options_.configured();
    }
    if (synchronizedNow) {
        options_.connected();
    }
}

std::string Plugin::create(const Happening& creation)
{
    const std::optional<Adjustment> adjustment = adjustmentFor(creation, options_.program, options_.everyone());
    if (const auto pod = containersOf_.find(creation.pod.id); pod != containersOf_.end()) {
        pod->second.insert(creation.container.name);
    }
    if (!adjustment) {
        return "";
    }
    creating_.insert(creation.container.id);
    return adjusted(*adjustment);
}

// Those that came before the plugin are as they are; who asked in vain is told of. Where there are many they come in
// parts, containers perhaps after the one that has their pod.
void Plugin::synchronize(const Known& known)
{
    for (const Pod& pod : known.pods) {
        before_[pod.id] = {nameOf(pod), !pod.annotations.empty()};
    }
    std::vector<std::string> without;
    for (const Container& container : known.containers) {
        const auto pod = before_.find(container.podId);
        if (pod == before_.end()) {
            continue;
        }
        if ((pod->second.asks || !container.annotations.empty()) && !hooked(container, options_.program)) {
            without.push_back(nameOf(pod->second.name, container));
        }
    }
    if (!known.more) {
        before_.clear();
    }
    warnOf(without,
           ": asks for a sandbox, and was created before this plugin came; unless its runtime has the hooks from "
           "elsewhere it has none: start it anew");
}

// How many there are is up to whoever makes pods.
void Plugin::warnOf(const std::vector<std::string>& names, const char* what) const
{
    constexpr std::size_t told = 10;
    for (std::size_t i = 0; i < std::min(told, names.size()); ++i) {
        options_.warn(names[i] + what);
    }
    if (names.size() > told) {
        options_.warn("… and " + std::to_string(names.size() - told) + " more");
    }
}

void Plugin::see(const Happening& happening)
{
    switch (happening.event) {
        case Event::runPod:
            containersOf_[happening.pod.id];
            break;
        case Event::postCreateContainer:
            creating_.erase(happening.container.id);
            break;
        case Event::removeContainer:
            if (creating_.erase(happening.container.id) != 0) {
                options_.warn(nameOf(nameOf(happening.pod), happening.container) +
                              ": was not created, with the hooks of its sandbox; if a validator of NRI refuses hooks "
                              "(reject_oci_hook_adjustment), allow them, or use a runtime class");
            }
            break;
        case Event::stopPod:
        case Event::removePod:
            podEnds(happening.pod);
            break;
        default:
            break;
    }
}

// What was meant for one of its containers, and met none: nobody else knows them all. Of a pod that was there before
// the plugin, some may have come and gone.
void Plugin::podEnds(const Pod& pod)
{
    const auto found = containersOf_.find(pod.id);
    if (found == containersOf_.end()) {
        return;
    }
    std::vector<std::string> unused;
    for (const auto& [key, value] : pod.annotations) {
        const std::size_t slash = key.find('/');
        if (slash != std::string::npos && !found->second.contains(key.substr(slash + 1))) {
            unused.push_back(nameOf(pod) + ": annotation " + sys::printable(key));
        }
    }
    warnOf(unused, " named none of its containers that were created");
    containersOf_.erase(found);
}

}  // namespace nri
