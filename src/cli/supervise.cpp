// SPDX-License-Identifier: Apache-2.0
// `oci-landlock supervise`: the daemon that the inject applier needs.
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include <boost/program_options.hpp>
#include <cstdio>
#include <cstdlib>

#include "applier/inject/gate.hpp"
#include "applier/inject/supervisor.hpp"
#include "applier/inject/tracer.hpp"
#include "cli/commands.hpp"
#include "cli/fit.hpp"
#include "cli/options.hpp"
#include "node/pins.hpp"
#include "sys/log.hpp"

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

void requireSupervised()
{
    if (requireFit(node::Choice::automatic) != OLL_APPLIER_INJECT) {
        throw node::Unfit("this node needs no supervisor, its applier is kfunc");
    }
}

void load()
{
    const node::Lock lock;
    node::load(lock, node::Choice::inject);
}

// systemd starts one that has ended again at once, however often, and each time has lines in the log. What keeps it
// from starting will not be gone by then. Targets wait longer than this.
void waitIfStartedBySystemd()
{
    constexpr unsigned seconds = 2;
    if (std::getenv("NOTIFY_SOCKET") != nullptr) {
        sleep(seconds);
    }
}

}  // namespace

int runSupervise(const Arguments& arguments)
{
    po::options_description options("Options");
    options.add_options()("check",
                          "only say whether this node needs a supervisor; exit status 3: it does not, or cannot have "
                          "one");
    const auto given = parseOptions("supervise",
                                    "Runs the supervisor: on kernels without the bridge, it makes what profiles select "
                                    "restrict itself.\nStays in the foreground until SIGTERM or SIGINT. Loads the "
                                    "selector when nobody has.",
                                    options, arguments);
    if (!given) {
        return exitOk;
    }
    if (given->contains("check")) {
        try {
            requireSupervised();
        } catch (const node::Unfit& error) {
            std::fprintf(stderr, "oci-landlock: %s\n", error.what());
            return exitUnfit;
        }
        return exitOk;
    }
    try {
        node::requireAccess();
        requireInitialPidNamespace();
        load();
    } catch (const node::Unfit& error) {
        sys::tell(LOG_ERR, error.what());
        return exitUnfit;
    } catch (const sys::Error&) {
        waitIfStartedBySystemd();
        throw;
    }
    applier::inject::PinnedGate gate;
    applier::inject::SupervisorOptions supervisor;
    supervisor.trace = applier::inject::trace;
    supervisor.gate = &gate;
    applier::inject::supervise(supervisor);
    return exitOk;
}

}  // namespace cli
