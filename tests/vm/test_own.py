# SPDX-License-Identifier: Apache-2.0
"""Our own processes and what is pinned, as containers get at them; and a parser that ends or hangs."""

import contextlib
import errno
import json
import os
import re
import signal
import stat
import subprocess

import applier
from applier import OCI_LANDLOCK_DYNAMIC, supervisor
from cases import PATIENCE, RESTRICTED, SECRET, kill, lines, wait_for
from containers import (BUILD, OCI_LANDLOCK, PINS, PROBE, command, entry, node_log, oci_landlock, policy, profile, program,
                        status)
from direct import DirectTestCase
from test_escape import privilege, share

ALL = "reached vm mem descriptor exe trace"
NOTHING = "reached nothing"
SENT, REFUSED = "signal 0: sent", "signal 0: Operation not permitted"


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return [int(word) for word in file.read().split()]
    except FileNotFoundError:
        return []


def hooks():
    """Pids of hooks, each with its children, of which there is one at least."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
            if words[:1] == [OCI_LANDLOCK_DYNAMIC.encode()] and b"createRuntime" in words and children(pid):
                found[int(pid)] = children(pid)
    return found


def held(fifo):
    """What is in the environment of a hook that asks nothing of its parser before somebody opens the FIFO."""
    return {"LD_PRELOAD": os.path.join(BUILD, "tests", "vm", "libhold.so"), "HOLD": fifo}


class Reached(DirectTestCase):
    """A container in the host's pid namespace."""

    def setUp(self):
        super().setUp()
        self.pids = {}
        fifo = os.path.join(self.bundle().directory, "go")
        os.mkfifo(fifo)
        hook = subprocess.Popen([OCI_LANDLOCK_DYNAMIC, "hook", "createRuntime"], stdin=subprocess.PIPE,
                                stderr=subprocess.DEVNULL, env={**os.environ, **held(fifo)})
        self.addCleanup(hook.wait)
        self.addCleanup(hook.kill)
        hook.stdin.write(b"{}")
        hook.stdin.close()
        wait_for(lambda: children(hook.pid), "the hook has its parser")
        self.pids["hook"], self.pids["parser"] = hook.pid, children(hook.pid)[0]
        if applier.INJECT:
            bundle = self.bundle()
            bundle.annotate(profile(program("/bin/target")))
            self.enterContext(bundle.running("crun", "/bin/sleep", "1000"))
            # That of a container before may still be ending.
            wait_for(lambda: len(supervisor.tracers()) == 1, "the supervisor has this container's tracer alone")
            self.pids["supervisor"], (self.pids["tracer"],) = supervisor.process.pid, supervisor.tracers()

    def container(self, *capabilities, user=0):
        bundle = self.bundle()
        os.chmod(bundle.directory, 0o755)
        share(bundle, "pid")
        bundle.config["process"]["user"] = {"uid": user, "gid": user}
        if user:
            bundle.config["process"]["capabilities"] = {}
        privilege(bundle, *capabilities)
        return bundle

    def check(self, bundle, reached, sent, prefix=""):
        """What a program in the container gets at of each process, and whether it may signal it."""
        tried = [(name, pid) for name, pid in self.pids.items()]
        script = "\n".join(f"/bin/probe {prefix}reach {pid} + signal 0 {pid}" for _, pid in tried)
        found = lines(bundle.shell("crun", script))
        self.assertEqual(dict(zip(self.pids, zip(found[::2], found[1::2]))),
                         {name: (reached, sent) for name in self.pids})

    def test_root(self):
        """Root without CAP_SYS_PTRACE gets at nothing; to send signals it needs no capability, as it has the user id of
        those it sends them to."""
        self.check(self.container(), NOTHING, SENT)

    def test_other_user(self):
        """Another user, also with all capabilities in a user namespace of its own."""
        bundle = self.container(user=1000)
        self.check(bundle, NOTHING, REFUSED)
        self.check(bundle, NOTHING, REFUSED, "unshare user + ")

    def test_user_namespace(self):
        """Root of another user namespace."""
        bundle = self.container("CAP_SYS_PTRACE", "CAP_SYS_ADMIN")
        bundle.config["linux"]["namespaces"].append({"type": "user"})
        for ids in ("uidMappings", "gidMappings"):
            bundle.config["linux"][ids] = [{"containerID": 0, "hostID": 100000, "size": 1000}]
        bundle.config["mounts"][0] = {"destination": "/proc", "type": "bind", "source": "/proc", "options": ["rbind"]}
        self.check(bundle, NOTHING, REFUSED)

    def test_capable_root(self):
        """With CAP_SYS_PTRACE over the host's processes it gets at ours as at any other; what is restricted does not,
        with all capabilities, and sends no signals either if its policy says so."""
        bundle = self.container("CAP_SYS_PTRACE", "CAP_SYS_ADMIN")
        self.check(bundle, ALL, SENT)
        rules = policy(read=["/"], write=["/dev", "/proc"])
        rules["ruleset"].append({"scoped": ["signal"]})
        bundle.annotate(profile(entry({"entrypoint": True}, rules=rules)))
        self.check(bundle, NOTHING, REFUSED if status()["kernel"]["landlockAbi"] >= 6 else SENT)

    @applier.inject_only("who holds rulesets")
    def test_rulesets(self):
        """Who gets at everything else of the processes that hold rulesets gets no ruleset: not in a container."""
        holders = [str(self.pids[name]) for name in ("supervisor", "tracer")]
        for pid in holders:
            self.assertRegex(command(PROBE, "take", pid).stdout, "^taken: [1-9][0-9]* rulesets, others$")
        bundle = self.container("CAP_SYS_PTRACE", "CAP_SYS_ADMIN")
        bundle.annotate(profile(program("/bin/none")))
        result = bundle.shell("crun", "\n".join(f"/bin/probe take {pid}" for pid in holders))
        self.assertEqual(lines(result), ["taken: 0 rulesets, others"] * 2)


