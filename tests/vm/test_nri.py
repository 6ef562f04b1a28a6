# SPDX-License-Identifier: Apache-2.0
"""Pods that get their hooks by containerd's NRI, as docs/guide/nri.md sets it up. Wants an image whose containerd has it
(harness/run --engines --suite trixie)."""

import contextlib
import json
import os
import subprocess
import unittest

from cases import wait_for
from containers import PROGRAM, command, node_log
from test_containerd import (FREE, HERE, IMAGE, RESTRICTED, SYSTEMD, Daemon, PodTestCase, guide, read, set_up)

if HERE:
    import cri

# Of a handler that has nothing of ours.
PLAIN = "runc"
PLUGINS = "/opt/nri/plugins"
KEY = "io.landlock.profile"


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
        set_up(guide("toml append", "nri.md"))
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
                # What a container has of its own the engine does not show, unless the handler lets it pass.
                self.assertEqual(self.outcome(pod, "own", {KEY: "web"}), FREE)
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
        """It is there before the first pod."""
        os.makedirs(PLUGINS, exist_ok=True)
        Daemon.stop()
        os.symlink(PROGRAM, PLUGINS + "/90-oci-landlock")
        try:
            Daemon.start()
            with self.pod(PLAIN, {KEY: "web"}) as pod:
                self.assertEqual(self.outcome(pod, "web"), RESTRICTED)
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
            self.assertIn(f"pod default/shop: annotation {KEY}/wbe named none of its containers\n", said)
            self.assertNotIn(f"annotation {KEY}/web named", said)

    def test_asked_before(self):
        """A container that was there before the plugin has no sandbox, and that is said."""
        with self.pod(PLAIN, {KEY: "web"}) as pod:
            self.assertEqual(self.outcome(pod, "web"), FREE)
            before = len(node_log())
            with self.plugin():
                said = "pod default/shop, container web: asks for a sandbox, and was created before this plugin came"
                wait_for(lambda: said in node_log()[before:], "that is said", 60)
