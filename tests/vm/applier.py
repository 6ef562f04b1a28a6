# SPDX-License-Identifier: Apache-2.0
"""The three appliers, as far as the tests must know them apart. All that differs by nature is here, so that everything
else is written once. $APPLIER says which one a run is about; `suite` sets it."""

import os
import re
import signal
import subprocess
import time
import unittest

from cases import PATIENCE

SOURCE = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
BUILD = os.environ.get("BUILD", os.path.join(SOURCE, "build"))
OCI_LANDLOCK = os.path.join(BUILD, "src", "oci-landlock")
# The same with libc's shared form: into this one something can be preloaded.
OCI_LANDLOCK_DYNAMIC = os.path.join(BUILD, "tests", "vm", "oci-landlock-dynamic")
APPLIER = os.environ.get("APPLIER", "kfunc")
INJECT = APPLIER == "inject"
LAUNCH = APPLIER == "launch"
LOG = "/run/supervisor.log"
READY = "oci-landlock: supervisor ready"


def kfunc_only(why):
    """Marks a test, or a class, of what only the kfunc applier has."""
    return unittest.skipIf(APPLIER != "kfunc", f"kfunc only: {why}")


def inject_only(why):
    return unittest.skipIf(not INJECT, f"inject only: {why}")


def selector_only(why):
    return unittest.skipIf(LAUNCH, f"not with launch: {why}")


def require_covered(profile, annotations):
    """Skips a test whose profile launch does not cover. `profile`: its text, or its name."""
    for directory in (os.path.join(SOURCE, "profiles"), "/etc/oci-landlock/profiles"):
        path = os.path.join(directory, profile + ".json")
        if LAUNCH and re.fullmatch(r"[a-z-]+", profile) and os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                profile = file.read()
    if LAUNCH and ("io.landlock.program" in annotations or re.search(r'"(program|except)"\s*:', profile)):
        raise unittest.SkipTest("not with launch: it covers the entrypoint only")


def require_sessions():
    if LAUNCH:
        raise unittest.SkipTest("not with launch: it does not cover exec sessions")


# What follows are the differences.

# What becomes of a target whose domain the kernel refuses (the 17th layer; neither no_new_privs nor CAP_SYS_ADMIN), as
# a shell tells it: with kfunc the exec fails and the caller goes on, with inject the program exists by then and is
# killed.
REFUSED = "Operation not permitted" if APPLIER == "kfunc" else "Killed"


def refused(path, *after):
    """The same when the probe executes it from a shell. `after`: what the probe does next, if it can."""
    return [REFUSED] if INJECT else [f"exec {path}: {REFUSED}", *after]


def left(lines, expected, denied):
    """What comes of targets of a container whose init left its cgroup empty. With inject the supervisor has let go of
    it by then, and they are `denied`: a text."""
    if INJECT:
        return all(denied in line.lower() or line in expected for line in lines)
    return lines == expected


def both(verdict):
    """What comes of an exec that is a target of two containers at once: with inject the tracer of one would have to
    make way for the other's, and it is denied."""
    return "peration not permitted" if INJECT else verdict


# Who has to have CAP_SYS_ADMIN where no_new_privs is not set: the process before its exec, or the program that it has
# become.
ASKED_BEFORE = APPLIER == "kfunc"


def refused_name(caller, target):
    """The name of the process in the event: of who wanted to execute, or of the program that was killed."""
    return target if INJECT else caller


def held(status):
    """How much the node holds for its containers: rulesets in slots, or containers of the supervisor. One for a
    container with one layer."""
    if LAUNCH:
        return len(status["containers"])
    return status["supervisor"]["containers"] if INJECT else status["slots"]["used"]


# Whether that is still so when no process is in the container's cgroup any more, before the cgroup is removed.
HELD_FOR_THE_DEAD = 1 if APPLIER == "kfunc" else 0


class Supervisor:
    """`oci-landlock supervise`, as whoever runs it."""

    def __init__(self, log=LOG):
        self.log = log
        self.process = None

    def running(self):
        return self.process is not None and self.process.poll() is None

    def start(self, *prefix, program=OCI_LANDLOCK, environment=None, seconds=120, **options):
        """Until it accepts hooks. `prefix`: words in front of the command, which must end in an exec of it."""
        with open(self.log, "ab") as log:
            begin = log.tell()
            self.process = subprocess.Popen([*prefix, program, "supervise"], stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, env={**os.environ, **(environment or {})}, **options)
        end = time.monotonic() + seconds * PATIENCE
        while READY not in self.said(begin):
            if not self.running() or time.monotonic() > end:
                raise AssertionError(f"the supervisor is not ready, exit status {self.process.poll()}: "
                                     f"{self.said(begin)}")
            time.sleep(0.02)

    def said(self, begin=0):
        """What all of them have printed from this byte on."""
        with open(self.log, "rb") as log:
            log.seek(begin)
            return log.read().decode(errors="replace")

    def said_so_far(self):
        return os.path.getsize(self.log)

    def tracers(self):
        """Pids of its children."""
        found = []
        for thread in os.listdir(f"/proc/{self.process.pid}/task"):
            with open(f"/proc/{self.process.pid}/task/{thread}/children", encoding="ascii") as file:
                found += [int(pid) for pid in file.read().split()]
        return found

    def descriptors(self):
        """What its descriptors lead to, without the inodes' numbers."""
        found = []
        for name in os.listdir(f"/proc/{self.process.pid}/fd"):
            try:
                found.append(re.sub(r"\d+", "", os.readlink(f"/proc/{self.process.pid}/fd/{name}")))
            except FileNotFoundError:
                pass  # closed meanwhile
        return sorted(found)

    def kill(self):
        """kill -9."""
        self.process.kill()
        self.process.wait()
        self.process = None

    def stop(self):
        """SIGTERM. Returns the exit status."""
        if self.process is None:
            return 0
        process, self.process = self.process, None
        process.send_signal(signal.SIGCONT)
        process.terminate()
        return process.wait(timeout=60 * PATIENCE)


supervisor = Supervisor()


def start():
    """Brings the applier up. kfunc: nothing to do, the hook loads what is not loaded."""
    if INJECT and not supervisor.running():
        supervisor.start()


def load():
    """`oci-landlock load`, of this applier."""
    return subprocess.run([OCI_LANDLOCK, "load", "--applier", APPLIER], capture_output=True, text=True,
                          timeout=120 * PATIENCE,
                          check=False)


def unload(*options):
    """`oci-landlock unload`, with nobody left who would miss what it takes away. start() brings it back."""
    if INJECT:
        supervisor.stop()
    return subprocess.run([OCI_LANDLOCK, "unload", *options], capture_output=True, text=True, timeout=120 * PATIENCE,
                          check=False)