@applier.inject_only("the supervisor's end")
class Ended(DirectTestCase):
    def test_from_a_container(self):
        """Root in a container that sees the host's processes stops, then kills the supervisor: its targets are denied."""
        bundle = self.bundle()
        share(bundle, "pid")
        bundle.annotate(profile(program("/bin/target")))
        denied = "exec /bin/target: Operation not permitted"
        script = bundle.script("run.sh", f"""
            read supervisor
            /bin/target {SECRET}
            kill -STOP $supervisor
            /bin/probe exec /bin/target {SECRET}
            kill -KILL $supervisor
            /bin/probe exec /bin/target {SECRET}
        """)
        bundle.config["process"]["args"] = [script]
        bundle.save()
        result = command("crun", "run", "--bundle", bundle.directory, bundle.id, input=f"{supervisor.process.pid}\n")
        self.assertEqual(lines(result), [RESTRICTED, denied, denied])
        supervisor.kill()


# Name, size of the context, where its error is.
PROGRAMS = ((("debt", 24, 20), ("find_held", 24, 20), ("guard", 16, 8)) if applier.INJECT else (("hand_over", 32, 24),))


@applier.selector_only("nothing is pinned")
class Pins(DirectTestCase):
    def pins(self):
        return [os.path.join(PINS, name) for name in sorted(os.listdir(PINS))]

    def test_modes(self):
        """What is pinned, and what is in the run directory, is root's alone."""
        self.assertIn(os.path.join(PINS, "containers"), self.pins())
        state = "/run/oci-landlock"
        for path in (PINS, state, *self.pins(), *(os.path.join(state, name) for name in os.listdir(state))):
            found = os.lstat(path)
            self.assertEqual((found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode) & 0o077), (0, 0, 0), path)

    def test_mounted_in_a_container(self):
        """With the host's bpffs mounted in a container, another user opens nothing there, and root without CAP_BPF no
        map: that file system does not know mounts that are read-only, and an owner needs no capability."""
        bundle = self.bundle()
        bundle.config["mounts"].append({"destination": "/sys/fs/bpf", "type": "bind", "source": "/sys/fs/bpf",
                                        "options": ["rbind", "ro"]})
        paths = self.pins()
        script = "/bin/probe " + " + ".join(f"pin {path}" for path in paths)
        bundle.config["process"]["user"] = {"uid": 1000, "gid": 1000}
        self.assertEqual(lines(bundle.shell("crun", script)), [f"pin {path}: Permission denied" for path in paths])
        bundle.config["process"]["user"] = {"uid": 0, "gid": 0}
        listed = json.loads(command("bpftool", "--json", "--bpffs", "map", "list").stdout)
        maps = {path for item in listed for path in item.get("pinned", []) if path in paths}
        self.assertGreater(len(maps), 5)
        self.assertEqual({line for line in lines(bundle.shell("crun", script)) if not line.endswith("opened")},
                         {f"pin {path}: Operation not permitted" for path in maps})

    def test_guarded_first(self):
        """No map is pinned before the program that guards them is attached: who opens it in between would keep it."""
        self.assertEqual(applier.unload().returncode, 0)
        log = os.path.join(self.bundle().directory, "trace")
        command("strace", "-f", "-s", "200", "-o", log, "-e", "trace=bpf", OCI_LANDLOCK, "load", "--applier",
                applier.APPLIER, check=True)
        with open(log, encoding="utf-8") as file:
            order = [os.path.basename(path) for path in re.findall(r'BPF_OBJ_PIN, {pathname="([^"]*)"', file.read())]
        self.assertEqual(sorted(order), sorted(os.path.basename(path) for path in self.pins()))
        links = [name for name in order if name.startswith("link_")]
        self.assertIn("link_guard_map", links)
        self.assertEqual(order[:len(links)], links)

    # Runs programs that change something, and prints what each says: context's size, and where its error is.
    RUN = f"""if True:
        import ctypes, struct, sys
        sys.path.insert(0, {os.path.dirname(os.path.realpath(__file__))!r})
        from direct import pinned
        for name, size, place in {PROGRAMS!r}:
            context = ctypes.create_string_buffer(bytes([255] * size), size)
            with pinned(name, 0) as program:
                program._bpf(10, struct.pack("IIIIQQIIIIQQ", program.fd, 0, 0, 0, 0, 0, 0, 0, size, 0,
                                             ctypes.addressof(context), 0))
            print(name, struct.unpack_from("i", context.raw, place)[0])
    """

    def test_programs(self):
        """Nor do the programs that say what came of it do anything for root without CAP_BPF."""
        self.assertEqual(oci_landlock("load").returncode, 0)
        result = command("setpriv", "--bounding-set=-all", "--inh-caps=-all", "python3", "-c", self.RUN)
        self.assertEqual(lines(result), [f"{name} {-errno.EPERM}" for name, _, _ in PROGRAMS])
        result = command("setpriv", "--bounding-set=-all,+bpf", "--inh-caps=-all", "python3", "-c", self.RUN)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertNotIn(str(-errno.EPERM), result.stdout.split())


