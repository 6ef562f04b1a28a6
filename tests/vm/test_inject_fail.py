# SPDX-License-Identifier: Apache-2.0
"""Whatever goes wrong with the inject applier: the target does not run, or it is restricted; each time one event says
so; and what has nothing to do with it goes on."""

import contextlib
import os
import random
import re
import resource
import shutil
import signal
import struct
import subprocess
import tempfile
import time
import unittest

import applier
from applier import OCI_LANDLOCK_DYNAMIC, supervisor
from cases import FREE, PATIENCE, RESTRICTED, SECRET, Tally, kill, lines, wait_for
from containers import BUILD, OCI_LANDLOCK, command, node_log, oci_landlock, profile, program, status
from direct import FULL, DirectTestCase
from fdstore import FdStore

NOT_PERMITTED = "Operation not permitted"
LOOP = """
    round=0
    while :; do
        round=$((round + 1))
        while ! [ -e /tmp/go$round ]; do sleep 0.05; done
        /bin/probe exec /bin/target read /etc/secret
        /bin/probe read /etc/secret
        echo round $round
    done
"""
DENIED = [f"exec /bin/target: {NOT_PERMITTED}", FREE]
DONE = [RESTRICTED, FREE]
NOT_INJECTED = "the program could not be restricted, and was killed"


