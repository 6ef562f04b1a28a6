# SPDX-License-Identifier: Apache-2.0
"""Real containers for the tests in this directory. Runs inside the VM, as root."""

import atexit
import collections
import contextlib
import functools
import itertools
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
import unittest

import applier
from applier import BUILD, OCI_LANDLOCK, SOURCE  # noqa: F401
from cases import PATIENCE, wait_for

PROGRAM = "/usr/bin/oci-landlock"
HOOKS = "/usr/share/containers/oci/hooks.d"
SHARED = "/usr/share/oci-landlock/hooks"
SETTINGS = "/etc/oci-landlock/config.json"
PROBE = os.path.join(BUILD, "tests", "vm", "probe")
with open(os.path.join(SOURCE, "bpf", "abi.h"), encoding="utf-8") as file:
    LAYOUT = re.search(r"^#define OLL_ABI_VERSION (\d+)$", file.read(), re.M)[1]
# The program as another version would be, and what it and this one say of each other (tests/vm/meson.build).
ANOTHER_LAYOUT = os.path.join(BUILD, "tests", "vm", "another-layout")
NEWER = f"(layout {LAYOUT}), this program has layout 4711"
OLDER = f"(layout 4711), this program has layout {LAYOUT}"
RUNTIMES = ("crun", "runc")
PINS = "/sys/fs/bpf/oci-landlock"


# The last ones that complained or failed, for whoever reads why a test did.
complaints = collections.deque(maxlen=4)


def command(*words, timeout=120, **options):
    """Runs a host command; its output is text."""
    done = subprocess.run(words, capture_output=True, text=True, timeout=timeout * PATIENCE, **options)
    if done.returncode or done.stderr:
        complaints.append(f"{' '.join(words)[:200]}: exit status {done.returncode}\n{str(done.stderr)[-500:]}")
    return done


def oci_landlock(*words, **options):
    return command(OCI_LANDLOCK, *words, **options)


def status():
    answer = oci_landlock("status", "--json")
    return json.loads(answer.stdout)


def doctor():
    """(exit status, findings by their names; the worst of those with the same name)."""
    result = oci_landlock("doctor", "--json")
    found = json.loads(result.stdout)
    severities = ["ok", "note", "problem"]
    assert found["problems"] == sum(item["severity"] == "problem" for item in found["findings"]), found
    return result.returncode, {item["name"]: item for item in
                               sorted(found["findings"], key=lambda item: severities.index(item["severity"]))}


def problems(findings):
    return sorted(name for name, item in findings.items() if item["severity"] == "problem")


def install():
    """As `meson install` and the package do it. /usr is writable, and lost with the VM."""
    for name in ("oci-landlock", "oci-landlock-runtime"):
        shutil.copy(os.path.join(BUILD, "src", name), "/usr/bin")
    for directory, names in ((HOOKS, ("oci-landlock.json", "oci-landlock-poststart.json",
                                      "oci-landlock-poststop.json")), (SHARED, ("hooks.json",))):
        os.makedirs(directory, exist_ok=True)
        for name in names:
            shutil.copy(os.path.join(BUILD, "hooks", name), directory)


def install_profiles(directory):
    """Those of the library and their fragments, as the node wants its own."""
    shutil.copytree(os.path.join(SOURCE, "profiles"), directory, dirs_exist_ok=True)
    for above, _, names in os.walk(directory):
        for path, mode in ((above, 0o755), *((os.path.join(above, name), 0o644) for name in names)):
            os.chmod(path, mode)
            os.chown(path, 0, 0)


NODE_LOG = "/run/messages"
JOURNAL = "/run/systemd/journal/dev-log"
MARKS = itertools.count()
STARTED = time.time()


def end_log(log):
    """The machine may be one that goes on."""
    log.terminate()
    log.wait()
    if os.path.exists("/dev/log"):
        os.unlink("/dev/log")


def start_log():
    """Where nobody else takes what is sent to syslog."""
    if os.path.exists("/dev/log") and not sent_to_log("<14>mark: is anybody there"):
        os.unlink("/dev/log")  # of a run that was killed
    if not os.path.exists("/dev/log"):
        log = subprocess.Popen(["busybox", "syslogd", "-n", "-O", NODE_LOG], stdin=subprocess.DEVNULL)
        atexit.register(end_log, log)
        wait_for(lambda: os.path.exists("/dev/log") or log.poll() is not None, "there is a log, or can be none")


