# SPDX-License-Identifier: Apache-2.0
"""The services of a real systemd (harness/run --systemd)."""

import json
import os
import re
import shutil
import signal
import socket
import tempfile
import unittest

from cases import FREE, PATIENCE, RESTRICTED, SECRET, kill, lines, wait_for
from containers import (BUILD, OCI_LANDLOCK, Bundle, command, doctor, entry, oci_landlock, problems, profile, program,
                        quoted, status)

UNIT = "oci-landlock-supervisor.service"
LOADER = "oci-landlock.service"
EVENTS = "oci-landlock-events.service"
COREDUMP = "fc2e22bc6ee647b6b90729ab34a250b1"  # what systemd calls the message of a dumped core
NRI = "oci-landlock-nri.service"
SOCKET = "/run/nri/nri.sock"
PROBE = os.path.join(BUILD, "tests", "vm", "supervisor-probe")
DROP_IN = f"/run/systemd/system/{UNIT}.d"


def systemctl(*words, check=True):
    result = command("systemctl", *words, check=False)
    if check and result.returncode != 0:
        log = command("journalctl", "-u", UNIT, "--no-pager", "-n", "50", check=False).stdout
        raise AssertionError(f"systemctl {words}: {result.stderr}\n{log}")
    return result.stdout


def contents(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


SYSTEMD = contents("/proc/1/comm") == "systemd\n"
BPF = "bpf" in contents("/sys/kernel/security/lsm").strip().split(",")


def show(name):
    return systemctl("show", "-p", name, "--value", UNIT).strip()


def active(unit):
    return tuple(systemctl("show", "-p", name, "--value", unit).strip() for name in ("ActiveState", "SubState"))


def maps():
    """Ids of the maps of entries that there are."""
    listed = json.loads(command("bpftool", "--json", "map", "list").stdout)
    return [item["id"] for item in listed if item.get("name") == "containers"]


def process_status(name):
    return re.search(rf"^{name}:\s*(.*)$", contents(f"/proc/{show('MainPID')}/status"), re.M)[1]


def install():
    # /usr is writable, and lost with the VM.
    shutil.copy(OCI_LANDLOCK, "/usr/bin/oci-landlock")
    for unit in (UNIT, LOADER, EVENTS, NRI):
        shutil.copy(os.path.join(BUILD, "packaging", "systemd", unit), "/run/systemd/system/")
    systemctl("daemon-reload")


@unittest.skipUnless(SYSTEMD, "systemd is not the init; run with --systemd")
class Loader(unittest.TestCase):
    """The service that loads the selector, and is done."""

    def test_loads(self):
        """Started, the selector is loaded; when it stops nothing is unloaded, and started again it finds that; after
        `unload` it loads anew. A supervisor that comes later serves containers with it."""
        install()
        self.addCleanup(oci_landlock, "unload", "--force")
        self.addCleanup(systemctl, "stop", UNIT, LOADER, check=False)
        self.assertFalse(status()["loaded"])
        systemctl("start", LOADER)
        self.assertEqual(active(LOADER), ("active", "exited"))
        found = status()
        self.assertEqual((found["loaded"], found["applier"]), (True, "inject"))
        loaded = maps()
        self.assertEqual(len(loaded), 1)
        systemctl("stop", LOADER)
        self.assertEqual(active(LOADER), ("inactive", "dead"))
        self.assertTrue(status()["loaded"])
        systemctl("start", LOADER)
        systemctl("restart", LOADER)
        self.assertEqual(active(LOADER), ("active", "exited"))
        systemctl("start", UNIT)
        self.assertEqual(maps(), loaded)
        bundle = Bundle(tempfile.mkdtemp(prefix="bundle-", dir="/tmp"))
        self.addCleanup(shutil.rmtree, bundle.directory, ignore_errors=True)
        bundle.annotate(profile(program("/bin/target")))
        self.assertEqual(lines(bundle.run("crun", "/bin/target", "read", "/etc/secret")), [RESTRICTED])
        with bundle.running("crun", "/bin/sleep", "1000") as container:
            # It looks for what containers have left behind.
            systemctl("restart", LOADER)
            self.assertEqual(active(LOADER), ("active", "exited"))
            self.assertEqual(lines(container.exec("/bin/target", "read", "/etc/secret")), [RESTRICTED])
        systemctl("stop", UNIT)
        self.assertEqual(oci_landlock("unload").returncode, 0)
        self.assertFalse(status()["loaded"])
        systemctl("restart", LOADER)
        self.assertTrue(status()["loaded"])
        self.assertNotEqual(maps(), loaded)


class Journal(unittest.TestCase):
    """What the service for events has kept since the test began."""

    def setUp(self):
        self.before = 0
        self.before = len(self.said())

    def said(self):
        return command("journalctl", "--unit", EVENTS, "--output", "cat", "--no-pager").stdout[self.before:]

    def journal(self, kind):
        found = [json.loads(line) for line in self.said().splitlines() if line.startswith("{")]
        return [event for event in found if event["event"] == kind]


@unittest.skipUnless(SYSTEMD, "systemd is not the init; run with --systemd")
@unittest.skipIf(BPF, "BPF LSM is on; boot with lsm=landlock,yama")
class EventsOfLaunch(Journal):
    def test_kept(self):
        """No selector is there to be waited for, and what the unit leaves it is enough to see a denial."""
        install()
        self.addCleanup(systemctl, "stop", EVENTS, check=False)
        systemctl("start", EVENTS)
        wait_for(lambda: self.journal("watching"), "it watches", 120)
        self.assertEqual(self.journal("watching")[0]["source"], "hooks")
        bundle = Bundle(tempfile.mkdtemp(prefix="bundle-", dir="/tmp"))
        self.addCleanup(shutil.rmtree, bundle.directory, ignore_errors=True)
        bundle.hooks("createRuntime", "poststart", "poststop")
        bundle.annotate(profile(entry(sessions=False)))
        with bundle.running("crun", "/bin/sh", "-c", "/bin/probe read /etc/secret; exec /bin/sleep 1000") as container:
            container.wait_for(RESTRICTED)
            for kind in ("created", "applied", "denied"):
                wait_for(lambda kind=kind: self.journal(kind), f"the journal has it: {kind}", 120)
        wait_for(lambda: self.journal("removed"), "the journal has its end", 120)
        self.assertEqual({event["container"] for event in self.journal("denied")}, {bundle.id})
        self.assertIn("/etc/secret", [event.get("path") for event in self.journal("denied")])


@unittest.skipUnless(SYSTEMD, "systemd is not the init; run with --systemd")
class Events(Journal):
    """The service that keeps events in the journal."""

    def test_kept(self):
        """Without a selector it is skipped. With one, what the unit leaves it is enough to see a denial, also when it
        was killed meanwhile; and when the selector goes it does not stay."""
        install()
        self.addCleanup(systemctl, "stop", EVENTS, UNIT, LOADER, check=False)
        self.addCleanup(oci_landlock, "unload", "--force")
        systemctl("start", EVENTS)
        self.assertEqual(active(EVENTS), ("inactive", "dead"))
        nothing = oci_landlock("events", "--since", "-1h")
        self.assertEqual((nothing.returncode, nothing.stdout), (1, ""))
        self.assertIn("the journal has no events since -1h; oci-landlock-events.service keeps them", nothing.stderr)
        systemctl("start", UNIT)
        systemctl("start", EVENTS)
        wait_for(lambda: self.journal("watching"), "it watches", 120)
        bundle = Bundle(tempfile.mkdtemp(prefix="bundle-", dir="/tmp"))
        self.addCleanup(shutil.rmtree, bundle.directory, ignore_errors=True)
        bundle.annotate(profile(program("/bin/target")))
        self.assertEqual(lines(bundle.run("crun", "/bin/target", "read", "/etc/secret")), [RESTRICTED])
        wait_for(lambda: self.journal("denied"), "the journal has it", 120)
        denied, = self.journal("denied")
        self.assertEqual((denied["container"], denied["program"], denied["path"]),
                         (bundle.id, "/bin/target", "/etc/secret"))
        kept = oci_landlock("events", "--since=-1h", "--kind=denied", check=True)
        self.assertRegex(kept.stdout, r"^\S+Z denied \S+: /bin/target\[\d+\] .*read_file.* /etc/secret; would be .*\n$")
        self.assertRegex(kept.stderr, r"^\S+Z watching\n$")
        self.assertEqual(json.loads(oci_landlock("events", "--since=-1h", "--json", "--container", bundle.id,
                                                 "--kind", "denied", check=True).stdout.splitlines()[-1]), denied)
        self.assertEqual(oci_landlock("events", "--since=-1h", "--count=1", check=True).stdout.count("\n"), 1)
        # Root of a container that the journal's socket is mounted in can have its lines shown with the unit's.
        forged = {"time": "2026-01-01T00:00:00.000000Z", "event": "removed", "container": "forged"}
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(f"MESSAGE={json.dumps(forged)}\nMESSAGE_ID={COREDUMP}\nCOREDUMP_UNIT={EVENTS}\n".encode(),
                          "/run/systemd/journal/socket")
        wait_for(lambda: "forged" in command("journalctl", "--unit", EVENTS, "--output", "cat").stdout,
                 "journalctl takes it for the unit's", 60)
        self.assertEqual(oci_landlock("events", "--since=-1h", "--container", "forged", check=True).stdout, "")
        wrong = oci_landlock("events", "--since", "soon")
        self.assertEqual((wrong.returncode, wrong.stdout), (1, ""))
        self.assertRegex(wrong.stderr, r"^oci-landlock: journalctl has failed: .*soon\n$")
        systemctl("kill", "--signal=KILL", EVENTS)
        wait_for(lambda: len(self.journal("watching")) == 2, "it is started again", 120)
        self.assertEqual(lines(bundle.run("crun", "/bin/target", "read", "/etc/secret")), [RESTRICTED])
        wait_for(lambda: len(self.journal("denied")) == 2, "the journal has that, too", 120)
        self.assertEqual(oci_landlock("unload", "--force").returncode, 0)
        wait_for(lambda: active(EVENTS)[0] != "active", "it has ended", 120,
                 said=lambda: f"{active(EVENTS)} {self.said()}")

    def test_listens(self):
        """What the guide adds to the unit is enough for metrics of a container, and Prometheus' port is not taken."""
        (path, text), = [(tag.split()[1], text) for tag, text in quoted("monitoring.md") if tag.startswith("ini /etc")]
        install()
        self.addCleanup(systemctl, "stop", EVENTS, UNIT, LOADER, check=False)
        self.addCleanup(oci_landlock, "unload", "--force")
        os.makedirs(os.path.dirname(path))
        self.addCleanup(systemctl, "daemon-reload")
        self.addCleanup(shutil.rmtree, os.path.dirname(path))
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        systemctl("daemon-reload")
        systemctl("start", LOADER, UNIT)
        systemctl("start", EVENTS)
        wait_for(lambda: self.journal("watching"), "it watches", 120)
        bundle = Bundle(tempfile.mkdtemp(prefix="bundle-", dir="/tmp"))
        self.addCleanup(shutil.rmtree, bundle.directory, ignore_errors=True)
        bundle.annotate(profile(program("/bin/target")))
        run = bundle.script("run.sh", "/bin/target read /etc/secret; sleep 600\n")
        with bundle.running("crun", run):
            seen = re.compile(rf'^oci_landlock_accesses_denied_total\{{.*container_id="{bundle.id}".*right="read_file"\}} 1$',
                              re.M)
            wait_for(lambda: seen.search(command("curl", "--silent", "http://127.0.0.1:9464/metrics").stdout),
                     "the denial is counted", 120, said=lambda: f"{active(EVENTS)} {self.said()[-2000:]} "
                     f"{command('curl', 'http://127.0.0.1:9464/metrics')}")
            wait_for(lambda: self.journal("denied"), "the journal has it as well", 120)


@unittest.skipUnless(SYSTEMD, "systemd is not the init; run with --systemd")
class Nri(unittest.TestCase):
    """The plugin's service. Its engine is imitated: a real one is in test_nri."""

    def test_reaches_its_engine(self):
        """What the unit leaves it is enough, and it comes back to an engine that was restarted."""
        install()
        self.addCleanup(systemctl, "stop", NRI, check=False)
        systemctl("start", NRI)
        wait_for(lambda: "NRI: waiting for an engine at " + SOCKET in
                 command("journalctl", "--unit", NRI, "--output", "cat", "--no-pager").stdout, "it waits", 60)
        for _ in range(2):
            os.makedirs(os.path.dirname(SOCKET), exist_ok=True)
            with socket.socket(socket.AF_UNIX) as engine:
                engine.bind(SOCKET)
                os.chmod(SOCKET, 0o600)
                engine.listen()
                engine.settimeout(60 * PATIENCE)
                connection, _ = engine.accept()
                with connection:
                    self.assertIn(b"RegisterPlugin", connection.recv(4096))
                os.unlink(SOCKET)
        self.assertEqual(active(NRI), ("active", "running"))
        # What doctor sees of it, written from where the unit leaves it.
        pid = systemctl("show", "--property=MainPID", "--value", NRI).strip()
        said = json.loads(contents("/run/oci-landlock/nri/" + pid))
        self.assertEqual((said["program"], said["socket"], said["connected"]), ("/usr/bin/oci-landlock", SOCKET, False))


@unittest.skipUnless(SYSTEMD, "systemd is not the init; run with --systemd")
class Service(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        install()

    def setUp(self):
        self.addCleanup(self.reset)
        self.pids = {}

    def reset(self):
        for name in list(self.pids):
            self.end(name)
        systemctl("stop", UNIT, check=False)
        shutil.rmtree(DROP_IN, ignore_errors=True)

    def use_probe(self, *settings):
        """The service as it is installed, with tracers that do nothing."""
        os.makedirs(DROP_IN, exist_ok=True)
        with open(DROP_IN + "/probe.conf", "w", encoding="utf-8") as file:
            file.write("\n".join(["[Service]", "ExecStart=", f"ExecStart={PROBE} daemon", *settings, ""]))
        systemctl("daemon-reload")
        systemctl("start", UNIT)

    def offer(self, name):
        result = command(PROBE, "offer", name, check=False)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.pids[name] = int(result.stdout)

    def end(self, name):
        kill(self.pids.pop(name), signal.SIGKILL)
        cgroup = f"/sys/fs/cgroup/probe-{name}"
        wait_for(lambda: "populated 0" in contents(cgroup + "/cgroup.events"), "the cgroup is empty")
        os.rmdir(cgroup)

    def state(self):
        """The supervisor's pid, and how many containers it has; empty: it does not answer."""
        result = command(PROBE, "status", check=False)
        return [int(word) for word in result.stdout.split()]

    def test_as_installed(self):
        """It starts with what the unit leaves it: the selector is loaded, and no seccomp filter is on."""
        systemctl("daemon-reload")
        systemctl("start", UNIT)
        self.addCleanup(oci_landlock, "unload", "--force")
        self.assertEqual(show("ActiveState"), "active")
        self.assertEqual(oci_landlock("status").returncode, 0)
        self.assertEqual(process_status("Seccomp"), "0")
        self.assertEqual(process_status("NoNewPrivs"), "1")
        wait_for(lambda: show("StatusText") == "0 containers", "the status line")
        first = show("MainPID")
        systemctl("restart", UNIT)
        self.assertNotEqual(show("MainPID"), first)
        result = command("oci-landlock", "supervise", check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn(f"another supervisor runs already (pid {show('MainPID')})", result.stderr)
        systemctl("stop", UNIT)
        self.assertEqual(show("Result"), "success")
        self.assertEqual(show("ActiveState"), "inactive")

    def test_doctor(self):
        """What does not run, and what the next boot would not start."""
        systemctl("daemon-reload")
        self.addCleanup(oci_landlock, "unload", "--force")
        enable = "systemctl enable --now " + UNIT

        def says(*wrong):
            code, found = doctor()
            self.assertEqual((code, problems(found)), (1 if wrong else 0, list(wrong)), found)
            for name in wrong:
                self.assertEqual(found[name]["remedy"], enable)
            return found

        says("node.selector", "node.units")
        systemctl("start", UNIT)
        says("node.units")
        self.addCleanup(systemctl, "disable", UNIT, LOADER)
        systemctl("enable", UNIT, LOADER)
        self.assertEqual(says()["node.units"]["severity"], "ok")
        systemctl("stop", UNIT)
        says("node.supervisor")

    def test_what_is_held_survives(self):
        """restart, kill -9, and the watchdog: each container is there afterwards."""
        self.use_probe("WatchdogSec=20")
        for name in ("a", "b", "c"):
            self.offer(name)
        self.assertEqual(show("NFileDescriptorStore"), "9")
        ways = {
            "restart": lambda pid: systemctl("restart", UNIT),
            "kill": lambda pid: kill(pid, signal.SIGKILL),
            "kill again": lambda pid: kill(pid, signal.SIGKILL),
            "hang": lambda pid: kill(pid, signal.SIGSTOP),
        }
        for way, do in ways.items():
            with self.subTest(way):
                before = int(show("MainPID"))
                self.assertEqual(self.state(), [before, 3])
                do(before)
                wait_for(lambda: show("ActiveState") == "active" and int(show("MainPID")) not in (0, before),
                         "started again", 60)
                self.assertEqual(self.state(), [int(show("MainPID")), 3])
                self.assertEqual(show("NFileDescriptorStore"), "9")
        self.end("a")
        wait_for(lambda: self.state()[1:] == [2], "the container is let go of")
        wait_for(lambda: show("NFileDescriptorStore") == "6", "its descriptors, too")
        self.offer("d")
        self.assertEqual(show("NFileDescriptorStore"), "9")

    def bundle_beside_service(self):
        """A container with a target, and the service as it is installed, which has been started."""
        systemctl("daemon-reload")
        systemctl("start", UNIT)
        self.addCleanup(oci_landlock, "unload", "--force")
        bundle = Bundle(tempfile.mkdtemp(prefix="bundle-", dir="/tmp"))
        self.addCleanup(shutil.rmtree, bundle.directory, ignore_errors=True)
        bundle.annotate(profile(program("/bin/target")))
        return bundle

    def test_containers_survive(self):
        """A real container over restarts and kills of the service: its targets are restricted as before, and so are
        exec sessions."""
        bundle = self.bundle_beside_service()
        script = bundle.script("run.sh", f"""
            for i in 1 2 3 4; do
                until [ -e /tmp/$i ]; do sleep 0.1; done
                /bin/probe {SECRET}
                /bin/target {SECRET} + nnp
                echo over $i
            done
            sleep 1000
        """)
        ways = [lambda pid: None, lambda pid: systemctl("restart", UNIT), lambda pid: kill(pid, signal.SIGKILL),
                lambda pid: kill(pid, signal.SIGKILL)]
        expected = []
        with bundle.running("crun", script) as container:
            for i, way in enumerate(ways, 1):
                before = int(show("MainPID"))
                way(before)
                wait_for(lambda: show("ActiveState") == "active" and int(show("MainPID")) != 0
                         and (i == 1 or int(show("MainPID")) != before), "started again", 60)
                bundle.write(f"tmp/{i}", "")
                container.wait_for(f"over {i}")
                expected += [FREE, RESTRICTED, "no_new_privs: 1", f"over {i}"]
                self.assertEqual(container.output().splitlines(), expected)
                self.assertEqual(lines(container.exec("/bin/target", "read", "/etc/secret")), [RESTRICTED])
        wait_for(lambda: show("NFileDescriptorStore") == "0", "nothing is held any more")

    def test_tracer_that_cannot_be_killed(self):
        """Nobody waits for it: the next supervisor is there at once, with a tracer of its own."""
        bundle = self.bundle_beside_service()
        freezer = tempfile.mkdtemp()
        command("mount", "-t", "cgroup", "-o", "freezer", "none", freezer)
        frozen = f"{freezer}/tracer"
        os.mkdir(frozen)

        def write(path, text):
            with open(path, "w", encoding="ascii") as file:
                file.write(text)

        with bundle.running("crun", "/bin/sleep", "1000") as container:
            tracer = command("pgrep", "-x", "landlock-tracer").stdout.strip()
            write(f"{frozen}/cgroup.procs", tracer)
            write(f"{frozen}/freezer.state", "FROZEN")
            wait_for(lambda: contents(f"{frozen}/freezer.state") == "FROZEN\n", "the tracer is frozen")
            try:
                systemctl("restart", UNIT)
                self.assertTrue(os.path.exists(f"/proc/{tracer}"))
                self.assertEqual(lines(container.exec("/bin/target", "read", "/etc/secret")), [RESTRICTED])
                said = command("journalctl", "--quiet", "--no-pager", "--unit", UNIT, "--boot").stdout
                self.assertNotIn("final SIGKILL", said)
            finally:
                write(f"{frozen}/freezer.state", "THAWED")
            wait_for(lambda: not os.path.exists(f"/proc/{tracer}"), "the tracer is gone")
        os.rmdir(frozen)
        command("umount", freezer)
        os.rmdir(freezer)

    def test_stop_gives_up(self):
        """Stopped, it holds nothing."""
        self.use_probe()
        self.offer("a")
        systemctl("stop", UNIT)
        systemctl("start", UNIT)
        self.assertEqual(self.state()[1:], [0])
