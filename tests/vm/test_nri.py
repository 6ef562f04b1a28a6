# SPDX-License-Identifier: Apache-2.0
"""Pods that get their hooks by containerd's NRI, as docs/guide/nri.md sets it up. Wants an image whose containerd has it
(harness/run --engines --suite trixie)."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import unittest

from cases import kill, wait_for
from containers import PROGRAM, command, node_log
from test_containerd import (FREE, HERE, IMAGE, RESTRICTED, SETTINGS, SYSTEMD, TWO, Daemon, PodTestCase, guide, read,
                             set_up, write)

if HERE:
    import cri

# Of a handler that has nothing of ours.
PLAIN = "runc"
PLUGINS = "/opt/nri/plugins"
KEY = "io.landlock.profile"
PRESENCE = "/run/oci-landlock/nri"
# How it is switched on where it is not by itself.
(_, ON, _), = guide("toml append", "nri.md")
# What `systemctl enable` makes.
ENABLED = "/etc/systemd/system/multi-user.target.wants/oci-landlock-nri.service"


def alive(pid):
    """And no zombie."""
    try:
        return read(f"/proc/{pid}/stat").rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def has_nri():
    listed = command("containerd", "config", "default").stdout if HERE else ""
    return "io.containerd.nri.v1.nri" in listed


@unittest.skipUnless(HERE, "there is no containerd in a VM; run with --engines")
@unittest.skipIf(SYSTEMD, "systemd is the init")
@unittest.skipUnless(has_nri(), "this containerd has no NRI; run with --suite trixie")
class Nri(PodTestCase):
    @classmethod
    def setUpClass(cls):
        node_log()
        set_up([] if TWO else guide("toml append", "nri.md"))
        cls.addClassCleanup(Daemon.stop)

    @contextlib.contextmanager
    def plugin(self):
        """One that is started by itself, as by its unit; it is connected."""
        before = node_log().count("NRI: connected")
        process = subprocess.Popen([PROGRAM, "nri"], stdin=subprocess.DEVNULL)
        try:
            wait_for(lambda: node_log().count("NRI: connected") > before, "the plugin is connected", 60)
            yield process
        finally:
            process.kill()
            process.wait()

    @contextlib.contextmanager
    def enabled(self):
        write(ENABLED, "")
        try:
            yield
        finally:
            os.unlink(ENABLED)

    @contextlib.contextmanager
    def settings(self, line, instead):
        """containerd runs by these meanwhile."""
        before = read(SETTINGS)
        self.assertIn(line, ON)

        def run_by(wanted):
            Daemon.stop()
            write(SETTINGS, wanted)
            Daemon.start()
        run_by(before.replace(ON, "") + ON.replace(line, instead))
        try:
            yield
        finally:
            run_by(before)

    def assertPlugin(self, severity, message):
        """What doctor says of it, and of nothing else in containerd anything bad."""
        found = self.assertDoctorSays(*(["containerd.nri"] if severity == "problem" else []))["containerd.nri"]
        self.assertEqual(found["severity"], severity, found)
        self.assertIn(message, found["message"])

    def test_doctor(self):
        """It finds that it works, and why not; and says nothing where nobody wants a plugin."""
        self.assertNotIn("containerd.nri", self.assertDoctorSays())
        with self.enabled():
            self.assertPlugin("problem", "oci-landlock-nri.service is enabled, and no plugin runs: pods without a handler")
            with self.plugin():
                self.assertPlugin("ok", "the plugin at /run/nri/nri.sock is connected")
                Daemon.stop()
                wait_for(lambda: "the engine is gone" in node_log(), "the plugin has seen that", 60)
                self.assertPlugin("note", "containerd does not run")
                before = node_log().count("NRI: connected")
                Daemon.start()
                wait_for(lambda: node_log().count("NRI: connected") > before, "the plugin is connected", 60)
                self.assertPlugin("ok", "the plugin at /run/nri/nri.sock is connected")
            self.assertPlugin("problem", "is enabled, and no plugin runs")
        with self.plugin():
            self.assertPlugin("note", "nothing starts it after the next boot")

    def test_doctor_of_settings(self):
        """What containerd is told otherwise. Pods do without a sandbox then, and doctor is right."""
        off = "containerd runs, and listens for no plugin at /run/nri/nri.sock: before version 2 its NRI is off unless "
        process = subprocess.Popen([PROGRAM, "nri"], stdin=subprocess.DEVNULL)
        try:
            for line, instead, message in (
                    *([] if TWO else [("  disable = false\n", "", off)]),
                    ("  disable = false\n", "  disable = true\n", "containerd's NRI is off by " + SETTINGS),
                    ("  disable = false\n", "  disable = false\n  disable_connections = true\n",
                     "containerd takes no plugin that it has not started itself"),
                    ('"/run/nri/nri.sock"', '"/run/nri/other.sock"',
                     "containerd listens for plugins at /run/nri/other.sock, and the plugin that runs looks at /run/nri/")):
                with self.subTest(instead), self.settings(line, instead):
                    self.assertPlugin("problem", message)
                    with self.pod(PLAIN, {KEY: "web"}) as pod:
                        self.assertEqual(self.outcome(pod, "web"), FREE)
        finally:
            process.kill()
            process.wait()

    def test_upgrade(self):
        """A plugin of before goes on, and is found by the version that it says."""
        version = command(PROGRAM, "--version").stdout.split()[-1]
        with self.enabled(), self.plugin() as process:
            self.assertPlugin("ok", "the plugin at /run/nri/nri.sock is connected")
            path = f"{PRESENCE}/{process.pid}"
            write(path, read(path).replace(f'"{version}"', '"0.0.9"'))
            shutil.copy(PROGRAM, PROGRAM + ".new")
            os.rename(PROGRAM + ".new", PROGRAM)
            self.assertPlugin("note", f"the plugin that runs is of version 0.0.9, this is {version}: its hooks call what")
            with self.pod(PLAIN, {KEY: "web"}) as pod:
                self.assertEqual(self.outcome(pod, "web"), RESTRICTED)

    def test_pod(self):
        """Whom it is meant for, by names and whole profiles, without a runtime class and without containerd's
        pod_annotations."""
        with self.plugin():
            with self.pod(PLAIN, {KEY + "/web": "web"}) as pod:
                web, outcome = self.start(pod, "web")
                self.assertEqual((outcome, self.outcome(pod, "helper")), (RESTRICTED, FREE))
                self.assertInStatus(web)
            with self.pod(PLAIN, {KEY: "web"}) as pod:
                self.assertEqual([self.outcome(pod, "one"), self.outcome(pod, "two")], [RESTRICTED, RESTRICTED])
            with self.pod(PLAIN, {}) as pod:
                self.assertEqual(self.outcome(pod, "web"), FREE)
                # What a container has of its own the engine shows, also where the handler does not let it pass.
                self.assertEqual(self.outcome(pod, "own", {KEY: "web"}), RESTRICTED)
            with self.pod(PLAIN, {KEY: "nosuch"}) as pod:
                self.assertEqual(self.outcome(pod, "own", {KEY: "web"}), RESTRICTED)
            with self.pod("wrapped", {}) as pod:
                self.assertEqual(self.outcome(pod, "own", {KEY: "web"}), RESTRICTED)

    def test_beside_a_handler(self):
        """What has the hooks already has them once."""
        with self.plugin():
            for handler in ("landlock", "wrapped"):
                with self.subTest(handler), self.pod(handler, {KEY: "web"}) as pod:
                    web, outcome = self.start(pod, "web")
                    self.assertEqual(outcome, RESTRICTED)
                    self.assertInStatus(web)
                    self.assertEqual(self.hooks(web), {stage: 1 for stage in ("createRuntime", "poststart", "poststop")})

    def hooks(self, container):
        config = json.loads(read(f"/run/containerd/io.containerd.runtime.v2.task/k8s.io/{container}/config.json"))
        return {stage: len(config["hooks"][stage]) for stage in ("createRuntime", "poststart", "poststop")}

    def test_started_by_containerd(self):
        """It is there before the first pod; of what there was before it is told by containerd 2."""
        os.makedirs(PLUGINS, exist_ok=True)
        said = "pod default/older, container web: asks for a sandbox, and was created before this plugin came"
        try:
            with self.pod(PLAIN, {KEY: "web"}, name="older") as older:
                self.assertEqual(self.outcome(older, "web"), FREE)
                before = len(node_log())
                Daemon.stop()
                os.symlink(PROGRAM, PLUGINS + "/90-oci-landlock")
                Daemon.start()
                with self.pod(PLAIN, {KEY: "web"}) as pod:
                    self.assertEqual(self.outcome(pod, "web"), RESTRICTED)
                self.assertEqual(said in node_log()[before:], TWO)
            self.assertPlugin("ok", "the plugin that containerd has started is connected")
            running, = (int(name) for name in os.listdir(PRESENCE))
            kill(running, signal.SIGKILL)
            wait_for(lambda: not alive(running), "the plugin is gone", 60)
            self.assertPlugin("problem", "containerd does not run the plugin /opt/nri/plugins/90-oci-landlock")
            with self.pod(PLAIN, {KEY: "web"}) as pod:
                self.assertEqual(self.outcome(pod, "web"), FREE)
        finally:
            Daemon.stop()
            os.unlink(PLUGINS + "/90-oci-landlock")
            Daemon.start()

    def test_containerd_is_killed(self):
        """The plugin comes back to the next one."""
        with self.plugin() as process:
            before = node_log().count("NRI: connected")
            Daemon.kill()
            Daemon.start()
            wait_for(lambda: node_log().count("NRI: connected") > before, "the plugin is connected", 60)
            with self.pod(PLAIN, {KEY: "web"}) as pod:
                self.assertEqual(self.outcome(pod, "web"), RESTRICTED)
            self.assertIsNone(process.poll())

    def test_refusals(self):
        """The container does not start, and whoever asked is told why."""
        with self.plugin():
            with self.pod(PLAIN, {KEY: "nosuch"}) as pod:
                self.assertIn('no profile "nosuch": tried ', self.refused(pod, "web"))
            with self.pod(PLAIN, {"io.landlock.profil": "web"}) as pod:
                self.assertIn("annotation io.landlock.profil: unknown", self.refused(pod, "web"))

    def test_no_program(self):
        """What the hooks would call is gone: known before there is a container."""
        with self.plugin(), self.pod(PLAIN, {KEY: "web"}) as pod:
            os.rename(PROGRAM, PROGRAM + ".away")
            try:
                with self.assertRaises(cri.Failed) as caught:
                    pod.create("web", IMAGE, ("/bin/true",), {})
                self.assertIn(f"oci-landlock: {PROGRAM}, which the hooks of the container call, is not there",
                              str(caught.exception))
            finally:
                os.rename(PROGRAM + ".away", PROGRAM)
            self.assertEqual(self.outcome(pod, "web"), RESTRICTED)

    def test_misspelt_container(self):
        """An annotation for none of the pod's containers is told of when the pod ends."""
        with self.plugin():
            before = len(node_log())
            with self.pod(PLAIN, {KEY + "/wbe": "web", KEY + "/web": "web"}) as pod:
                self.assertEqual(self.outcome(pod, "web"), RESTRICTED)
            said = node_log()[before:]
            self.assertIn(f"pod default/shop: annotation {KEY}/wbe named none of its containers that were created\n", said)
            self.assertNotIn(f"annotation {KEY}/web named", said)

    def test_asked_before(self):
        """A container that was there before the plugin has no sandbox, and that is said."""
        with self.pod(PLAIN, {KEY: "web"}) as pod:
            self.assertEqual(self.outcome(pod, "web"), FREE)
            before = len(node_log())
            with self.plugin():
                said = "pod default/shop, container web: asks for a sandbox, and was created before this plugin came"
                wait_for(lambda: said in node_log()[before:], "that is said", 60)
