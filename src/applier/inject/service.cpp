// SPDX-License-Identifier: Apache-2.0
#include "applier/inject/service.hpp"

#include <dlfcn.h>
#include <fcntl.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <cstdlib>
#include <new>

#include "sys/error.hpp"

namespace applier::inject {

struct Service::Library {
    struct Close {
        void operator()(void* handle) const { dlclose(handle); }
    };

    Library() : handle(dlopen("libsystemd.so.0", RTLD_NOW | RTLD_LOCAL))
    {
        if (!handle) {
            throw sys::Error(std::string("cannot load libsystemd, which is needed under systemd: ") +
                             sys::printable(dlerror()));
        }
        find(notify, "sd_pid_notify_with_fds");
        find(listen, "sd_listen_fds_with_names");
        find(watchdog, "sd_watchdog_enabled");
    }

    template <typename Function>
    void find(Function*& function, const char* name)
    {
        function = reinterpret_cast<Function*>(dlsym(handle.get(), name));
        if (function == nullptr) {
            throw sys::Error(std::string("libsystemd lacks ") + name);
        }
    }

    std::unique_ptr<void, Close> handle;
    decltype(sd_pid_notify_with_fds)* notify = nullptr;
    decltype(sd_listen_fds_with_names)* listen = nullptr;
    decltype(sd_watchdog_enabled)* watchdog = nullptr;
};

Service::Service() : present_(std::getenv("NOTIFY_SOCKET") != nullptr)
{
    if (present_ || std::getenv("LISTEN_FDS") != nullptr) {
        library_ = std::make_unique<Library>();
    }
}

Service::~Service() = default;

void Service::tell(const std::string& state)
{
    if (present_) {
        library_->notify(0, 0, state.c_str(), nullptr, 0);
    }
}

void Service::ready()
{
    tell("READY=1");
}

void Service::stopping()
{
    tell("STOPPING=1");
}

void Service::status(const std::string& line)
{
    tell("STATUS=" + line);
}

std::optional<std::chrono::microseconds> Service::watchdogPeriod() const
{
    std::uint64_t microseconds = 0;
    if (!present_ || library_->watchdog(0, &microseconds) <= 0) {
        return std::nullopt;
    }
    return std::chrono::microseconds(microseconds);
}

void Service::watchdog()
{
    tell("WATCHDOG=1");
}

std::vector<NamedDescriptor> Service::takeDescriptors()
{
    std::vector<NamedDescriptor> all;
    if (!library_) {
        return all;
    }
    char** names = nullptr;
    const int count = library_->listen(1, &names);
    if (count < 0) {
        throw sys::errnoError("take descriptors back from systemd", -count);
    }
    for (int i = 0; i < count; ++i) {
        all.push_back({names[i] != nullptr ? names[i] : "", sys::Fd(SD_LISTEN_FDS_START + i)});
        std::free(names[i]);
    }
    std::free(static_cast<void*>(names));
    return all;
}

void Service::storeDescriptor(const std::string& name, int descriptor)
{
    if (!present_) {
        return;
    }
    // Without FDPOLL=0 systemd lets go of descriptors that report an error.
    const std::string state = "FDSTORE=1\nFDPOLL=0\nFDNAME=" + name;
    const int sent = library_->notify(0, 0, state.c_str(), &descriptor, 1);
    if (sent <= 0) {
        throw sys::errnoError("give a descriptor to systemd", -sent);
    }
}

void Service::removeDescriptor(const std::string& name) noexcept
{
    try {
        tell("FDSTOREREMOVE=1\nFDNAME=" + name);
    } catch (const std::bad_alloc&) {
        // It stays until the next start, which drops what has no living cgroup.
    }
}

sys::Fd Service::barrier()
{
    int ends[2] = {-1, -1};
    if (pipe2(ends, O_CLOEXEC) != 0) {
        throw sys::errnoError("pipe");
    }
    sys::Fd readEnd(ends[0]);
    const sys::Fd writeEnd(ends[1]);
    const int end = writeEnd.get();
    if (present_) {
        const int sent = library_->notify(0, 0, "BARRIER=1", &end, 1);
        if (sent <= 0) {
            throw sys::errnoError("synchronise with systemd", -sent);
        }
    }
    return readEnd;
}

}  // namespace applier::inject
