// SPDX-License-Identifier: Apache-2.0
// systemd, where it runs the supervisor: readiness, watchdog, and descriptors that it keeps over a restart.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "sys/fd.hpp"

namespace applier::inject {

// As FileDescriptorStoreMax= in packaging/systemd/oci-landlock-supervisor.service: beyond that systemd drops what it
// is given, and says so to its log alone.
inline constexpr std::size_t maxStored = 16384;
// All names together come back in one environment variable, which may have 128 KiB.
inline constexpr std::size_t maxStoredNames = 120000;

struct Stored {
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

    // What a predecessor left; empty the second time. Throws sys::Error.
    std::vector<Stored> takeBack();

    void ready();
    void stopping();
    void status(const std::string& line);
    // Empty: no watchdog. To be called more often than this.
    std::optional<std::chrono::microseconds> watchdogPeriod() const;
    void watchdog();

    // Whether it can keep that much more.
    bool hasRoom(const std::vector<std::string>& names) const;
    // Names of at most 255 bytes without ':'. Throws sys::Error.
    void store(const std::string& name, int descriptor);
    void remove(const std::string& name) noexcept;
    // Readable (end of file) as soon as systemd has seen everything up to here. Throws sys::Error.
    sys::Fd barrier();

private:
    struct Library;
    void tell(const std::string& state);

    std::unique_ptr<Library> library_;
    bool present_ = false;
    std::multiset<std::string> names_;
    std::size_t nameBytes_ = 0;
    std::size_t limit_ = maxStored;
};

}  // namespace applier::inject
