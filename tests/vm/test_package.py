# SPDX-License-Identifier: Apache-2.0
"""The Debian package, on a machine with systemd (harness/run --systemd): `./dev package` has built it before."""

import contextlib
import glob
import json
import os
import re
import shutil
import tempfile
import unittest

from cases import FREE, RESTRICTED, lines, wait_for
from containers import ANOTHER_LAYOUT, BUILD, NEWER, OLDER, PINS, SOURCE, Bundle, command, entry, profile, program

LOADER = "oci-landlock.service"
SUPERVISOR = "oci-landlock-supervisor.service"
EVENTS = "oci-landlock-events.service"
ASKED_FOR = (EVENTS, "oci-landlock-nri.service")
BINARY = "/usr/bin/oci-landlock"
HOOKS = "/usr/share/containers/oci/hooks.d"
RUN = "/run/oci-landlock"
# As the image was made, packages may not start services.
POLICY = "/usr/sbin/policy-rc.d"

with open("/proc/1/comm", encoding="utf-8") as file:
    SYSTEMD = file.read() == "systemd\n"
with open("/sys/kernel/security/lsm", encoding="utf-8") as file:
    BPF = "bpf" in file.read().strip().split(",")


def package():
    """What `./dev package` has made."""
    found = glob.glob(os.path.join(BUILD, "packages", "oci-landlock_*.deb"))
    if len(found) != 1:
        raise AssertionError(f"build/packages has {found}: ./dev package makes the one that is tested")
    return found[0]


def repacked(version, binary=None):
    """The same with another version, and with another program where one is given."""
    with tempfile.TemporaryDirectory() as directory:
        tree = os.path.join(directory, "tree")
        command("dpkg-deb", "--raw-extract", package(), tree, check=True)
        control = os.path.join(tree, "DEBIAN", "control")
        with open(control, encoding="utf-8") as file:
            text = file.read()
        with open(control, "w", encoding="utf-8") as file:
            file.write(re.sub("^Version: .*$", f"Version: {version}", text, flags=re.M))
        if binary:
            shutil.copy(binary, tree + BINARY)
        made = f"/tmp/oci-landlock_{version}.deb"
        command("dpkg-deb", "-Znone", "--build", tree, made, check=True)
    return made


def dpkg(*words):
    result = command("dpkg", *words, timeout=900)
    if result.returncode != 0:
        raise AssertionError(f"dpkg {words}: {result.stdout}{result.stderr}")
    return result.stdout + result.stderr


def version():
    return command("dpkg-query", "-W", "-f", "${Version}", "oci-landlock", check=True).stdout


def state(unit):
    """(ActiveState, Result, main pid)"""
    shown = command("systemctl", "show", "-p", "ActiveState,Result,MainPID", unit, check=True).stdout
    found = dict(line.split("=", 1) for line in shown.splitlines())
    return found["ActiveState"], found["Result"], int(found["MainPID"])


def failed_units():
    return command("systemctl", "list-units", "--failed", "--plain", "--no-legend", check=True).stdout


def status():
    return json.loads(command(BINARY, "status", "--json").stdout)


def hook_files():
    return glob.glob(HOOKS + "/oci-landlock*.json")


def installed_hooks(annotations):
    """Those that an engine which reads the directory adds to a container with these annotations."""
    hooks = {}
    for path in sorted(hook_files()):
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
        wanted = found["when"]["annotations"].items()
        if all(any(re.search(key, name) and re.search(value, text) for name, text in annotations.items())
               for key, value in wanted) and os.path.exists(found["hook"]["path"]):
            for stage in found["stages"]:
                hooks.setdefault(stage, []).append(found["hook"])
    return hooks


def timeline(*words):
    """What comes and goes under its own name while dpkg does this: [(name, is there)]."""
    log = "/tmp/dpkg.trace"
    command("strace", "-o", log, "-e", "trace=rename,renameat,renameat2,link,linkat,unlink,unlinkat", "dpkg", *words,
            timeout=900, check=True)
    found = []
    with open(log, encoding="utf-8") as file:
        for line in file:
            call = re.match(r"(\w+)\((.*)\)\s+= 0$", line.strip())
            if call:
                names = re.findall(r'"([^"]+)"', call[2])
                if call[1].startswith(("rename", "unlink")):
                    found.append((names[0], False))
                if not call[1].startswith("unlink"):
                    found.append((names[1], True))
    return [(name, there) for name, there in found if name == BINARY or os.path.dirname(name) == HOOKS
            and name.endswith(".json")]