class Parsers(DirectTestCase):
    """The child that parses what comes from outside, ended or stopped by somebody else."""

    def refused(self, runtime, do):
        """A container whose parser meets `do`, which gets the pids of hook and child, before it has an answer."""
        bundle = self.bundle()
        bundle.annotate(profile(entry({"entrypoint": True})))
        go = os.path.join(bundle.directory, "go")
        os.mkfifo(go)
        bundle.config["hooks"]["createRuntime"] = [
            {"path": OCI_LANDLOCK_DYNAMIC, "args": [OCI_LANDLOCK_DYNAMIC, "hook", "createRuntime"],
             "env": [f"{name}={value}" for name, value in held(go).items()]}]
        bundle.config["process"]["args"] = ["/bin/echo", "started"]
        bundle.save()
        log = len(node_log())
        running = subprocess.Popen([runtime, "run", "--bundle", bundle.directory, bundle.id], text=True,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        wait_for(lambda: hooks() or running.poll() is not None, "the hook has its parser")
        self.assertIsNone(running.poll(), running.communicate() if running.poll() else "")
        (hook, (parser,)), = hooks().items()

        def let_go():
            os.close(os.open(go, os.O_WRONLY))
        do(parser, let_go)
        output, errors = running.communicate(timeout=60 * PATIENCE)
        self.assertNotEqual(running.returncode, 0)
        self.assertEqual(output, "")
        self.assertSaid(runtime, errors, "the parser ended at this input")
        self.assertEqual(len([line for line in node_log()[log:].splitlines() if "oci-landlock" in line]), 1)
        self.assertIn("the parser ended at this input", node_log()[log:])
        command(runtime, "delete", "--force", bundle.id)
        for pid in (hook, parser):
            self.assertFalse(os.path.exists(f"/proc/{pid}"))
        if not applier.LAUNCH:
            self.assertMapsEmpty()

    def test_killed(self):
        """Killed while it has something to parse: the container does not start, one line says so, nothing is left."""
        def killed(parser, let_go):
            kill(parser, signal.SIGSTOP)
            let_go()
            kill(parser, signal.SIGKILL)
        for runtime in self.each_runtime():
            self.refused(runtime, killed)

    def test_stopped(self):
        """Stopped, likewise, after the time that the hook gives it."""
        def stopped(parser, let_go):
            kill(parser, signal.SIGSTOP)
            let_go()
        self.refused("runc", stopped)