def node_log():
    """What was sent to syslog: crun does not show a hook's stderr. Only what was sent since the first call, or with
    systemd's journal since this program began."""
    start_log()
    # What was sent before this line is written before it.
    mark = f"read up to here {os.getpid()} {next(MARKS)}\n"
    wait_for(lambda: sent_to_log(f"<14>mark: {mark}"), "there is a log")
    wait_for(lambda: mark in logged(), "what is sent to /dev/log is written where it is looked for")
    return "".join(line for line in logged().splitlines(keepends=True) if "mark: read up to here" not in line)


def logged():
    if os.path.realpath("/dev/log") == JOURNAL:
        return command("journalctl", "--quiet", "--no-pager", f"--since=@{STARTED:.0f}").stdout
    return written(NODE_LOG)


def sent_to_log(line):
    """Not where its socket has a name and nobody behind it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        try:
            sender.connect("/dev/log")
            sender.send(line.encode())
        except ConnectionRefusedError:
            return False
    return True


def written(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return ""


@functools.cache
def podman_version():
    return int(re.search(r"\d+", command("podman", "--version", check=True).stdout)[0])


def annotated(text):
    """The argument of podman's --annotation for it: podman 4 reads that as one field of CSV, podman 5 as it is."""
    return '"' + text.replace('"', '""') + '"' if podman_version() < 5 else text


def rulesets_held():
    return applier.held(status())


def policy(read=(), write=(), **more):
    """A policy that handles every file system right of ABI 6 and allows these paths."""
    rules = []
    if read:
        rules.append({"allowedAccess": ["abi.read_execute"], "parent": list(read)})
    if write:
        rules.append({"allowedAccess": ["abi.read_write"], "parent": list(write)})
    return {"abi": 6, "ruleset": [{"handledAccessFs": ["abi.all"]}], "pathBeneath": rules, **more}


def entry(select=None, rules=None, **more):
    """One profile entry; by default everything but /allowed, /bin and /lib is denied."""
    return {
        **({"select": select} if select else {}),
        "policy": rules or policy(read=["/bin", "/allowed"], write=["/dev"]),
        **more,
    }


def program(*paths, **more):
    return entry({"program": list(paths)}, **more)


def profile(*entries):
    return {"entries": list(entries)}


def copy_program(source, target):
    """For everybody: the tree may have been made under another umask, and lie in a directory of root's."""
    shutil.copy(source, target)
    os.chmod(target, 0o755)
    return target


