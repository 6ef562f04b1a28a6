# SPDX-License-Identifier: Apache-2.0
"""podman with our hook files, as installed; and what doctor says of it, against what podman then does. Wants the larger
image (harness/run --engines)."""

import contextlib
import functools
import json
import os
import pwd
import re
import shutil
import tempfile
import unittest

from cases import FREE, RESTRICTED, lines, wait_for
from containers import (HOOKS, PROGRAM, RUNTIMES, SOURCE, Bundle, TestCase, annotated, command, doctor, install, node_log,
                        problems, profile, program, status)
from direct import FULL

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
QUADLET = "/etc/containers/systemd/web.container"
with open("/proc/1/comm", encoding="utf-8") as file:
    SYSTEMD = file.read() == "systemd\n"
BOTH = "/bin/probe read /etc/secret; /bin/target read /etc/secret"
KEEP = BOTH + "; exec sleep 1000"


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def make_image():
    """Its files, and them as a tar archive."""
    directory = tempfile.mkdtemp(prefix="image-", dir="/tmp")
    rootfs = Bundle(directory).rootfs
    # As in most images, and not as busybox has it: a file of its own.
    os.unlink(rootfs + "/bin/cat")
    shutil.copy(rootfs + "/bin/busybox", rootfs + "/bin/cat")
    os.symlink("busybox", rootfs + "/bin/head")
    write(rootfs + "/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
    command("tar", "-C", rootfs, "-cf", directory + ".tar", ".", check=True)
    # Debian's runtimes want it to be there once AppArmor is.
    write("/etc/apparmor/parser.conf", "")
    return directory + ".tar"


def guide():
    """(tag, text) of the blocks of docs/guide/podman.md."""
    with open(os.path.join(SOURCE, "docs", "guide", "podman.md"), encoding="utf-8") as file:
        return re.findall(r"^```([^\n]*)\n(.*?)^```$", file.read(), re.M | re.S)


def podman(*words, **options):
    return command("podman", *words, **options)


def journal(*matches):
    return command("journalctl", "--no-pager", "--output=cat", *matches).stdout


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
        # Of a user whom newer programs want to be there.
        if "containers" not in (user.pw_name for user in pwd.getpwall()):
            command("useradd", "--system", "containers", check=True)
        for path in ("/etc/subuid", "/etc/subgid"):
            write(path, "containers:200000:131072\n")
        write(PROFILES + "/web.json", json.dumps(profile(program("/bin/target"))))
        image = make_image()
        for name in (IMAGE, GUIDE):
            made = podman("import", image, name)
            assert made.returncode == 0, made.stderr

    def setUp(self):
        super().setUp()
        self.addCleanup(podman, "rm", "--all", "--force", "--time", "0")

    def run_(self, *options, runtime="crun", text=BOTH, wanted="web", words=None):
        annotation = ["--annotation", annotated(f"io.landlock.profile={wanted}")] if wanted else []
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

    def test_what_podman_leaves_out(self):
        """docs/hooks.md: a clone has no annotations, those that are written for Kubernetes have the container's name, and
        a build has the hooks that it is given itself, and no others."""
        made = podman("create", "--name", "web", "--annotation", "io.landlock.profile=web", IMAGE, "/bin/true")
        self.assertEqual(made.returncode, 0, made.stderr)
        self.assertEqual(podman("container", "clone", "web", "clone").returncode, 0)
        for name, has in (("web", True), ("clone", False)):
            shown = podman("inspect", "--format", "{{.Config.Annotations}}", name).stdout
            self.assertEqual("io.landlock.profile:web" in shown, has, shown)
        self.assertIn("\n    io.landlock.profile/web: web\n", podman("generate", "kube", "web").stdout)

        directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, directory)
        write(directory + "/Containerfile", f"FROM {IMAGE}\nRUN {BOTH}\n")
        with open(os.path.join(HOOKS, "oci-landlock.json"), encoding="utf-8") as file:
            hook = json.load(file)
        hook["when"] = {"always": True}
        write(directory + "/hooks/always.json", json.dumps(hook))
        with (instead("/etc/oci-landlock/config.json", '{"baseline": "web"}'),
              instead(SETTINGS, CONF + f'hooks_dir = ["{directory}/hooks"]\n')):
            self.assertLines(self.run_(wanted=None), FREE, RESTRICTED)
            for own, expected in (((), [FREE, FREE]), (("--hooks-dir", directory + "/hooks"), [FREE, RESTRICTED])):
                built = podman("build", "--no-cache", "--network=none", *own, directory)
                self.assertEqual(built.returncode, 0, built.stderr)
                self.assertEqual([line for line in lines(built) if line in (FREE, RESTRICTED)], expected, built)

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
                    wait_for(lambda: lines(podman("logs", "web")) == expected, f"it has printed {expected}", 120)
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

    def require_pods(self):
        if podman("version", "--format", "{{.Client.Version}}").stdout.startswith("4."):
            self.skipTest("podman 4 makes no pods without systemd's cgroup manager")

    def test_pod(self):
        """One container of a pod asks, another does not."""
        self.require_pods()
        made = podman("pod", "create", "--network=none", "--name", "pod")
        self.assertEqual(made.returncode, 0, made.stderr)
        self.addCleanup(podman, "pod", "rm", "--force", "--time", "0", "pod")
        self.assertLines(self.run_("--pod", "pod"), FREE, RESTRICTED)
        self.assertLines(self.run_("--pod", "pod", wanted=None), FREE, FREE)

    def kube_play(self, annotations):
        """podman's answer, and what two containers of a pod with these annotations have printed."""
        containers = [{"name": name, "image": IMAGE, "imagePullPolicy": "Never", "command": ["/bin/sh", "-c", BOTH]}
                      for name in ("a", "b")]
        write("/tmp/pod.yaml", json.dumps({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod", "annotations": annotations},
            "spec": {"restartPolicy": "Never", "containers": containers}}))
        self.addCleanup(podman, "kube", "down", "--force", "/tmp/pod.yaml")
        played = podman("kube", "play", "--replace", "--network=none", "/tmp/pod.yaml")
        if played.returncode == 0:
            podman("wait", "pod-a", "pod-b")
        return played, [lines(podman("logs", "pod-" + name)) for name in ("a", "b")]

    def test_kube_play(self):
        """Each container of the pod is restricted, by its annotation; for one of them there can be none."""
        self.require_pods()
        for annotations, expected in (({"io.landlock.profile": "web"}, [FREE, RESTRICTED]), ({}, [FREE, FREE])):
            played, said = self.kube_play(annotations)
            self.assertEqual((played.returncode, said), (0, [expected] * 2), played.stdout + played.stderr)
        before = len(node_log())
        for annotations, why in (({"io.landlock.profile/a": "web"}, "this runtime does not say which container of the pod this is"),
                                 ({"io.landlock.profile": "nosuch"}, 'no profile "nosuch": tried')):
            played, said = self.kube_play(annotations)
            self.assertNotEqual(played.returncode, 0)
            self.assertEqual(said, [[], []], played.stderr)
            self.assertIn(why, node_log()[before:])

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
        blocks = guide()
        self.assertGreater(len(blocks), 4)
        for i, (tag, text) in enumerate(blocks):
            if tag.startswith("json /"):
                write(tag.split()[1], text)
            elif tag == "sh vm":
                result = command("bash", "-euo", "pipefail", "-c", text, timeout=300)
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


