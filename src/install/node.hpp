// SPDX-License-Identifier: Apache-2.0
// What a pod does on its node, so that containers there can have a sandbox. Nothing of ours runs in the pod: systemd
// runs what must run on, and does so whatever becomes of the pod.
#pragma once

#include <string>

namespace install {

struct Place {
    std::string root = "/host";                   // the node's own, seen from the pod
    std::string directory = "/opt/oci-landlock";  // where programs go; on the node, as the next one
    std::string containerd = "/etc/containerd/config.toml";
};

// Both change the root of this process, may be called again wherever they have stopped, and throw sys::Error.

// Programs and services from beside this program, profiles from the directory `profiles` unless that is empty;
// starts the services, and then tells containerd.
void install(const Place& place, const std::string& profiles);

// The other way round: from when it begins, no container starts by the handler. Throws while there is one that did.
void remove(const Place& place);

}  // namespace install
