# SPDX-License-Identifier: Apache-2.0
"""podman with our hook files, as installed; and what doctor says of it, against what podman then does. Wants the larger
image (harness/run --engines)."""

import contextlib
import json
import os
import re
import shutil
import tempfile
import unittest

from cases import FREE, RESTRICTED, lines
from containers import (HOOKS, PROGRAM, RUNTIMES, SOURCE, Bundle, TestCase, command, doctor, install, node_log,
                        problems, profile, program, status)
from direct import FULL, await_true

SETTINGS = "/etc/containers/containers.conf"
PROFILES = "/etc/oci-landlock/profiles"
IMAGE = "localhost/probe"
GUIDE = "docker.io/library/debian"  # a small one, by the name that the guide uses
# No systemd, no network, no journal.
CONF = """[containers]
netns = "none"
log_driver = "k8s-file"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
"""
BOTH = "/bin/probe read /etc/secret; /bin/target read /etc/secret"
KEEP = BOTH + "; exec sleep 1000"


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def podman(*words, **options):
    return command("podman", *words, **options)


def csv(text):
    """podman 4 reads an annotation as one field of CSV."""
    return '"' + text.replace('"', '""') + '"'


@contextlib.contextmanager
def instead(path, text=None):
    """The file has this text, or is not there, while the body runs."""
    kept = path + ".kept"
    if os.path.exists(path):
        os.rename(path, kept)
    if text is not None:
        write(path, text)
    try:
        yield
    finally:
        if text is not None:
            os.unlink(path)
        if os.path.exists(kept):
            os.rename(kept, path)


