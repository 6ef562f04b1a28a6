// SPDX-License-Identifier: Apache-2.0
// A plugin of an engine's Node Resource Interface: adds our hooks, and the pod's annotations of ours, to the containers
// that ask for a sandbox.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "nri/connection.hpp"
#include "nri/messages.hpp"

namespace nri {

// std::nullopt: nothing is asked for. A container's own annotations go before those of its pod.
std::optional<Adjustment> adjustmentFor(const Happening& creation, const std::string& program, bool everyone);

struct Options {
    std::string program;                // what the hooks call
    std::string name = "oci-landlock";  // as the engine calls the plugin
    std::string index = "90";           // where among the plugins
    // Asked at each creation: whether the node has a baseline, which is for every container. What it throws refuses
    // the container.
    std::function<bool()> everyone;
    std::function<void(const std::string& line)> warn;
    std::function<void()> configured = [] {};  // the engine knows what the plugin is to see
    std::function<void()> connected = [] {};   // and shows it; not every engine says so to a plugin that it has started
};

class Plugin {
public:
    explicit Plugin(Options options) : options_(std::move(options)) {}

    // Returns when the engine has closed the connection. Throws sys::Error.
    void serve(sys::Fd socket);

private:
    void handle(Connection& connection, const Call& call);
    std::string create(const Happening& creation);
    void synchronize(const Known& known);
    void see(const Happening& happening);
    void podEnds(const Pod& pod);
    void warnOf(const std::vector<std::string>& names, const char* what) const;

    // A pod that was there before the plugin.
    struct Before {
        std::string name;
        bool asks = false;
    };

    Options options_;
    std::map<std::string, Before> before_;                       // by id, while the engine tells of them
    std::map<std::string, std::set<std::string>> containersOf_;  // of a pod that came later, by its id: their names
    std::set<std::string> creating_;                             // containers that got our hooks and are not there yet
};

}  // namespace nri
