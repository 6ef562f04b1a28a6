// SPDX-License-Identifier: Apache-2.0
// What concerns us of the messages between an engine and a plugin of its Node Resource Interface (package
// nri.pkg.api.v1alpha1 of containerd's NRI 0.3 and later), in protobuf's encoding. What is not named here is passed
// over. All functions throw sys::Error for bytes that are no such message.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace nri {

// As the interface numbers them.
enum class Event : std::uint8_t {
    none = 0,
    runPod = 1,
    stopPod = 2,
    removePod = 3,
    createContainer = 4,
    postCreateContainer = 5,
    removeContainer = 11,
};

struct Hook {
    std::string path;
    std::vector<std::string> arguments;
    bool operator==(const Hook&) const = default;
};

using Annotations = std::map<std::string, std::string>;

struct Pod {
    std::string id;
    std::string name;
    std::string nameSpace;
    Annotations annotations;  // ours only
};

struct Container {
    std::string id;
    std::string podId;
    std::string name;
    Annotations annotations;          // ours only
    std::vector<Hook> createRuntime;  // the hooks of that stage
};

// One thing that happens, with what it happens to; what there is none of is empty.
struct Happening {
    Event event = Event::none;
    Pod pod;
    Container container;
};

// What the engine has when a plugin comes. With `more` there is more to come.
struct Known {
    std::vector<Pod> pods;
    std::vector<Container> containers;
    bool more = false;
};

struct Adjustment {
    Annotations annotations;
    std::map<std::string, Hook> hooks;  // by stage, in OCI's names: createRuntime, poststart and poststop
    unsigned hookTimeout = 0;           // seconds
    bool operator==(const Adjustment&) const = default;
};

// Of a call that is named after its event.
Happening happeningIn(Event event, std::string_view message);
// Of StateChange, by which older engines tell of most events.
Happening stateChangeIn(std::string_view message);
Known knownIn(std::string_view message);

std::string registration(std::string_view name, std::string_view index);
std::string subscription(const std::vector<Event>& events);
// Of Synchronize: that nothing is to be changed.
std::string synchronized(bool more);
std::string adjusted(const Adjustment& adjustment);

}  // namespace nri