def left_behind():
    """Files whose name is ours, but for those of the tree itself, the kernel's, and systemd's while a unit runs."""
    pruned = " -o ".join(f"-path {path}" for path in ("/proc", "/sys", "/src", "/images", "/tmp", "/run/systemd",
                                                      "'/var/tmp/systemd-private-*-oci-landlock-supervisor.service-*'"))
    shown = command("sh", "-c", rf"find / \( {pruned} \) -prune -o -name '*oci-landlock*' -print", check=True).stdout
    return set(shown.splitlines())


@unittest.skipUnless(SYSTEMD, "systemd is not the init; run with --systemd")
class TestCase(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.assertEqual(left_behind(), set())
        self.addCleanup(self.clean_up)

    def clean_up(self):
        command(BINARY, "unload", "--force") if os.path.exists(BINARY) else None
        command("systemctl", "stop", SUPERVISOR, LOADER)
        dpkg("--purge", "oci-landlock")
        shutil.rmtree(RUN, ignore_errors=True)
        shutil.rmtree("/etc/oci-landlock", ignore_errors=True)

    def let_services_start(self):
        if os.path.exists(POLICY):
            os.rename(POLICY, POLICY + ".off")
            self.addCleanup(os.rename, POLICY + ".off", POLICY)

    def bundle(self, wanted=None):
        made = Bundle(tempfile.mkdtemp(prefix="bundle-", dir="/tmp"))
        self.addCleanup(shutil.rmtree, made.directory, ignore_errors=True)
        if wanted:
            made.annotate(wanted)
        made.config["hooks"] = installed_hooks(made.config["annotations"])
        return made


@unittest.skipUnless(BPF, "BPF LSM is off; boot without lsm=landlock,yama")
class Order(TestCase):
    """Engines start a container unrestricted when a hook file names a binary that is not there."""

    def test_binary_first_and_last(self):
        """A hook file is there only while the binary is: on installation, on upgrade, on removal."""
        dpkg("--unpack", package())
        names = hook_files()
        self.assertEqual(len(names), 3)
        dpkg("--purge", "oci-landlock")
        self.assertEqual(timeline("--install", package())[0], (BINARY, True))
        newer = repacked("9.0")
        for way in (("--install", newer), ("--install", package())):
            events = timeline(*way)
            self.assertEqual([name for name, there in events if not there], [], way)
            self.assertEqual({name for name, _ in events}, {BINARY, *names}, way)
        events = timeline("--remove", "oci-landlock")
        self.assertEqual(events[-1], (BINARY, False))
        self.assertEqual(sorted(events[:-1]), [(name, False) for name in sorted(names)])


def away():
    """For how many seconds there was no supervisor, the last time that it was started anew."""
    shown = command("systemctl", "show", "-p", "ActiveExitTimestampMonotonic,ActiveEnterTimestampMonotonic", SUPERVISOR,
                    check=True).stdout
    found = {name: int(value) for name, value in (line.split("=") for line in shown.splitlines())}
    return (found["ActiveEnterTimestampMonotonic"] - found["ActiveExitTimestampMonotonic"]) / 1e6


class Loop:
    """A container that executes its target again and again."""

    # How long an exec waits for a supervisor.
    PATIENCE = 5
    DENIED = "/run.sh: line 2: /bin/target: Operation not permitted"

    def __init__(self, bundle, container, line):
        self.bundle = bundle
        self.container = container
        self.line = line
        self.seen = 0

    def printed(self):
        return self.container.output().splitlines()[self.seen:]

    def check(self, test, away=0):
        """It goes on, every exec since the last time had the one outcome, and that of a session has it. An emulated
        machine may take longer to start a supervisor (`away`) than an exec waits, which is then denied."""
        if self.line == RESTRICTED and away > self.PATIENCE:
            meanwhile = self.printed()
            test.assertLessEqual(set(meanwhile),
                                 {self.line, "failed", self.DENIED})
            self.seen += len(meanwhile)
        before = len(self.printed())
        wait_for(lambda: len(self.printed()) > before + 2, "the container goes on", 60)
        printed = self.printed()
        test.assertEqual(set(printed), {self.line})
        self.seen += len(printed)
        test.assertEqual(lines(self.container.exec("/bin/target", "read", "/etc/secret")), [self.line])


@unittest.skipUnless(BPF, "BPF LSM is off; boot without lsm=landlock,yama")
class Running(TestCase):
    """With containers that run all the while."""

    @contextlib.contextmanager
    def loop(self, wanted, line):
        bundle = self.bundle(wanted)
        script = bundle.script("run.sh", "while :; do /bin/target read /etc/secret || echo failed; sleep 0.3; done\n")
        with bundle.running("crun", script) as container:
            self.assertEqual(container.code, 0, container.output())
            yield Loop(bundle, container, line)

    def check_loaded(self, inject):
        """Returns the supervisor's pid."""
        self.assertEqual(failed_units(), "")
        self.assertEqual(state(LOADER)[:2], ("active", "success"))
        active, result, pid = state(SUPERVISOR)
        self.assertEqual((active, result), ("active", "success") if inject else ("inactive", "exec-condition"))
        if inject:
            self.assertEqual(os.readlink(f"/proc/{pid}/exe"), BINARY)
        return pid

    @staticmethod
    def write_profile():
        path = "/etc/oci-landlock/profiles/mine.json"
        with open(path, "w", encoding="utf-8") as file:
            json.dump(profile(program("/bin/target")), file)
        return path

    def check_new(self):
        """A container that starts now is restricted."""
        result = self.bundle("mine").run("crun", "/bin/target", "read", "/etc/secret")
        self.assertEqual(lines(result), [RESTRICTED])


class Life(Running):
    def test_from_installation_to_purge(self):
        """Installed, it is loaded and restricts; upgraded and downgraded it goes on without a pause; removed, what is
        restricted stays so; installed again it goes on; when no container depends on it nothing is left."""
        self.let_services_start()
        dpkg("--install", package())
        inject = status()["applier"] == "inject"
        self.assertTrue(status()["loaded"])
        pid = self.check_loaded(inject)
        original = version()
        mine = self.write_profile()
        with self.loop("mine", RESTRICTED) as restricted, self.loop(None, FREE) as free:
            def check(away=0):
                restricted.check(self, away)
                free.check(self)
            check()
            for number, deb in (("9.0", repacked("9.0")), (original, package())):
                dpkg("--install", deb)
                self.assertEqual(version(), number)
                before, pid = pid, self.check_loaded(inject)
                self.assertTrue(not inject or pid != before)
                check(away() if inject else 0)
                self.assertEqual([item["id"] for item in status()["containers"]], [restricted.bundle.id])
                self.check_new()
            command("systemctl", "enable", "--now", *ASKED_FOR, check=True)
            dpkg("--remove", "oci-landlock")
            self.assertEqual([state(unit)[0] for unit in ASKED_FOR], ["inactive"] * len(ASKED_FOR))
            dpkg("--install", package())
            self.assertEqual([state(unit)[0] for unit in ASKED_FOR], ["active"] * len(ASKED_FOR))
            self.check_loaded(inject)
            check(away() if inject else 0)
            for words in (("--remove",), ("--purge",)):
                said = dpkg(*words, "oci-landlock")
                self.assertEqual("restricted stays so" in said, words == ("--remove",), said)
                self.assertEqual((hook_files(), os.path.exists(BINARY)), ([], False))
                self.assertTrue(os.path.exists(PINS))
                self.assertTrue(os.path.exists(RUN))
                check()
            self.assertEqual(left_behind(), {RUN, "/etc/oci-landlock"})
            dpkg("--install", package())
            self.check_loaded(inject)
            check(away() if inject else 0)
        wait_for(lambda: status()["containers"] == [], "no container is left")
        said = dpkg("--purge", "oci-landlock")
        self.assertNotIn("stays loaded", said)
        self.assertEqual((state(LOADER)[0], state(SUPERVISOR)[0]), ("inactive", "inactive"))
        self.assertFalse(os.path.exists(PINS))
        self.assertEqual(left_behind(), {"/etc/oci-landlock"})
        self.assertEqual(glob.glob("/etc/oci-landlock/**", recursive=True),
                         ["/etc/oci-landlock/", "/etc/oci-landlock/profiles", mine])


class Layout(Running):
    """A version whose layout of what is loaded is another one."""

    def way_out(self):
        """The commands of the document."""
        with open(os.path.join(SOURCE, "docs", "install.md"), encoding="utf-8") as file:
            text, = re.findall(r"^## Upgrading$.*?^```sh\n(.*?)^```$", file.read(), re.M | re.S)
        done = command("sh", "-ec", text, timeout=300)
        self.assertEqual(done.returncode, 0, done)

    def install_other(self, deb, message):
        """It is installed, says so, and nothing that runs is touched."""
        before = [state(unit) for unit in (LOADER, SUPERVISOR, EVENTS)]
        said = dpkg("--install", deb)
        self.assertIn(message, said)
        self.assertIn("unload --force", said)
        self.assertIn("therefore its services are left as they are", said)
        self.assertEqual([state(unit) for unit in (LOADER, SUPERVISOR, EVENTS)], before)
        self.assertEqual(failed_units(), "")
        self.check_refused(message)

    def check_refused(self, message):
        """A container that asks does not start, for a reason of one line; one that does not is none of ours."""
        result = self.bundle("mine").run("runc", "/bin/target", "read", "/etc/secret")
        self.assertNotEqual(result.returncode, 0)
        self.assertEqual(result.stdout, "")
        # runc shows it twice.
        said, = set(re.findall(r'(?<=stderr: )oci-landlock: .*?(?=\\n"$)', result.stderr, re.M))
        self.assertIn(message, said)
        self.assertIn("unload --force", said)
        self.assertEqual(lines(self.bundle().run("runc", "/bin/target", "read", "/etc/secret")), [FREE])
        found = command(BINARY, "doctor")
        self.assertEqual(found.returncode, 1)
        self.assertIn(message, found.stdout)

    def test_there_and_back(self):
        """Upgraded while a container runs restricted: that goes on, and new ones are refused. A supervisor that dies
        then is not replaced: targets are denied, until the version before is there again, which finds everything. The
        document's way out works, for a downgrade as well."""
        self.let_services_start()
        dpkg("--install", package())
        self.write_profile()
        inject = status()["applier"] == "inject"
        pid = self.check_loaded(inject)
        command("systemctl", "start", EVENTS, check=True)
        other = repacked("9.0", ANOTHER_LAYOUT)
        with self.loop("mine", RESTRICTED) as restricted, self.loop(None, FREE) as free:
            def check(away=0):
                restricted.check(self, away)
                free.check(self)
            check()
            self.install_other(other, NEWER)
            check()
            command("systemctl", "stop", EVENTS, check=True)
            if inject:
                self.without_supervisor(restricted, NEWER)
                free.check(self)
            dpkg("--install", package())
            before, pid = pid, self.check_loaded(inject)
            self.assertTrue(not inject or pid != before)
            check(away=2 * Loop.PATIENCE if inject else 0)
            self.check_new()
            self.install_other(other, NEWER)
            check()
        # None is left that depends on it, but that is not to be known.
        self.check_refused(NEWER)
        self.way_out()
        self.check_loaded(inject)
        self.check_new()
        with self.loop("mine", RESTRICTED) as restricted:
            restricted.check(self)
            self.install_other(package(), OLDER)
            restricted.check(self)
        self.way_out()
        self.check_loaded(inject)
        self.check_new()

    def without_supervisor(self, loop, message):
        """What is installed cannot go on with what is loaded."""
        def said():
            return command("journalctl", "--unit", SUPERVISOR, "--output", "cat", "--no-pager").stdout

        command("systemctl", "kill", "--signal=KILL", SUPERVISOR, check=True)
        wait_for(lambda: message in said(), "systemd tries", 60)
        loop.seen = len(loop.container.output().splitlines())
        wait_for(lambda: "failed" in loop.printed()[4:], "targets are denied", 120)
        # One may have been on its way with the tracer that died.
        self.assertNotIn(FREE, loop.printed())
        self.assertEqual(set(loop.printed()[2:]), {"failed", Loop.DENIED})
        session = loop.container.exec("/bin/target", "read", "/etc/secret")
        self.assertNotEqual(session.returncode, 0)
        self.assertEqual(session.stdout, "")
        self.check_refused(message)


@unittest.skipIf(BPF, "BPF LSM is on; boot with lsm=landlock,yama")
class Unfit(TestCase):
    def test_no_unit_fails(self):
        """A kernel without BPF LSM: nothing to load, and no unit fails for that; the hook has the launch applier."""
        self.let_services_start()
        said = dpkg("--install", package())
        self.assertIn("BPF LSM is off", said)
        for unit in (LOADER, SUPERVISOR):
            self.assertEqual(state(unit)[:2], ("inactive", "exec-condition"), unit)
            self.assertEqual(command("systemctl", "is-enabled", unit).stdout, "enabled\n")
        self.assertEqual(failed_units(), "")
        self.assertEqual(status()["applier"], "launch")
        bundle = self.bundle(profile(entry()))
        self.assertEqual(lines(bundle.run("crun", "/bin/target", "read", "/etc/secret")), [RESTRICTED])
        dpkg("--install", repacked("9.0"))
        self.assertEqual(failed_units(), "")
        dpkg("--purge", "oci-landlock")
        self.assertEqual(left_behind(), set())
