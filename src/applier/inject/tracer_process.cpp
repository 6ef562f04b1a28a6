// SPDX-License-Identifier: Apache-2.0
#include "applier/inject/tracer_process.hpp"

#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/prctl.h>
#include <syslog.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <exception>
#include <vector>

#include "sys/error.hpp"
#include "sys/fd.hpp"
#include "sys/log.hpp"

namespace applier::inject {

namespace {

// Leaves standard input, output and error, and `kept`: it has what belongs to its own container.
bool closeAllBut(std::vector<int> kept)
{
    std::ranges::sort(kept);
    int next = STDERR_FILENO + 1;
    for (const int fd : kept) {
        if (fd > next && close_range(static_cast<unsigned>(next), static_cast<unsigned>(fd) - 1, 0) != 0) {
            return false;
        }
        next = fd + 1;
    }
    return close_range(static_cast<unsigned>(next), ~0U, 0) == 0;
}

Held copyOf(const Held& held)
{
    Held copy;
    copy.generation = held.generation;
    copy.cgroupId = held.cgroupId;
    copy.label = held.label;
    copy.cgroup = sys::Fd(held.cgroup.get());
    for (const HeldLayer& layer : held.layers) {
        copy.layers.push_back({sys::Fd(layer.ruleset.get()), layer.entry, layer.restrictFlags});
    }
    return copy;
}

}  // namespace

[[noreturn]] void becomeTracer(Trace* trace, const Held& held, int control, pid_t parent)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent) {
        _exit(1);
    }
    try {
        prctl(PR_SET_NAME, "landlock-tracer");
        closelog();  // or it would go on using, and close, the number that its descriptor had
        std::vector<int> kept{control, held.cgroup.get()};
        for (const HeldLayer& layer : held.layers) {
            kept.push_back(layer.ruleset.get());
        }
        // First of all: the supervisor's own may be all that its limit allows.
        if (!closeAllBut(kept)) {
            throw sys::errnoError("prepare the tracer's descriptors");
        }
        sys::Fd nothing(open("/dev/null", O_RDWR | O_CLOEXEC));
        if (!nothing || dup2(nothing.get(), STDIN_FILENO) < 0 || dup2(nothing.get(), STDOUT_FILENO) < 0) {
            throw sys::errnoError("prepare the tracer's descriptors");
        }
        nothing.reset();
        // A terminal's Ctrl-C is for the supervisor, which ends its tracers in order.
        signal(SIGINT, SIG_IGN);
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, nullptr);
        _exit(trace(copyOf(held), sys::Fd(control)));
    } catch (const std::exception& error) {
        sys::tell(LOG_ERR, held.label, error.what());
    }
    _exit(1);
}

}  // namespace applier::inject
