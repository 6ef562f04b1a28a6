// SPDX-License-Identifier: Apache-2.0
// systemd, where it runs the supervisor: readiness, watchdog, and descriptors that it keeps over a restart.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "sys/fd.hpp"

namespace applier::inject {

struct NamedDescriptor {
    std::string name;
    sys::Fd descriptor;
};

// Without systemd, or another service manager that speaks its protocol, everything here does nothing. The protocol is
// written out, as sd_notify(3) and sd_listen_fds(3) describe it: a program that is linked statically as a whole can
// load no library.
class Service {
public:
    // Looks at $NOTIFY_SOCKET. Throws sys::Error when that is none.
    Service();
    Service(const Service&) = delete;
    Service& operator=(const Service&) = delete;

    bool present() const { return !address_.empty(); }

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
    // All of that name. Whether systemd hears of it.
    bool removeDescriptor(const std::string& name);
    // Readable (end of file) as soon as systemd has seen everything up to here. Throws sys::Error.
    sys::Fd barrier();

private:
    // What cannot be told is told again, or does not matter.
    void tell(const std::string& state);
    // Throws sys::Error.
    void handOver(const std::string& state, int descriptor);
    bool send(const std::string& state, int descriptor);

    std::string address_;
    bool deaf_ = false;  // it has read nothing for a while
};

}  // namespace applier::inject
