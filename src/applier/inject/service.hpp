// SPDX-License-Identifier: Apache-2.0
// systemd, where it runs the supervisor: readiness, watchdog, and descriptors that it keeps over a restart.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sys/fd.hpp"

namespace applier::inject {

struct NamedDescriptor {
    std::string name;
    sys::Fd descriptor;
};

// Without systemd, or another service manager that speaks its protocol, everything here does nothing. libsystemd is
// loaded only where it is needed: the hook is the same program, and has to start fast.
class Service {
public:
    // Looks at $NOTIFY_SOCKET and $LISTEN_FDS. Throws sys::Error when libsystemd is needed and missing.
    Service();
    ~Service();
    Service(const Service&) = delete;
    Service& operator=(const Service&) = delete;

    bool present() const { return present_; }

    void ready();
    void stopping();
    void status(const std::string& line);
    // Empty: no watchdog. To be called more often than this.
    std::optional<std::chrono::microseconds> watchdogPeriod() const;
    void watchdog();

    // What a predecessor left; empty the second time. Throws sys::Error.
    std::vector<NamedDescriptor> takeDescriptors();
    // Names of at most 255 bytes without ':'. Throws sys::Error.
    void storeDescriptor(const std::string& name, int descriptor);
    // All of that name.
    void removeDescriptor(const std::string& name) noexcept;
    // Readable (end of file) as soon as systemd has seen everything up to here. Throws sys::Error.
    sys::Fd barrier();

private:
    struct Library;
    void tell(const std::string& state);

    std::unique_ptr<Library> library_;
    bool present_ = false;
};

}  // namespace applier::inject
