// SPDX-License-Identifier: Apache-2.0
// What the plugins that run say of themselves, for `doctor`: a file each, which its process holds a lock on. The lock
// ends with the process however that ends.
#pragma once

#include <string>
#include <vector>

#include "sys/fd.hpp"

namespace nri {

struct Running {
    std::string version;
    std::string program;     // what its hooks call
    std::string socket;      // where it looks for an engine; "": an engine has started it
    bool connected = false;  // an engine shows it what it creates

    bool operator==(const Running&) const = default;
};

// /run/oci-landlock/nri
std::string presenceDirectory();

class Presence {
public:
    // Makes the directory, and takes away what plugins have left there that run no more. Throws sys::Error.
    explicit Presence(std::string directory = presenceDirectory());

    // In the place of what was said before. Throws sys::Error, and then that stands.
    void say(const Running& what);

private:
    std::string directory_;
    sys::Fd file_;
};

// Of all that run now; none where there is no directory. Throws sys::Error.
std::vector<Running> allRunning(const std::string& directory = presenceDirectory());

}  // namespace nri