def stat(pid):
    """Name and state."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return re.fullmatch(r"\d+ \((.*)\) (.) .*\n", file.read()).groups()
    except OSError:
        return "", ""


@applier.inject_only("what a supervisor's end does")
class Failing(DirectTestCase):
    def restricted(self):
        bundle = self.bundle()
        bundle.annotate(profile(program("/bin/target")))
        return bundle

    def rounds(self, bundle=None, script=LOOP):
        """A container that executes target and probe when told to."""
        bundle = bundle or self.restricted()
        container = self.enterContext(bundle.running("crun", bundle.script("run.sh", script)))
        self.assertEqual(container.code, 0, container.output())
        container.round = 0
        return container

    def one_round(self, container, seconds=120):
        """Lets it execute both once; the lines that came of it."""
        before = len(container.output().splitlines())
        container.round += 1
        container.bundle.write(f"tmp/go{container.round}", "")
        container.wait_for(f"round {container.round}\n", seconds)
        return container.output().splitlines()[before:-1]

    def events(self, container):
        found, = [item for item in status()["containers"] if item["id"] == container.bundle.id]
        return found["applied"], found["denied"], found.get("lastDenial", {}).get("reason")

    def works(self):
        result = self.restricted().run("crun", "/bin/target", "read", "/etc/secret")
        self.assertEqual(result.stdout, RESTRICTED + "\n", result.stderr)

    def until_works(self, container, seconds=60):
        """Rounds until the target runs; until then it is denied."""
        end = time.monotonic() + seconds * PATIENCE
        while (found := self.one_round(container)) != DONE:
            self.assertEqual(found, DENIED)
            self.assertLess(time.monotonic(), end, "the target still does not run")

    def refused_by_hook(self, *words):
        bundle = self.restricted()
        result = bundle.run("runc", "/bin/target", "read", "/etc/secret")
        self.assertNotEqual(result.returncode, 0)
        self.assertEqual(result.stdout, "")
        for word in (f"oci-landlock: container {bundle.id}: ", *words):
            self.assertIn(word, result.stderr)


class Targets(Failing):
    """What is the target's own doing."""

    def test_traced_inside(self):
        """A target that its parent traces already: denied, and an event."""
        bundle = self.restricted()
        script = bundle.script("run.sh", f"""
            /bin/probe traced-exec /bin/target {SECRET}
            /bin/probe traced-exec /bin/probe {SECRET}
            /bin/target {SECRET}
            echo ready; sleep 1000
        """)
        with bundle.running("crun", script) as container:
            container.wait_for("ready")
            self.assertEqual(container.output().splitlines(),
                             [f"traced-exec /bin/target: {NOT_PERMITTED}", FREE, RESTRICTED, "ready"])
            self.assertEqual(self.events(container)[:2], (1, 1))

    def test_traced_outside(self):
        """A container that an administrator looks at with strace: targets are denied for as long."""
        container = self.rounds()
        self.assertEqual(self.one_round(container), DONE)
        strace = subprocess.Popen(["strace", "-f", "-qq", "-e", "trace=none", "-o", "/dev/null", "-p",
                                   str(container.pid())], stderr=subprocess.DEVNULL)
        try:
            def traced():
                with open(f"/proc/{container.pid()}/status", encoding="ascii") as file:
                    return f"TracerPid:\t{strace.pid}\n" in file.read()
            wait_for(traced, "strace has attached")
            self.assertEqual(self.one_round(container), DENIED)
            self.assertEqual(self.events(container)[:2], (1, 1))
        finally:
            strace.terminate()
            strace.wait()
        self.assertEqual(self.one_round(container), DONE)
        self.assertEqual(self.events(container)[:2], (2, 1))

    def test_no_descriptor(self):
        """A target that may not open anything more is restricted none the less, and has its limit back."""
        bundle = self.restricted()
        script = bundle.script("run.sh", """
            for limit in 3 0; do
                for name in probe target; do
                    /bin/probe limit nofile $limit + exec /bin/$name mkdir /tmp/$name$limit ++ limit nofile
                done
            done
            echo ready; sleep 1000
        """)
        with bundle.running("crun", script) as container:
            container.wait_for("ready")
            expected = []
            for limit in (3, 0):
                for name, verdict in (("probe", "allowed"), ("target", "Permission denied")):
                    expected += [f"mkdir /tmp/{name}{limit}: {verdict}", f"limit nofile: {limit} {limit}"]
            self.assertEqual(container.output().splitlines(), [*expected, "ready"])
            self.assertEqual(self.events(container)[:2], (2, 0))

    def test_no_layer(self):
        """Killed when the kernel refuses the domain, and by nobody but the applier: the next one works."""
        bundle = self.restricted()
        script = bundle.script("run.sh", f"""
            for i in 1 2 3; do
                /bin/probe stack 16 + exec /bin/target {SECRET}
                /bin/probe stack 15 + exec /bin/target {SECRET}
            done
            echo ready; sleep 1000
        """)
        begin = supervisor.said_so_far()
        log = len(node_log())
        with bundle.running("crun", script) as container:
            container.wait_for("ready")
            self.assertEqual(container.output().splitlines(),
                             ["stacked 16: ok", "Killed", "stacked 15: ok", RESTRICTED] * 3 + ["ready"])
            self.assertEqual(self.events(container)[1], 3)
        for said in (supervisor.said(begin), node_log()[log:]):
            self.assertEqual(len([line for line in said.splitlines() if bundle.id in line]), 3, said)

    @unittest.skipUnless(os.path.exists("/sys/kernel/security/apparmor"), "AppArmor is off in this kernel")
    def test_apparmor(self):
        """A profile that denies Unix sockets: the target is killed, with an event; one that allows them, as the
        engines' do, is none in the way."""
        for name, allowed in self.apparmor_profiles():
            for runtime in self.each_runtime():
                bundle = self.restricted()
                bundle.config["process"]["apparmorProfile"] = name
                script = bundle.script("run.sh", f"""
                    /bin/target {SECRET}
                    /bin/probe {SECRET}
                    echo ready; sleep 1000
                """)
                with bundle.running(runtime, script) as container:
                    self.assertEqual(container.code, 0, container.output())
                    container.wait_for("ready")
                    with open(f"/proc/{container.pid()}/attr/current", encoding="ascii") as file:
                        self.assertTrue(file.read().startswith(name))
                    if allowed:
                        self.assertEqual(container.output().splitlines(), [RESTRICTED, FREE, "ready"])
                        self.assertEqual(self.events(container)[:2], (1, 0))
                    else:
                        self.assertEqual(container.output().splitlines(), ["Killed", FREE, "ready"])
                        self.assertEqual(self.events(container)[1], 1)


