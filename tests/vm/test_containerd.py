# SPDX-License-Identifier: Apache-2.0
"""containerd, by the calls of a kubelet, as docs/guide/containerd.md sets it up. Wants the larger image (harness/run
--engines)."""

import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import unittest

import applier
from applier import selector_only
from cases import PATIENCE, lines, wait_for
from containers import (PROGRAM, SHARED, SOURCE, Bundle, TestCase, command, doctor, entry, install, node_log, oci_landlock,
                        policy, problems, profile, status)
from direct import FULL

HERE = shutil.which("containerd") and "VM_KERNEL" in os.environ
if HERE:
    import cri

SETTINGS = "/etc/containerd/config.toml"
PROFILES = "/etc/oci-landlock/profiles"
LOG = "/run/containerd.log"
NO_CRI = "unknown service runtime.v1.RuntimeService"
IMAGE = "localhost/probe:latest"
HANDLERS = ("landlock", "wrapped")
READS = ("/bin/probe", "read", "/etc/secret")
KEEPS = ("/bin/sh", "-c", "/bin/probe read /etc/secret; exec /bin/sleep 1000")
RESTRICTED = "read /etc/secret: Permission denied"
FREE = "read /etc/secret: allowed"
YES, NO = "allowed", "Permission denied"
# All that every applier can do, and sessions where they can be had.
WEB = profile(entry(name="web", sessions=not applier.LAUNCH))
SYSTEMD = os.path.exists("/run/systemd/system")
# "containerd github.com/containerd/containerd/v2 2.1.9": Debian's is of version 2 since its 14th.
TWO = bool(HERE) and int(command("containerd", "--version").stdout.split()[2].lstrip("v").split(".")[0]) >= 2


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


AS_PACKAGED = read(SETTINGS) if HERE else ""


def guide(kind, name="containerd.md"):
    """Blocks of this kind in a guide, each with the one after it."""
    text = read(os.path.join(SOURCE, "docs", "guide", name))
    blocks = [(tag, re.sub("^" + indent, "", body, flags=re.M)) for indent, tag, body in
              re.findall(r"^( *)```([^\n]*)\n(.*?)^ *```$", text, re.M | re.S)]
    return [(tag, body, after) for (tag, body), after in zip(blocks, blocks[1:] + [None]) if tag.startswith(kind)]


def archive(path, name, layer, *words):
    """An image, as `docker save` writes it. Returns what containerd knows it by."""
    config = json.dumps({"architecture": lines(command("dpkg", "--print-architecture"))[0], "os": "linux",
                         "config": {"Cmd": words, "Env": ["PATH=/bin"]},
                         "rootfs": {"type": "layers", "diff_ids": ["sha256:" + digest(layer)]}})
    directory = os.path.dirname(path)
    write(directory + "/config.json", config)
    write(directory + "/manifest.json", json.dumps([{"Config": "config.json", "RepoTags": [name],
                                                     "Layers": [os.path.basename(layer)]}]))
    command("tar", "-C", directory, "-cf", path, "manifest.json", "config.json", os.path.basename(layer), check=True)
    return "sha256:" + hashlib.sha256(config.encode()).hexdigest()