class Bundle:
    """An OCI bundle with a small root file system: busybox tools and the probe in /bin, a copy of the probe as
    /bin/target, /etc/secret (which no default policy allows) and /allowed/file."""

    def __init__(self, directory, base=None):
        self.directory = directory
        self.id = "test-" + os.path.basename(directory)
        self.rootfs = os.path.join(directory, "rootfs")
        if base:
            for name in ("upper", "work", "rootfs"):
                os.makedirs(os.path.join(directory, name), exist_ok=True)
            command("mount", "-t", "overlay", "overlay", "-o",
                    f"lowerdir={base},upperdir={directory}/upper,workdir={directory}/work", self.rootfs, check=True)
        self._fill()
        self.config = json.loads(json.dumps(CONFIG))
        self.hooks("createRuntime", *(("poststart",) if applier.LAUNCH else ()), "poststop")

    def _fill(self):
        for name in ("bin", "etc", "allowed", "tmp", "proc", "dev", "sys", "lib"):
            os.makedirs(self.path(name), exist_ok=True)
        if not os.path.lexists(self.path("bin/busybox")):
            shutil.copy(shutil.which("busybox"), self.path("bin/busybox"))
            for applet in BUSYBOX_APPLETS:
                os.symlink("busybox", self.path("bin", applet))
        for name in ("bin/probe", "bin/target"):
            copy_program(PROBE, self.path(name))
        self.write("etc/secret", "secret\n")
        self.write("allowed/file", "allowed\n")

    def path(self, *parts):
        return os.path.join(self.rootfs, *parts)

    def write(self, name, text, mode=0o644):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(self.path(name), mode)

    def script(self, name, text):
        """An executable shell script inside; returns its path in the container."""
        self.write(name, "#!/bin/sh\n" + text, 0o755)
        return "/" + name

    def hooks(self, *stages):
        self.config["hooks"] = {
            stage: [{"path": OCI_LANDLOCK, "args": ["oci-landlock", "hook", stage]}] for stage in stages
        }

    def memory_at(self, path):
        """A tmpfs that everybody may write to."""
        self.config["mounts"].append({"destination": path, "type": "tmpfs", "source": "tmpfs",
                                      "options": ["mode=1777"]})

    def annotate(self, wanted, **more):
        """`wanted`: a profile as a dict, an inline text or a name."""
        text = wanted if isinstance(wanted, str) else json.dumps(wanted)
        applier.require_covered(text, more)
        self.config["annotations"] = {"io.landlock.profile": text, **more}

    def save(self):
        with open(os.path.join(self.directory, "config.json"), "w", encoding="utf-8") as file:
            json.dump(self.config, file)

    def run(self, runtime, *args, timeout=120):
        """`runtime run` to its end."""
        if args:
            self.config["process"]["args"] = list(args)
        self.save()
        return command(runtime, "run", "--bundle", self.directory, self.id, timeout=timeout)

    def shell(self, runtime, text, **options):
        """Runs a script as the entrypoint."""
        return self.run(runtime, self.script("run.sh", text), **options)

    @contextlib.contextmanager
    def created(self, runtime, *args):
        """A container in the background that waits for its start; deleted after the body."""
        if args:
            self.config["process"]["args"] = list(args)
        self.save()
        log = os.path.join(self.directory, "log")
        with open(log, "w", encoding="utf-8") as output:
            created = subprocess.run([runtime, "create", "--bundle", self.directory, self.id], stdin=subprocess.DEVNULL,
                                     stdout=output, stderr=output, timeout=60 * PATIENCE, check=False)
        try:
            yield Running(self, runtime, created.returncode, log)
        finally:
            command(runtime, "delete", "--force", self.id)

    @contextlib.contextmanager
    def running(self, runtime, *args):
        """The same, started by the time the body runs, if it could be created."""
        with self.created(runtime, *args) as container:
            if container.code == 0:
                container.start()
            yield container


class Running:
    def __init__(self, bundle, runtime, code, log):
        self.bundle = bundle
        self.runtime = runtime
        self.code = code
        self.log = log

    def start(self):
        return command(self.runtime, "start", self.bundle.id)

    def exec(self, *args, timeout=120):
        """An exec session."""
        applier.require_sessions()
        return command(self.runtime, "exec", self.bundle.id, *args, timeout=timeout)

    def output(self):
        with open(self.log, encoding="utf-8") as file:
            return file.read()

    def wait_for(self, text, seconds=30):
        """Waits until the container has printed `text`."""
        wait_for(lambda: text in self.output(), f"it prints {text!r}", seconds, said=self.output)

    def client(self, *words):
        """A program of the host in the container's network."""
        return command("nsenter", "-t", str(self.pid()), "-n", *words)

    def wait_for_answer(self, expected, *words, seconds=90):
        """Repeats a client until it prints `expected`."""
        wait_for(lambda: expected in self.client(*words).stdout, f"{words} print {expected!r}", seconds, pause=0.2,
                 said=lambda: f"{self.client(*words)}; the server: {self.output()}")

    def state(self):
        return json.loads(command(self.runtime, "state", self.bundle.id).stdout)

    def pid(self):
        return self.state()["pid"]