class Tracers(Failing):
    """The process of one container."""

    def tracer(self, container):
        """Its tracer. That of the test before may still be about to end."""
        found = [pid for pid in supervisor.tracers() if self.holds(pid, container)]
        self.assertEqual(len(found), 1)
        return found[0]

    @staticmethod
    def holds(pid, container):
        """Whether the tracer has the container's cgroup open."""
        with open(f"/proc/{container.pid()}/cgroup", encoding="ascii") as file:
            cgroup = "/sys/fs/cgroup" + file.read().strip()[3:]
        try:
            descriptors = os.listdir(f"/proc/{pid}/fd")
        except OSError:
            return False
        for name in descriptors:
            try:
                if os.readlink(f"/proc/{pid}/fd/{name}").startswith(cgroup):
                    return True
            except OSError:
                pass
        return False

    def test_killed(self):
        """kill -9 of the tracer: another one takes its place. Until then targets are denied, never free."""
        container = self.rounds()
        self.assertEqual(self.one_round(container), DONE)
        for _ in range(3):
            kill(self.tracer(container), signal.SIGKILL)
            self.until_works(container)

    def test_killed_at_any_moment(self):
        """The same at random moments, while targets start without a pause."""
        bundle = self.restricted()
        script = bundle.script("run.sh", "/bin/probe swarm 0 4 /bin/target verdict; echo over")
        pauses = random.Random(1)
        with bundle.running("crun", script) as container:
            self.assertEqual(container.code, 0, container.output())
            kills = 0
            end = time.monotonic() + (300 if FULL else 30)
            while time.monotonic() < end:
                time.sleep(pauses.uniform(0, 1.5))
                for pid in supervisor.tracers():
                    with contextlib.suppress(ProcessLookupError):  # it has ended, and another one has not begun
                        kill(pid, signal.SIGKILL)
                        kills += 1
            bundle.write("tmp/stop", "")
            container.wait_for("over", 120)
            tally = Tally(container.output())
            self.assertEqual((tally.unrestricted, tally.unsure, tally.other), (0, 0, 0), tally.text)
            self.assertGreater(tally.restricted, 0)
            self.assertGreater(kills, 5)
        self.assertNothingLeft()

    def test_hung(self):
        """A tracer that does not answer: its container's targets wait no longer than it takes to notice, and are
        denied; another container does not notice. Then a new tracer works."""
        container, other = self.rounds(), self.rounds()
        self.assertEqual((self.one_round(container), self.one_round(other)), (DONE, DONE))
        before = self.events(container)
        hung = self.tracer(container)
        kill(hung, signal.SIGSTOP)
        container.round += 1
        begin = len(container.output().splitlines())
        container.bundle.write(f"tmp/go{container.round}", "")
        self.assertEqual(self.one_round(other), DONE)
        container.wait_for(f"round {container.round}\n", 120)
        found = container.output().splitlines()[begin:-1]
        # What came late enough met the new tracer.
        self.assertIn(found, (DENIED, DONE))
        if found == DENIED:
            self.assertEqual(self.events(container)[:2], (before[0], before[1] + 1))
        self.until_works(container)
        self.assertFalse(os.path.exists(f"/proc/{hung}"))

    def test_nobody_outside_waits(self):
        """Programs that a container lists and that others use as well (a volume, the host's own): while the container's
        tracer is stopped, and while there is no supervisor, the host and other containers execute them at once."""
        bundle, other = self.restricted(), self.bundle()
        volume = os.path.join(bundle.directory, "volume")
        os.mkdir(volume)
        shutil.copy(OCI_LANDLOCK, volume)
        for name in ("probe", "target"):
            shutil.copy(bundle.path("bin/probe"), os.path.join(volume, name))
        for made in (bundle, other):
            made.config["mounts"].append({"destination": "/volume", "type": "bind", "source": volume,
                                          "options": ["bind"]})
        bundle.annotate(profile(program("/bin/target", "/volume/probe", "/volume/oci-landlock")))
        container = self.rounds(bundle)
        self.assertEqual(self.one_round(container), DONE)
        neighbour = self.enterContext(other.running("crun", "/bin/sleep", "1000"))

        def executes_at_once():
            for path in ("probe", "oci-landlock"):
                self.assertEqual(subprocess.run([os.path.join(volume, path), "--version"], stdout=subprocess.DEVNULL,
                                                stderr=subprocess.DEVNULL, timeout=30 * PATIENCE, check=False).returncode in (0, 2),
                                 True)
            self.assertEqual(lines(neighbour.exec("/volume/probe", "read", "/etc/secret")), [FREE])

        tracer = self.tracer(container)
        kill(tracer, signal.SIGSTOP)
        executes_at_once()
        kill(tracer, signal.SIGCONT)
        supervisor.kill()
        executes_at_once()

    def test_stopped_for_a_moment(self):
        """SIGSTOP and SIGCONT of a tracer: its targets wait, and run restricted."""
        container = self.rounds()
        for _ in range(5):
            tracer = self.tracer(container)
            kill(tracer, signal.SIGSTOP)
            container.round += 1
            begin = len(container.output().splitlines())
            container.bundle.write(f"tmp/go{container.round}", "")
            time.sleep(0.5)
            kill(tracer, signal.SIGCONT)
            container.wait_for(f"round {container.round}\n")
            self.assertEqual(container.output().splitlines()[begin:-1], DONE)
            self.assertEqual(self.tracer(container), tracer)

    def test_target_is_stopped(self):
        """SIGSTOP of a target that waits for its tracer: it stops, and goes on where it was. One that comes in the
        moment in which the kernel cannot tell it from ours is lost; that is one in thousands, and not in hundreds."""
        container = self.rounds()
        self.assertEqual(self.one_round(container), DONE)
        tracer = self.tracer(container)

        def waiting():
            with open("/proc/{0}/task/{0}/children".format(container.pid()), encoding="ascii") as file:
                return [int(pid) for pid in file.read().split() if stat(pid)[0] == "probe"]
        lost = 0
        for _ in range(10):
            kill(tracer, signal.SIGSTOP)
            container.round += 1
            begin = len(container.output().splitlines())
            container.bundle.write(f"tmp/go{container.round}", "")
            wait_for(waiting, "the target waits")
            target, = waiting()
            for _ in range(40):
                kill(target, signal.SIGSTOP)
                end = time.monotonic() + 3  # a busy machine is not to look like a loss
                while stat(target)[1] != "T" and time.monotonic() < end:
                    time.sleep(0.005)
                lost += stat(target)[1] != "T"
                kill(target, signal.SIGCONT)
            kill(tracer, signal.SIGCONT)
            container.wait_for(f"round {container.round}\n")
            self.assertEqual(container.output().splitlines()[begin:-1], DONE)
        self.assertLess(lost, 7)

    def test_no_descriptor(self):
        """A tracer that may open nothing more: its targets are killed, with an event each, until it may again."""
        container = self.rounds()
        self.assertEqual(self.one_round(container), DONE)
        tracer = self.tracer(container)
        before = resource.prlimit(tracer, resource.RLIMIT_NOFILE)
        taken = {int(name) for name in os.listdir(f"/proc/{tracer}/fd")}
        resource.prlimit(tracer, resource.RLIMIT_NOFILE, (min(set(range(100)) - taken), before[1]))
        for count in (1, 2):
            self.assertEqual(self.one_round(container), ["Killed", FREE])
            self.assertEqual(self.events(container), (1, count, NOT_INJECTED))
        resource.prlimit(tracer, resource.RLIMIT_NOFILE, before)
        self.assertEqual(self.one_round(container), DONE)
        self.assertEqual(self.tracer(container), tracer)

    def test_no_memory(self):
        """The same with memory. What the kernel tells about a target with many groups takes much of it."""
        container = self.rounds(script=LOOP.replace("/bin/probe exec", "/bin/probe groups 65536 + exec"))
        self.assertEqual(self.one_round(container), DONE)
        tracer = self.tracer(container)
        before = resource.prlimit(tracer, resource.RLIMIT_AS)
        resource.prlimit(tracer, resource.RLIMIT_AS, (4096, before[1]))
        for count in (1, 2):
            self.assertEqual(self.one_round(container), ["Killed", FREE])
            self.assertEqual(self.events(container), (1, count, NOT_INJECTED))
        resource.prlimit(tracer, resource.RLIMIT_AS, before)
        self.assertEqual(self.one_round(container), DONE)
        self.assertEqual(self.tracer(container), tracer)