@unittest.skipUnless(SYSTEMD, "systemd is not the init; run with --systemd")
@unittest.skipUnless(os.path.exists("/usr/libexec/podman/quadlet"), "this podman has no quadlets, as 4.4 and later have")
class Quadlet(TestCase):
    """Units that systemd makes of files with our annotation: the one of docs/guide/podman.md, as it is there."""

    @classmethod
    def setUpClass(cls):
        install()
        write(SETTINGS, '[containers]\nnetns = "none"\n')
        cls.image = make_image()
        blocks = guide()
        for tag, text in blocks:
            if tag.startswith("json /"):
                write(tag.split()[1], text)
        at, = [i for i, (tag, _) in enumerate(blocks) if tag == "ini " + QUADLET]
        cls.asks = blocks[at][1]
        assert [tag for tag, _ in blocks[at + 1:at + 3]] == ["sh systemd", "text output"]
        cls.steps, cls.said = (text for _, text in blocks[at + 1:at + 3])
        cls.free = cls.asks.replace("Annotation=io.landlock.profile=programs\n", "")
        cls.wrong = cls.asks.replace("profile=programs", "profile=nosuch")
        assert len({cls.asks, cls.free, cls.wrong}) == 3

    def install_units(self, directory):
        for name, text in (("web", self.asks), ("free", self.free), ("wrong", self.wrong)):
            write(os.path.join(directory, name + ".container"), text)

    def compare(self, run, *options):
        """`run`: runs a command as whose units they are; `options` are systemctl's and journalctl's."""
        def systemctl(*words):
            return run("systemctl", *options, *words)

        def said(unit):
            return run("podman", "logs", "systemd-" + unit).stdout

        def shows(unit, name):
            return systemctl("show", "--property", name, "--value", unit).stdout.strip()

        done = run("bash", "-euo", "pipefail", "-c",
                   self.steps.replace("systemctl", " ".join(("systemctl", *options))))
        self.assertEqual((done.returncode, done.stdout), (0, self.said), done.stderr + self.journal("web"))
        self.assertEqual(shows("web", "ActiveState"), "active")
        # What is restricted is in the unit's own cgroup.
        init = run("podman", "inspect", "--format", "{{.State.Pid}}", "systemd-web").stdout.strip()
        with open(f"/proc/{init}/cgroup", encoding="utf-8") as file:
            self.assertIn("/web.service/", file.read())
        found = json.loads(run(PROGRAM, "status", "--json").stdout)["containers"]
        self.assertEqual([item["id"] for item in found],
                         [run("podman", "inspect", "--format", "{{.Id}}", "systemd-web").stdout.strip()])

        # At boot no container with a profile starts before it is there.
        self.assertIn("oci-landlock-supervisor.service", shows("web", "After").split())

        self.assertEqual(systemctl("restart", "web").returncode, 0)
        wait_for(lambda: said("web") == self.said, "it is restricted after a restart as well", 300)

        started = systemctl("start", "free")
        self.assertEqual(started.returncode, 0, started.stderr)
        wait_for(lambda: said("free") == "root:x:0:0:root:/root:/bin/sh\n", "the one without annotation reads", 300)

        self.assertNotEqual(systemctl("start", "wrong").returncode, 0)
        self.assertEqual([shows("wrong", name) for name in ("ActiveState", "Result", "ExecMainStatus")],
                         ["failed", "exit-code", "126"])
        # crun says that a hook failed. Why is in the journal, but often without the unit's name: the hook has ended by
        # the time that journald looks up whose it was.
        wait_for(lambda: "hook" in self.journal("wrong"), "the unit's journal names the hook", 120)
        wait_for(lambda: 'no profile "nosuch": tried' in journal("--identifier=oci-landlock", f"_UID={self.uid}"),
                 "the journal says why", 120)
        self.assertNotIn("root:x:0:0", self.journal("wrong"))

        self.assertEqual(systemctl("stop", "web", "free").returncode, 0)
        self.assertEqual(run("podman", "ps", "--all", "--quiet").stdout, "")

    def journal(self, unit):
        return journal(f"{'_SYSTEMD_USER_UNIT' if self.uid else '_SYSTEMD_UNIT'}={unit}.service")

    def test_of_the_system(self):
        self.uid = 0
        self.install_units(os.path.dirname(QUADLET))
        self.addCleanup(shutil.rmtree, os.path.dirname(QUADLET))
        made = podman("import", self.image, GUIDE)
        self.assertEqual(made.returncode, 0, made.stderr)
        self.compare(functools.partial(command, timeout=600))
        self.assertNothingLeft()

    def test_an_update(self):
        """What `podman auto-update` starts anew, with another image, is restricted as before."""
        def container(field):
            return podman("inspect", "--format", field, "systemd-update").stdout.strip()

        def imported(*words):
            made = podman("import", "--quiet", *words, self.image, GUIDE)
            self.assertEqual(made.returncode, 0, made.stderr)
            return made.stdout.strip().removeprefix("sha256:")

        def not_read():
            return podman("logs", "systemd-update").stdout == self.said

        directory = os.path.dirname(QUADLET)
        self.addCleanup(shutil.rmtree, directory)
        write(directory + "/update.container", self.asks.replace("Image=", "AutoUpdate=local\nImage="))
        before = imported()
        command("systemctl", "daemon-reload", check=True)
        self.addCleanup(command, "systemctl", "stop", "update")
        self.assertEqual(command("systemctl", "start", "update").returncode, 0)
        wait_for(not_read, "it is restricted", 300)
        self.assertEqual(container("{{.Image}}"), before)
        after = imported("--change", "LABEL version=2")
        done = podman("auto-update", "--format", "{{.Unit}} {{.Updated}}", timeout=300)
        self.assertEqual((done.returncode, done.stdout), (0, "update.service true\n"), done.stderr)
        self.assertEqual(container("{{.Image}}"), after)
        wait_for(not_read, "it is restricted after the update as well", 300)

    def test_of_a_user(self):
        """By the user's own systemd; the applier is launch, whatever the node has."""
        command("systemctl", "start", "systemd-logind", check=True)
        write("/etc/subuid", "")
        write("/etc/subgid", "")
        command("useradd", "--create-home", "demo", check=True)
        user = pwd.getpwnam("demo")
        self.uid = user.pw_uid
        self.addCleanup(command, "userdel", "--remove", "demo")
        lingers = command("loginctl", "enable-linger", "demo")
        self.assertEqual(lingers.returncode, 0, lingers.stderr)
        self.addCleanup(command, "systemctl", "stop", f"user@{user.pw_uid}.service")

        def run(*words):
            return command("setpriv", "--reuid=demo", "--regid=demo", "--init-groups", "env", "-i", "-C", user.pw_dir,
                           "HOME=" + user.pw_dir, f"XDG_RUNTIME_DIR=/run/user/{user.pw_uid}",
                           f"DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/{user.pw_uid}/bus",
                           "PATH=" + os.environ["PATH"], *words, timeout=600)
        wait_for(lambda: run("systemctl", "--user", "is-active", "default.target").stdout == "active\n",
                 "the user's systemd runs", 300)
        os.chmod(self.image, 0o644)
        made = run("podman", "import", self.image, GUIDE)
        self.assertEqual(made.returncode, 0, made.stderr)
        self.install_units(user.pw_dir + "/.config/containers/systemd")
        command("chown", "-R", "demo:demo", user.pw_dir + "/.config", check=True)
        self.compare(run, "--user")