def digest(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


class Daemon:
    process = None

    @classmethod
    def start(cls):
        with open(LOG, "a", encoding="utf-8") as log:
            cls.process = subprocess.Popen(["containerd"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)

        def answers():
            assert cls.process.poll() is None, read(LOG)[-3000:]
            try:
                return cri.call("Version").runtime_name == "containerd"
            except cri.Failed as error:
                return NO_CRI in str(error)
        wait_for(answers, "containerd answers", 600)

    @classmethod
    def stop(cls):
        cls.process.terminate()
        cls.process.wait(60 * PATIENCE)

    @classmethod
    def kill(cls):
        cls.process.kill()
        cls.process.wait(60 * PATIENCE)


def set_up(more=()):
    """containerd as the guide has it, with an image of the probe."""
    install()
    # Debian's runtimes want it to be there once AppArmor is.
    write("/etc/apparmor/parser.conf", "")
    write(PROFILES + "/web.json", json.dumps(WEB))
    for _, text, _ in guide("sh setup"):
        command("bash", "-euo", "pipefail", "-c", text, timeout=600, check=True)
    write(SETTINGS, AS_PACKAGED + "".join(text for _, text, _ in [*guide("toml append"), *more]))
    Daemon.start()
    import_images()


def import_images():
    """The probe's, and what a pod's sandbox runs."""
    directory = tempfile.mkdtemp(prefix="image-", dir="/tmp")
    rootfs = Bundle(directory).rootfs
    write(rootfs + "/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
    command("tar", "-C", rootfs, "-cf", directory + "/layer.tar", ".", check=True)
    # What a pod's sandbox runs, by the name that containerd has for it.
    dumped = command("containerd", "config", "dump", check=True).stdout
    pause = re.search(r"""^ *sandbox(?:_image)? = ["'](.*)["']$""", dumped, re.M)[1]
    for name, words in ((IMAGE, READS), (pause, ("/bin/sleep", "100000"))):
        known = archive(directory + "/image.tar", name, directory + "/layer.tar", *words)
        for namespace in ("k8s.io", "default"):
            done = command("ctr", "--namespace", namespace, "images", "import", directory + "/image.tar")
            assert done.returncode == 0, done.stderr
        # CRI hears of it a moment later.
        wait_for(lambda k=known: k in lines(command("ctr", "--namespace", "k8s.io", "images", "list", "--quiet")),
                 f"CRI knows {name}", 600)
    shutil.rmtree(directory)


class PodTestCase(TestCase):
    @contextlib.contextmanager
    def pod(self, handler, annotations, **options):
        """Nothing is left of it after the body."""
        pod = cri.Pod(handler, annotations, **options)
        try:
            yield pod
        finally:
            pod.end()
        self.assertNothingLeft()

    def start(self, pod, name, annotations=(), words=KEEPS):
        """(id, what it could do)."""
        container = pod.create(name, IMAGE, words, dict(annotations))
        cri.call("StartContainer", container_id=container)
        wait_for(lambda: pod.output(name), f"{name} has printed a line", 300)
        return container, pod.output(name)[-1]

    def outcome(self, *arguments):
        return self.start(*arguments)[1]

    def session(self, container):
        code, printed = cri.execute(container, *READS)
        self.assertEqual((code, len(printed)), (0, 1), printed)
        return printed[0]

    def refused(self, pod, name):
        """Why this container does not start."""
        container = pod.create(name, IMAGE, KEEPS, {})
        with self.assertRaises(cri.Failed) as caught:
            cri.call("StartContainer", container_id=container)
        found = cri.state(container)
        self.assertEqual((found.state, found.reason, found.message), (cri.EXITED, "StartError", str(caught.exception)))
        self.assertEqual(pod.output(name), [])
        return found.message.replace(container, "ID")

    def assertInStatus(self, *containers):
        self.assertEqual(sorted(item["id"] for item in status()["containers"]), sorted(containers))

    def assertDoctorSays(self, *wrong):
        """These are the problems with containerd. Returns what it found there."""
        found = {name: item for name, item in doctor()[1].items() if name.startswith("containerd")}
        self.assertEqual(problems(found), list(wrong), found)
        return found


@unittest.skipUnless(HERE, "there is no containerd in a VM; run with --engines")
@unittest.skipIf(SYSTEMD, "systemd is the init; see Systemd")
class Containerd(PodTestCase):
    @classmethod
    def setUpClass(cls):
        set_up()
        cls.addClassCleanup(Daemon.stop)

    @contextlib.contextmanager
    def settings(self, text):
        """containerd runs by these meanwhile."""
        before = read(SETTINGS)

        def run_by(wanted):
            Daemon.stop()
            write(SETTINGS, wanted)
            Daemon.start()
        run_by(text)
        try:
            yield
        finally:
            run_by(before)

    def test_pod(self):
        """The container that is meant is restricted, by a profile's name or by a whole one; its neighbour and the
        sandbox are not. People see its names."""
        for handler, wanted in zip(HANDLERS, ("web", json.dumps(WEB))):
            with self.subTest(handler), self.pod(handler, {"io.landlock.profile/web": wanted}) as pod:
                web, outcome = self.start(pod, "web")
                self.assertEqual((outcome, self.outcome(pod, "helper")), (RESTRICTED, FREE))
                found, = status()["containers"]
                self.assertEqual((found["id"], found["names"]),
                                 (web, {"namespace": "default", "pod": "shop", "container": "web"}))
                for words in (("status",), ("ps",), ("inspect", "web"), ("inspect", "default/shop/web")):
                    self.assertIn("default/shop/web", oci_landlock(*words, check=True).stdout)
                self.assertNotIn("helper", oci_landlock("ps").stdout)

    def test_whole_pod(self):
        """An annotation for all counts for all but the sandbox, which has it too; and for what is started anew."""
        for handler in HANDLERS:
            with self.subTest(handler), self.pod(handler, {"io.landlock.profile": "web"}) as pod:
                self.assertInStatus()
                (web, first), (helper, second) = self.start(pod, "web"), self.start(pod, "helper")
                self.assertEqual((first, second), (RESTRICTED, RESTRICTED))
                self.assertInStatus(web, helper)
                # As a kubelet does it: another container of the same name.
                cri.call("StopContainer", container_id=web)
                self.assertInStatus(helper)
                cri.call("RemoveContainer", container_id=web)
                os.unlink(os.path.join(pod.logs, "web"))
                again, outcome = self.start(pod, "web")
                self.assertEqual(outcome, RESTRICTED)
                self.assertInStatus(helper, again)

    def test_whose_annotation(self):
        """A container's own counts before the pod's of the same key, and a container's name before none."""
        allowing = json.dumps(profile(entry(rules={"abi": 1, "ruleset": [{"handledAccessFs": ["make_sock"]}]},
                                            sessions=False)))
        key = "io.landlock.profile"
        for handler in HANDLERS:
            with self.subTest(handler):
                with self.pod(handler, {key: allowing, key + "/web": "web"}) as pod:
                    self.assertEqual([self.outcome(pod, "web"), self.outcome(pod, "helper"),
                                      self.outcome(pod, "third", {key: "web"}),
                                      self.outcome(pod, "fourth", {key + "/fourth": "web"})],
                                     [RESTRICTED, FREE, RESTRICTED, RESTRICTED])
                    self.assertEqual(len(status()["containers"]), 4)
                with self.pod(handler, {key: "web"}) as pod:
                    self.assertEqual([self.outcome(pod, "web", {key: allowing}), self.outcome(pod, "helper")],
                                     [FREE, RESTRICTED])

    def test_many(self):
        """Init containers one after the other, then others at once, each with what is its own; and ended by force."""
        secret = json.dumps(profile(entry(rules=policy(read=["/bin", "/etc"], write=["/dev"]), sessions=False)))
        key = "io.landlock.profile/"
        both = "/bin/probe read /etc/secret; /bin/probe read /allowed/file; "
        stays = "trap '' TERM; while :; do sleep 1; done"

        def start(pod, name, then=""):
            container, _ = self.start(pod, name, words=("/bin/sh", "-c", both + then))
            wait_for(lambda: len(pod.output(name)) == 2, f"{name} has printed two lines", 300)
            return container, [line.split(": ")[1] for line in pod.output(name)]

        for handler in HANDLERS:
            with self.subTest(handler), self.pod(handler, {key + "first": "web", key + "second": secret,
                                                           key + "web": "web", key + "db": secret}) as pod:
                for name, outcome in (("first", [NO, YES]), ("second", [YES, NO]), ("third", [YES, YES])):
                    container, found = start(pod, name)
                    self.assertEqual(found, outcome)
                    wait_for(lambda c=container: cri.state(c).state == cri.EXITED, f"{name} is done", 300)
                    self.assertEqual(cri.state(container).exit_code, 0)
                    self.assertInStatus()
                (web, first), (db, second), (_, third) = (start(pod, name, stays) for name in ("web", "db", "helper"))
                self.assertEqual((first, second, third), ([NO, YES], [YES, NO], [YES, YES]))
                self.assertInStatus(web, db)
                cri.call("StopContainer", container_id=web, timeout=1)
                self.assertEqual(cri.state(web).exit_code, 128 + signal.SIGKILL)
                self.assertInStatus(db)

    @selector_only("it does not cover exec sessions; see test_sessions_launch")
    def test_sessions(self):
        for handler in HANDLERS:
            with self.subTest(handler), self.pod(handler, {"io.landlock.profile/web": "web"}) as pod:
                web, helper = (self.start(pod, name)[0] for name in ("web", "helper"))
                self.assertEqual((self.session(web), self.session(helper)), (RESTRICTED, FREE))
                self.assertEqual(cri.execute(web, "/bin/sh", "-c", "exit 5"), (5, []))

    @unittest.skipUnless(applier.LAUNCH, "launch only: sessions are not covered there")
    def test_sessions_launch(self):
        before = len(node_log())
        with self.pod("landlock", {"io.landlock.profile": json.dumps(profile(entry(name="web")))}) as pod:
            web, outcome = self.start(pod, "web")
            self.assertEqual((outcome, self.session(web)), (RESTRICTED, FREE))
            self.assertRegex(node_log()[before:], rf"container {web} \(default/shop/web\): entry web is enforced "
                             r"partially, without (.*, )?sessions \(not with launch\)")

    def test_refusals(self):
        """The container does not start, and the kubelet is told why; its neighbours go on."""
        end = "" if TWO else ": unknown"
        wrong = (("nosuch", 'no profile "nosuch": tried /etc/oci-landlock/profiles/nosuch.json and '),
                 ('{\n"entries": [', "annotation io.landlock.profile/web, line 2: no valid JSON: "),
                 ('{"entries": []}', "annotation io.landlock.profile/web: /entries: is empty"))
        for handler, cases in (("landlock", wrong), ("wrapped", wrong if FULL else wrong[:1])):
            annotations = {f"io.landlock.profile/{number}": wanted for number, (wanted, _) in enumerate(cases)}
            with self.subTest(handler), self.pod(handler, annotations) as pod:
                for number, (_, why) in enumerate(cases):
                    # All of it, with what containerd and runc put before it.
                    self.assertRegex(self.refused(pod, str(number)).replace(f"profile/{number}", "profile/web"),
                                     r"^failed to create containerd task: [^\n]{,250}, stderr: oci-landlock: container "
                                     rf"ID \(default/shop/{number}\): {re.escape(why)}[^\n]{{,150}}{end}$")
                self.assertEqual(self.outcome(pod, "helper"), FREE)

    def test_misspelt(self):
        """Told at once where the hook sees the sandbox, else by the first container."""
        annotations = {"io.landlock.profil": "web"}
        why = "annotation io.landlock.profil: unknown; there are io.landlock.profile, "
        with self.pod("landlock", annotations) as pod:
            self.assertIn(why, self.refused(pod, "web"))
        with self.assertRaises(cri.Failed) as caught:
            cri.Pod("wrapped", annotations)
        self.assertIn(why, str(caught.exception))

    def test_restart(self):
        """What runs stays restricted, and can be ended; new containers of old pods are restricted."""
        for handler, end in zip(HANDLERS, (Daemon.stop, Daemon.kill)):
            with self.subTest(handler), self.pod(handler, {"io.landlock.profile": "web"}) as pod:
                web, outcome = self.start(pod, "web")
                self.assertEqual(outcome, RESTRICTED)
                end()
                self.assertInStatus(web)
                Daemon.start()
                self.assertEqual(cri.state(web).state, cri.RUNNING)
                if not applier.LAUNCH:
                    self.assertEqual(self.session(web), RESTRICTED)
                later, outcome = self.start(pod, "later")
                self.assertEqual(outcome, RESTRICTED)
                self.assertInStatus(web, later)

    # What nobody tells: containerd does this, and doctor finds it.

    def test_pattern_that_matches_no_slash(self):
        with self.settings(read(SETTINGS).replace(', "io.landlock.*/*"', "")):
            message = self.assertDoctorSays("containerd.annotations")["containerd.annotations"]["message"]
            self.assertIn("does not let the annotation io.landlock.profile/web pass", message)
            for handler in HANDLERS:
                with self.pod(handler, {"io.landlock.profile/web": "web"}) as pod:
                    self.assertEqual(self.outcome(pod, "web"), FREE)
                with self.pod(handler, {"io.landlock.profile": "web"}) as pod:
                    self.assertEqual(self.outcome(pod, "web"), RESTRICTED)

    def test_no_handler(self):
        """A pod of another one, whatever it asks for."""
        self.assertDoctorSays()
        with self.pod("runc", {"io.landlock.profile": "web"}) as pod:
            self.assertEqual(self.outcome(pod, "web", {"io.landlock.profile": "web"}), FREE)

    def test_runc_is_not_named(self):
        """containerd 1 runs no pods at all; a newer one has it built in all the same."""
        (_, table, _), = (block for block in guide("toml append") if "runtimes.runc]" in block[1])
        with self.pod("", {}) as pod:
            self.assertEqual(self.outcome(pod, "web"), FREE)
        with self.settings(read(SETTINGS).replace(table, "")):
            if TWO:
                self.assertDoctorSays()
                for handler, outcome in (("", FREE), ("landlock", RESTRICTED)):
                    with self.pod(handler, {"io.landlock.profile": "web"}) as pod:
                        self.assertEqual(self.outcome(pod, "web"), outcome)
                return
            self.assertDoctorSays("containerd.runc")
            with self.assertRaisesRegex(cri.Failed, NO_CRI):
                cri.Pod("landlock", {})
            self.assertRegex(read(LOG), r"no corresponding runtime configured .*default_runtime_name = .*runc")

    @unittest.skipUnless(TWO, "containerd 1 reads no files of version 3")
    def test_version_3(self):
        """What containerd 2 writes itself, with the handler in a file of its own, as the guide says."""
        (_, line, _), = guide("toml version 3")
        os.makedirs(SHARED + "/containerd", exist_ok=True)
        shutil.copy(os.path.join(SOURCE, "hooks", "containerd", "version-3.toml"), SHARED + "/containerd")
        for _, text, _ in guide("sh version 3"):
            command("bash", "-euo", "pipefail", "-c", text, check=True)
        own = re.sub("^imports = .*\n", line, command("containerd", "config", "default", check=True).stdout, flags=re.M)
        self.assertIn(line, own)
        with self.settings(own):
            self.assertDoctorSays()
            with self.pod("landlock", {"io.landlock.profile/web": "web"}) as pod:
                self.assertEqual([self.outcome(pod, "web"), self.outcome(pod, "helper")], [RESTRICTED, FREE])
        # In a file of version 2 that line takes away what the file itself says.
        with self.settings(read(SETTINGS).replace("version = 2\n", "version = 2\n" + line)):
            message = self.assertDoctorSays("containerd.imports")["containerd.imports"]["message"]
            self.assertIn("containerd 2.1 passes over what /etc/containerd/config.toml says of pods", message)
            with self.assertRaisesRegex(cri.Failed, "wrapped"):
                cri.Pod("wrapped", {})

    def test_program_missing(self):
        """No container of a handler of ours starts, whatever it asks for."""
        os.rename(PROGRAM, PROGRAM + ".away")
        self.addCleanup(os.rename, PROGRAM + ".away", PROGRAM)
        self.assertDoctorSays("containerd.program", "containerd.specification")
        with self.pod("landlock", {}) as pod:
            self.assertIn("fork/exec /usr/bin/oci-landlock: no such file", self.refused(pod, "web"))
        with self.assertRaisesRegex(cri.Failed, "/usr/bin/oci-landlock, which the hooks of the container call, is not"):
            cri.Pod("wrapped", {"io.landlock.profile": "web"})
        with self.pod("wrapped", {}) as pod:
            self.assertEqual(self.outcome(pod, "web"), FREE)

    def test_ctr(self):
        """Asked by an annotation or by the environment; but not of a runtime that is not ours."""
        for number, (options, outcome) in enumerate((
                (("--annotation", "io.landlock.profile=web"), RESTRICTED),
                (("--env", "OCI_LANDLOCK_PROFILE=web"), RESTRICTED), ((), FREE))):
            for ours in (True, False):
                runtime = ("--runc-binary", "oci-landlock-runtime") if ours else ()
                result = command("ctr", "run", "--rm", *runtime, *options, IMAGE, f"c{number}{ours}", *READS)
                self.assertEqual(lines(result), [outcome if ours else FREE])
        self.assertNothingLeft()

    def test_guide(self):
        """docs/guide/containerd.md, command by command. The handler in it is the one that is shipped."""
        for _, path, text in ((tag, tag.split()[1], text) for tag, text, _ in guide("json /")):
            write(path, text)
        for _, text, after in guide("sh vm"):
            result = command("bash", "-euo", "pipefail", "-c", text)
            self.assertEqual(result.returncode, 0, text + result.stderr + oci_landlock("doctor").stdout)
            self.assertEqual(after, ("text output", result.stdout), text + result.stderr)
        self.assertEqual(len(guide("sh vm")), 2)
        shipped = re.sub("^#.*\n", "", read(os.path.join(SOURCE, "hooks", "containerd", "version-2.toml")), flags=re.M)
        self.assertIn(shipped, [text for _, text, _ in guide("toml append")])


@unittest.skipUnless(HERE, "there is no containerd in a VM; run with --engines")
@unittest.skipUnless(SYSTEMD, "systemd is not the init; run with --systemd")
class Systemd(PodTestCase):
    """Cgroups that systemd makes, as for a kubelet with that driver."""

    @classmethod
    def setUpClass(cls):
        set_up(guide("toml systemd"))
        cls.addClassCleanup(Daemon.stop)

    def test_pod(self):
        # The handler that the guide gives no such option.
        self.assertDoctorSays("containerd.cgroups")
        inside = "kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1.slice"
        with self.pod("landlock", {"io.landlock.profile/web": "web"}, cgroup="/" + inside) as pod:
            web, outcome = self.start(pod, "web")
            self.assertEqual((outcome, self.outcome(pod, "helper")), (RESTRICTED, FREE))
            self.assertInStatus(web)
            self.assertTrue(os.path.isdir(f"/sys/fs/cgroup/{inside}/cri-containerd-{web}.scope"))
            if not applier.LAUNCH:
                self.assertEqual(self.session(web), RESTRICTED)