class Supervisors(Failing):
    def test_killed(self):
        """kill -9 of the supervisor, nobody keeping its descriptors: tracers go with it, the container's other programs
        go on, targets are denied with an event each, a new container is refused with what to do. Another supervisor
        serves new containers."""
        container = self.rounds()
        self.assertEqual(self.one_round(container), DONE)
        tracers = supervisor.tracers()
        supervisor.kill()
        wait_for(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in tracers), "the tracers have ended")
        for count in (1, 2):
            self.assertEqual(self.one_round(container), DENIED)
            self.assertEqual(self.events(container)[:2], (1, count))
        self.refused_by_hook("systemctl start oci-landlock-supervisor", "oci-landlock supervise")
        found = status()
        self.assertFalse(found["supervisor"]["running"])
        supervisor.start()
        self.works()
        self.assertEqual(self.one_round(container), DENIED)
        self.assertEqual(self.events(container)[:2], (1, 3))

    def test_stopped(self):
        """SIGTERM does the same, orderly."""
        container = self.rounds()
        self.assertEqual(self.one_round(container), DONE)
        self.assertEqual(supervisor.stop(), 0)
        self.assertEqual(self.one_round(container), DENIED)
        self.refused_by_hook("systemctl start oci-landlock-supervisor", "oci-landlock supervise")
        supervisor.start()
        self.works()

    def test_killed_at_any_moment(self):
        """The supervisor is killed, and started again with nothing kept, while targets and containers start: no target
        runs free, each container is refused or works."""
        bundle = self.restricted()
        script = bundle.script("run.sh", "/bin/probe swarm 0 4 /bin/target verdict; echo over")
        pauses = random.Random(2)
        outcomes = {"works": 0, "refused": 0}
        for _ in range(20 if FULL else 4):
            bundle.write("tmp/stop", "")
            os.unlink(bundle.path("tmp/stop"))
            with bundle.running("crun", script) as container:
                self.assertEqual(container.code, 0, container.output())
                time.sleep(pauses.uniform(0, 1))
                other = self.restricted()
                other.config["process"]["args"] = ["/bin/target", "read", "/etc/secret"]
                other.save()
                starting = subprocess.Popen(["crun", "run", "--bundle", other.directory, other.id], text=True,
                                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                time.sleep(pauses.uniform(0, 0.3))
                supervisor.kill()
                supervisor.start()
                output, errors = starting.communicate(timeout=120 * PATIENCE)
                self.assertIn(output, ("", RESTRICTED + "\n"), errors)
                outcomes["works" if output else "refused"] += 1
                command("crun", "delete", "--force", other.id)
                bundle.write("tmp/stop", "")
                container.wait_for("over", 120)
                tally = Tally(container.output())
                self.assertEqual((tally.unrestricted, tally.unsure, tally.other), (0, 0, 0), tally.text)
        self.works()
        self.assertNothingLeft()

    def test_hung(self):
        """A supervisor that does not answer: containers that run go on, but for their targets, which are denied; a new
        one is refused in bounded time with what to do; afterwards all is well."""
        container = self.rounds()
        self.assertEqual(self.one_round(container), DONE)
        kill(supervisor.process.pid, signal.SIGSTOP)
        try:
            self.assertEqual(self.one_round(container), DENIED)
            self.refused_by_hook("does not answer", "systemctl restart oci-landlock-supervisor")
        finally:
            kill(supervisor.process.pid, signal.SIGCONT)
        self.works()
        self.assertEqual(self.one_round(container), DONE)

    def test_second(self):
        """A second supervisor ends at once, and says why; the first does not notice."""
        container = self.rounds()
        result = command(OCI_LANDLOCK, "supervise", timeout=60)
        self.assertRefused(result, "another supervisor runs already", str(supervisor.process.pid))
        self.assertEqual(self.one_round(container), DONE)
        self.works()

    def test_no_descriptor(self):
        """No descriptor left for the supervisor: containers are refused, the one that runs goes on."""
        container = self.rounds()
        pid = supervisor.process.pid
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        left = len(os.listdir(f"/proc/{pid}/fd")) + 1
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (left, before[1]))
        self.addCleanup(resource.prlimit, pid, resource.RLIMIT_NOFILE, before)
        for _ in range(3):
            self.refused_by_hook("oo many open files")
            self.assertEqual(self.one_round(container), DONE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
        self.works()
        self.assertEqual(supervisor.process.pid, pid)
        self.assertTrue(supervisor.running())

    def test_no_memory(self):
        """The same with memory: not a byte is to be had."""
        supervisor.stop()
        with open("/run/no-memory", "wb") as file:
            file.write(struct.pack("i", 0))
        self.addCleanup(os.unlink, file.name)
        supervisor.start(program=OCI_LANDLOCK_DYNAMIC,
                         environment={"LD_PRELOAD": os.path.join(BUILD, "tests", "vm", "libno-memory.so")})
        self.addCleanup(supervisor.stop)
        container = self.rounds()
        pid = supervisor.process.pid

        def nothing_left_for(process):
            with open(file.name, "r+b") as written:
                written.write(struct.pack("i", process))

        nothing_left_for(pid)
        for _ in range(3):
            self.refused_by_hook("out of memory")
            self.assertEqual(self.one_round(container), DONE)
        nothing_left_for(0)
        self.works()
        self.assertTrue(supervisor.running())

    def test_no_process(self):
        """The cgroup of the supervisor may have no more processes: containers are refused, the one that runs goes
        on."""
        cgroup = "/sys/fs/cgroup/supervisor"
        os.mkdir(cgroup)
        self.addCleanup(os.rmdir, cgroup)
        supervisor.stop()
        supervisor.start("/bin/sh", "-c", f'echo $$ > {cgroup}/cgroup.procs; exec "$@"', "sh")
        self.addCleanup(supervisor.stop)
        container = self.rounds()
        with open(f"{cgroup}/pids.max", "w", encoding="ascii") as file:
            file.write("2")
        self.refused_by_hook("Resource temporarily unavailable")
        self.assertEqual(self.one_round(container), DONE)
        with open(f"{cgroup}/pids.max", "w", encoding="ascii") as file:
            file.write("max")
        self.works()

    def test_hook_that_is_late(self):
        """A hook that ends half way: what it offered is dropped."""
        bundle = self.restricted()
        strace = shutil.which("strace")
        bundle.config["hooks"]["createRuntime"] = [
            {"path": strace, "args": ["strace", "-o", "/dev/null", "-e", "inject=sendmsg,send:signal=KILL:when=2",
                                      OCI_LANDLOCK, "hook", "createRuntime"], "env": ["PATH=" + os.environ["PATH"]]}]
        self.assertNotEqual(bundle.run("crun", "/bin/echo", "started").returncode, 0)
        command("crun", "delete", "--force", bundle.id)
        oci_landlock("load")
        self.assertMapsEmpty()
        self.works()

    def test_unload(self):
        """While the supervisor holds a container, `unload` refuses. After one by force, and another load, the same
        supervisor serves new containers."""
        container = self.rounds()
        self.assertRefused(oci_landlock("unload"), "depend on it", "--force")
        self.assertEqual(self.one_round(container), DONE)
        self.assertEqual(oci_landlock("unload", "--force").returncode, 0)
        self.assertEqual(applier.load().returncode, 0)
        self.works()

    def test_strangers(self):
        """Nobody but root can talk to the supervisor."""
        for path, _, names in os.walk("/run/oci-landlock"):
            for name in names:
                mode = os.lstat(os.path.join(path, name)).st_mode
                self.assertFalse(mode & 0o077, name)
        result = command("setpriv", "--reuid", "65534", "--clear-groups", "python3", "-c",
                         "import socket; s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); "
                         "s.connect('/run/oci-landlock/supervisor.sock')")
        self.assertIn("PermissionError", result.stderr)


class Kept(Failing):
    """With systemd's store of descriptors, which fdstore.py stands in for."""

    def setUp(self):
        super().setUp()
        supervisor.stop()
        self.store = FdStore(os.path.join(tempfile.mkdtemp(dir="/run"), "notify"))
        self.addCleanup(self.store.close)
        self.addCleanup(supervisor.stop)
        self.store.start(supervisor)

    def test_restart(self):
        """A supervisor that is stopped, or killed, and started again: every container that runs works as before. The
        store is empty when they are gone."""
        containers = [self.rounds(), self.rounds()]
        for container in containers:
            self.assertEqual(self.one_round(container), DONE)
        self.assertIn("READY=1", self.store.said)
        for end in (supervisor.stop, supervisor.kill, supervisor.kill):
            end()
            self.store.start(supervisor)
            for container in containers:
                self.assertEqual(self.one_round(container), DONE)
            self.works()
        self.doCleanupsOf(containers)
        self.assertNothingLeft()
        wait_for(lambda: self.store.count() == 0, "nothing is stored any more")

    def doCleanupsOf(self, containers):
        for container in containers:
            command("crun", "delete", "--force", container.bundle.id)

    def test_ended_meanwhile(self):
        """A container that ends while no supervisor runs is not held by the next one."""
        container = self.rounds()
        self.assertGreater(self.store.count(), 0)
        supervisor.kill()
        self.doCleanupsOf([container])
        self.store.start(supervisor)
        self.assertNothingLeft()
        wait_for(lambda: self.store.count() == 0, "nothing is stored any more")
        self.works()

    def test_hook_waits(self):
        """A container that starts while the supervisor is being restarted waits for it."""
        supervisor.kill()
        bundle = self.restricted()
        bundle.config["process"]["args"] = ["/bin/target", "read", "/etc/secret"]
        bundle.save()
        starting = subprocess.Popen(["crun", "run", "--bundle", bundle.directory, bundle.id], text=True,
                                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.store.start(supervisor)
        output, errors = starting.communicate(timeout=120 * PATIENCE)
        self.assertEqual(output, RESTRICTED + "\n", errors)
        self.works()

    def test_store_is_incomplete(self):
        """Descriptors that are missing, doubled or not ours: that container's targets are denied, others work, and the
        supervisor starts."""
        damaged, other = self.rounds(), self.rounds()
        supervisor.kill()
        with self.store.lock:
            first = self.store.kept[0][0].split("-")[0]
            at, = [i for i, (name, _) in enumerate(self.store.kept) if name == first + "-0"]
            os.close(self.store.kept.pop(at)[1])
            self.store.kept.append(("stranger", os.open("/dev/null", os.O_RDONLY)))
        self.store.start(supervisor)
        self.assertEqual(self.one_round(damaged), DENIED)
        self.assertEqual(self.one_round(other), DONE)
        self.works()

    def test_watchdog(self):
        """It tells the watchdog that it is well, and not when it hangs."""
        supervisor.stop()
        self.store.start(supervisor, {"WATCHDOG_USEC": "3000000"})
        wait_for(lambda: self.store.said.count("WATCHDOG=1") >= 2, "the watchdog was told")
        kill(supervisor.process.pid, signal.SIGSTOP)
        try:
            wait_for(lambda: stat(supervisor.process.pid)[1] == "T", "it is stopped")
            self.store.read_on()
            count = self.store.said.count("WATCHDOG=1")
            time.sleep(4)
            self.store.read_on()
            self.assertEqual(self.store.said.count("WATCHDOG=1"), count)
        finally:
            kill(supervisor.process.pid, signal.SIGCONT)
        wait_for(lambda: self.store.said.count("WATCHDOG=1") > count, "the watchdog was told again")