class TestCase(unittest.TestCase):
    maxDiff = None

    def bundle(self, place="/tmp", **options):
        """`place`: /tmp is a tmpfs."""
        directory = tempfile.mkdtemp(prefix="bundle-", dir=place)
        made = Bundle(directory, **options)
        self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
        if options.get("base"):
            self.addCleanup(command, "umount", "-l", made.rootfs)
        return made

    def debian(self):
        """A bundle with Debian in it, memory where its programs write, and a place for data that no profile
        mentions."""
        bundle = self.bundle(base="/images/base")
        os.makedirs(bundle.path("opt/open"))
        os.chmod(bundle.path("opt/open"), 0o777)
        for path in ("/run", "/tmp", "/dev/shm"):
            bundle.memory_at(path)
        return bundle

    def apparmor_profiles(self):
        """Loads two that allow what engines' do, one of them no Unix sockets, which the handing over of rulesets needs.
        Yields each one's name, and whether it allows them."""
        rules = "file, capability, network inet, signal, ptrace, mount, umount, pivot_root,"
        for name, more in (("test-without-unix", ""), ("test-with-unix", "network unix, unix,")):
            # Without `abi` the parser takes an old kernel's word for what can be denied.
            text = f"abi <kernel>,\nprofile {name} flags=(attach_disconnected,mediate_deleted) {{ {rules} {more} }}"
            loaded = command("apparmor_parser", "-r", "-K", input=text)
            self.assertEqual(loaded.returncode, 0, loaded.stderr)
            self.addCleanup(command, "apparmor_parser", "-R", "-K", input=text)
            yield name, bool(more)

    def each_runtime(self):
        """for runtime in self.each_runtime(): a subtest for each."""
        for runtime in RUNTIMES:
            with self.subTest(runtime=runtime):
                try:
                    yield runtime
                except GeneratorExit:  # the test is over, and says why itself
                    return

    def setUp(self):
        applier.start()
        super().setUp()

    def assertNothingLeft(self):
        """No container has an entry, and no ruleset is held for any."""
        self.assertEqual(status()["containers"], [])
        if applier.INJECT:
            # A supervisor sees that a cgroup is empty a moment later than the runtime.
            end = time.monotonic() + 60 * PATIENCE
            while (rulesets_held() or applier.supervisor.tracers()) and time.monotonic() < end:
                time.sleep(0.05)
            self.assertEqual(applier.supervisor.tracers(), [])
        self.assertEqual(rulesets_held(), 0)


@contextlib.contextmanager
def settings(**changed):
    """The node's settings, as they were before after the body."""
    before = None
    if os.path.exists(SETTINGS):
        with open(SETTINGS, encoding="utf-8") as file:
            before = file.read()
    os.makedirs(os.path.dirname(SETTINGS), exist_ok=True)
    with open(SETTINGS, "w", encoding="utf-8") as file:
        json.dump({**json.loads(before or "{}"), **changed}, file)
    try:
        yield
    finally:
        os.unlink(SETTINGS)
        if before is not None:
            with open(SETTINGS, "w", encoding="utf-8") as file:
                file.write(before)


def quoted(guide):
    """Tag and text of each block of a guide."""
    with open(os.path.join(SOURCE, "docs", "guide", guide), encoding="utf-8") as file:
        return re.findall(r"^```([^\n]+)\n(.*?)^```$", file.read(), re.M | re.S)


def follow(test, guide, directory):
    """What a guide says is done in this directory, and comes out, word by word."""
    said = None
    for tag, text in quoted(guide):
        if tag.startswith("json /"):
            path = tag.split()[1]
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            test.addCleanup(os.unlink, path)
        elif tag == "sh vm":
            done = subprocess.run(["bash", "-ec", text], cwd=directory, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, timeout=300 * PATIENCE, check=False,
                                  env={**os.environ, "PATH": os.path.dirname(OCI_LANDLOCK) + ":" +
                                       os.environ["PATH"]})
            test.assertEqual(done.returncode, 0, done.stdout)
            said = done.stdout
        elif tag.startswith("text"):
            test.assertEqual((tag, text), ("text output", said))
    test.assertIsNotNone(said, f"{guide} has something to be done")


BUSYBOX_APPLETS = ("sh", "cat", "ls", "echo", "id", "mount", "umount", "ln", "cp", "mv", "rm", "mkdir", "sleep", "grep",
                   "chmod", "unshare", "chroot", "true", "false", "kill", "stat", "touch", "env", "wc", "seq", "tr")

CONFIG = {
    "ociVersion": "1.0.2",
    "process": {
        "terminal": False,
        "user": {"uid": 0, "gid": 0},
        "args": ["/bin/sh"],
        "env": ["PATH=/bin:/sbin:/usr/bin:/usr/sbin"],
        "cwd": "/",
        "capabilities": {
            kind: ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_NET_BIND_SERVICE",
                   "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT"]
            for kind in ("bounding", "effective", "permitted")
        },
        "noNewPrivileges": False,
    },
    "root": {"path": "rootfs", "readonly": False},
    "hostname": "container",
    "mounts": [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
         "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
        {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
         "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
    ],
    "linux": {
        "namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount", "cgroup")],
    },
    "annotations": {},
}
