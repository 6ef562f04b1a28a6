# SPDX-License-Identifier: Apache-2.0
"""doctor: a good node, and nodes that are broken in each way. What it says of engines is in test_podman."""

import contextlib
import os
import unittest

import applier
from applier import inject_only, selector_only
from cases import RESTRICTED, lines
from containers import doctor, oci_landlock, problems, profile, program, status
from direct import DirectTestCase, patch_node

SETTINGS = "/etc/oci-landlock/config.json"
LOOP = "while :; do [ -e /go ] && { rm /go; /bin/target read /etc/secret; echo done; }; sleep 0.1; done"


@contextlib.contextmanager
def settings(text):
    os.makedirs(os.path.dirname(SETTINGS), exist_ok=True)
    with open(SETTINGS, "w", encoding="utf-8") as file:
        file.write(text)
    try:
        yield
    finally:
        os.unlink(SETTINGS)


@unittest.skipUnless(applier.LAUNCH, "launch only: a node without selector")
class Launch(DirectTestCase):
    def test_a_good_node(self):
        """Which applier it is, and why not a better one, is no problem."""
        code, found = doctor()
        self.assertEqual((code, problems(found)), (0, []), found)
        self.assertEqual(found["kernel.applier"]["severity"], "note")
        self.assertIn("the applier is launch: ", found["kernel.applier"]["message"])
        self.assertNotIn("node.selector", found)


@selector_only("it has no selector; see Launch")
class Doctor(DirectTestCase):
    def assertProblem(self, name, message, remedy):
        """That one alone."""
        code, found = doctor()
        self.assertEqual((code, problems(found)), (1, [name]), found)
        self.assertIn(message, found[name]["message"])
        self.assertIn(remedy, found[name]["remedy"])
        text = oci_landlock("doctor")
        self.assertEqual(text.returncode, 1)
        self.assertIn(f"problem: {name}: {found[name]['message']}\n    {found[name]['remedy']}\n", text.stdout)
        self.assertIn("problems: 1, notes: ", text.stdout)

    def target(self, *args):
        bundle = self.bundle()
        bundle.annotate(profile(program("/bin/target")))
        bundle.config["process"]["args"] = list(args) or ["/bin/sh", "-c", LOOP]
        return bundle

    def test_a_good_node(self):
        self.assertEqual(applier.load().returncode, 0)
        code, found = doctor()
        self.assertEqual((code, problems(found)), (0, []), found)
        self.assertEqual(found["node.selector"]["message"],
                         f"the selector is loaded, with the applier {applier.APPLIER}")
        self.assertEqual("node.supervisor" in found, applier.INJECT)
        self.assertEqual("node.slots" in found, not applier.INJECT)
        self.assertTrue(found["node.places"]["message"].startswith("0 of 16384 places"))
        bundle = self.target()
        with bundle.running("crun") as container:
            code, found = doctor()
            self.assertEqual((code, found["node.containers"]["severity"]), (0, "note"), found)
            self.assertIn(f"{bundle.id}: nothing that its profile selects", found["node.containers"]["message"])
            bundle.write("go", "")
            container.wait_for("done")
            code, found = doctor()
            self.assertEqual((code, found.get("node.containers")), (0, None), found)

    def test_settings(self):
        with settings("{"):
            self.assertProblem("node.settings", "not valid JSON", "mend " + SETTINGS)
        with settings('{"baseline": "nosuch"}'):
            self.assertProblem("node.baseline", "no container starts", 'take "baseline" out of ' + SETTINGS)
        with settings('{"baseline": "deny-network"}'):
            os.makedirs("/etc/oci-landlock/profiles", exist_ok=True)
            path = "/etc/oci-landlock/profiles/deny-network.json"
            with open(path, "w", encoding="utf-8") as file:
                file.write('{"entries": 7}')
            self.addCleanup(os.unlink, path)
            self.assertProblem("node.baseline", "deny-network.json", SETTINGS)

    def test_launch_while_loaded(self):
        """What is loaded is used until it is unloaded, whatever the settings say by then."""
        bundle = self.target()
        with bundle.running("crun"), settings('{"applier": "launch"}'):
            self.assertProblem("node.applier", "says launch, and a selector is loaded", "`oci-landlock unload`")
            found = status()
            self.assertEqual((found["applier"], [item["id"] for item in found["containers"]]),
                             (applier.APPLIER, [bundle.id]))
            self.assertEqual(lines(self.target("/bin/target", "read", "/etc/secret").run("crun")), [RESTRICTED])

    def test_not_loaded(self):
        """Without the selector: what the next container finds."""
        applier.unload("--force")
        self.addCleanup(applier.start)
        code, found = doctor()
        if applier.INJECT:
            self.assertEqual((code, problems(found)), (1, ["node.selector"]), found)
            self.assertEqual(found["node.selector"]["remedy"], "oci-landlock supervise")
        else:
            self.assertEqual((code, found["node.selector"]["severity"]), (0, "note"), found)
            self.assertEqual(found["node.selector"]["remedy"], "oci-landlock load")

    @inject_only("there is a supervisor")
    def test_no_supervisor(self):
        """Stopped; and killed under a container, which its successor does not know."""
        applier.supervisor.stop()
        self.addCleanup(applier.start)
        self.assertProblem("node.supervisor", "the supervisor does not run: no container", "oci-landlock supervise")
        applier.start()
        bundle = self.target()
        with bundle.running("crun") as container:
            applier.supervisor.kill()
            applier.start()
            self.assertProblem("node.containers", f"{bundle.id}: nobody holds its rulesets any more", "start it anew")
            self.assertIn(f"{bundle.id} (rulesets lost)", oci_landlock("status").stdout)
            bundle.write("go", "")
            container.wait_for("done")
            self.assertIn("Operation not permitted", container.output())
        self.assertEqual(doctor()[0], 0)

    @inject_only("with kfunc a traced target is restricted")
    def test_denied(self):
        """A target that somebody traces cannot get its sandbox."""
        bundle = self.target()
        script = bundle.script("run.sh", "/bin/probe traced-exec /bin/target read /etc/secret; echo ready; sleep 600")
        with bundle.running("crun", script) as container:
            container.wait_for("ready")
            self.assertProblem("node.containers", f"{bundle.id}: 1 execs were denied; the last was of probe: somebody "
                               "else traces the program", "oci-landlock status")

    def test_another_layout(self):
        """Loaded by another version."""
        self.assertEqual(applier.load().returncode, 0)
        before = patch_node(0, 4711)
        self.addCleanup(patch_node, 0, before)
        self.assertProblem("node", "layout 4711", "unload --force")
