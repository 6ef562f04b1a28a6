// SPDX-License-Identifier: Apache-2.0
// `oci-landlock supervise`: the daemon that the inject applier needs.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/program_options.hpp>
#include <cstdlib>
#include <string>

#include "applier/inject/supervisor.hpp"
#include "applier/inject/tracer.hpp"
#include "cli/commands.hpp"
#include "cli/options.hpp"
#include "node/node.hpp"
#include "sys/file.hpp"

namespace cli {

namespace {

namespace po = boost::program_options;

// Processes are told by their numbers there.
void requireInitialPidNamespace()
{
    constexpr ino_t initial = 0xeffffffc;  // PROC_PID_INIT_INO
    struct stat own {};
    if (stat("/proc/self/ns/pid", &own) != 0) {
        throw sys::errnoError("/proc/self/ns/pid");
    }
    if (own.st_ino != initial) {
        throw sys::Error("needs the initial pid namespace; run it on the node itself, not in a container");
    }
}

// Each container has a fanotify group, and the kernel lets root have 128.
void allowGroups()
{
    constexpr const char* path = "/proc/sys/fs/fanotify/max_user_groups";
    const std::string wanted = std::to_string(OLL_MAX_CONTAINERS);
    const sys::Fd file(open(path, O_RDWR | O_CLOEXEC));
    if (!file) {
        throw sys::errnoError(path);
    }
    if (std::strtoul(sys::readAll(file.get(), 64, path).c_str(), nullptr, 10) < OLL_MAX_CONTAINERS &&
        pwrite(file.get(), wanted.data(), wanted.size(), 0) < 0) {
        throw sys::errnoError(std::string("raise ") + path);
    }
}

void load()
{
    const node::Lock lock;
    node::load(lock);
}

}  // namespace

int runSupervise(const Arguments& arguments)
{
    const po::options_description options("Options");
    const auto given = parseOptions("supervise",
                                    "Runs the supervisor: on kernels without the bridge, it makes what profiles select "
                                    "restrict itself.\nStays in the foreground until SIGTERM or SIGINT. Loads the "
                                    "selector when nobody has.",
                                    options, arguments);
    if (!given) {
        return exitOk;
    }
    node::requireAccess();
    requireInitialPidNamespace();
    load();
    allowGroups();
    applier::inject::SupervisorOptions supervisor;
    supervisor.trace = applier::inject::trace;
    applier::inject::supervise(supervisor);
    return exitOk;
}

}  // namespace cli