@unittest.skipUnless(shutil.which("podman"), "there is no podman; run with --engines")
class Podman(TestCase):
    @classmethod
    def setUpClass(cls):
        install()
        write(SETTINGS, CONF)
        # Debian's runtimes want it to be there once AppArmor is.
        write("/etc/apparmor/parser.conf", "")
        for path in ("/etc/subuid", "/etc/subgid"):
            write(path, "containers:200000:131072\n")
        write(PROFILES + "/web.json", json.dumps(profile(program("/bin/target"))))
        directory = tempfile.mkdtemp(prefix="image-", dir="/tmp")
        rootfs = Bundle(directory).rootfs
        # As in most images, and not as busybox has it: a file of its own.
        os.unlink(rootfs + "/bin/cat")
        shutil.copy(rootfs + "/bin/busybox", rootfs + "/bin/cat")
        os.symlink("busybox", rootfs + "/bin/head")
        write(rootfs + "/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
        command("tar", "-C", rootfs, "-cf", directory + ".tar", ".", check=True)
        for name in (IMAGE, GUIDE):
            made = podman("import", directory + ".tar", name)
            assert made.returncode == 0, made.stderr

    def setUp(self):
        super().setUp()
        self.addCleanup(podman, "rm", "--all", "--force", "--time", "0")

    def run_(self, *options, runtime="crun", text=BOTH, wanted="web", words=None):
        annotation = ["--annotation", csv(f"io.landlock.profile={wanted}")] if wanted else []
        return podman("--runtime", runtime, "run", "--rm", *annotation, *options, IMAGE,
                      *(words or ("/bin/sh", "-c", text)))

    def assertLines(self, result, *expected):
        self.assertEqual((result.returncode, lines(result)), (0, list(expected)), result.stderr)

    def assertDoctorSays(self, *wrong):
        """These are the problems. Returns all that it found."""
        code, found = doctor()
        self.assertEqual((code, problems(found)), (1 if wrong else 0, list(wrong)), found)
        return found

    def test_annotation(self):
        """With it the selected program is restricted, without it nothing is; a profile by name, and a whole one."""
        for runtime in RUNTIMES:
            with self.subTest(runtime):
                self.assertLines(self.run_(runtime=runtime), FREE, RESTRICTED)
                self.assertLines(self.run_(runtime=runtime, wanted=None), FREE, FREE)
                self.assertLines(self.run_(runtime=runtime, wanted=json.dumps(profile(program("/bin/probe")))),
                                 RESTRICTED, FREE)
        self.assertNothingLeft()

    def test_life(self):
        """exec, restart, stop and start of one container."""
        for runtime in RUNTIMES if FULL else ("crun",):
            with self.subTest(runtime):
                started = podman("--runtime", runtime, "run", "--detach", "--name", "web", "--annotation",
                                 "io.landlock.profile=web", IMAGE, "/bin/sh", "-c", KEEP)
                self.assertEqual(started.returncode, 0, started.stderr)
                for number, step in enumerate((None, ("restart", "--time", "0"), ("stop", "--time", "0")), 1):
                    if step:
                        done = podman(*step, "web")
                        self.assertEqual(done.returncode, 0, done.stderr)
                    if step and step[0] == "stop":
                        self.assertNothingLeft()
                        self.assertEqual(podman("start", "web").returncode, 0)
                    expected = [FREE, RESTRICTED] * number
                    await_true(lambda: lines(podman("logs", "web")) == expected, f"it has printed {expected}", 120)
                    # A session is restricted whatever it executes.
                    self.assertLines(podman("exec", "web", "/bin/probe", "read", "/etc/secret"), RESTRICTED)
                    item, = status()["containers"]
                    self.assertEqual((item["id"], item["applied"]), (started.stdout.strip(), 2))
                self.assertEqual(podman("rm", "--force", "--time", "0", "web").returncode, 0)
                self.assertNothingLeft()

    def test_options(self):
        """What changes the container's root, mounts, or user namespace."""
        os.makedirs("/tmp/volume", exist_ok=True)
        write("/tmp/volume/file", "")
        for options in (("--read-only",), ("--uidmap", "0:300000:65536", "--gidmap", "0:300000:65536"),
                        ("--userns=auto",), ("--volume", "/tmp/volume:/allowed"),
                        ("--security-opt", "no-new-privileges"), ("--user", "1000:1000"), ("--cap-drop=all",)):
            with self.subTest(" ".join(options)):
                self.assertLines(self.run_(*options), FREE, RESTRICTED)
        self.assertLines(self.run_("--volume", "/tmp/volume:/allowed", words=("/bin/target", "read", "/allowed/file")),
                         "read /allowed/file: allowed")

    @unittest.skipUnless(shutil.which("catatonit"), "there is no catatonit, which podman's --init wants")
    def test_init(self):
        """podman's own init is the entrypoint; the program is selected all the same."""
        self.assertLines(self.run_("--init"), FREE, RESTRICTED)

    def test_a_profile_that_is_wrong(self):
        """The container does not start. Why: with runc it is in podman's message, with crun in the system log."""
        for runtime in RUNTIMES:
            with self.subTest(runtime):
                before = len(node_log())
                result = self.run_(runtime=runtime, wanted="nosuch")
                self.assertEqual((result.returncode, result.stdout), (126, ""), result.stderr)
                why = 'no profile "nosuch": tried /etc/oci-landlock/profiles/nosuch.json'
                self.assertIn(why, node_log()[before:])
                if runtime == "runc":
                    self.assertIn(why, result.stderr)
        self.assertNothingLeft()

    def test_as_installed(self):
        """doctor finds nothing wrong."""
        found = self.assertDoctorSays()
        self.assertEqual(found["podman.createRuntime"]["message"],
                         f"podman runs the hook, by {HOOKS}/oci-landlock.json")

    def test_guide(self):
        """docs/guide/podman.md, command by command."""
        with open(os.path.join(SOURCE, "docs", "guide", "podman.md"), encoding="utf-8") as file:
            blocks = re.findall(r"^```([^\n]*)\n(.*?)^```$", file.read(), re.M | re.S)
        self.assertGreater(len(blocks), 4)
        for i, (tag, text) in enumerate(blocks):
            if tag.startswith("json /"):
                write(tag.split()[1], text)
            elif tag == "sh vm":
                result = command("bash", "-euo", "pipefail", "-c", text)
                self.assertEqual(result.returncode, 0, text + result.stderr)
                if i + 1 < len(blocks) and blocks[i + 1][0] == "text output":
                    self.assertEqual(result.stdout, blocks[i + 1][1], text + result.stderr)

    # What follows is about failures that nobody tells. When podman has learnt to, these tests fail, and doctor and the
    # guide have something to take back.

    def assertFailsOpen(self, *expected):
        self.assertLines(self.run_(), FREE, FREE)
        self.assertDoctorSays(*expected)

    def test_program_missing(self):
        """podman passes over the hook."""
        with instead(PROGRAM):
            self.assertFailsOpen("podman.program")
        self.assertLines(self.run_(), FREE, RESTRICTED)

    def test_not_in_the_directories(self):
        with instead(SETTINGS, CONF + 'hooks_dir = ["/etc/containers/registries.conf.d"]\n'):
            self.assertFailsOpen("podman.createRuntime")

    def test_what_others_lack(self):
        """A directory that does not exist, and another hook's program: podman passes over those alone."""
        other = '{"version":"1.0.0","hook":{"path":"/opt/gone"},"when":{"always":true},"stages":["prestart"]}'
        with instead(SETTINGS, CONF + f'hooks_dir = ["/etc/containers/gone", "{HOOKS}"]\n'), \
             instead(f"{HOOKS}/other.json", other):
            self.assertLines(self.run_(), FREE, RESTRICTED)
            found = self.assertDoctorSays()
            for name in ("podman.directories", "podman.program"):
                self.assertEqual(found[name]["severity"], "note")

    def test_condition_that_does_not_match(self):
        with open(f"{HOOKS}/oci-landlock.json", encoding="utf-8") as file:
            hook = json.load(file)
        hook["when"] = {"annotations": {"^io.landlock$": ".*"}}
        with instead(f"{HOOKS}/oci-landlock.json", json.dumps(hook)):
            self.assertFailsOpen("podman.createRuntime")

    def test_malformed(self):
        """No container starts, whatever it asks for."""
        for text in ("{", '{"version":"1.0.0","hook":{"path":"/bin/true"},"when":{"always":true},"stages":["later"]}',
                     '{"version":"3.0.0"}'):
            with self.subTest(text), instead(f"{HOOKS}/other.json", text):
                result = self.run_(wanted=None)
                self.assertEqual((result.returncode, result.stdout), (126, ""), result.stderr)
                self.assertDoctorSays("podman.files")

    def test_not_executable(self):
        """Containers that want the hook do not start."""
        self.addCleanup(os.chmod, PROGRAM, 0o755)
        os.chmod(PROGRAM, 0o644)
        result = self.run_()
        self.assertNotEqual(result.returncode, 0)
        self.assertEqual(result.stdout, "")
        self.assertLines(self.run_(wanted=None), FREE, FREE)
        self.assertDoctorSays("podman.program")

    def test_twice(self):
        """The hook runs twice, and the container is restricted once."""
        with open(f"{HOOKS}/oci-landlock.json", encoding="utf-8") as file:
            text = file.read()
        with instead(f"{HOOKS}/again.json", text):
            self.assertLines(self.run_(), FREE, RESTRICTED)
            found = self.assertDoctorSays()
            self.assertIn("the hook runs 2 times at createRuntime", found["podman.createRuntime"]["message"])
